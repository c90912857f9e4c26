/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-elements.h - the elements of a value in an RDB stream. */
#ifndef COWKV_RDB_ELEMENTS_H
#define COWKV_RDB_ELEMENTS_H

#include "rdb-in.h"
#include "rdb-packed.h"

/* The elements of a value, one by one, whatever form they have. */
struct elements {
	struct rdb_in *in;
	uint64_t left; /* unless packed */
	bool is_packed;
	struct packed packed;
};

/* Begin: with a length, and so many times `each` strings; with a block; with a string that is one. */
bool elements_plain(struct elements *e, struct rdb_in *in, unsigned each);
bool elements_block(struct elements *e, struct rdb_in *in, enum packed_kind kind,
		    struct slice block);
bool elements_packed(struct elements *e, struct rdb_in *in, enum packed_kind kind);

/* The next one: false at the end, or if it fails. It is there until the next, or the next but one if packed. */
bool elements_next(struct elements *e, struct slice *s);

/* The next of a pair, of which there must be one. */
bool elements_next_of_pair(struct elements *e, struct slice *s);

/* How many there are, by what was said before them. */
uint64_t elements_announced(const struct elements *e);

#endif
