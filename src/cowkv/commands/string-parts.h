/* SPDX-License-Identifier: BSD-2-Clause */
/* string-parts.h - what several files of commands do with strings and numbers: commands-string.c,
   commands-number.c. */
#ifndef COWKV_STRING_PARTS_H
#define COWKV_STRING_PARTS_H

#include "commands/command.h"
#include "types/value-string.h"

/* The entry of a key that holds a string; NULL if there is none, or *wrong, and an error reply. */
struct entry *string_entry(struct client *c, struct slice key, bool *wrong);

/* Set a key, whose entry is e (NULL for none), to this text. */
void string_store(struct slice key, struct entry *e, struct slice s, bool keep_expiry);

void string_reply(struct client *c, const struct string *s);

/* Add n to *value, and print that, for strings and hashes. No data, and an error reply, where it
   would overflow. */
#define INTEGER_TEXT 24
struct slice number_sum(struct client *c, int64_t *value, int64_t n, char text[INTEGER_TEXT]);

/* The same with fractions: 17 digits, no exponent, no zeros at the end. */
#define LONG_DOUBLE_TEXT NUMBER_TEXT
struct slice number_float_sum(struct client *c, long double value, long double more,
			      char text[LONG_DOUBLE_TEXT]);
/* A text that is one, or NaN. */
long double number_parse(struct slice s);

#endif
