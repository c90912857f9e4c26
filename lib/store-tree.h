/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-tree.h - the index of a store in memory: that of the last durable checkpoint, and that of
 * the one that is being written.
 */
#ifndef COWARENA_STORE_TREE_H
#define COWARENA_STORE_TREE_H

#include "bitmap.h"
#include "store-space.h"
#include "store.h"

struct tree_level {
	struct store_entry *next, *last; /* being written; durable */
	size_t capacity;                 /* entries, a multiple of a node's */
	struct bitmap changed;           /* nodes of these entries in which they may differ */
	void *changed_memory;
};

struct tree {
	size_t fan;
	uint64_t pages;
	unsigned levels;                           /* of nodes */
	struct tree_level level[STORE_LEVELS + 1]; /* [levels].next[0] is the root */
};

/* Have entries for so many pages. -1 with errno ENOMEM; then all is as it was. */
int tree_grow(struct tree *t, const struct store_file *f, uint64_t pages);
void tree_destroy(struct tree *t);

/* Set an entry of the checkpoint that is being written, and note that its node changes. */
void tree_set(struct tree *t, unsigned level, uint64_t index, struct store_entry e);
static inline void tree_touch(struct tree *t, unsigned level, uint64_t index)
{
	bitmap_set(&t->level[level].changed, index / t->fan);
}

/* The checkpoint is durable: its index is the last one, and what it has replaced goes from the set
   of blocks. Or it has failed, and is forgotten. */
void tree_accept(struct tree *t, struct space *space);
void tree_reject(struct tree *t);

#endif
