/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-set.c - sets. */
#include "config.h"

#include "commands/scan.h"
#include "types/value-set.h"

#include <stdlib.h>

#define REPEATS_MAX 10000000 /* most repeats in SRANDMEMBER: the answer is built in memory */

static struct set *read_set(struct client *c, bool *wrong)
{
	return command_read(c, c->argv[1], VALUE_SET, wrong);
}

static void sadd(struct client *c)
{
	struct set *s = command_make(c, c->argv[1], VALUE_SET);
	int64_t n = 0;

	if (!s)
		return;
	for (size_t i = 2; i < c->argc; i++)
		n += set_add(s, c->argv[i]);
	command_changed((uint64_t)n);
	reply_int(c, n);
}

static void srem(struct client *c)
{
	command_remove(c, VALUE_SET, set_remove);
}

static void sismember(struct client *c)
{
	bool wrong;
	struct set *s = read_set(c, &wrong);

	if (!wrong)
		reply_int(c, s && dict_find(&s->members, c->argv[2]) != NULL);
}

static void smismember(struct client *c)
{
	bool wrong;
	struct set *s = read_set(c, &wrong);

	if (wrong)
		return;
	reply_array(c, c->argc - 2);
	for (size_t i = 2; i < c->argc; i++)
		reply_int(c, s && dict_find(&s->members, c->argv[i]) != NULL);
}

static void smembers(struct client *c)
{
	bool wrong;
	struct set *s = read_set(c, &wrong);

	if (wrong)
		return;
	reply_array(c, s ? s->members.used : 0);
	if (!s)
		return;
	struct dict_iterator i = DICT_ITERATOR(&s->members);
	for (struct entry *e; (e = dict_next(&i)) != NULL;)
		reply_bulk(c, entry_slice(e));
}

static void scard(struct client *c)
{
	bool wrong;
	struct set *s = read_set(c, &wrong);

	if (!wrong)
		reply_int(c, s ? (int64_t)s->members.used : 0);
}

/* Replicas are sent the members that went: they would choose others. */
static void pop(struct client *c, struct set *s, size_t n)
{
	struct slice argv[64] = {SLICE("SREM"), c->argv[1]};

	while (n) {
		struct entry *taken[62];
		size_t k = 0;
		for (; k < 62 && n; k++, n--) {
			taken[k] = dict_take(&s->members, entry_slice(dict_random(&s->members)));
			argv[2 + k] = entry_slice(taken[k]);
			reply_bulk(c, argv[2 + k]);
		}
		command_send_instead(argv, 2 + k);
		for (size_t i = 0; i < k; i++)
			heap_free(taken[i]);
	}
	dict_shrink(&s->members);
}

static void spop(struct client *c)
{
	bool wrong;
	int64_t n;

	if (c->argc > 3) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	if (!command_pop_count(c, &n))
		return;
	struct set *s = command_write(c, c->argv[1], VALUE_SET, &wrong);
	if (wrong)
		return;
	if (s && (uint64_t)n > s->members.used)
		n = (int64_t)s->members.used;
	if (c->argc == 3)
		reply_array(c, s ? (size_t)n : 0);
	else if (!s)
		reply_null(c);
	if (!s || !n)
		return;
	command_changed((uint64_t)n);
	pop(c, s, (size_t)n);
	command_drop_empty(c->argv[1], s);
}

static void reply_entry(struct client *c, const struct entry *e)
{
	reply_bulk(c, entry_slice(e));
}

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		abort();
	return p;
}

/* Reply n members, which may repeat. */
static void with_repetitions(struct client *c, struct dict *d, size_t n)
{
	const struct entry **all = NULL;
	size_t k = 0;

	if (dict_sparse(d) && n > 1) { /* each random search would be long */
		struct dict_iterator i = DICT_ITERATOR(d);
		all = allocate(d->used, sizeof *all);
		for (struct entry *e; (e = dict_next(&i)) != NULL;)
			all[k++] = e;
	}
	reply_array(c, n);
	for (; n && !c->dead; n--)
		reply_entry(c, all ? all[dict_random_number() % k] : dict_random(d));
	free(all);
}

/* Reply n different members, a small part of all: one drawn twice is drawn again. */
static void few(struct client *c, struct dict *d, size_t n)
{
	size_t size = 4;

	while (size < 2 * n)
		size *= 2;
	const struct entry **drawn = allocate(size, sizeof *drawn);
	while (n) {
		const struct entry *e = dict_random(d);
		size_t at = e->hash & (size - 1);
		while (drawn[at] && drawn[at] != e)
			at = (at + 1) & (size - 1);
		if (drawn[at])
			continue;
		drawn[at] = e;
		reply_entry(c, e);
		n--;
	}
	free(drawn);
}

/* Reply n different members, a large part of all: each one left is chosen with the same chance
   (Knuth, TAOCP 2, 3.4.2, algorithm S). */
static void many(struct client *c, struct dict *d, size_t n)
{
	struct dict_iterator i = DICT_ITERATOR(d);
	size_t left = d->used;

	for (struct entry *e; n && (e = dict_next(&i)) != NULL; left--) {
		if (dict_random_number() % left < n) {
			reply_entry(c, e);
			n--;
		}
	}
}

static void srandmember(struct client *c)
{
	bool wrong;
	int64_t n = 1;

	if (c->argc > 3) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	if (c->argc == 3 && !command_integer_within(c, c->argv[2], -INT64_MAX, INT64_MAX, &n))
		return;
	struct set *s = read_set(c, &wrong);
	if (wrong)
		return;
	if (c->argc == 2) {
		if (s)
			reply_entry(c, dict_random(&s->members));
		else
			reply_null(c);
	} else if (n < -REPEATS_MAX) {
		reply_error(c, "ERR value is out of range");
	} else if (!s || !n) {
		reply_array(c, 0);
	} else if (n < 0) {
		with_repetitions(c, &s->members, (size_t)-n);
	} else {
		size_t want = (size_t)n < s->members.used ? (size_t)n : s->members.used;
		reply_array(c, want);
		(want < s->members.used / 4 && !dict_sparse(&s->members) ? few : many)(
		    c, &s->members, want);
	}
}

static void sscan(struct client *c)
{
	struct scan scan;
	struct set *s = scan_value(c, VALUE_SET, &scan);

	if (s)
		scan_run(c, &s->members, &scan, NULL);
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define READS (COMMAND_READONLY | COMMAND_FAST)

const struct command set_commands[] = {
    {"sadd", sadd, -3, WRITES, 1, 1, 1, NULL},
    {"srem", srem, -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"sismember", sismember, 3, READS, 1, 1, 1, NULL},
    {"smismember", smismember, -3, READS, 1, 1, 1, NULL},
    {"smembers", smembers, 2, COMMAND_READONLY, 1, 1, 1, NULL},
    {"scard", scard, 2, READS, 1, 1, 1, NULL},
    {"spop", spop, -2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"srandmember", srandmember, -2, COMMAND_READONLY, 1, 1, 1, NULL},
    {"sscan", sscan, -3, COMMAND_READONLY, 1, 1, 1, NULL},
    {0},
};
