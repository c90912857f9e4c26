/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-in-value.c - values from an RDB stream (rdb-in.h). */
#include "config.h"

#include "command.h"
#include "rdb-elements.h"
#include "rdb-format.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define OVERHEAD 128             /* of an element, besides its bytes: more than that is rare */
#define RESERVE ((uint64_t)4096) /* elements that a table gets room for before they come */

enum quicklist_node { NODE_PLAIN = 1, NODE_PACKED = 2 };

static void *read_string(struct rdb_in *in)
{
	struct slice s;

	if (!rdb_in_string(in, &s) || !rdb_in_room(in, s.len + OVERHEAD))
		return NULL;
	return string_new(s);
}

static bool read_list(struct list *l, struct elements *e)
{
	for (struct slice s; elements_next(e, &s);) {
		if (!rdb_in_room(e->in, s.len + OVERHEAD))
			return false;
		list_push(l, s, true);
	}
	return !e->in->failed;
}

/* Add a key that must be new. NULL if it is not, or there is no room. */
static struct entry *add(struct rdb_in *in, struct dict *d, struct slice key, size_t more)
{
	bool added;

	if (!rdb_in_room(in, key.len + more + OVERHEAD))
		return NULL;
	struct entry *entry = dict_add(d, key, &added);
	if (added)
		return entry;
	rdb_in_fail(in, "an element that is there twice");
	return NULL;
}

static bool reserve(struct rdb_in *in, struct dict *d, uint64_t n)
{
	n = n < RESERVE ? n : RESERVE;
	if (!rdb_in_room(in, 2 * n * sizeof(void *)))
		return false;
	if (n)
		dict_reserve(d, n);
	return true;
}

static bool read_set(struct set *set, struct elements *e)
{
	struct slice s;

	if (!reserve(e->in, &set->members, elements_announced(e)))
		return false;
	while (elements_next(e, &s))
		if (!add(e->in, &set->members, s, 0))
			return false;
	return !e->in->failed;
}

static bool read_hash(struct hash *h, struct elements *e)
{
	struct slice s;

	if (!reserve(e->in, &h->fields, elements_announced(e) / 2))
		return false;
	while (elements_next(e, &s)) {
		struct entry *field = add(e->in, &h->fields, s, 0);
		if (!field || !elements_next_of_pair(e, &s) ||
		    !rdb_in_room(e->in, s.len + OVERHEAD))
			return false;
		field->value = text_new(s);
	}
	return !e->in->failed;
}

static bool score_of(struct elements *e, unsigned type, double *score)
{
	struct slice s;
	uint64_t bits;

	if (e->is_packed)
		return elements_next_of_pair(e, &s) &&
		       (slice_double(s, score) ||
			rdb_in_fail(e->in, "a score that is not a number"));
	if (type == RDB_ZSET)
		return rdb_in_double(e->in, score);
	const void *p = rdb_in_bytes(e->in, sizeof bits);
	if (!p)
		return false;
	memcpy(score, p, sizeof *score);
	return !isnan(*score) || rdb_in_fail(e->in, "a score that is not a number");
}

static bool read_zset(struct zset *z, struct elements *e, unsigned type)
{
	struct buffer *kept = &e->in->kept;
	struct slice s;
	double score;

	if (!reserve(e->in, &z->by_name,
		     e->is_packed ? elements_announced(e) / 2 : elements_announced(e)))
		return false;
	while (elements_next(e, &s)) {
		if (!e->is_packed) {
			buffer_trim(kept, STRING_MAX / 512);
			kept->at = kept->len = 0;
			buffer_reserve(kept, 1); /* the empty one too has an address */
			buffer_add(kept, s.data, s.len);
			s.data = kept->data;
		}
		if (!score_of(e, type, &score) || !rdb_in_room(e->in, s.len + 2 * OVERHEAD))
			return false;
		if (!zset_set(z, s, score))
			return rdb_in_fail(e->in, "an element that is there twice");
	}
	return !e->in->failed;
}

/* Lists of lists. */
static bool read_quicklist(struct rdb_in *in, struct list *l, unsigned type)
{
	uint64_t nodes, form = NODE_PACKED;
	struct elements e;

	if (!rdb_in_length(in, &nodes))
		return false;
	while (nodes--) {
		struct slice block;
		if (type == RDB_LIST_QUICKLIST_2 && !rdb_in_length(in, &form))
			return false;
		if (form != NODE_PLAIN && form != NODE_PACKED)
			return rdb_in_fail(in, "a list node of an unknown form, %" PRIu64, form);
		if (!rdb_in_string(in, &block))
			return false;
		if (form == NODE_PLAIN) {
			if (!rdb_in_room(in, block.len + OVERHEAD))
				return false;
			list_push(l, block, true);
			continue;
		}
		if (!elements_block(&e, in,
				    type == RDB_LIST_QUICKLIST ? PACKED_ZIPLIST : PACKED_LISTPACK,
				    block) ||
		    !read_list(l, &e))
			return false;
	}
	return true;
}

static bool begin(struct elements *e, struct rdb_in *in, unsigned type)
{
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
	return true; /* a quicklist: many blocks */
}

static bool read_collection(struct rdb_in *in, unsigned type, struct value *v)
{
	struct elements e;

	if (!begin(&e, in, type))
		return false;
	switch ((enum value_type)v->type) {
	case VALUE_LIST:
		if (type == RDB_LIST_QUICKLIST || type == RDB_LIST_QUICKLIST_2)
			return read_quicklist(in, (struct list *)v, type);
		return read_list((struct list *)v, &e);
	case VALUE_SET:
		return read_set((struct set *)v, &e);
	case VALUE_HASH:
		return read_hash((struct hash *)v, &e);
	case VALUE_ZSET:
		return read_zset((struct zset *)v, &e, type);
	default:
		return false;
	}
}

void *rdb_in_value(struct rdb_in *in, unsigned type)
{
	static const enum value_type types[] = {
	    [RDB_LIST] = VALUE_LIST,
	    [RDB_SET] = VALUE_SET,
	    [RDB_ZSET] = VALUE_ZSET,
	    [RDB_HASH] = VALUE_HASH,
	    [RDB_ZSET_2] = VALUE_ZSET,
	    [RDB_LIST_ZIPLIST] = VALUE_LIST,
	    [RDB_SET_INTSET] = VALUE_SET,
	    [RDB_ZSET_ZIPLIST] = VALUE_ZSET,
	    [RDB_HASH_ZIPLIST] = VALUE_HASH,
	    [RDB_LIST_QUICKLIST] = VALUE_LIST,
	    [RDB_HASH_LISTPACK] = VALUE_HASH,
	    [RDB_ZSET_LISTPACK] = VALUE_ZSET,
	    [RDB_LIST_QUICKLIST_2] = VALUE_LIST,
	    [RDB_SET_LISTPACK] = VALUE_SET,
	};

	if (type == RDB_STRING)
		return read_string(in);
	if (type == RDB_MODULE || type == RDB_MODULE_2)
		rdb_in_fail(in, "a value of a module: delete such keys before saving");
	else if (type == RDB_STREAM || type == RDB_STREAM_2 || type == RDB_STREAM_3)
		rdb_in_fail(in, "a stream: there are none here, delete such keys before saving");
	else if (type == RDB_HASH_ZIPMAP)
		rdb_in_fail(in, "a hash as Redis before 2.6 saved it: load and save it with a "
				"newer redis-server first");
	else if (type >= sizeof types / sizeof *types || types[type] == VALUE_STRING)
		rdb_in_fail(in, "a value of an unknown type, %u", type);
	/* A sorted set has a node of all levels from the start. */
	if (in->failed || !rdb_in_room(in, sizeof(struct zset) + 2048))
		return NULL;
	struct value *v = value_new(types[type]);
	if (read_collection(in, type, v) && value_length(v))
		return v;
	value_free(v);
	return NULL;
}
