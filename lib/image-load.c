/* SPDX-License-Identifier: BSD-2-Clause */
/* image-load.c - makes an arena from an image (image-chain.h). */
#include "config.h"

#include "arena.h"
#include "arenas.h"
#include "error.h"
#include "image-chain.h"
#include "options.h"
#include "range.h"
#include "track.h"

#include <errno.h>
#include <string.h>

/* A heap of which the file has less could be a trap: its page table takes 32 bytes a page. */
#define SPARSE_MIN ((uint64_t)4 << 30)
#define SPARSE_RATIO 1024

#define EPOCH_MAX ((uint64_t)1 << 40) /* the millionth part of what a stamp has room for */

struct loader {
	const char *path;
	struct cowarena_load_options options;
	struct image_chain images;
	struct cowarena *arena;
};

static const struct image_header *header(const struct loader *l)
{
	return &l->images.newest.header;
}

static int damaged(const struct loader *l, uint64_t offset, const char *what)
{
	return image_damaged(&l->images.newest, offset, what);
}

static int check_header(const struct loader *l)
{
	const struct image_header *h = header(l);

	if (h->page_size != os_page_size())
		return error_set(ENOTSUP,
				 "%s is an image of pages of %llu bytes, this system's have %zu: "
				 "load it where pages have that size",
				 l->path, (unsigned long long)h->page_size, os_page_size());
	/* Whoever can forge a checksum can forge these. */
	if (h->base % chunks_size() || h->reserved % chunks_size() ||
	    h->reserved > OPTIONS_RANGE_MAX || h->base > UINTPTR_MAX - h->reserved || !h->base ||
	    h->pages * h->page_size < heap_header_size(h->reserved) || h->epoch > EPOCH_MAX)
		return damaged(l, 0, "the heap's place is none");
	return 0;
}

/* What the file's length justifies. An increment may be of few pages: then its parents' lengths
   count. */
static int check_ratio(const struct loader *l)
{
	uint64_t heap = header(l)->pages * header(l)->page_size, bytes = l->images.newest.bytes;

	for (size_t i = 0; i < l->images.n; i++)
		bytes += l->images.parents[i].bytes;
	if (l->options.flags & COWARENA_LOAD_SPARSE || heap <= SPARSE_MIN + bytes * SPARSE_RATIO)
		return 0;
	return error_set(
	    EFBIG,
	    "%s says that its heap has %llu MiB, and has %llu KiB itself: if you trust "
	    "it, set COWARENA_LOAD_SPARSE in options.flags",
	    l->path, (unsigned long long)heap >> 20, (unsigned long long)bytes >> 10);
}

/* ---- the heap ---- */

static int make_arena(struct loader *l)
{
	struct cowarena_options o;

	if (options_read(&o, l->options.arena))
		return -1;
	o.base = (void *)(uintptr_t)header(l)->base;
	/* In the epoch that came next, so that the allocator goes on as it did there. */
	l->arena = arena_create(&o, header(l)->reserved, header(l)->epoch + 1);
	if (!l->arena && errno == EEXIST)
		return error_set(EADDRINUSE,
				 "the heap of %s must lie at %p, where something else is mapped: "
				 "load it before that, or create the arena with an options.base "
				 "that is free in every process",
				 l->path, o.base);
	if (!l->arena)
		return -1;
	return header(l)->layout == heap_layout(l->arena)
		   ? 0
		   : error_set(ENOTSUP,
			       "%s is an image of a version that lays its heap out in another "
			       "way than this one (%s): load it with the version that has written "
			       "it",
			       l->path, cowarena_version());
}

static int fill(struct loader *l)
{
	const struct cowarena_load_options *o = &l->options;
	uint64_t pages = header(l)->pages, first = 0, done, present;

	for (; image_chain_next(&l->images, first, &first); first += IMAGE_GROUP) {
		if (image_chain_fetch(&l->images, first, arena_address(l->arena, first), &present))
			return -1;
		done = first + IMAGE_GROUP < pages ? first + IMAGE_GROUP : pages;
		if (o->progress && o->progress(o->ctx, done, pages))
			return error_set(ECANCELED, "options.progress has ended the load");
	}
	return 0;
}

/* The memory of the arena's own empty heap is replaced. Nobody else knows the arena. */
static int replace(struct loader *l)
{
	struct cowarena *arena = l->arena;
	size_t size = header(l)->page_size;

	heap_stop(arena);
	memset(arena->base, 0, arena_pages(arena) * size);
	int result = range_grow(arena, header(l)->pages * size);
	track_defined(arena->base, arena_pages(arena) * size);
	if (!result)
		result = fill(l);
	heap_go(arena);
	return result;
}

static int attach(struct loader *l)
{
	if (cowarena_heap_check(l->arena, NULL))
		return errno == EUCLEAN ? damaged(l, header(l)->page_size,
						  "begins a heap whose bookkeeping is damaged")
					: -1;
	heap_stop(l->arena);
	int result = heap_attached(l->arena);
	heap_go(l->arena);
	/* Not before: a fork(), or the end of a thread, would wait for the heap. */
	if (!result)
		arenas_add(l->arena);
	return result;
}

static int load(struct loader *l)
{
	struct image_file newest;

	if (image_open(&newest, l->path))
		return -1;
	l->images.newest = newest;
	/* The arena comes before anything that takes memory, which could lie in its place. */
	return check_header(l) || (!newest.header.parent && check_ratio(l)) || make_arena(l) ||
		       image_chain_open(&l->images, &newest, l->options.parents) ||
		       check_ratio(l) || replace(l) || attach(l)
		   ? -1
		   : 0;
}

static int read_options(struct cowarena_load_options *out, const struct cowarena_load_options *in)
{
	*out = (struct cowarena_load_options)COWARENA_LOAD_OPTIONS_INIT;
	return options_copy(out, sizeof *out, in, "COWARENA_LOAD_OPTIONS_INIT")
		   ? -1
		   : options_check_flags(out->flags, COWARENA_LOAD_SPARSE);
}

cowarena *cowarena_load(const char *path, const struct cowarena_load_options *options)
{
	struct loader l = {.path = path, .images.newest.file = OS_NO_FILE};
	int e = errno;

	if (!path)
		return error_null(EINVAL, "path is NULL");
	if (read_options(&l.options, options))
		return NULL;
	int result = load(&l);
	if (result)
		e = errno;
	image_chain_close(&l.images);
	if (result) {
		cowarena_destroy(l.arena);
		l.arena = NULL;
	}
	errno = e;
	return l.arena;
}
