/* SPDX-License-Identifier: BSD-2-Clause */
/* store-file.c - see store-file.h. */
#include "config.h"

#include "store-file.h"

#include "chunks.h"
#include "error.h"
#include "heap.h"
#include "options.h"
#include "records.h"

#include <errno.h>
#include <string.h>

#define EPOCH_MAX ((uint64_t)1 << 40) /* the millionth part of what a stamp has room for */

int store_file_damaged(const struct store_file *f, uint64_t block, const char *what)
{
	return error_set(EBADMSG, "%s is no whole store: at byte %llu %s; use a copy of it",
			 f->path, (unsigned long long)block * os_page_size(), what);
}

static int fetch(const struct store_file *f, void *p, size_t n, uint64_t block)
{
	if (!os_file_is_ours(&f->file))
		return error_set(EBADF,
				 "the program has closed the descriptor of the store %s: "
				 "close only what is your own",
				 f->path);
	if (os_store_read(&f->file, p, n, block * os_page_size()) == 0)
		return 0;
	if (errno == ENODATA)
		return store_file_damaged(f, block, "the file ends too early");
	return error_system(errno, "%s cannot be read (%s)", f->path, error_name(errno));
}

/* ---- the header ---- */

/* Whoever can forge a checksum can forge these. */
static bool is_sound(const struct store_header *h)
{
	return h->base && h->base % chunks_size() == 0 && h->reserved &&
	       h->reserved % chunks_size() == 0 && h->reserved <= OPTIONS_RANGE_MAX &&
	       h->base <= UINTPTR_MAX - h->reserved;
}

static int read_header(struct store_file *f)
{
	struct store_header *h = &f->header;
	uint64_t bytes;

	if (os_file_bytes(&f->file, &bytes))
		return error_system(errno,
				    "the store %s cannot be read (%s): it must be a file, not a "
				    "pipe or directory",
				    f->path, error_name(errno));
	if (fetch(f, h, sizeof *h, 0))
		return -1;
	store_swap(h, sizeof *h);
	if (h->magic != STORE_MAGIC)
		return store_file_damaged(f, 0, "the mark of a store is missing");
	if (h->version != STORE_VERSION)
		return error_set(ENOTSUP,
				 "%s is a store of format %llu, this version (%s) reads format "
				 "%d: open it with the version that has written it",
				 f->path, (unsigned long long)h->version, cowarena_version(),
				 STORE_VERSION);
	if (h->checksum != store_header_checksum(h))
		return store_file_damaged(f, 0, "the header's checksum is wrong");
	if (h->page_size != f->page)
		return error_set(ENOTSUP,
				 "%s is a store of pages of %llu bytes, this system's have %zu: "
				 "open it where pages have that size",
				 f->path, (unsigned long long)h->page_size, f->page);
	return is_sound(h) ? 0 : store_file_damaged(f, 0, "the heap's place is none");
}

int store_file_open(struct store_file *f, const char *path, bool writes)
{
	f->path = path;
	f->page = os_page_size();
	if (os_store_open(&f->file, path, writes))
		return error_system(errno, "the store %s cannot be opened (%s)", path,
				    error_name(errno));
	return read_header(f);
}

/* ---- the slots ---- */

static bool is_in(const struct store_entry *e, uint64_t length)
{
	return e->block == 0 || (e->block >= STORE_FIRST && e->block < length);
}

static bool is_root(const struct store_file *f, const struct store_root *r, uint64_t length)
{
	uint64_t heap = r->pages * f->page;

	return r->pages <= f->header.reserved / f->page && r->epoch <= EPOCH_MAX &&
	       (r->pages ? r->root.block && heap >= heap_header_size(f->header.reserved)
			 : !r->root.block) &&
	       is_in(&r->root, length);
}

/* Whether the slot is whole; -1 with errno and message where it cannot be read: then nobody knows
   which is the newer one. */
static int read_slot(const struct store_file *f, struct store_slot *s, unsigned which)
{
	if (fetch(f, s, sizeof *s, which))
		return -1;
	store_swap(s, sizeof *s);
	return s->magic == STORE_SLOT_MAGIC &&
	       s->checksum == store_slot_checksum(&f->header, s, which);
}

static int newer_slot(const struct store_file *f, struct store_slot *slot, unsigned *which)
{
	struct store_slot other;
	int whole = read_slot(f, slot, 1), others = read_slot(f, &other, 2);

	if (whole < 0 || others < 0)
		return -1;
	if (!whole && !others)
		return store_file_damaged(f, 1, "both slots are damaged");
	*which = 1;
	if (others && (!whole || other.sequence > slot->sequence)) {
		*slot = other;
		*which = 2;
	}
	return 0;
}

int store_file_slot(const struct store_file *f, struct store_slot *slot, unsigned *which)
{
	uint64_t bytes;

	if (newer_slot(f, slot, which))
		return -1;
	if (os_file_bytes(&f->file, &bytes))
		return error_system(errno, "%s cannot be read (%s)", f->path, error_name(errno));
	if (slot->length < STORE_FIRST || slot->length > bytes / f->page)
		return store_file_damaged(f, bytes / f->page, "the file was cut");
	if (!is_root(f, &slot->root, slot->length) || !is_in(&slot->names, slot->length))
		return store_file_damaged(f, *which, "is a slot that says nonsense");
	return 0;
}

/* ---- blocks ---- */

int store_file_run(const struct store_file *f, const struct store_entry *e, size_t n, uint64_t page,
		   char *p)
{
	if (fetch(f, p, n * f->page, e->block))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (store_checksum(&f->header, p + i * f->page, f->page, 0, page + i) !=
		    e[i].checksum)
			return store_file_damaged(f, e[i].block,
						  "begins a page whose checksum is wrong");
	return 0;
}

int store_file_block(const struct store_file *f, const struct store_entry *e, unsigned level,
		     uint64_t index, void *p)
{
	if (fetch(f, p, f->page, e->block))
		return -1;
	return store_checksum(&f->header, p, f->page, level, index) == e->checksum
		   ? 0
		   : store_file_damaged(f, e->block, "begins a block whose checksum is wrong");
}

struct walk {
	const struct store_file *file;
	uint64_t length, left; /* blocks: of the file; that may still be met */
	uint64_t pages;
	store_entry_fn *fn;
	void *ctx;
	char *nodes; /* a block for each level */
};

/* The number of entries at that level. */
static uint64_t width(const struct store_file *f, uint64_t pages, unsigned level)
{
	for (uint64_t fan = store_fan(f); level--;)
		pages = (pages + fan - 1) / fan;
	return pages;
}

static bool is_none(const struct store_entry *e)
{
	return !e->block && !e->checksum;
}

int store_file_node(const struct store_file *f, const struct store_entry *e, uint64_t length,
		    uint64_t pages, unsigned level, uint64_t index, struct store_entry *entries)
{
	uint64_t all = width(f, pages, level), first = index * store_fan(f);

	if (store_file_block(f, e, level + 1, index, entries))
		return -1;
	store_swap(entries, f->page);
	for (size_t i = 0; i < store_fan(f); i++)
		if (!is_none(&entries[i]) &&
		    (!entries[i].block || !is_in(&entries[i], length) || first + i >= all))
			return store_file_damaged(f, e->block, "the index says nonsense");
	return 0;
}

static int walk_node(struct walk *w, unsigned level, uint64_t index, const struct store_entry *e)
{
	const struct store_file *f = w->file;

	/* Each block of the file is met once at most. */
	if (!w->left--)
		return store_file_damaged(f, e->block, "the index has more than the file");
	int result = w->fn(w->ctx, level, index, e);
	if (result || level == 0)
		return result;
	struct store_entry *node = (void *)(w->nodes + (level - 1) * f->page);
	if (store_file_node(f, e, w->length, w->pages, level - 1, index, node))
		return -1;
	for (size_t i = 0; !result && i < store_fan(f); i++)
		if (!is_none(&node[i]))
			result = walk_node(w, level - 1, index * store_fan(f) + i, &node[i]);
	return result;
}

int store_file_walk(const struct store_file *f, const struct store_root *root, uint64_t length,
		    store_entry_fn *fn, void *ctx)
{
	struct walk w = {f, length, length, root->pages, fn, ctx, NULL};

	if (!root->pages)
		return 0;
	if (!is_root(f, root, length))
		return store_file_damaged(f, root->root.block, "is a checkpoint that cannot be");
	w.nodes = records_take(STORE_LEVELS * f->page);
	if (!w.nodes)
		return error_set(ENOMEM, "no memory for the store's index: " ERROR_NO_ROOM);
	int result = walk_node(&w, store_levels(f, root->pages), 0, &root->root);
	records_give(w.nodes, STORE_LEVELS * f->page);
	return result;
}
