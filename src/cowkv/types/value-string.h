/* SPDX-License-Identifier: BSD-2-Clause */
/* value-string.h - strings. */
#ifndef COWKV_VALUE_STRING_H
#define COWKV_VALUE_STRING_H

#include "data/value.h"

struct string {
	struct value value;
	uint32_t len, room;
	char data[];
};

struct string *string_new(struct slice s);

/* Make a string n bytes long; new bytes are zero. Returns its address, which may change. */
struct string *string_resize(struct string *s, size_t n);

extern const struct value_kind string_kind;

#endif
