/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-expiry.c - when keys expire: EXPIRE, TTL, PERSIST. */
#include "config.h"

#include "commands/command.h"

#include <stdio.h>

enum { NX = 1, XX = 2, GT = 4, LT = 8 };

static bool parse_flags(struct client *c, unsigned *flags)
{
	static const char *const names[] = {"nx", "xx", "gt", "lt"};

	*flags = 0;
	for (size_t i = 3; i < c->argc; i++) {
		unsigned flag = 0;
		for (unsigned k = 0; k < 4; k++)
			flag |= slice_is(c->argv[i], names[k]) ? 1U << k : 0;
		if (!flag) {
			reply_error(c, "ERR Unsupported option %.*s",
				    (int)(c->argv[i].len < 128 ? c->argv[i].len : 128),
				    c->argv[i].data);
			return false;
		}
		*flags |= flag;
	}
	if (*flags & NX && *flags & ~(unsigned)NX)
		reply_error(c,
			    "ERR NX and XX, GT or LT options at the same time are not compatible");
	else if (*flags & GT && *flags & LT)
		reply_error(c, "ERR GT and LT options at the same time are not compatible");
	else
		return true;
	return false;
}

static void expire(struct client *c, int64_t unit, bool from_now)
{
	int64_t when, now;
	unsigned flags;
	char text[24];

	if (!parse_flags(c, &flags) || !command_integer(c, c->argv[2], &when, NULL))
		return;
	if (__builtin_mul_overflow(when, unit, &when) ||
	    (from_now && __builtin_add_overflow(when, db_now(), &when))) {
		reply_error(c, "ERR invalid expire time in '%s' command", c->command->name);
		return;
	}
	struct entry *e = db_find(c->argv[1]);
	now = e ? db_expiry(e) : 0;
	/* A key without expiry counts as one that lives for ever. */
	if (!e || (flags & NX && now) || (flags & XX && !now) ||
	    (flags & GT && (!now || when <= now)) || (flags & LT && now && when >= now)) {
		reply_int(c, 0);
		return;
	}
	if (!db_room_to_expire(e)) {
		reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
		return;
	}
	command_changed(1);
	if (when <= db_now() && db_expiring == DB_DELETES) {
		const struct slice argv[] = {SLICE("DEL"), c->argv[1]};
		db_delete(c->argv[1]);
		command_send_instead(argv, 2);
	} else {
		db_expire(e, when > 0 ? when : 1);
		int n = snprintf(text, sizeof text, "%lld", (long long)when);
		const struct slice argv[] = {SLICE("PEXPIREAT"), c->argv[1], {text, (size_t)n}};
		command_send_instead(argv, 3);
	}
	reply_int(c, 1);
}

static void expire_seconds(struct client *c)
{
	expire(c, 1000, true);
}

static void pexpire(struct client *c)
{
	expire(c, 1, true);
}

static void expireat(struct client *c)
{
	expire(c, 1000, false);
}

static void pexpireat(struct client *c)
{
	expire(c, 1, false);
}

static void persist(struct client *c)
{
	struct entry *e = db_find(c->argv[1]);
	bool done = e && db_expiry(e);

	if (done) {
		db_expire(e, 0);
		command_changed(1);
	}
	reply_int(c, done);
}

/* Reply the time left; -2 if there is no such key, -1 if it does not expire. */
static void time_left(struct client *c, int64_t unit, bool from_now)
{
	struct entry *e = db_find(c->argv[1]);
	int64_t when = e ? db_expiry(e) : 0;

	if (!when) {
		reply_int(c, e ? -1 : -2);
		return;
	}
	int64_t left = from_now ? when - db_now() : when;
	left = left < 0 ? 0 : left;
	reply_int(c, unit == 1 ? left : (int64_t)(((uint64_t)left + 500) / 1000));
}

static void ttl(struct client *c)
{
	time_left(c, 1000, true);
}

static void pttl(struct client *c)
{
	time_left(c, 1, true);
}

static void expiretime(struct client *c)
{
	time_left(c, 1000, false);
}

static void pexpiretime(struct client *c)
{
	time_left(c, 1, false);
}

#define READS (COMMAND_READONLY | COMMAND_FAST)
#define WRITES (COMMAND_WRITE | COMMAND_FAST)

const struct command expiry_commands[] = {
    {"expire", expire_seconds, -3, WRITES, 1, 1, 1, NULL},
    {"pexpire", pexpire, -3, WRITES, 1, 1, 1, NULL},
    {"expireat", expireat, -3, WRITES, 1, 1, 1, NULL},
    {"pexpireat", pexpireat, -3, WRITES, 1, 1, 1, NULL},
    {"persist", persist, 2, WRITES, 1, 1, 1, NULL},
    {"ttl", ttl, 2, READS, 1, 1, 1, NULL},
    {"pttl", pttl, 2, READS, 1, 1, 1, NULL},
    {"expiretime", expiretime, 2, READS, 1, 1, 1, NULL},
    {"pexpiretime", pexpiretime, 2, READS, 1, 1, 1, NULL},
    {0},
};
