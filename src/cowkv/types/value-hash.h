/* SPDX-License-Identifier: BSD-2-Clause */
/* value-hash.h - hashes: fields with a text each. */
#ifndef COWKV_VALUE_HASH_H
#define COWKV_VALUE_HASH_H

#include "data/value.h"

/* entry->value is a struct text. */
struct hash {
	struct value value;
	struct dict fields;
};

/* Set a field. Returns whether it is new. */
bool hash_set(struct hash *h, struct slice field, struct slice text);
/* Remove a field. Returns whether there was one. */
bool hash_remove(void *hash, struct slice field);

extern const struct value_kind hash_kind;

#endif
