/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-connection.c - PING, ECHO, AUTH, SELECT, QUIT, RESET, CLIENT. */
#include "config.h"

#include "base/loop.h"
#include "base/settings.h"
#include "commands/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void ping(struct client *c)
{
	if (c->argc > 2)
		reply_error(c, "ERR wrong number of arguments for 'ping' command");
	else if (c->argc == 2)
		reply_bulk(c, c->argv[1]);
	else
		reply_status(c, "PONG");
}

static void echo(struct client *c)
{
	reply_bulk(c, c->argv[1]);
}

/* Takes a time that does not tell how much of the password was right. */
static bool is_password(struct slice said)
{
	size_t n = strlen(config.requirepass);
	unsigned differs = said.len != n;

	for (size_t i = 0; i < said.len && n; i++)
		differs |= (unsigned)(said.data[i] ^ config.requirepass[i % n]);
	return !differs;
}

static void auth(struct client *c)
{
	if (c->argc > 3) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	if (c->argc == 2 && !*config.requirepass) {
		reply_error(c, "ERR AUTH <password> called without any password configured for the "
			       "default user. Are you sure your configuration is correct?");
		return;
	}
	if ((c->argc == 3 && !slice_equal(c->argv[1], SLICE("default"))) ||
	    (*config.requirepass && !is_password(c->argv[c->argc - 1]))) {
		reply_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
		return;
	}
	c->authenticated = true;
	reply_status(c, "OK");
}

static void select_db(struct client *c)
{
	int64_t n;

	if (!command_integer_within(c, c->argv[1], INT32_MIN, INT32_MAX, &n))
		return;
	if (n)
		reply_error(c, "ERR DB index is out of range");
	else
		reply_status(c, "OK");
}

static void quit(struct client *c)
{
	reply_status(c, "OK");
	c->closing = true;
}

static void reset(struct client *c)
{
	queue_clear(&c->queue);
	free(c->name);
	c->name = NULL;
	c->authenticated = !*config.requirepass;
	reply_status(c, "RESET");
}

static void set_name(struct client *c)
{
	for (size_t i = 0; i < c->argv[2].len; i++) {
		if (c->argv[2].data[i] < '!' || c->argv[2].data[i] > '~') {
			reply_error(c, "ERR Client names cannot contain spaces, newlines or "
				       "special characters.");
			return;
		}
	}
	free(c->name);
	c->name = c->argv[2].len ? strndup(c->argv[2].data, c->argv[2].len) : NULL;
	reply_status(c, "OK");
}

static void print_client(struct client *c, struct buffer *to)
{
	buffer_print(to,
		     "id=%" PRIu64
		     " addr=%s fd=%d name=%s age=%lld idle=%lld flags=%c db=0 qbuf=%zu "
		     "obl=%zu cmd=%s\n",
		     c->id, c->peer, c->fd, c->name ? c->name : "",
		     (long long)(loop_now() - c->since), (long long)(loop_now() - c->last),
		     c->queue.open && c->kind->answered ? 'x' : c->kind->flag, buffer_size(&c->in),
		     buffer_size(&c->out), c->command ? c->command->name : "NULL");
}

static void list(struct client *c, bool all)
{
	struct buffer text = {0};

	for (struct client *x = all ? clients : c; x; x = all ? x->after : NULL)
		print_client(x, &text);
	reply_bulk(c, (struct slice){text.data, text.len});
	buffer_free(&text);
}

/* What CLIENT KILL selects by. */
struct victims {
	int64_t id;       /* 0: any */
	const char *type; /* NULL: any */
	struct slice address;
	bool skip_me;
};

/* Parse a type of clients. NULL after an error reply. */
static const char *parse_type(struct client *c, struct slice s)
{
	static const char *const types[][2] = {{"normal", "normal"},
					       {"replica", "replica"},
					       {"slave", "replica"},
					       {"master", "master"},
					       {"pubsub", "pubsub"}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (slice_is(s, types[i][0]))
			return types[i][1];
	reply_error(c, "ERR Unknown client type '%.*s'", (int)(s.len < 128 ? s.len : 128), s.data);
	return NULL;
}

/* Parse ID id ADDR ip:port TYPE type SKIPME yes|no, in any order. Returns false after an error
   reply. */
static bool parse_victims(struct client *c, struct victims *v)
{
	for (size_t i = 2; i < c->argc; i += 2) {
		struct slice what = c->argv[i], value = {NULL, 0};
		if (i + 1 < c->argc)
			value = c->argv[i + 1];
		if (slice_is(what, "id") && value.data) {
			if (!slice_integer(value, &v->id) || v->id <= 0) {
				reply_error(c, "ERR client-id should be greater than 0");
				return false;
			}
		} else if (slice_is(what, "type") && value.data) {
			v->type = parse_type(c, value);
			if (!v->type)
				return false;
		} else if (slice_is(what, "addr") && value.data) {
			v->address = value;
		} else if (slice_is(what, "skipme") &&
			   (slice_is(value, "yes") || slice_is(value, "no"))) {
			v->skip_me = slice_is(value, "yes");
		} else {
			reply_error(c, ERROR_SYNTAX);
			return false;
		}
	}
	return true;
}

static void client_kill(struct client *c)
{
	bool new_form = c->argc > 3, myself = false;
	struct victims v = {.skip_me = new_form};
	int64_t killed = 0;

	if (!new_form)
		v.address = c->argv[2];
	else if (!parse_victims(c, &v))
		return;
	for (struct client *x = clients, *after; x; x = after) {
		after = x->after;
		if ((x == c && v.skip_me) || (v.id && x->id != (uint64_t)v.id) ||
		    (v.type && strcmp(v.type, x->kind->name) != 0) ||
		    (v.address.data && !slice_is(v.address, x->peer)))
			continue;
		killed++;
		if (x == c)
			myself = true;
		else
			client_close(x);
	}
	if (new_form)
		reply_int(c, killed);
	else if (killed)
		reply_status(c, "OK");
	else
		reply_error(c, "ERR No such client");
	c->closing |= myself; /* once the reply is sent */
}

static void client_getname(struct client *c)
{
	if (c->name)
		reply_text(c, c->name);
	else
		reply_null(c);
}

static void client_id(struct client *c)
{
	reply_int(c, (int64_t)c->id);
}

static void client_info(struct client *c)
{
	list(c, false);
}

static void client_list(struct client *c)
{
	list(c, true);
}

static const struct subcommand client_subs[] = {
    {"setname", 3, set_name},
    {"getname", 2, client_getname},
    {"id", 2, client_id},
    {"info", 2, client_info},
    {"list", 2, client_list},
    {"kill", -3, client_kill},
    {0},
};

const struct command connection_commands[] = {
    {"ping", ping, -1, COMMAND_FAST, 0, 0, 0, NULL},
    {"echo", echo, 2, COMMAND_FAST, 0, 0, 0, NULL},
    {"auth", auth, -2, COMMAND_NO_AUTH | COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {"select", select_db, 2, COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {"quit", quit, -1, COMMAND_NO_AUTH | COMMAND_FAST | COMMAND_LOADING | COMMAND_NOW, 0, 0, 0,
     NULL},
    {"reset", reset, 1, COMMAND_NO_AUTH | COMMAND_FAST | COMMAND_LOADING | COMMAND_NOW, 0, 0, 0,
     NULL},
    {"client", command_sub, -2, COMMAND_LOADING, 0, 0, 0, client_subs},
    {0},
};
