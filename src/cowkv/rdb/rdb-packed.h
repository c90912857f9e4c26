/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-packed.h - values in one block: listpacks, ziplists, sets of integers. The block is not
   trusted. */
#ifndef COWKV_RDB_PACKED_H
#define COWKV_RDB_PACKED_H

#include "base/slice.h"

enum packed_kind { PACKED_LISTPACK, PACKED_ZIPLIST, PACKED_INTSET };

struct packed {
	enum packed_kind kind;
	const unsigned char *data;
	size_t at, end;
	uint64_t seen, count; /* elements: so far, announced */
	size_t before;        /* ziplist: length of the element before */
	size_t last;          /* ziplist: where the last element is said to be */
	bool last_found;      /* and that the one before this is there */
	size_t width;         /* intset: of an integer */
	int64_t previous;     /* intset */
	const char *error;    /* what is wrong with it */
	char digits[2][24];   /* of the last two that are numbers */
	unsigned turn;
};

/* Begin with a block. If it is damaged: p->error. */
void packed_open(struct packed *p, enum packed_kind kind, struct slice block);

/* The next element, and at the end, or if it is damaged (p->error), false. It is there until the
   next but one, at least. */
bool packed_next(struct packed *p, struct slice *s);

#endif
