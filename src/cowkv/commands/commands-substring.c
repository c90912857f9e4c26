/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-substring.c - parts of strings: STRLEN, APPEND, GETRANGE, SETRANGE. */
#include "config.h"

#include "commands/string-parts.h"

#include <string.h>

static void string_length(struct client *c)
{
	bool wrong;
	struct string *s = command_read(c, c->argv[1], VALUE_STRING, &wrong);

	if (!wrong)
		reply_int(c, s ? s->len : 0);
}

static bool too_long(struct client *c, uint64_t n)
{
	if (n > STRING_MAX)
		reply_error(c, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
	return n > STRING_MAX;
}

/* Whether memory is short for a string of n bytes: growing may copy it, to twice the room. */
static bool no_room(struct client *c, size_t n)
{
	if (heap_room(2 * n))
		return false;
	reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
	return true;
}

/* Write text at an offset of a key's string, which is made if there is none. */
static struct string *write_at(struct slice key, struct entry *e, size_t offset, struct slice text)
{
	struct string *s = e ? e->value : string_new((struct slice){NULL, 0});
	uint32_t expiry = s->value.expiry;

	if (offset + text.len > s->len)
		s = string_resize(s, offset + text.len);
	memcpy(s->data + offset, text.data, text.len);
	if (!e)
		db_set(key, s);
	else if (e->value != s)
		db_put(e, s, expiry);
	return s;
}

static void append(struct client *c)
{
	bool wrong;
	struct entry *e = string_entry(c, c->argv[1], &wrong);

	if (wrong)
		return;
	size_t len = e ? ((struct string *)e->value)->len : 0;
	if (too_long(c, len + c->argv[2].len) || no_room(c, len + c->argv[2].len))
		return;
	if (!e)
		string_store(c->argv[1], NULL, c->argv[2], false);
	else if (c->argv[2].len)
		write_at(c->argv[1], e, len, c->argv[2]);
	command_changed(1);
	reply_int(c, (int64_t)(len + c->argv[2].len));
}

static void setrange(struct client *c)
{
	bool wrong;
	int64_t offset;
	struct slice text = c->argv[3];

	if (!command_integer(c, c->argv[2], &offset, NULL))
		return;
	if (offset < 0) {
		reply_error(c, "ERR offset is out of range");
		return;
	}
	struct entry *e = string_entry(c, c->argv[1], &wrong);
	if (wrong)
		return;
	if (!text.len) {
		reply_int(c, e ? ((struct string *)e->value)->len : 0);
		return;
	}
	if (too_long(c, (uint64_t)offset + text.len))
		return;
	if (no_room(c, (size_t)offset + text.len))
		return;
	struct string *s = write_at(c->argv[1], e, (size_t)offset, text);
	command_changed(1);
	reply_int(c, s->len);
}

static void getrange(struct client *c)
{
	int64_t start, end;
	bool wrong;

	if (!command_integer(c, c->argv[2], &start, NULL) ||
	    !command_integer(c, c->argv[3], &end, NULL))
		return;
	struct string *s = command_read(c, c->argv[1], VALUE_STRING, &wrong);
	if (wrong)
		return;
	int64_t len = s ? s->len : 0;
	bool empty = start < 0 && end < 0 && start > end;
	start = start < 0 ? (start + len > 0 ? start + len : 0) : start;
	end = end < 0 ? (end + len > 0 ? end + len : 0) : end;
	end = end >= len ? len - 1 : end;
	if (empty || start > end || !len)
		reply_text(c, "");
	else
		reply_bulk(c, (struct slice){s->data + start, (size_t)(end - start + 1)});
}

#define WRITES (COMMAND_WRITE | COMMAND_DENYOOM)
#define READS (COMMAND_READONLY | COMMAND_FAST)

const struct command substring_commands[] = {
    {"strlen", string_length, 2, READS, 1, 1, 1, NULL},
    {"append", append, 3, WRITES | COMMAND_FAST, 1, 1, 1, NULL},
    {"getrange", getrange, 4, COMMAND_READONLY, 1, 1, 1, NULL},
    {"substr", getrange, 4, COMMAND_READONLY, 1, 1, 1, NULL},
    {"setrange", setrange, 4, WRITES, 1, 1, 1, NULL},
    {0},
};
