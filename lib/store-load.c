/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-load.c - makes an arena from the last checkpoint of a store, and fills it with others.
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "lazy.h"
#include "loaded-heap.h"
#include "range.h"
#include "records.h"
#include "store-handle.h"
#include "track.h"

#include <errno.h>
#include <string.h>

/* A reader's arena begins so many epochs later than a writer's would: by then the writer may have
   taken so many snapshots. */
#define READER_EPOCHS ((uint64_t)1 << 20)
#define READER_TRIES 100 /* in a row that find no newer checkpoint, or no whole slot */

static int no_memory(void)
{
	return error_set(ENOMEM, "no memory for the store's index: " ERROR_NO_ROOM);
}

/* ---- the index ---- */

static int note_entry(void *ctx, unsigned level, uint64_t index, const struct store_entry *e)
{
	struct cowarena_store *store = ctx;

	store->tree.level[level].next[index] = *e;
	return 0;
}

/* To the tree's `next`. */
static int read_index(struct cowarena_store *store, const struct store_slot *slot)
{
	struct tree *t = &store->tree;

	if (tree_grow(t, &store->file, slot->root.pages))
		return no_memory();
	for (unsigned k = 0; k <= t->levels; k++)
		memset(t->level[k].next, 0, t->level[k].capacity * sizeof *t->level[k].next);
	return store_file_walk(&store->file, &slot->root, slot->length, note_entry, store);
}

/* ---- pages ---- */

/* How many pages from this one on, and blocks, follow each other. */
static size_t run_of(const struct store_entry *e, size_t page, size_t end)
{
	size_t n = 1;

	while (n < STORE_RUN && page + n < end && e[page + n].block == e[page].block + n)
		n++;
	return n;
}

/* Bring the pages that are not there yet to what the index says. */
static int fill(void *p)
{
	struct cowarena_store *store = p;
	struct tree_level *l = &store->tree.level[0];
	size_t pages = store->tree.pages, size = store->file.page;

	for (size_t page = 0, n; page < pages; page += n) {
		n = 1;
		if (memcmp(&l->next[page], &l->last[page], sizeof *l->next) == 0)
			continue;
		if (!l->next[page].block) {
			memset(arena_address(store->arena, page), 0, size);
		} else {
			n = run_of(l->next, page, pages);
			if (store_file_run(&store->file, &l->next[page], n, page, store->blocks))
				return -1;
			memcpy(arena_address(store->arena, page), store->blocks, n * size);
		}
		memcpy(&l->last[page], &l->next[page], n * sizeof *l->next);
	}
	return 0;
}

/* ---- an arena ---- */

static struct loaded_heap heap_of(const struct cowarena_store *store)
{
	const struct store_header *h = &store->file.header;

	return (struct loaded_heap){.path = store->path,
				    .kind = "store",
				    .sparse = "COWARENA_STORE_SPARSE",
				    .base = h->base,
				    .reserved = h->reserved,
				    .layout = h->layout};
}

static int attach(struct cowarena_store *store, bool check)
{
	if (loaded_heap_attach(store->arena, check) == 0)
		return 0;
	return errno == EUCLEAN
		   ? store_file_damaged(&store->file, store->last.root.root.block,
					"begins the index of a heap whose bookkeeping is damaged")
		   : -1;
}

/* One try. The arena, once it is there, is kept for the next one, with the pages that are right. */
static int load_slot(struct cowarena_store *store, const struct cowarena_options *options,
		     unsigned flags)
{
	struct loaded_heap from = heap_of(store);
	struct store_slot slot;
	bool again = store->arena != NULL;
	size_t size = store->file.page;
	uint64_t epochs = store->read_only ? READER_EPOCHS : 1;

	if (store_file_slot(&store->file, &slot, &store->which))
		return -1;
	store->last = slot;
	if (!(flags & COWARENA_STORE_SPARSE) &&
	    loaded_heap_check_size(&from, slot.root.pages * size, slot.length * size))
		return -1;
	if (!again)
		store->arena = loaded_heap_create(&from, options, slot.root.epoch + epochs);
	if (!store->arena)
		return -1;
	if (!store->blocks)
		store->blocks = records_take(STORE_RUN * store->file.page);
	if (!store->blocks)
		return no_memory();
	if (!slot.root.pages)
		return 0;
	if (slot.root.epoch >= atomic_load(&store->arena->timeline.epoch))
		return error_set(EAGAIN,
				 "%s is written to faster than it can be read: open it again",
				 store->path);
	int result;
	/* A reader's blocks may be written over meanwhile. */
	if (flags & COWARENA_STORE_LAZY && !store->read_only &&
	    store_begin_lazily(store, &slot, &result))
		return result;
	return read_index(store, &slot) ||
		       loaded_heap_replace(store->arena, slot.root.pages, again, fill, store)
		   ? -1
		   : 0;
}

/* A writer may use blocks again while they are being read: then there is a newer checkpoint, and
   most of it is there already. */
static int load_beside_a_writer(struct cowarena_store *store,
				const struct cowarena_options *options, unsigned flags)
{
	uint64_t sequence = 0;

	for (int tries = 0;;) {
		if (load_slot(store, options, flags) == 0)
			return 0;
		if (errno != EBADMSG ||
		    (store->last.sequence == sequence && ++tries == READER_TRIES))
			return -1;
		if (store->last.sequence == sequence)
			os_nap();
		else
			tries = 0;
		sequence = store->last.sequence;
	}
}

int store_load(struct cowarena_store *store, const struct cowarena_options *options, unsigned flags)
{
	int result = store->read_only ? load_beside_a_writer(store, options, flags)
				      : load_slot(store, options, flags);

	store->sequence = store->last.sequence;
	return result || attach(store, !store->arena->lazy) ? -1 : 0;
}

/* ---- which blocks are in use ---- */

static int mark_last(struct cowarena_store *store)
{
	struct tree *t = &store->tree;

	for (unsigned k = 0; store->last.root.pages && k <= t->levels; k++) {
		struct tree_level *l = &t->level[k];
		for (size_t i = 0; i < l->capacity; i++)
			if (l->next[i].block &&
			    space_add(&store->space, SPACE_LAST, l->next[i].block))
				return store_file_damaged(&store->file, l->next[i].block,
							  "begins a block with two uses");
		memcpy(l->last, l->next, l->capacity * sizeof *l->last);
	}
	return 0;
}

static int mark_kept(void *ctx, unsigned level, uint64_t index, const struct store_entry *e)
{
	struct cowarena_store *store = ctx;

	(void)level;
	(void)index;
	space_add(&store->space, SPACE_KEPT, e->block);
	return 0;
}

int store_mark_kept(struct cowarena_store *store, const struct store_name *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (store_file_walk(&store->file, &names[i].root, store->last.length, mark_kept,
				    store))
			return -1;
	return 0;
}

static bool is_name(const char *name)
{
	return *name && memchr(name, 0, STORE_NAME_MAX);
}

/* Make room for n names more. */
static int grow_names(struct cowarena_store *store, size_t n)
{
	size_t bytes = (store->names_count + n) * sizeof *store->names;
	struct store_name *names = records_take(bytes);

	if (!names)
		return no_memory();
	if (store->names_count)
		memcpy(names, store->names, store->names_count * sizeof *names);
	records_give(store->names, store->names_bytes);
	store->names = names;
	store->names_bytes = bytes;
	return 0;
}

static int add_names(struct cowarena_store *store, struct store_table *t, uint64_t block)
{
	struct store_name *names = (void *)(t + 1);
	size_t most = (store->file.page - sizeof *t) / sizeof *names;

	if (!t->names || t->names > most)
		return store_file_damaged(&store->file, block, "is a table of names with nonsense");
	if (grow_names(store, t->names))
		return -1;
	for (size_t i = 0; i < t->names; i++) {
		store_swap(&names[i].root, sizeof names[i].root);
		if (!is_name(names[i].name) || !names[i].root.pages)
			return store_file_damaged(&store->file, block, "is a table with no name");
		store->names[store->names_count++] = names[i];
	}
	return 0;
}

static int read_names(struct cowarena_store *store)
{
	const struct store_file *f = &store->file;
	struct store_table *t = (void *)store->blocks;
	struct store_entry e = store->last.names;

	for (uint64_t i = 0; e.block; i++) {
		if (e.block < STORE_FIRST || e.block >= store->last.length ||
		    space_add(&store->space, SPACE_TABLE, e.block))
			return store_file_damaged(f, e.block, "is no table of names");
		if (store_file_block(f, &e, STORE_AT_TABLE, i, t))
			return -1;
		store_swap(t, sizeof *t);
		if (add_names(store, t, e.block))
			return -1;
		e = t->next;
	}
	return 0;
}

static int load_space(struct cowarena_store *store)
{
	struct space *s = &store->space;
	uint64_t bytes;

	if (os_file_bytes(&store->file.file, &bytes))
		return error_system(errno, "%s cannot be read (%s)", store->path,
				    error_name(errno));
	if (space_reserve(s, store->last.length))
		return no_memory();
	/* What lies behind what the slot knows goes when the file is cut, a part of a block too. */
	s->length = (bytes + store->file.page - 1) / store->file.page;
	if (mark_last(store) || read_names(store) ||
	    store_mark_kept(store, store->names, store->names_count))
		return -1;
	if (space_meet(s, SPACE_TABLE, SPACE_LAST) || space_meet(s, SPACE_TABLE, SPACE_KEPT))
		return store_file_damaged(&store->file, store->last.names.block,
					  "begins a table of names that lies in a heap");
	return 0;
}

static int know_space(struct cowarena_store *store)
{
	if (load_space(store) == 0)
		return 0;
	int e = errno;
	space_destroy(&store->space);
	store->space = (struct space){0};
	store->names_count = 0;
	errno = e;
	return -1;
}

int store_ready(struct cowarena_store *store)
{
	if (store->is_ready)
		return 0;
	if (lazy_finish(store->arena) || know_space(store))
		return -1;
	store->is_ready = true;
	store_tidy(store);
	return 0;
}

/* ---- named checkpoints ---- */

struct filler {
	struct cowarena_store *store;
	uint64_t next; /* the first page that was not looked at yet */
	bool write;
};

static void put_page(struct filler *f, uint64_t page, const char *bytes)
{
	size_t size = f->store->file.page;
	char *live = arena_address(f->store->arena, page);

	if (!track_same(live, bytes, size))
		track_copy(live, bytes, size);
}

static void put_zeros(struct filler *f, uint64_t end)
{
	struct cowarena *arena = f->store->arena;
	size_t size = f->store->file.page;

	for (; f->write && f->next < end; f->next++) {
		char *live = arena_address(arena, f->next);
		if (!range_is_hole(arena, f->next) && !track_is_zeros(live, size))
			track_clear(live, size);
	}
	f->next = end;
}

static int fill_page(void *ctx, unsigned level, uint64_t index, const struct store_entry *e)
{
	struct filler *f = ctx;

	if (level)
		return 0;
	if (store_file_block(&f->store->file, e, 0, index, f->store->blocks))
		return -1;
	put_zeros(f, index);
	if (f->write)
		put_page(f, index, f->store->blocks);
	f->next = index + 1;
	return 0;
}

int store_fill(struct cowarena_store *store, const struct store_root *root, bool write)
{
	struct filler f = {.store = store, .write = write};

	if (root->pages > arena_pages(store->arena))
		return store_file_damaged(&store->file, root->root.block,
					  "begins the index of a checkpoint larger than the heap");
	if (store_file_walk(&store->file, root, store->last.length, fill_page, &f))
		return -1;
	put_zeros(&f, root->pages);
	return 0;
}
