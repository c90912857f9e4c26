/* SPDX-License-Identifier: BSD-2-Clause */
/* string-parts.h - what several files of commands do with strings and numbers: commands-string.c,
   commands-number.c. */
#ifndef COWKV_STRING_PARTS_H
#define COWKV_STRING_PARTS_H

#include "commands/command.h"
#include "types/value-string.h"

/* The entry of a key that holds a string. NULL if there is no such key, or if it holds something
   else: then *wrong is set, and the client is told. */
struct entry *string_entry(struct client *c, struct slice key, bool *wrong);

/* Set a key, whose entry is e (NULL for none), to this text. */
void string_store(struct slice key, struct entry *e, struct slice s, bool keep_expiry);

void string_reply(struct client *c, const struct string *s);

/* Add n to *value, and print the sum into `text`. Returns a slice without data, after an error
   reply, if the sum overflows. */
#define INTEGER_TEXT 24
struct slice number_sum(struct client *c, int64_t *value, int64_t n, char text[INTEGER_TEXT]);

/* Add two numbers with fractions, and print the sum: 17 digits, no exponent, no zeros at the end.
   Returns a slice without data, after an error reply, if the sum is no number. */
#define LONG_DOUBLE_TEXT NUMBER_TEXT
struct slice number_float_sum(struct client *c, long double value, long double more,
			      char text[LONG_DOUBLE_TEXT]);
/* The number that a text is, or NaN. */
long double number_parse(struct slice s);

#endif
