/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - the format of stores: arenas in files that survive a power cut. doc/design.md, "The
 * store", says why it is safe.
 *
 *	block 0      struct store_header, written once
 *	blocks 1, 2  the slots: a struct store_slot each, written in turn
 *	the others   pages, index nodes and tables of names
 *
 * A block is a page. All numbers are of 64 bits, little-endian. What a slot refers to is never
 * written over as long as the slot, or a name, may be needed: new data go to free blocks.
 *
 * The index is a tree: a node is a block of entries, each of which names a block and has the
 * checksum of its bytes. Level 0 are the pages, level 1 nodes of entries for pages, and so on; the
 * root is the one node of the highest level. Block 0 stands for a page, or a whole subtree, of
 * zeros. Checksums are XXH3 of 64 bits; the seed has the store's number and the place, so that a
 * block of another store, or of another place, does not pass.
 */
#ifndef COWARENA_STORE_H
#define COWARENA_STORE_H

#include "os.h"

#include <stddef.h>
#include <stdint.h>

#define STORE_MAGIC UINT64_C(0x45524f5453574f43)      /* "COWSTORE" */
#define STORE_SLOT_MAGIC UINT64_C(0x544f4c5353574f43) /* "COWSSLOT" */
#define STORE_VERSION 1
#define STORE_FIRST 3     /* the first block that is neither header nor slot */
#define STORE_LEVELS 6    /* of nodes, at most */
#define STORE_NAME_MAX 64 /* bytes of a name, with the 0 */

struct store_header {
	uint64_t magic, version;
	uint64_t page_size; /* bytes */
	uint64_t layout;    /* heap_layout() */
	uint64_t base;      /* address of the heap */
	uint64_t reserved;  /* bytes of address space */
	uint64_t number[2]; /* of this store, random */
	uint64_t checksum;  /* of all before */
};

struct store_entry {
	uint64_t block; /* 0: zeros */
	uint64_t checksum;
};

/* What a checkpoint is. */
struct store_root {
	uint64_t pages;          /* of the heap, in use; 0: a new store, without a heap yet */
	uint64_t epoch;          /* that its snapshot has ended */
	uint64_t snapshot;       /* cowarena_snapshot_id() */
	uint64_t sequence;       /* of the slot that it was written with */
	struct store_entry root; /* of its index */
};

struct store_slot {
	uint64_t magic;
	uint64_t sequence; /* the higher one is the newer one */
	struct store_root root;
	struct store_entry names; /* the first block of the table; block 0: no names */
	uint64_t length;          /* blocks: all that this slot refers to lie below */
	uint64_t checksum;        /* of all before */
};

/* A block of the table of names begins with this; the names follow. */
struct store_table {
	struct store_entry next; /* block 0: the last one */
	uint64_t names;          /* in this block */
};

struct store_name {
	char name[STORE_NAME_MAX]; /* with zeros behind */
	struct store_root root;
};

/* Places that are no page and no node. */
#define STORE_AT_SLOT 63
#define STORE_AT_TABLE 62

/* An open file, and what its header says. */
struct store_file {
	struct os_file file;
	const char *path;
	size_t page; /* bytes */
	struct store_header header;
};

/* Numbers in memory to numbers in a file, or back. */
void store_swap(void *words, size_t bytes);

/* The checksum of bytes as they are in the file, at that place. */
uint64_t store_checksum(const struct store_header *h, const void *p, size_t n, unsigned level,
			uint64_t index);

/* Of numbers as they are in memory. which: 1 or 2. */
uint64_t store_header_checksum(const struct store_header *h);
uint64_t store_slot_checksum(const struct store_header *h, const struct store_slot *s,
			     unsigned which);

/* Entries of a node; levels of nodes above so many pages. */
static inline size_t store_fan(const struct store_file *f)
{
	return f->page / sizeof(struct store_entry);
}
unsigned store_levels(const struct store_file *f, uint64_t pages);

#endif
