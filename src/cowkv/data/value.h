/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.h - what a key can hold: a value, of one of several kinds. All in the arena.
 *
 * A kind has a file types/value-NAME.c, which alone knows how such values are made, freed, written
 * and read; a name in enum value_type; and a row in types/kinds.c.
 */
#ifndef COWKV_VALUE_H
#define COWKV_VALUE_H

#include "data/dict.h"

enum value_type { VALUE_STRING, VALUE_LIST, VALUE_HASH, VALUE_SET, VALUE_ZSET, VALUE_TYPES };

/* What each value begins with. */
struct value {
	uint8_t type;
	uint32_t expiry; /* db.h: its place among those that expire, plus 1; 0 if it does not */
};

struct walk;
struct rdb_in;

struct value_kind {
	const char *name; /* as TYPE tells it */
	size_t size;      /* of the struct */

	/* Make zeroes an empty value; NULL: zeroes are one already. */
	void (*init)(void *value);

	/* Free all blocks that the value holds; NULL: it holds none. */
	void (*clear)(void *value);

	/* How many elements; of a string, how many bytes. */
	uint64_t (*length)(const void *value);

	/* The type in RDB streams (rdb-format.h) as which values are written, and all types that
	   can be read as such values: a bit each. */
	unsigned rdb_type;
	uint32_t rdb_types;

	/* Write what follows the key. `value` is where the struct can be read (rdb-walk.h). */
	void (*write)(struct walk *w, const void *value);

	/* Read what follows the key (rdb-elements.h). Returns NULL if that fails, or if a
	   collection has no elements. */
	void *(*read)(struct rdb_in *in, unsigned rdb_type);
};

/* The kind of each enum value_type. Set once, at the start (kinds.h). */
extern const struct value_kind *const *value_kinds;

/* An empty value. Not for strings: they have no fixed size. */
struct value *value_new(enum value_type type);
void value_free(void *value);
const char *value_type_name(const struct value *v);

/* Elements; of a string, bytes. */
uint64_t value_length(const struct value *v);

/* Bytes that a string can have, as in Redis. */
#define STRING_MAX ((size_t)512 << 20)

/* A string inside another value. */
struct text {
	uint32_t len;
	char data[];
};

struct text *text_new(struct slice s);
static inline struct slice text_slice(const struct text *t)
{
	return (struct slice){t->data, t->len};
}
static inline struct slice entry_slice(const struct entry *e)
{
	return (struct slice){e->key, e->len};
}

#endif
