/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-zset.c - sorted sets. commands-zset-range.c has their ranges. */
#include "config.h"

#include "commands/scan.h"
#include "types/value-zset.h"

#include <math.h>

static struct zset *read_zset(struct client *c, bool *wrong)
{
	return command_read(c, c->argv[1], VALUE_ZSET, wrong);
}

/* ---- ZADD, ZINCRBY ---- */

struct zadd {
	bool nx, xx, gt, lt, ch, incr;
	int64_t added, updated;
	bool done;    /* the last member was set */
	double score; /* of the last member */
};

/* Add one member. Returns false after an error reply. */
static bool add_one(struct client *c, struct zset *z, struct slice member, double score,
		    struct zadd *o)
{
	struct zset_node *n = zset_find(z, member);

	o->done = false;
	if ((n && o->nx) || (!n && o->xx))
		return true;
	if (n && o->incr) {
		score += n->score;
		if (isnan(score)) {
			reply_error(c, "ERR resulting score is not a number (NaN)");
			return false;
		}
	}
	if (n && ((o->gt && score <= n->score) || (o->lt && score >= n->score)))
		return true;
	o->done = true;
	o->score = score;
	if (!n)
		o->added++;
	else if (n->score != score)
		o->updated++;
	else
		return true;
	zset_set(z, member, score);
	return true;
}

/* Parse the options. Returns the index of the first score, or 0 after an error reply. */
static size_t zadd_options(struct client *c, struct zadd *o)
{
	size_t i = 2;

	for (; i < c->argc; i++) {
		if (slice_is(c->argv[i], "nx"))
			o->nx = true;
		else if (slice_is(c->argv[i], "xx"))
			o->xx = true;
		else if (slice_is(c->argv[i], "gt"))
			o->gt = true;
		else if (slice_is(c->argv[i], "lt"))
			o->lt = true;
		else if (slice_is(c->argv[i], "ch"))
			o->ch = true;
		else if (slice_is(c->argv[i], "incr"))
			o->incr = true;
		else
			break;
	}
	if (i == c->argc || (c->argc - i) % 2)
		reply_error(c, ERROR_SYNTAX);
	else if (o->nx && o->xx)
		reply_error(c, "ERR XX and NX options at the same time are not compatible");
	else if ((o->gt && o->nx) || (o->lt && o->nx) || (o->gt && o->lt))
		reply_error(c, "ERR GT, LT, and/or NX options at the same time are not compatible");
	else if (o->incr && c->argc - i > 2)
		reply_error(c, "ERR INCR option supports a single increment-element pair");
	else
		return i;
	return 0;
}

static void zadd_run(struct client *c, size_t from, struct zadd *o)
{
	bool wrong, ok = true;
	double score;

	/* Check all scores before anything is changed. */
	for (size_t i = from; i < c->argc; i += 2)
		if (!command_double(c, c->argv[i], &score, NULL))
			return;
	struct zset *z = command_write(c, c->argv[1], VALUE_ZSET, &wrong);
	if (wrong)
		return;
	if (!z && o->xx) {
		if (o->incr)
			reply_null(c);
		else
			reply_int(c, 0);
		return;
	}
	if (!z)
		z = command_make(c, c->argv[1], VALUE_ZSET);
	for (size_t i = from; i < c->argc && ok; i += 2) {
		slice_double(c->argv[i], &score);
		ok = add_one(c, z, c->argv[i + 1], score, o);
	}
	command_changed((uint64_t)(o->added + o->updated));
	if (!ok)
		return;
	if (!o->incr)
		reply_int(c, o->added + (o->ch ? o->updated : 0));
	else if (o->done)
		reply_double(c, o->score);
	else
		reply_null(c);
}

static void zadd(struct client *c)
{
	struct zadd o = {0};
	size_t from = zadd_options(c, &o);

	if (from)
		zadd_run(c, from, &o);
}

static void zincrby(struct client *c)
{
	struct zadd o = {.incr = true};

	zadd_run(c, 2, &o);
}

static void zrem(struct client *c)
{
	command_remove(c, VALUE_ZSET, zset_remove);
}

static void zscore(struct client *c)
{
	bool wrong;
	struct zset *z = read_zset(c, &wrong);
	struct zset_node *n = z ? zset_find(z, c->argv[2]) : NULL;

	if (wrong)
		return;
	if (n)
		reply_double(c, n->score);
	else
		reply_null(c);
}

static void zcard(struct client *c)
{
	bool wrong;
	struct zset *z = read_zset(c, &wrong);

	if (!wrong)
		reply_int(c, z ? (int64_t)z->by_name.used : 0);
}

static void reply_score(struct client *c, const struct entry *e)
{
	reply_double(c, ((const struct zset_node *)e->value)->score);
}

static void zscan(struct client *c)
{
	struct scan scan;
	struct zset *z = scan_value(c, VALUE_ZSET, &scan);

	if (z)
		scan_run(c, &z->by_name, &scan, reply_score);
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define READS (COMMAND_READONLY | COMMAND_FAST)

const struct command zset_commands[] = {
    {"zadd", zadd, -4, WRITES, 1, 1, 1, NULL},
    {"zincrby", zincrby, 4, WRITES, 1, 1, 1, NULL},
    {"zrem", zrem, -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"zscore", zscore, 3, READS, 1, 1, 1, NULL},
    {"zcard", zcard, 2, READS, 1, 1, 1, NULL},
    {"zscan", zscan, -3, COMMAND_READONLY, 1, 1, 1, NULL},
    {0},
};
