/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-list.c - lists. */
#include "config.h"

#include "commands/command.h"
#include "types/value-list.h"

#include <string.h>

static void push(struct client *c, bool at_tail, bool only_existing)
{
	bool wrong;
	struct list *l = command_write(c, c->argv[1], VALUE_LIST, &wrong);

	if (wrong)
		return;
	if (!l && only_existing) {
		reply_int(c, 0);
		return;
	}
	if (!l)
		l = command_make(c, c->argv[1], VALUE_LIST);
	for (size_t i = 2; i < c->argc; i++)
		list_push(l, c->argv[i], at_tail);
	command_changed(c->argc - 2);
	reply_int(c, (int64_t)l->count);
}

static void lpush(struct client *c)
{
	push(c, false, false);
}

static void rpush(struct client *c)
{
	push(c, true, false);
}

static void lpushx(struct client *c)
{
	push(c, false, true);
}

static void rpushx(struct client *c)
{
	push(c, true, true);
}

static void pop(struct client *c, bool at_tail)
{
	bool wrong;
	int64_t n;

	if (c->argc > 3) {
		reply_error(c, "ERR wrong number of arguments for '%s' command", c->command->name);
		return;
	}
	if (!command_pop_count(c, &n))
		return;
	struct list *l = command_write(c, c->argv[1], VALUE_LIST, &wrong);
	if (wrong)
		return;
	if (!l) {
		if (c->argc == 3)
			reply_null_array(c);
		else
			reply_null(c);
		return;
	}
	if ((uint64_t)n > l->count)
		n = (int64_t)l->count;
	if (c->argc == 3)
		reply_array(c, (size_t)n);
	for (int64_t i = 0; i < n; i++) {
		struct text *t = list_pop(l, at_tail);
		reply_bulk(c, text_slice(t));
		heap_free(t);
	}
	command_changed((uint64_t)n);
	command_drop_empty(c->argv[1], l);
}

static void lpop(struct client *c)
{
	pop(c, false);
}

static void rpop(struct client *c)
{
	pop(c, true);
}

static void llen(struct client *c)
{
	bool wrong;
	struct list *l = command_read(c, c->argv[1], VALUE_LIST, &wrong);

	if (!wrong)
		reply_int(c, l ? (int64_t)l->count : 0);
}

static void reply_element(void *c, struct slice s)
{
	reply_bulk(c, s);
}

/* Turn two indices, negative ones counting from the end, into indices within the list. Returns
   false if no element lies between them. */
static bool clip(const struct list *l, int64_t *start, int64_t *end)
{
	int64_t n = (int64_t)l->count;

	*start = *start < 0 ? *start + n : *start;
	*end = *end < 0 ? *end + n : *end;
	*start = *start < 0 ? 0 : *start;
	*end = *end >= n ? n - 1 : *end;
	return *start <= *end && *start < n;
}

static void lrange(struct client *c)
{
	int64_t start, end;
	bool wrong;

	if (!command_integer(c, c->argv[2], &start, NULL) ||
	    !command_integer(c, c->argv[3], &end, NULL))
		return;
	struct list *l = command_read(c, c->argv[1], VALUE_LIST, &wrong);
	if (wrong)
		return;
	if (!l || !clip(l, &start, &end)) {
		reply_array(c, 0);
		return;
	}
	reply_array(c, (size_t)(end - start + 1));
	list_range(l, (uint64_t)start, (uint64_t)(end - start + 1), reply_element, c);
}

/* Element i, counted from the end if negative. NULL if there is none. */
static struct text **element(struct list *l, int64_t i)
{
	i = i < 0 ? i + (int64_t)l->count : i;
	return i < 0 || i >= (int64_t)l->count ? NULL : list_at(l, (uint64_t)i);
}

static void lindex(struct client *c)
{
	bool wrong;
	int64_t i;

	struct list *l = command_read(c, c->argv[1], VALUE_LIST, &wrong);
	if (wrong)
		return;
	if (!l) {
		reply_null(c);
		return;
	}
	if (!command_integer(c, c->argv[2], &i, NULL))
		return;
	struct text **at = element(l, i);
	if (at)
		reply_bulk(c, text_slice(*at));
	else
		reply_null(c);
}

static void lset(struct client *c)
{
	bool wrong;
	int64_t i;

	struct list *l = command_write(c, c->argv[1], VALUE_LIST, &wrong);
	if (wrong)
		return;
	if (!l) {
		reply_error(c, ERROR_NO_KEY);
		return;
	}
	if (!command_integer(c, c->argv[2], &i, NULL))
		return;
	struct text **at = element(l, i);
	if (!at) {
		reply_error(c, ERROR_RANGE);
		return;
	}
	struct text *old = *at;
	if (old->len == c->argv[3].len) {
		memcpy(old->data, c->argv[3].data, old->len);
	} else {
		*at = text_new(c->argv[3]);
		heap_free(old);
	}
	command_changed(1);
	reply_status(c, "OK");
}

static void ltrim(struct client *c)
{
	int64_t start, end;
	bool wrong;

	if (!command_integer(c, c->argv[2], &start, NULL) ||
	    !command_integer(c, c->argv[3], &end, NULL))
		return;
	struct list *l = command_write(c, c->argv[1], VALUE_LIST, &wrong);
	if (wrong)
		return;
	reply_status(c, "OK");
	if (!l)
		return;
	uint64_t head = l->count, tail = 0;
	if (clip(l, &start, &end)) {
		head = (uint64_t)start;
		tail = l->count - 1 - (uint64_t)end;
	}
	for (uint64_t i = 0; i < head; i++)
		heap_free(list_pop(l, false));
	for (uint64_t i = 0; i < tail; i++)
		heap_free(list_pop(l, true));
	command_changed(head + tail);
	command_drop_empty(c->argv[1], l);
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM)

const struct command list_commands[] = {
    {"lpush", lpush, -3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"rpush", rpush, -3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"lpushx", lpushx, -3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"rpushx", rpushx, -3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"lpop", lpop, -2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"rpop", rpop, -2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, NULL},
    {"llen", llen, 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, NULL},
    {"lrange", lrange, 4, COMMAND_READONLY, 1, 1, 1, NULL},
    {"lindex", lindex, 3, COMMAND_READONLY, 1, 1, 1, NULL},
    {"lset", lset, 4, WRITES, 1, 1, 1, NULL},
    {"ltrim", ltrim, 4, COMMAND_WRITE, 1, 1, 1, NULL},
    {0},
};
