/* SPDX-License-Identifier: BSD-2-Clause */
/* scan.h - what SCAN, HSCAN, SSCAN and ZSCAN share. */
#ifndef COWKV_SCAN_H
#define COWKV_SCAN_H

#include "commands/command.h"

struct scan {
	uint64_t cursor;
	int64_t count;
	struct slice pattern, type; /* without data: any */
};

/* Parse the cursor, argument `from`, and from another argument on [MATCH pattern] [COUNT n], for
   keys (from = 2) TYPE too. False after an error reply. */
bool scan_cursor(struct client *c, size_t from, struct scan *s);
bool scan_options(struct client *c, size_t from, struct scan *s);

/* The same for a scan of the value of a key, which is returned; NULL after a reply. */
void *scan_value(struct client *c, enum value_type type, struct scan *s);

/* Walk on in a dict, and reply: the next cursor, and what was found: its key, and what `second`
   replies if that is not NULL. */
void scan_run(struct client *c, struct dict *d, const struct scan *s,
	      void (*second)(struct client *c, const struct entry *e));

#endif
