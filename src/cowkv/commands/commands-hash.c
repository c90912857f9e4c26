/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-hash.c - hashes. */
#include "config.h"

#include "commands/scan.h"
#include "commands/string-parts.h"
#include "types/value-hash.h"

#include <math.h>
#include <stdio.h>

static struct hash *read_hash(struct client *c, bool *wrong)
{
	return command_read(c, c->argv[1], VALUE_HASH, wrong);
}

static struct text *field(struct hash *h, struct slice name)
{
	struct entry *e = h ? dict_find(&h->fields, name) : NULL;

	return e ? e->value : NULL;
}

static void reply_field(struct client *c, const struct text *t)
{
	if (t)
		reply_bulk(c, text_slice(t));
	else
		reply_null(c);
}

static void hset(struct client *c)
{
	int64_t added = 0;

	if (c->argc % 2) {
		reply_error(c, "ERR wrong number of arguments for '%s' command", c->command->name);
		return;
	}
	struct hash *h = command_make(c, c->argv[1], VALUE_HASH);
	if (!h)
		return;
	for (size_t i = 2; i < c->argc; i += 2)
		added += hash_set(h, c->argv[i], c->argv[i + 1]);
	command_changed((c->argc - 2) / 2);
	if (slice_is(c->argv[0], "hmset"))
		reply_status(c, "OK");
	else
		reply_int(c, added);
}

static void hsetnx(struct client *c)
{
	struct hash *h = command_make(c, c->argv[1], VALUE_HASH);

	if (!h)
		return;
	bool there = field(h, c->argv[2]);
	if (!there) {
		hash_set(h, c->argv[2], c->argv[3]);
		command_changed(1);
	}
	reply_int(c, !there);
}

static void hget(struct client *c)
{
	bool wrong;
	struct hash *h = read_hash(c, &wrong);

	if (!wrong)
		reply_field(c, field(h, c->argv[2]));
}

static void hmget(struct client *c)
{
	bool wrong;
	struct hash *h = read_hash(c, &wrong);

	if (wrong)
		return;
	reply_array(c, c->argc - 2);
	for (size_t i = 2; i < c->argc; i++)
		reply_field(c, field(h, c->argv[i]));
}

static void hdel(struct client *c)
{
	command_remove(c, VALUE_HASH, hash_remove);
}

static void all(struct client *c, bool keys, bool values)
{
	bool wrong;
	struct hash *h = read_hash(c, &wrong);

	if (wrong)
		return;
	reply_array(c, h ? h->fields.used * (keys + (size_t)values) : 0);
	if (!h)
		return;
	struct dict_iterator i = DICT_ITERATOR(&h->fields);
	for (struct entry *e; (e = dict_next(&i)) != NULL;) {
		if (keys)
			reply_bulk(c, entry_slice(e));
		if (values)
			reply_bulk(c, text_slice(e->value));
	}
}

static void hgetall(struct client *c)
{
	all(c, true, true);
}

static void hkeys(struct client *c)
{
	all(c, true, false);
}

static void hvals(struct client *c)
{
	all(c, false, true);
}

static void hlen(struct client *c)
{
	bool wrong;
	struct hash *h = read_hash(c, &wrong);

	if (!wrong)
		reply_int(c, h ? (int64_t)h->fields.used : 0);
}

static void hexists(struct client *c)
{
	bool wrong;
	struct hash *h = read_hash(c, &wrong);

	if (!wrong)
		reply_int(c, field(h, c->argv[2]) != NULL);
}

static void hstrlen(struct client *c)
{
	bool wrong;
	struct text *t = field(read_hash(c, &wrong), c->argv[2]);

	if (!wrong)
		reply_int(c, t ? t->len : 0);
}

static void hincrby(struct client *c)
{
	bool wrong;
	int64_t n, value = 0;
	char text[INTEGER_TEXT];

	if (!command_integer(c, c->argv[3], &n, NULL))
		return;
	struct hash *h = command_write(c, c->argv[1], VALUE_HASH, &wrong);
	if (wrong)
		return;
	struct text *t = field(h, c->argv[2]);
	if (t && !command_integer(c, text_slice(t), &value, "ERR hash value is not an integer"))
		return;
	struct slice result = number_sum(c, &value, n, text);
	if (!result.data)
		return;
	hash_set(command_make(c, c->argv[1], VALUE_HASH), c->argv[2], result);
	command_changed(1);
	reply_int(c, value);
}

static void hincrbyfloat(struct client *c)
{
	bool wrong;
	char text[LONG_DOUBLE_TEXT];
	long double more = number_parse(c->argv[3]);

	if (isnan(more) || isinf(more)) {
		reply_error(c, isnan(more) ? ERROR_NOT_FLOAT : "ERR value is NaN or Infinity");
		return;
	}
	struct hash *h = command_write(c, c->argv[1], VALUE_HASH, &wrong);
	if (wrong)
		return;
	struct text *t = field(h, c->argv[2]);
	long double value = t ? number_parse(text_slice(t)) : 0;
	if (isnan(value)) {
		reply_error(c, "ERR hash value is not a float");
		return;
	}
	struct slice result = number_float_sum(c, value, more, text);
	if (!result.data)
		return;
	hash_set(command_make(c, c->argv[1], VALUE_HASH), c->argv[2], result);
	const struct slice argv[] = {SLICE("HSET"), c->argv[1], c->argv[2], result};
	command_changed(1);
	command_send_instead(argv, 4);
	reply_bulk(c, result);
}

static void reply_value(struct client *c, const struct entry *e)
{
	reply_bulk(c, text_slice(e->value));
}

static void hscan(struct client *c)
{
	struct scan scan;
	struct hash *h = scan_value(c, VALUE_HASH, &scan);

	if (h)
		scan_run(c, &h->fields, &scan, reply_value);
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define READS (COMMAND_READONLY | COMMAND_FAST)

const struct command hash_commands[] = {
    {"hset", hset, -4, WRITES, 1, 1, 1, NULL},
    {"hmset", hset, -4, WRITES, 1, 1, 1, NULL},
    {"hsetnx", hsetnx, 4, WRITES, 1, 1, 1, NULL},
    {"hget", hget, 3, READS, 1, 1, 1, NULL},
    {"hmget", hmget, -3, READS, 1, 1, 1, NULL},
    {"hdel", hdel, -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"hgetall", hgetall, 2, COMMAND_READONLY, 1, 1, 1, NULL},
    {"hkeys", hkeys, 2, COMMAND_READONLY, 1, 1, 1, NULL},
    {"hvals", hvals, 2, COMMAND_READONLY, 1, 1, 1, NULL},
    {"hlen", hlen, 2, READS, 1, 1, 1, NULL},
    {"hexists", hexists, 3, READS, 1, 1, 1, NULL},
    {"hstrlen", hstrlen, 3, READS, 1, 1, 1, NULL},
    {"hincrby", hincrby, 4, WRITES, 1, 1, 1, NULL},
    {"hincrbyfloat", hincrbyfloat, 4, WRITES, 1, 1, 1, NULL},
    {"hscan", hscan, -3, COMMAND_READONLY, 1, 1, 1, NULL},
    {0},
};
