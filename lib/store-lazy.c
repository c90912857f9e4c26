/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-lazy.c - a store whose heap comes in as it is touched, and the index with the heap.
 *
 * Until all is there the file is only read, since nothing tells yet which blocks are free.
 */
#include "config.h"

#include "error.h"
#include "lazy.h"
#include "loaded-heap.h"
#include "records.h"
#include "store-handle.h"

#include <errno.h>
#include <string.h>

/* Used by the thread that brings the pages. */
struct lazy_store {
	struct cowarena_store *store;
	struct store_slot slot;
	/* Of each level of entries, the nodes that were read to the tree's `next`. */
	struct bitmap read[STORE_LEVELS];
	struct store_entry *node;
	size_t bytes; /* of this record, and the bitmaps and the node behind */
};

/* Have the entries of a node of that level in the tree. */
static int need(struct lazy_store *l, unsigned level, uint64_t index)
{
	struct tree *t = &l->store->tree;
	const struct store_file *f = &l->store->file;

	if (bitmap_test(&l->read[level], index))
		return 0;
	if (level + 1 < t->levels && need(l, level + 1, index / t->fan))
		return -1;
	const struct store_entry *e = &t->level[level + 1].next[index];
	if (e->block) {
		if (store_file_node(f, e, l->slot.length, t->pages, level, index, l->node))
			return -1;
		memcpy(&t->level[level].next[index * t->fan], l->node, t->fan * sizeof *l->node);
	}
	bitmap_set(&l->read[level], index);
	return 0;
}

static int fetch(void *ctx, size_t first, size_t n, char *to, uint64_t *present)
{
	struct lazy_store *l = ctx;
	struct tree *t = &l->store->tree;
	const struct store_file *f = &l->store->file;
	size_t run;

	*present = 0;
	for (size_t i = 0; i < n; i += run) {
		const struct store_entry *e = &t->level[0].next[first + i];
		/* (A group may lie in two nodes.) */
		if (need(l, 0, (first + i) / t->fan))
			return -1;
		size_t same = t->fan - (first + i) % t->fan, most = n - i < same ? n - i : same;
		for (run = 1; e->block && run < most && e[run].block == e->block + run;)
			run++;
		if (!e->block)
			continue;
		if (store_file_run(f, e, run, first + i, to + i * f->page))
			return -1;
		*present |= (run < 64 ? ((uint64_t)1 << run) - 1 : UINT64_MAX) << i;
	}
	return 0;
}

static void end(void *ctx)
{
	struct lazy_store *l = ctx;

	records_give(l, l->bytes);
}

static size_t nodes(const struct tree *t, unsigned level)
{
	return t->level[level].capacity / t->fan;
}

static struct lazy_store *make(struct cowarena_store *store, const struct store_slot *slot)
{
	struct tree *t = &store->tree;
	size_t bytes = sizeof(struct lazy_store) + store->file.page;

	if (tree_grow(t, &store->file, slot->root.pages))
		return NULL;
	for (unsigned k = 0; k < t->levels; k++)
		bytes += bitmap_bytes(nodes(t, k));
	struct lazy_store *l = records_take(bytes);
	if (!l)
		return NULL;
	l->store = store;
	l->slot = *slot;
	l->bytes = bytes;
	char *memory = (char *)(l + 1);
	for (unsigned k = 0; k < t->levels; memory += bitmap_bytes(nodes(t, k++)))
		bitmap_init(&l->read[k], memory, nodes(t, k));
	l->node = (struct store_entry *)memory;
	t->level[t->levels].next[0] = slot->root.root;
	return l;
}

bool store_begin_lazily(struct cowarena_store *store, const struct store_slot *slot, int *result)
{
	struct lazy *lazy = lazy_open(store->arena);

	if (!lazy)
		return false;
	struct lazy_store *l = make(store, slot);
	if (!l) {
		lazy_close(lazy);
		*result = error_set(ENOMEM, "no memory for the store's index: " ERROR_NO_ROOM);
		return true;
	}
	*result = loaded_heap_begin_lazily(store->arena, lazy, slot->root.pages,
					   &(struct lazy_source){fetch, end, l});
	return true;
}
