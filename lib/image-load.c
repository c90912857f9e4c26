/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-load.c - makes an arena from an image (image.h).
 *
 * Nothing read from the file is trusted until it was checked: it may be damaged, or made to harm.
 */
#include "config.h"

#include "arena.h"
#include "arenas.h"
#include "error.h"
#include "image.h"
#include "options.h"
#include "range.h"
#include "records.h"
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
	struct os_file file;
	uint64_t bytes; /* of the file */
	struct image_header header;
	struct image_trailer trailer;
	struct image_group *index;
	size_t index_bytes;
	char *pages; /* a group's */
	struct cowarena *arena;
};

static int damaged(const struct loader *l, uint64_t offset, const char *what)
{
	return error_set(EBADMSG, "%s is no whole image: at byte %llu %s; use another copy of it",
			 l->path, (unsigned long long)offset, what);
}

static int fetch(const struct loader *l, void *p, size_t n, uint64_t offset)
{
	if (os_read_at(&l->file, p, n, offset) == 0)
		return 0;
	if (errno == ENODATA)
		return damaged(l, offset, "the file ends too early");
	return error_system(errno, "%s cannot be read (%s)", l->path, error_name(errno));
}

static int fetch_words(const struct loader *l, void *words, size_t n, uint64_t offset)
{
	if (fetch(l, words, n, offset))
		return -1;
	image_swap(words, n);
	return 0;
}

/* ---- header, index, trailer ---- */

static int read_header(struct loader *l)
{
	struct image_header *h = &l->header;

	if (l->bytes < sizeof *h)
		return damaged(l, l->bytes, "the file ends too early");
	if (fetch_words(l, h, sizeof *h, 0))
		return -1;
	if (h->magic != IMAGE_MAGIC)
		return damaged(l, 0, "the mark of an image is missing");
	if (h->version != IMAGE_VERSION)
		return error_set(ENOTSUP,
				 "%s is an image of format %llu, this version (%s) reads format "
				 "%d: load it with the version that has written it",
				 l->path, (unsigned long long)h->version, cowarena_version(),
				 IMAGE_VERSION);
	if (h->checksum != image_header_checksum(h))
		return damaged(l, 0, "the header's checksum is wrong");
	if (h->page_size != os_page_size())
		return error_set(ENOTSUP,
				 "%s is an image of pages of %llu bytes, this system's have %zu: "
				 "load it where pages have that size",
				 l->path, (unsigned long long)h->page_size, os_page_size());
	/* Whoever can forge a checksum can forge these. */
	if (h->base % chunks_size() || h->reserved % chunks_size() || !h->reserved ||
	    h->reserved > OPTIONS_RANGE_MAX || h->base > UINTPTR_MAX - h->reserved || !h->base ||
	    !h->pages || h->pages > h->reserved / h->page_size ||
	    h->pages * h->page_size < heap_header_size(h->reserved) || h->epoch > EPOCH_MAX)
		return damaged(l, 0, "the heap's place is none");
	return 0;
}

static int check_ratio(const struct loader *l)
{
	uint64_t heap = l->header.pages * l->header.page_size;

	if (l->options.flags & COWARENA_LOAD_SPARSE || heap <= SPARSE_MIN + l->bytes * SPARSE_RATIO)
		return 0;
	return error_set(
	    EFBIG,
	    "%s says that its heap has %llu MiB, and has %llu KiB itself: if you trust "
	    "it, set COWARENA_LOAD_SPARSE in options.flags",
	    l->path, (unsigned long long)heap >> 20, (unsigned long long)l->bytes >> 10);
}

static int read_trailer(struct loader *l)
{
	struct image_trailer *t = &l->trailer;
	uint64_t page = l->header.page_size, at = l->bytes - sizeof *t;

	if (l->bytes < page + sizeof *t)
		return damaged(l, l->bytes, "the file ends too early");
	if (fetch_words(l, t, sizeof *t, at))
		return -1;
	if (t->magic != IMAGE_END_MAGIC || t->checksum != image_trailer_checksum(t) ||
	    t->bytes != l->bytes)
		return damaged(l, at,
			       "the end of an image is missing: it was cut short, or more "
			       "was written behind");
	/* The heap's header is no page of zeros: there is a group at least. */
	if (t->index < page || t->index > at || !t->groups ||
	    t->groups != (at - t->index) / sizeof *l->index || (at - t->index) % sizeof *l->index)
		return damaged(l, at, "the end of the image says nonsense");
	return 0;
}

static uint64_t group_bytes(const struct loader *l, const struct image_group *g)
{
	return (uint64_t)__builtin_popcountll(g->present) * l->header.page_size;
}

/* Each group comes after the one before, in the heap and in the file. */
static int check_index(const struct loader *l)
{
	uint64_t page = 0, offset = l->header.page_size;

	for (size_t i = 0; i < l->trailer.groups; i++) {
		const struct image_group *g = &l->index[i];
		uint64_t left = l->header.pages - g->first;
		if (g->first % IMAGE_GROUP || g->first < page || g->first >= l->header.pages ||
		    !g->present || (left < IMAGE_GROUP && g->present >> left) ||
		    g->offset != offset)
			return damaged(l, l->trailer.index + i * sizeof *g,
				       "the index says nonsense");
		page = g->first + IMAGE_GROUP;
		offset += group_bytes(l, g);
	}
	return offset == l->trailer.index
		   ? 0
		   : damaged(l, offset, "are bytes that the index does not have");
}

static int read_index(struct loader *l)
{
	/* No more than the file is long. */
	l->index_bytes = l->trailer.groups * sizeof *l->index;
	l->index = records_take(l->index_bytes);
	if (!l->index)
		return error_set(ENOMEM, "no memory for the image's index: " ERROR_NO_ROOM);
	if (fetch(l, l->index, l->index_bytes, l->trailer.index))
		return -1;
	if (image_checksum(l->index, l->index_bytes, l->header.checksum) !=
	    l->trailer.index_checksum)
		return damaged(l, l->trailer.index, "the index's checksum is wrong");
	image_swap(l->index, l->index_bytes);
	return check_index(l);
}

/* ---- the heap ---- */

static int make_arena(struct loader *l)
{
	struct cowarena_options o;

	if (options_read(&o, l->options.arena))
		return -1;
	o.base = (void *)(uintptr_t)l->header.base;
	/* In the epoch that came next, so that the allocator goes on as it did there. */
	l->arena = arena_create(&o, l->header.reserved, l->header.epoch + 1);
	if (!l->arena && errno == EEXIST)
		return error_set(EADDRINUSE,
				 "the heap of %s must lie at %p, where something else is mapped: "
				 "load it before that, or create the arena with an options.base "
				 "that is free in every process",
				 l->path, o.base);
	if (!l->arena)
		return -1;
	return l->header.layout == heap_layout(l->arena)
		   ? 0
		   : error_set(ENOTSUP,
			       "%s is an image of a version that lays its heap out in another "
			       "way than this one (%s): load it with the version that has written "
			       "it",
			       l->path, cowarena_version());
}

static int fill_group(struct loader *l, const struct image_group *g)
{
	size_t size = l->header.page_size, bytes = group_bytes(l, g);
	const char *from = l->pages;

	if (fetch(l, l->pages, bytes, g->offset))
		return -1;
	if (image_checksum(l->pages, bytes, image_group_seed(&l->header, g->first)) != g->checksum)
		return damaged(l, g->offset, "begin pages whose checksum is wrong");
	for (uint64_t left = g->present; left; left &= left - 1, from += size)
		memcpy(arena_address(l->arena, g->first + (unsigned)__builtin_ctzll(left)), from,
		       size);
	return 0;
}

static int fill(struct loader *l)
{
	const struct cowarena_load_options *o = &l->options;
	size_t pages = l->header.pages, done = 0;

	for (size_t i = 0; i < l->trailer.groups; i++) {
		if (fill_group(l, &l->index[i]))
			return -1;
		done = l->index[i].first + IMAGE_GROUP;
		done = done < pages ? done : pages;
		if (o->progress && o->progress(o->ctx, done, pages))
			return error_set(ECANCELED, "options.progress has ended the load");
	}
	return 0;
}

/* The memory of the arena's own empty heap is replaced. Nobody else knows the arena. */
static int replace(struct loader *l)
{
	struct cowarena *arena = l->arena;
	size_t size = l->header.page_size;

	heap_stop(arena);
	memset(arena->base, 0, arena_pages(arena) * size);
	int result = range_grow(arena, l->header.pages * size);
	track_defined(arena->base, arena_pages(arena) * size);
	if (!result)
		result = fill(l);
	heap_go(arena);
	return result;
}

static int attach(struct loader *l)
{
	if (cowarena_heap_check(l->arena, NULL))
		return errno == EUCLEAN ? damaged(l, l->header.page_size,
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
	if (os_file_open(&l->file, l->path))
		return error_system(errno, "the image %s cannot be opened (%s)", l->path,
				    error_name(errno));
	if (os_file_bytes(&l->file, &l->bytes))
		return error_system(errno,
				    "the image %s cannot be read (%s): it must be a file, not a "
				    "pipe or directory",
				    l->path, error_name(errno));
	/* The arena comes before anything that takes memory, which could lie in its place. */
	if (read_header(l) || check_ratio(l) || read_trailer(l) || make_arena(l) || read_index(l))
		return -1;
	l->pages = records_take(IMAGE_GROUP * l->header.page_size);
	if (!l->pages)
		return error_set(ENOMEM, "no memory to load with: " ERROR_NO_ROOM);
	int result = replace(l) || attach(l) ? -1 : 0;
	records_give(l->pages, IMAGE_GROUP * l->header.page_size);
	return result;
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
	struct loader l = {.path = path, .file = OS_NO_FILE};
	int e = errno;

	if (!path)
		return error_null(EINVAL, "path is NULL");
	if (read_options(&l.options, options))
		return NULL;
	int result = load(&l);
	if (result)
		e = errno;
	records_give(l.index, l.index_bytes);
	os_file_close(&l.file);
	if (result) {
		cowarena_destroy(l.arena);
		l.arena = NULL;
	}
	errno = e;
	return l.arena;
}
