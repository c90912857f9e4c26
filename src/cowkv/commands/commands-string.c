/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-string.c - strings: SET and its kin, and commands on several keys. commands-substring.c
   has parts of strings, commands-number.c numbers. */
#include "config.h"

#include "commands/string-parts.h"

#include <string.h>

struct entry *string_entry(struct client *c, struct slice key, bool *wrong)
{
	struct entry *e = db_find(key);

	*wrong = e && db_value(e)->type != VALUE_STRING;
	if (*wrong)
		reply_error(c, ERROR_WRONGTYPE);
	return *wrong ? NULL : e;
}

void string_store(struct slice key, struct entry *e, struct slice s, bool keep_expiry)
{
	struct string *old = e ? e->value : NULL;

	/* A text that fits is overwritten in place, which dirties the fewest pages. */
	if (old && old->value.type == VALUE_STRING && s.len <= old->room &&
	    s.len >= old->room / 2) {
		if (!keep_expiry && old->value.expiry)
			db_expire(e, 0);
		if (old->len != s.len)
			old->len = (uint32_t)s.len;
		if (s.len)
			memcpy(old->data, s.data, s.len);
		return;
	}
	struct string *new = string_new(s);
	if (old && keep_expiry) {
		db_put(e, new, old->value.expiry);
		value_free(old);
	} else {
		db_set(key, new);
	}
}

void string_reply(struct client *c, const struct string *s)
{
	if (s)
		reply_bulk(c, (struct slice){s->data, s->len});
	else
		reply_null(c);
}

struct set_options {
	bool nx, xx, get, keep;
	struct slice unit, time; /* EX, PX, EXAT or PXAT, and its argument; no data if absent */
	int64_t expiry;          /* 0 for none */
};

/* Parse the argument of EX, PX, EXAT or PXAT into the time of expiry. Returns false after an error
   reply. */
static bool parse_expiry(struct client *c, struct slice unit, struct slice arg, int64_t *when)
{
	bool seconds = slice_is(unit, "ex") || slice_is(unit, "exat");
	bool from_now = slice_is(unit, "ex") || slice_is(unit, "px");
	int64_t n;

	if (!command_integer(c, arg, &n, NULL))
		return false;
	if (n <= 0 || (seconds && __builtin_mul_overflow(n, 1000, &n)) ||
	    (from_now && __builtin_add_overflow(n, db_now(), &n))) {
		reply_error(c, "ERR invalid expire time in '%s' command", c->command->name);
		return false;
	}
	*when = n;
	return true;
}

/* Whether s is EX, PX, EXAT or PXAT. One of them may be given repeatedly; the last one counts. */
static bool is_unit(struct slice s, const struct set_options *o)
{
	static const char *const units[] = {"ex", "px", "exat", "pxat"};

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (slice_is(s, units[i]))
			return !o->unit.data || slice_is(o->unit, units[i]);
	return false;
}

static bool parse_set_options(struct client *c, struct set_options *o)
{
	for (size_t i = 3; i < c->argc; i++) {
		struct slice s = c->argv[i];
		if (slice_is(s, "nx") && !o->xx) {
			o->nx = true;
		} else if (slice_is(s, "xx") && !o->nx) {
			o->xx = true;
		} else if (slice_is(s, "get")) {
			o->get = true;
		} else if (slice_is(s, "keepttl") && !o->unit.data) {
			o->keep = true;
		} else if (is_unit(s, o) && !o->keep && i + 1 < c->argc) {
			o->unit = s;
			o->time = c->argv[++i];
		} else {
			reply_error(c, ERROR_SYNTAX);
			return false;
		}
	}
	return !o->unit.data || parse_expiry(c, o->unit, o->time, &o->expiry);
}

/* Replicas are sent the time of expiry, not the time left. */
static void send_set(struct slice key, struct slice text, int64_t when)
{
	char number[24];
	int n = snprintf(number, sizeof number, "%lld", (long long)when);
	const struct slice argv[] = {SLICE("SET"), key, text, SLICE("PXAT"), {number, (size_t)n}};

	command_send_instead(argv, 5);
}

/* Set a key that expires. If the time has passed, delete it, as if it had been set and then
   expired. */
static void store_until(struct slice key, struct slice text, int64_t when)
{
	if (when <= db_now() && db_expiring == DB_DELETES) {
		const struct slice argv[] = {SLICE("DEL"), key};
		db_delete(key);
		command_send_instead(argv, 2);
		return;
	}
	string_store(key, db_find(key), text, false);
	db_expire(db_find(key), when);
	send_set(key, text, when);
}

static void set(struct client *c)
{
	struct set_options o = {0};
	struct slice key = c->argv[1], text = c->argv[2];

	if (!parse_set_options(c, &o))
		return;
	struct entry *e = db_find(key);
	if (o.get && e && db_value(e)->type != VALUE_STRING) {
		reply_error(c, ERROR_WRONGTYPE);
		return;
	}
	if (o.get)
		string_reply(c, e ? e->value : NULL);
	if ((o.nx && e) || (o.xx && !e)) {
		if (!o.get)
			reply_null(c);
		return;
	}
	command_changed(1);
	if (o.expiry)
		store_until(key, text, o.expiry);
	else
		string_store(key, e, text, o.keep);
	if (!o.get)
		reply_status(c, "OK");
}

static void setnx(struct client *c)
{
	bool set_it = !db_find(c->argv[1]);

	if (set_it) {
		string_store(c->argv[1], NULL, c->argv[2], false);
		command_changed(1);
	}
	reply_int(c, set_it);
}

static void set_expiring(struct client *c, struct slice unit)
{
	int64_t when;

	if (!parse_expiry(c, unit, c->argv[2], &when))
		return;
	command_changed(1);
	store_until(c->argv[1], c->argv[3], when);
	reply_status(c, "OK");
}

static void setex(struct client *c)
{
	set_expiring(c, SLICE("EX"));
}

static void psetex(struct client *c)
{
	set_expiring(c, SLICE("PX"));
}

static void get(struct client *c)
{
	bool wrong;
	struct string *s = command_read(c, c->argv[1], VALUE_STRING, &wrong);

	if (!wrong)
		string_reply(c, s);
}

static void getset(struct client *c)
{
	bool wrong;
	struct entry *e = string_entry(c, c->argv[1], &wrong);

	if (wrong)
		return;
	string_reply(c, e ? e->value : NULL);
	string_store(c->argv[1], e, c->argv[2], false);
	const struct slice argv[] = {SLICE("SET"), c->argv[1], c->argv[2]};
	command_changed(1);
	command_send_instead(argv, 3);
}

static void getdel(struct client *c)
{
	bool wrong;
	struct string *s = command_read(c, c->argv[1], VALUE_STRING, &wrong);

	if (wrong)
		return;
	string_reply(c, s);
	if (s) {
		const struct slice argv[] = {SLICE("DEL"), c->argv[1]};
		command_changed(1);
		command_send_instead(argv, 2);
		db_delete(c->argv[1]);
	}
}

static void mget(struct client *c)
{
	reply_array(c, c->argc - 1);
	for (size_t i = 1; i < c->argc; i++) {
		struct value *v = db_read(c->argv[i]);
		string_reply(c, v && v->type == VALUE_STRING ? (struct string *)v : NULL);
	}
}

static bool pairs(struct client *c)
{
	if (c->argc % 2)
		return true;
	reply_error(c, "ERR wrong number of arguments for '%s' command", c->command->name);
	return false;
}

static void set_all(struct client *c)
{
	for (size_t i = 1; i < c->argc; i += 2)
		string_store(c->argv[i], db_find(c->argv[i]), c->argv[i + 1], false);
	command_changed((c->argc - 1) / 2);
}

static void mset(struct client *c)
{
	if (!pairs(c))
		return;
	set_all(c);
	reply_status(c, "OK");
}

static void msetnx(struct client *c)
{
	bool any = false;

	if (!pairs(c))
		return;
	for (size_t i = 1; i < c->argc; i += 2)
		any |= db_find(c->argv[i]) != NULL;
	if (!any)
		set_all(c);
	reply_int(c, !any);
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM)
#define READS (COMMAND_READONLY | COMMAND_FAST)

const struct command string_commands[] = {
    {"set", set, -3, WRITES, 1, 1, 1, NULL},
    {"setnx", setnx, 3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"setex", setex, 4, WRITES, 1, 1, 1, NULL},
    {"psetex", psetex, 4, WRITES, 1, 1, 1, NULL},
    {"get", get, 2, READS, 1, 1, 1, NULL},
    {"getset", getset, 3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"getdel", getdel, 2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"mget", mget, -2, READS, 1, -1, 1, NULL},
    {"mset", mset, -3, WRITES, 1, -1, 2, NULL},
    {"msetnx", msetnx, -3, WRITES, 1, -1, 2, NULL},
    {0},
};
