/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-server.c - the server itself: CONFIG, COMMAND, FLUSHALL, TIME. */
#include "config.h"

#include "base/counters.h"
#include "base/settings.h"
#include "commands/command.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- CONFIG ---- */

struct listing {
	struct client *c;
	size_t n;
};

static void reply_setting(void *ctx, const char *name, const char *value)
{
	struct listing *l = ctx;

	reply_text(l->c, name);
	reply_text(l->c, value);
	l->n += 2;
}

static void config_get_command(struct client *c)
{
	struct listing l = {c, 0};
	size_t where = reply_array_later(c);

	config_get(c->argv + 2, c->argc - 2, reply_setting, &l);
	/* redis-benchmark asks for these, which mean nothing here. */
	for (size_t i = 2; i < c->argc; i++)
		if (slice_is(c->argv[i], "appendonly")) {
			reply_setting(&l, "appendonly", "no");
			break;
		}
	reply_array_set(c, where, l.n);
}

static void config_set_command(struct client *c)
{
	struct slice name;

	if (c->argc % 2) {
		reply_error(c, "ERR wrong number of arguments for 'config|set' command");
		return;
	}
	const char *wrong = config_set_all(c->argv + 2, (c->argc - 2) / 2, &name);
	int len = wrong && name.len < 128 ? (int)name.len : 128;
	if (!wrong)
		reply_status(c, "OK");
	else if (!*wrong)
		reply_error(c, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
			    len, name.data);
	else
		reply_error(c, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
			    len, name.data, wrong);
}

static void config_resetstat(struct client *c)
{
	counters = (struct counters){0};
	db_hits = db_misses = db_expired = 0;
	reply_status(c, "OK");
}

static void config_rewrite(struct client *c)
{
	reply_error(c, "ERR The server is running without a config file");
}

/* ---- COMMAND ---- */

static void reply_command(struct client *c, const struct command *command)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {
	    {COMMAND_WRITE, "write"},       {COMMAND_READONLY, "readonly"},
	    {COMMAND_DENYOOM, "denyoom"},   {COMMAND_ADMIN, "admin"},
	    {COMMAND_FAST, "fast"},         {COMMAND_NO_AUTH, "no_auth"},
	    {COMMAND_NO_MULTI, "no_multi"}, {COMMAND_LOADING, "loading"},
	};
	size_t n = 0;

	reply_array(c, 6);
	reply_text(c, command->name);
	reply_int(c, command->arity);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		n += (command->flags & names[i].flag) != 0;
	reply_array(c, n);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (command->flags & names[i].flag)
			reply_status(c, names[i].name);
	reply_int(c, command->first);
	reply_int(c, command->last);
	reply_int(c, command->step);
}

static void command_all(struct client *c)
{
	reply_array(c, command_count());
	for (size_t i = 0; i < command_count(); i++)
		reply_command(c, command_at(i));
}

static void command_count_(struct client *c)
{
	reply_int(c, (int64_t)command_count());
}

static void command_info(struct client *c)
{
	if (c->argc == 2) {
		command_all(c);
		return;
	}
	reply_array(c, c->argc - 2);
	for (size_t i = 2; i < c->argc; i++) {
		const struct command *command = command_find(c->argv[i]);
		if (command)
			reply_command(c, command);
		else
			reply_null(c);
	}
}

static void command_docs(struct client *c)
{
	reply_array(c, 0); /* redis-cli does without an answer */
}

static void command_list(struct client *c)
{
	if (c->argc > 2) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	reply_array(c, command_count());
	for (size_t i = 0; i < command_count(); i++)
		reply_text(c, command_at(i)->name);
}

/* ---- the rest ---- */

static void flush(struct client *c)
{
	if (c->argc > 2 ||
	    (c->argc == 2 && !slice_is(c->argv[1], "sync") && !slice_is(c->argv[1], "async"))) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	command_changed(db->keys.used + 1);
	db_flush();
	heap_trim();
	reply_status(c, "OK");
}

static void time_command(struct client *c)
{
	struct timespec now;
	char text[24];

	clock_gettime(CLOCK_REALTIME, &now);
	reply_array(c, 2);
	snprintf(text, sizeof text, "%lld", (long long)now.tv_sec);
	reply_text(c, text);
	snprintf(text, sizeof text, "%ld", now.tv_nsec / 1000);
	reply_text(c, text);
}

static void command_command(struct client *c)
{
	if (c->argc == 1)
		command_all(c);
	else
		command_sub(c);
}

static const struct subcommand config_subs[] = {
    {"get", -3, config_get_command},
    {"set", -4, config_set_command},
    {"resetstat", 2, config_resetstat},
    {"rewrite", 2, config_rewrite},
    {0},
};

static const struct subcommand command_subs[] = {
    {"count", 2, command_count_},
    {"info", -2, command_info},
    {"docs", -2, command_docs},
    {"list", -2, command_list},
    {0},
};

const struct command server_commands[] = {
    {"config", command_sub, -2, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, config_subs},
    {"command", command_command, -1, COMMAND_LOADING, 0, 0, 0, command_subs},
    {"flushall", flush, -1, COMMAND_WRITE, 0, 0, 0, NULL},
    {"flushdb", flush, -1, COMMAND_WRITE, 0, 0, 0, NULL},
    {"time", time_command, 1, COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {0},
};
