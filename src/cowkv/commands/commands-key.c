/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-key.c - keys of any type: DEL, EXISTS, KEYS, RENAME. */
#include "config.h"

#include "commands/command.h"

static void del(struct client *c)
{
	int64_t n = 0;

	for (size_t i = 1; i < c->argc; i++)
		n += db_delete(c->argv[i]);
	command_changed((uint64_t)n);
	reply_int(c, n);
}

static void exists(struct client *c)
{
	int64_t n = 0;

	for (size_t i = 1; i < c->argc; i++)
		n += db_read(c->argv[i]) != NULL;
	reply_int(c, n);
}

static void type(struct client *c)
{
	struct entry *e = db_find(c->argv[1]);

	reply_status(c, e ? value_type_name(db_value(e)) : "none");
}

static void keys(struct client *c)
{
	struct dict_iterator i = DICT_ITERATOR(&db->keys);
	size_t n = 0, where = reply_array_later(c);

	for (struct entry *e; (e = dict_next(&i)) != NULL;) {
		if (slice_matches(c->argv[1], entry_slice(e), false) && !db_has_expired(e)) {
			reply_bulk(c, entry_slice(e));
			n++;
		}
	}
	reply_array_set(c, where, n);
}

static void dbsize(struct client *c)
{
	reply_int(c, (int64_t)db->keys.used);
}

static void randomkey(struct client *c)
{
	struct entry *e = db_random();

	if (e)
		reply_bulk(c, entry_slice(e));
	else
		reply_null(c);
}

/* ---- RENAME ---- */

static bool rename_key(struct client *c, bool only_new, bool *done)
{
	struct slice from = c->argv[1], to = c->argv[2];
	struct entry *e = db_find(from);

	*done = false;
	if (!e) {
		reply_error(c, ERROR_NO_KEY);
		return false;
	}
	if (only_new && db_find(to))
		return true;
	*done = true;
	if (slice_equal(from, to))
		return true;
	if (!heap_room(2 * to.len)) {
		reply_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
		return false;
	}
	int64_t when = db_expiry(e);
	db_expire(e, 0);
	e = dict_take(&db->keys, from);
	struct entry *there = db_set(to, e->value);
	db_expire(there, when);
	heap_free(e);
	command_changed(1);
	return true;
}

static void rename_(struct client *c)
{
	bool done;

	if (rename_key(c, false, &done))
		reply_status(c, "OK");
}

static void renamenx(struct client *c)
{
	bool done;

	if (rename_key(c, true, &done))
		reply_int(c, done && !slice_equal(c->argv[1], c->argv[2]));
}

#define READS (COMMAND_READONLY | COMMAND_FAST)
#define WRITES (COMMAND_WRITE | COMMAND_FAST)

const struct command key_commands[] = {
    {"del", del, -2, COMMAND_WRITE, 1, -1, 1, NULL},
    {"unlink", del, -2, WRITES, 1, -1, 1, NULL},
    {"exists", exists, -2, READS, 1, -1, 1, NULL},
    {"touch", exists, -2, READS, 1, -1, 1, NULL},
    {"type", type, 2, READS, 1, 1, 1, NULL},
    {"keys", keys, 2, COMMAND_READONLY, 0, 0, 0, NULL},
    {"dbsize", dbsize, 1, READS, 0, 0, 0, NULL},
    {"randomkey", randomkey, 1, COMMAND_READONLY, 0, 0, 0, NULL},
    {"rename", rename_, 3, COMMAND_WRITE, 1, 2, 1, NULL},
    {"renamenx", renamenx, 3, WRITES, 1, 2, 1, NULL},
    {0},
};
