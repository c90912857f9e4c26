/* SPDX-License-Identifier: BSD-2-Clause */
/* string-parts.h - strings and numbers, for several files of commands. */
#ifndef COWKV_STRING_PARTS_H
#define COWKV_STRING_PARTS_H

#include "commands/command.h"
#include "types/value-string.h"

/* Find the entry of a key that holds a string. Returns NULL if there is no such key. If the key
   holds something else, also sets *wrong, and sends an error reply. */
struct entry *string_entry(struct client *c, struct slice key, bool *wrong);

/* Set a key to this text. e is the key's entry, or NULL. */
void string_store(struct slice key, struct entry *e, struct slice s, bool keep_expiry);

void string_reply(struct client *c, const struct string *s);

/* Add n to *value, and print the sum into `text`. On overflow, sends an error reply and returns a
   slice without data. */
#define INTEGER_TEXT 24
struct slice number_sum(struct client *c, int64_t *value, int64_t n, char text[INTEGER_TEXT]);

/* Add two numbers with fractions, and print the sum: 17 digits, no exponent, no zeros at the end.
   If the sum is no number, sends an error reply and returns a slice without data. */
#define LONG_DOUBLE_TEXT NUMBER_TEXT
struct slice number_float_sum(struct client *c, long double value, long double more,
			      char text[LONG_DOUBLE_TEXT]);
/* Parse a text as a number. Returns NaN if it is none. */
long double number_parse(struct slice s);

#endif
