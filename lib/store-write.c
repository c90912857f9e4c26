/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-write.c - writes checkpoints.
 *
 * The order is all: pages, index and names go to free blocks and are synced; only then the slot is
 * written over that is not the last durable one, and synced. doc/design.md, "The store".
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "records.h"
#include "snapshot-read.h"
#include "store-handle.h"
#include "track.h"
#include "written.h"

#include <errno.h>
#include <string.h>

#define WASTE_MIN 64 /* blocks that may have memory for nothing */

struct writing {
	struct cowarena_store *store;
	struct cowarena_snapshot *snapshot;
	size_t n; /* pages in store->blocks */
	size_t page[STORE_RUN];
};

static int write_failed(const struct cowarena_store *store)
{
	return error_system(
	    errno, "the checkpoint cannot be written to %s (%s), the last one is as it was: %s",
	    store->path, error_name(errno),
	    errno == ENOSPC || errno == EDQUOT ? "make room there, and take another"
	    : errno == EFBIG                   ? "raise ulimit -f, and take another"
					       : "see that the disk works, and take another");
}

static int no_memory(void)
{
	return error_set(ENOMEM, "no memory for the store's index: " ERROR_NO_ROOM);
}

/* ---- blocks ---- */

static int check_file(const struct cowarena_store *store)
{
	return os_file_is_ours(&store->file.file)
		   ? 0
		   : error_set(EBADF,
			       "the program has closed the descriptor of the store %s: close only "
			       "what is your own",
			       store->path);
}

int store_put(struct cowarena_store *store, const void *p, size_t n, uint64_t block)
{
	size_t size = store->file.page;

	if (check_file(store))
		return -1;
	return os_store_write(&store->file.file, p, n * size, block * size) ? write_failed(store)
									    : 0;
}

static int take(struct cowarena_store *store, struct store_entry *e, const void *p, unsigned level,
		uint64_t index)
{
	e->block = space_take(&store->space);
	if (!e->block)
		return no_memory();
	e->checksum = store_checksum(&store->file.header, p, store->file.page, level, index);
	return 0;
}

/* Write n blocks of memory to the blocks of the file that were taken for them: neighbours by one
   call. */
static int put_runs(struct cowarena_store *store, const char *p, const uint64_t *block, size_t n)
{
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && block[i + run] == block[i] + run;)
			run++;
		if (store_put(store, p + i * store->file.page, run, block[i]))
			return -1;
	}
	return 0;
}

/* ---- pages ---- */

static int flush(struct writing *w)
{
	struct cowarena_store *store = w->store;
	size_t size = store->file.page, n = 0;
	uint64_t block[STORE_RUN];

	for (size_t i = 0; i < w->n; i++) {
		struct store_entry e = {0, 0};
		char *page = store->blocks + i * size, *to = store->blocks + n * size;
		if (!track_is_zeros(page, size)) {
			if (to != page)
				memcpy(to, page, size);
			if (take(store, &e, to, 0, w->page[i]))
				return -1;
			block[n++] = e.block;
		}
		tree_set(&store->tree, 0, w->page[i], e);
	}
	w->n = 0;
	return put_runs(store, store->blocks, block, n);
}

/* Some pages, which follow each other. */
static int put_pages(struct writing *w, size_t first, size_t end)
{
	struct cowarena *arena = w->snapshot->arena;
	size_t size = w->store->file.page;

	for (size_t n; first < end; first += n) {
		size_t room = STORE_RUN - w->n;
		n = end - first < room ? end - first : room;
		if (cowarena_snapshot_read(w->snapshot, w->store->blocks + w->n * size,
					   arena_address(arena, first), n * size))
			return -1;
		for (size_t i = 0; i < n; i++)
			w->page[w->n++] = first + i;
		if (w->n == STORE_RUN && flush(w))
			return -1;
	}
	return 0;
}

/* The pages that differ from the last durable checkpoint, as far as anybody knows. */
static int put_changes(struct writing *w)
{
	struct cowarena_store *store = w->store;
	struct written written;
	size_t all = w->snapshot->pages;

	if (store->base && snapshot_intact(store->base)) {
		cowarena_snapshot_release(store->base); /* it was given up */
		store->base = NULL;
	}
	if (!store->base)
		return put_pages(w, 0, all);
	if (written_between(store->base, w->snapshot, &written))
		return -1;
	int result = 0;
	const struct bitmap *pages = &written.pages;
	for (size_t i = bitmap_next(pages, 0), end; !result && i < pages->bits;
	     i = bitmap_next(pages, end)) {
		end = bitmap_next_clear(pages, i);
		result = put_pages(w, i, end);
	}
	written_discard(&written);
	return result ? result : put_pages(w, store->base->pages, all);
}

/* ---- the index ---- */

static int put_node(struct cowarena_store *store, unsigned level, size_t index)
{
	struct tree_level *below = &store->tree.level[level - 1];
	const struct store_entry *entries = &below->next[index * store->tree.fan];
	struct store_entry e = {0, 0};
	size_t size = store->file.page;

	if (!track_is_zeros((const char *)entries, size)) {
		memcpy(store->blocks, entries, size);
		store_swap(store->blocks, size);
		if (take(store, &e, store->blocks, level, index) ||
		    store_put(store, store->blocks, 1, e.block))
			return -1;
	}
	tree_set(&store->tree, level, index, e);
	return 0;
}

static int put_index(struct cowarena_store *store)
{
	struct tree *t = &store->tree;

	for (unsigned level = 1; level <= t->levels; level++) {
		const struct bitmap *changed = &t->level[level - 1].changed;
		for (size_t i = bitmap_next(changed, 0); i < changed->bits;
		     i = bitmap_next(changed, i + 1))
			if (put_node(store, level, i))
				return -1;
	}
	return 0;
}

/* ---- the slot ---- */

static int sync_file(struct cowarena_store *store)
{
	if (check_file(store))
		return -1;
	return os_store_sync(&store->file.file) ? write_failed(store) : 0;
}

static int put_slot(struct cowarena_store *store, const struct store_slot *slot, unsigned which)
{
	memset(store->blocks, 0, store->file.page);
	memcpy(store->blocks, slot, sizeof *slot);
	store_swap(store->blocks, sizeof *slot);
	return store_put(store, store->blocks, 1, which) || sync_file(store) ? -1 : 0;
}

int store_write_again(struct cowarena_store *store)
{
	return put_slot(store, &store->last, store->which);
}

/*
 * What the attempt has written is durable, and now the slot. Where that fails, the disk may have
 * the new slot or the old one: so the blocks of both stay as they are, and the next attempt takes
 * the same slot again.
 */
static int commit_slot(struct cowarena_store *store, struct store_slot *slot)
{
	unsigned which = 3 - store->which;

	slot->magic = STORE_SLOT_MAGIC;
	slot->sequence = ++store->sequence;
	slot->length = space_reach(&store->space);
	slot->checksum = store_slot_checksum(&store->file.header, slot, which);
	if (put_slot(store, slot, which)) {
		space_move(&store->space, SPACE_DOUBT, SPACE_ATTEMPT);
		return -1;
	}
	store->last = *slot;
	store->which = which;
	space_clear(&store->space, SPACE_DOUBT);
	space_clear(&store->space, SPACE_AVOID);
	return 0;
}

static int commit(struct cowarena_store *store, struct store_slot *slot)
{
	if (sync_file(store)) {
		/* Nobody knows what of it is on the disk, and the kernel takes it all for clean
		   from now on. The next attempt writes elsewhere. */
		space_clear(&store->space, SPACE_AVOID);
		space_move(&store->space, SPACE_AVOID, SPACE_ATTEMPT);
		return -1;
	}
	return commit_slot(store, slot);
}

void store_tidy(struct cowarena_store *store)
{
	struct space *s = &store->space;
	uint64_t size = store->file.page, end = space_end(s), first, n;
	int e = errno;

	space_rewind(s);
	/* The slot says that the file is so long, with what it has replaced. */
	if (end < store->last.length)
		end = store->last.length;
	if (s->length > end && os_store_cut(&store->file.file, end * size) == 0)
		space_cut(s, end);
	uint64_t used = space_used(s);
	if (!store->cannot_punch && space_backed(s) > 2 * used + WASTE_MIN)
		for (uint64_t from = 0; space_next_waste(s, from, &first, &n); from = first + n) {
			if (os_store_punch(&store->file.file, first * size, n * size)) {
				store->cannot_punch = errno == EOPNOTSUPP || errno == ENOSYS;
				break;
			}
			for (uint64_t i = first; i < first + n; i++)
				space_add(s, SPACE_HOLE, i);
		}
	errno = e;
}

static void attempt_failed(struct cowarena_store *store)
{
	int e = errno;

	space_clear(&store->space, SPACE_ATTEMPT); /* unless it was moved: free again */
	space_rewind(&store->space);
	tree_reject(&store->tree);
	errno = e;
}

/* ---- a checkpoint ---- */

static int write_all(struct writing *w)
{
	struct cowarena_store *store = w->store;
	struct cowarena_snapshot *s = w->snapshot;
	struct store_slot slot = {.names = store->last.names};

	if (tree_grow(&store->tree, &store->file, s->pages))
		return no_memory();
	if (put_changes(w) || flush(w) || put_index(store))
		return -1;
	/* All that was read was right? */
	if (snapshot_intact(s))
		return -1;
	slot.root = (struct store_root){.pages = s->pages,
					.epoch = s->epoch,
					.snapshot = s->id,
					.sequence = store->sequence + 1,
					.root = store->tree.level[store->tree.levels].next[0]};
	return commit(store, &slot);
}

int store_write(struct cowarena_store *store, struct cowarena_snapshot *snapshot)
{
	struct writing w = {.store = store, .snapshot = snapshot};

	if (write_all(&w)) {
		attempt_failed(store);
		int e = errno;
		cowarena_snapshot_release(snapshot);
		errno = e;
		return -1;
	}
	tree_accept(&store->tree, &store->space);
	space_move(&store->space, SPACE_LAST, SPACE_ATTEMPT);
	cowarena_snapshot_release(store->base);
	store->base = snapshot;
	store_tidy(store);
	return 0;
}

/* ---- names ---- */

static size_t names_in_a_block(const struct cowarena_store *store)
{
	return (store->file.page - sizeof(struct store_table)) / sizeof(struct store_name);
}

/* Numbers of names, and only those. */
static void swap_roots(struct store_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		store_swap(&names[i].root, sizeof names[i].root);
}

/* The last block first, since each has the checksum of the next. */
static int put_table(struct cowarena_store *store, const struct store_name *names, size_t n,
		     struct store_entry *first)
{
	size_t most = names_in_a_block(store), size = store->file.page;

	*first = (struct store_entry){0, 0};
	for (size_t block = (n + most - 1) / most; block-- > 0;) {
		struct store_table *t = (void *)store->blocks;
		struct store_name *to = (void *)(t + 1);
		size_t from = block * most, here = n - from < most ? n - from : most;
		memset(t, 0, size);
		*t = (struct store_table){*first, here};
		memcpy(to, names + from, here * sizeof *to);
		store_swap(t, sizeof *t);
		swap_roots(to, here);
		if (take(store, first, t, STORE_AT_TABLE, block) ||
		    store_put(store, t, 1, first->block))
			return -1;
	}
	return 0;
}

int store_write_names(struct cowarena_store *store, const struct store_name *names, size_t n)
{
	struct store_slot slot = store->last;

	if (put_table(store, names, n, &slot.names)) {
		attempt_failed(store);
		return -1;
	}
	if (commit(store, &slot)) {
		attempt_failed(store);
		return -1;
	}
	space_clear(&store->space, SPACE_TABLE);
	space_move(&store->space, SPACE_TABLE, SPACE_ATTEMPT);
	space_rewind(&store->space);
	return 0;
}
