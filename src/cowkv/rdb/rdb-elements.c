/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-elements.c - see rdb-elements.h. */
#include "config.h"

#include "rdb/rdb-elements.h"
#include "rdb/rdb-format.h"

#include <inttypes.h>

#define RESERVE ((uint64_t)4096) /* most elements for which a table gets room in advance */

bool elements_plain(struct elements *e, struct rdb_in *in, unsigned each)
{
	e->in = in;
	e->is_packed = false;
	if (!rdb_in_length(in, &e->left))
		return false;
	if (e->left > (uint64_t)INT64_MAX / each)
		return rdb_in_fail(in, "a value of %" PRIu64 " elements", e->left);
	e->left *= each;
	return true;
}

bool elements_block(struct elements *e, struct rdb_in *in, enum packed_kind kind,
		    struct slice block)
{
	e->in = in;
	e->is_packed = true;
	packed_open(&e->packed, kind, block);
	return !e->packed.error || rdb_in_fail(in, "%s", e->packed.error);
}

bool elements_packed(struct elements *e, struct rdb_in *in, enum packed_kind kind)
{
	struct slice block;

	return rdb_in_string(in, &block) && elements_block(e, in, kind, block);
}

bool elements_next(struct elements *e, struct slice *s)
{
	if (!e->is_packed)
		return e->left && (e->left--, rdb_in_string(e->in, s));
	if (packed_next(&e->packed, s))
		return true;
	if (e->packed.error)
		rdb_in_fail(e->in, "%s", e->packed.error);
	return false;
}

bool elements_next_of_pair(struct elements *e, struct slice *s)
{
	return elements_next(e, s) || rdb_in_fail(e->in, "a value whose elements should be pairs");
}

uint64_t elements_announced(const struct elements *e)
{
	return e->is_packed ? e->packed.count : e->left;
}

/* ---- for the kinds of values ---- */

static bool begin(struct elements *e, struct rdb_in *in, unsigned type)
{
	e->in = in;
	switch (type) {
	case RDB_LIST:
	case RDB_SET:
	case RDB_ZSET:
	case RDB_ZSET_2:
		return elements_plain(e, in, 1);
	case RDB_HASH:
		return elements_plain(e, in, 2);
	case RDB_LIST_ZIPLIST:
	case RDB_ZSET_ZIPLIST:
	case RDB_HASH_ZIPLIST:
		return elements_packed(e, in, PACKED_ZIPLIST);
	case RDB_SET_INTSET:
		return elements_packed(e, in, PACKED_INTSET);
	case RDB_HASH_LISTPACK:
	case RDB_ZSET_LISTPACK:
	case RDB_SET_LISTPACK:
		return elements_packed(e, in, PACKED_LISTPACK);
	}
	return true; /* a quicklist has many blocks */
}

void *elements_collection(struct rdb_in *in, unsigned rdb_type, enum value_type type,
			  bool (*fill)(void *value, struct elements *e, unsigned rdb_type))
{
	struct elements e = {0};

	/* A sorted set begins with a node that has all levels. */
	if (!rdb_in_room(in, value_kinds[type]->size + 2048))
		return NULL;
	struct value *v = value_new(type);
	if (begin(&e, in, rdb_type) && fill(v, &e, rdb_type) && value_length(v))
		return v;
	value_free(v);
	return NULL;
}

struct entry *elements_add(struct elements *e, struct dict *d, struct slice key)
{
	bool added;

	if (!rdb_in_room(e->in, key.len + ELEMENT_MEMORY))
		return NULL;
	struct entry *entry = dict_add(d, key, &added);
	if (added)
		return entry;
	rdb_in_fail(e->in, "an element that is there twice");
	return NULL;
}

bool elements_reserve(struct elements *e, struct dict *d, uint64_t n)
{
	n = n < RESERVE ? n : RESERVE;
	if (!rdb_in_room(e->in, 2 * n * sizeof(void *)))
		return false;
	if (n)
		dict_reserve(d, n);
	return true;
}
