/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-elements.h - the elements of a value in an RDB stream, whatever their form. The kinds of
 * values use it to read themselves.
 */
#ifndef COWKV_RDB_ELEMENTS_H
#define COWKV_RDB_ELEMENTS_H

#include "rdb/rdb-in.h"
#include "rdb/rdb-packed.h"

/* The elements of a value, one by one. */
struct elements {
	struct rdb_in *in;
	uint64_t left; /* elements left, unless packed */
	bool is_packed;
	struct packed packed;
};

/* Begin with a length, which is followed by that many times `each` strings; with a block; with a
   string that contains a block. */
bool elements_plain(struct elements *e, struct rdb_in *in, unsigned each);
bool elements_block(struct elements *e, struct rdb_in *in, enum packed_kind kind,
		    struct slice block);
bool elements_packed(struct elements *e, struct rdb_in *in, enum packed_kind kind);

/* Get the next element. Returns false at the end, or on failure. The element is valid until the
   next call, or if packed, until the call after that. */
bool elements_next(struct elements *e, struct slice *s);

/* Get the next element of a pair. There must be one. */
bool elements_next_of_pair(struct elements *e, struct slice *s);

/* The number of elements that was announced before them. */
uint64_t elements_announced(const struct elements *e);

/* An element rarely takes more memory in the arena than this, besides its bytes. */
#define ELEMENT_MEMORY 128

/* Make a value of this type, and have `fill` fill it. Returns NULL on failure, or if there are no
   elements. */
void *elements_collection(struct rdb_in *in, unsigned rdb_type, enum value_type type,
			  bool (*fill)(void *value, struct elements *e, unsigned rdb_type));

/* Add a key to a dict. Returns NULL if the key is there already, or if there is no room. */
struct entry *elements_add(struct elements *e, struct dict *d, struct slice key);

/* Make room in a dict for n elements, or for as many of them as are likely to come. */
bool elements_reserve(struct elements *e, struct dict *d, uint64_t n);

#endif
