/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-scan.c - SCAN, and what HSCAN, SSCAN and ZSCAN share with it. */
#include "config.h"

#include "commands/scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct found {
	const struct scan *scan;
	bool keys; /* a scan of the db: expired keys are left out, and TYPE counts */
	const struct entry **entries;
	size_t n, room;
};

static void visit(void *ctx, struct entry *e)
{
	struct found *f = ctx;
	const struct scan *s = f->scan;

	if (s->pattern.data && !slice_matches(s->pattern, entry_slice(e), false))
		return;
	if (f->keys && (db_has_expired(e) ||
			(s->type.data && !slice_is(s->type, value_type_name(db_value(e))))))
		return;
	if (f->n == f->room) {
		f->room = f->room ? 2 * f->room : 16;
		f->entries = realloc(f->entries, f->room * sizeof *f->entries);
		if (!f->entries)
			abort();
	}
	f->entries[f->n++] = e;
}

bool scan_cursor(struct client *c, size_t from, struct scan *s)
{
	char text[NUMBER_TEXT], *end;
	struct slice arg = c->argv[from];

	*s = (struct scan){.count = 10};
	/* As lenient as Redis, which reads "" as 0, and -1 as all 64 bits set. */
	errno = 0;
	bool is_number = !(arg.len && isspace((unsigned char)*arg.data)) && slice_text(arg, text);
	if (is_number)
		s->cursor = strtoul(text, &end, 10);
	if (is_number && !*end && errno != ERANGE)
		return true;
	reply_error(c, "ERR invalid cursor");
	return false;
}

bool scan_options(struct client *c, size_t from, struct scan *s)
{
	for (size_t i = from; i < c->argc; i += 2) {
		if (i + 1 == c->argc) {
			reply_error(c, ERROR_SYNTAX);
			return false;
		}
		if (slice_is(c->argv[i], "match")) {
			s->pattern = c->argv[i + 1];
		} else if (slice_is(c->argv[i], "count")) {
			if (!command_integer(c, c->argv[i + 1], &s->count, NULL))
				return false;
		} else if (slice_is(c->argv[i], "type") && from == 2) {
			s->type = c->argv[i + 1];
			continue;
		} else {
			s->count = 0;
		}
		if (s->count < 1) {
			reply_error(c, ERROR_SYNTAX);
			return false;
		}
	}
	return true;
}

static void reply_nothing(struct client *c)
{
	reply_array(c, 2);
	reply_text(c, "0");
	reply_array(c, 0);
}

void *scan_value(struct client *c, enum value_type type, struct scan *s)
{
	bool wrong;

	if (!scan_cursor(c, 2, s))
		return NULL;
	void *value = command_read(c, c->argv[1], type, &wrong);
	if (!value && !wrong)
		reply_nothing(c); /* whatever the options are */
	return value && scan_options(c, 3, s) ? value : NULL;
}

void scan_run(struct client *c, struct dict *d, const struct scan *s,
	      void (*second)(struct client *c, const struct entry *e))
{
	char text[24];
	struct found f = {.scan = s, .keys = d == &db->keys};
	uint64_t cursor = s->cursor;
	/* Most buckets of a nearly empty dict are empty: limit how many are looked at. */
	int64_t rounds = s->count <= INT64_MAX / 10 ? 10 * s->count : INT64_MAX;

	do
		cursor = dict_scan(d, cursor, visit, &f);
	while (cursor && f.n < (uint64_t)s->count && --rounds);
	int len = snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
	reply_array(c, 2);
	reply_bulk(c, (struct slice){text, (size_t)len});
	reply_array(c, second ? 2 * f.n : f.n);
	for (size_t i = 0; i < f.n; i++) {
		reply_bulk(c, entry_slice(f.entries[i]));
		if (second)
			second(c, f.entries[i]);
	}
	free(f.entries);
}

static void scan(struct client *c)
{
	struct scan s;

	if (scan_cursor(c, 1, &s) && scan_options(c, 2, &s))
		scan_run(c, &db->keys, &s, NULL);
}

const struct command scan_commands[] = {
    {"scan", scan, -2, COMMAND_READONLY, 0, 0, 0, NULL},
    {0},
};
