/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-packed.h - reads values that are packed into one block: listpacks, ziplists, sets of
   integers. The block is not trusted. */
#ifndef COWKV_RDB_PACKED_H
#define COWKV_RDB_PACKED_H

#include "base/slice.h"

enum packed_kind { PACKED_LISTPACK, PACKED_ZIPLIST, PACKED_INTSET };

struct packed {
	enum packed_kind kind;
	const unsigned char *data;
	size_t at, end;
	uint64_t seen, count; /* elements seen so far; announced */
	size_t before;        /* ziplist: length of the previous element */
	size_t last;          /* ziplist: where its head says the last element is */
	bool last_found;      /* whether the element just read is there */
	size_t width;         /* intset: size of an integer */
	int64_t previous;     /* intset: the previous integer */
	const char *error;    /* what is wrong with the block */
	char digits[2][24];   /* text of the last two numbers */
	unsigned turn;
};

/* Begin with a block. If it is damaged, p->error says how. */
void packed_open(struct packed *p, enum packed_kind kind, struct slice block);

/* Get the next element. Returns false at the end, or if the block is damaged (p->error). The
   element is valid until the call after the next, at least. */
bool packed_next(struct packed *p, struct slice *s);

#endif
