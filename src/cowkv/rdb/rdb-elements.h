/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-elements.h - the elements of a value in an RDB stream, whatever form they have: for the kinds
 * of values, which read themselves by it.
 */
#ifndef COWKV_RDB_ELEMENTS_H
#define COWKV_RDB_ELEMENTS_H

#include "rdb/rdb-in.h"
#include "rdb/rdb-packed.h"

/* The elements of a value, one by one, whatever form they have. */
struct elements {
	struct rdb_in *in;
	uint64_t left; /* unless packed */
	bool is_packed;
	struct packed packed;
};

/* Begin: with a length, and so many times `each` strings; with a block; with a string that is
   one. */
bool elements_plain(struct elements *e, struct rdb_in *in, unsigned each);
bool elements_block(struct elements *e, struct rdb_in *in, enum packed_kind kind,
		    struct slice block);
bool elements_packed(struct elements *e, struct rdb_in *in, enum packed_kind kind);

/* The next one: false at the end, or if it fails. It is there until the next, or the next but one
   if packed. */
bool elements_next(struct elements *e, struct slice *s);

/* The next of a pair, of which there must be one. */
bool elements_next_of_pair(struct elements *e, struct slice *s);

/* How many there are, by what was said before them. */
uint64_t elements_announced(const struct elements *e);

/* What an element takes in the arena besides its bytes: more than that is rare. */
#define ELEMENT_MEMORY 128

/* A new value of this type that `fill` has filled. NULL if that fails, or if there are no
   elements. */
void *elements_collection(struct rdb_in *in, unsigned rdb_type, enum value_type type,
			  bool (*fill)(void *value, struct elements *e, unsigned rdb_type));

/* Add a key to a dict, in which it must be new. NULL if it is not, or there is no room. */
struct entry *elements_add(struct elements *e, struct dict *d, struct slice key);

/* Make room in a dict for n elements, as far as so many are likely to come. */
bool elements_reserve(struct elements *e, struct dict *d, uint64_t n);

#endif
