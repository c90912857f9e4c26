/* SPDX-License-Identifier: BSD-2-Clause */
/* scan.h - what SCAN, HSCAN, SSCAN and ZSCAN share. */
#ifndef COWKV_SCAN_H
#define COWKV_SCAN_H

#include "commands/command.h"

struct scan {
	uint64_t cursor;
	int64_t count;
	struct slice pattern, type; /* no data means any */
};

/* Parse the cursor, which is argument `from`; parse [MATCH pattern] [COUNT n] from argument `from`
   on, and for keys (from = 2) also [TYPE type]. Both return false after an error reply. */
bool scan_cursor(struct client *c, size_t from, struct scan *s);
bool scan_options(struct client *c, size_t from, struct scan *s);

/* Parse a scan of a key's elements. Returns the key's value, or NULL after a reply. */
void *scan_value(struct client *c, enum value_type type, struct scan *s);

/* Walk on in a dict. Replies with the next cursor and the entries found: the key of each, and after
   it what `second` replies, unless that is NULL. */
void scan_run(struct client *c, struct dict *d, const struct scan *s,
	      void (*second)(struct client *c, const struct entry *e));

#endif
