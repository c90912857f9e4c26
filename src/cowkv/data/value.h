/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.h - what a key holds: a value, of one of several kinds. Values lie in the arena.
 *
 * A kind has a file types/value-NAME.c, which alone knows how such values are made, freed, written
 * and read; a name in enum value_type; and a row in types/kinds.c.
 */
#ifndef COWKV_VALUE_H
#define COWKV_VALUE_H

#include "data/dict.h"

enum value_type { VALUE_STRING, VALUE_LIST, VALUE_HASH, VALUE_SET, VALUE_ZSET, VALUE_TYPES };

/* Each value begins with this. */
struct value {
	uint8_t type;
	uint32_t expiry; /* index in the expiries (db.h), plus 1; 0 if the key does not expire */
};

struct walk;
struct rdb_in;

struct value_kind {
	const char *name; /* as TYPE tells it */
	size_t size;      /* size of the struct */

	/* Turn zeroed memory into an empty value; NULL if zeroes are one already. */
	void (*init)(void *value);

	/* Free all blocks that the value holds; NULL if it holds none. */
	void (*clear)(void *value);

	/* Number of elements, or of bytes in a string. */
	uint64_t (*length)(const void *value);

	/* The type under which values are written to RDB streams (rdb-format.h), and a bit for each
	   type that can be read as such a value. */
	unsigned rdb_type;
	uint32_t rdb_types;

	/* Write what follows the key. The struct can be read at `value` (rdb-walk.h). */
	void (*write)(struct walk *w, const void *value);

	/* Read what follows the key (rdb-elements.h). Returns NULL if that fails, or if a
	   collection is empty. */
	void *(*read)(struct rdb_in *in, unsigned rdb_type);
};

/* The kind for each enum value_type. Set once, at the start (kinds.h). */
extern const struct value_kind *const *value_kinds;

/* Make an empty value. Not for strings, which have no fixed size. */
struct value *value_new(enum value_type type);
void value_free(void *value);
const char *value_type_name(const struct value *v);

/* Number of elements, or of bytes in a string. */
uint64_t value_length(const struct value *v);

/* Longest string, in bytes, as in Redis. */
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
