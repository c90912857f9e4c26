/* SPDX-License-Identifier: BSD-2-Clause */
/* string-parts.h - what the two files of the string commands share. */
#ifndef COWKV_STRING_PARTS_H
#define COWKV_STRING_PARTS_H

#include "command.h"

/* The entry of a key that holds a string; NULL if there is none, or *wrong, and an error reply. */
struct entry *string_entry(struct client *c, struct slice key, bool *wrong);

/* Set a key, whose entry is e (NULL for none), to this text. */
void string_store(struct slice key, struct entry *e, struct slice s, bool keep_expiry);

void string_reply(struct client *c, const struct string *s);

void number_incr(struct client *c);
void number_decr(struct client *c);
void number_incrby(struct client *c);
void number_decrby(struct client *c);
void number_incrbyfloat(struct client *c);

/* A double as INCRBYFLOAT and HINCRBYFLOAT print it: 17 digits, no exponent, no zeros at the end. Returns the length. */
#define LONG_DOUBLE_TEXT NUMBER_TEXT
size_t number_print(char text[LONG_DOUBLE_TEXT], long double d);
/* A text that is one, or NaN. */
long double number_parse(struct slice s);

#endif
