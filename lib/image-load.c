/* SPDX-License-Identifier: BSD-2-Clause */
/* image-load.c - makes an arena from an image (image-chain.h). */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "image-chain.h"
#include "lazy.h"
#include "loaded-heap.h"
#include "options.h"
#include "records.h"

#include <errno.h>
#include <string.h>

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

static struct loaded_heap heap_of(const struct loader *l)
{
	return (struct loaded_heap){.path = l->path,
				    .kind = "image",
				    .sparse = "COWARENA_LOAD_SPARSE",
				    .base = header(l)->base,
				    .reserved = header(l)->reserved,
				    .layout = header(l)->layout};
}

/* An increment may be of few pages: then its parents' lengths count. */
static int check_size(const struct loader *l)
{
	struct loaded_heap from = heap_of(l);
	uint64_t bytes = l->images.newest.bytes;

	for (size_t i = 0; i < l->images.n; i++)
		bytes += l->images.parents[i].bytes;
	if (l->options.flags & COWARENA_LOAD_SPARSE)
		return 0;
	return loaded_heap_check_size(&from, header(l)->pages * header(l)->page_size, bytes);
}

/* In the epoch that came next, so that the allocator goes on as it did there. */
static int make_arena(struct loader *l)
{
	struct loaded_heap from = heap_of(l);
	struct cowarena_options o;

	if (options_read(&o, l->options.arena))
		return -1;
	l->arena = loaded_heap_create(&from, &o, header(l)->epoch + 1);
	return l->arena ? 0 : -1;
}

static int fill(void *p)
{
	struct loader *l = p;
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

static int attach(struct loader *l, bool check)
{
	if (loaded_heap_attach(l->arena, check) == 0)
		return 0;
	return errno == EUCLEAN
		   ? damaged(l, header(l)->page_size, "begins a heap whose bookkeeping is damaged")
		   : -1;
}

/* ---- as it is touched ---- */

/* The files, with their paths, for as long as pages come in. */
struct lazy_image {
	struct image_chain images;
	size_t bytes; /* of this record */
	char paths[]; /* of all files, one after the other */
};

static int fetch(void *ctx, size_t first, size_t n, char *to, uint64_t *present)
{
	struct lazy_image *lazy = ctx;

	(void)n;
	return image_chain_fetch(&lazy->images, first, to, present);
}

static void end(void *ctx)
{
	struct lazy_image *lazy = ctx;

	image_chain_close(&lazy->images);
	records_give(lazy, lazy->bytes);
}

static struct lazy_image *make_lazy(const struct image_chain *images)
{
	size_t bytes = sizeof(struct lazy_image) + strlen(images->newest.path) + 1;

	for (size_t i = 0; i < images->n; i++)
		bytes += strlen(images->parents[i].path) + 1;
	struct lazy_image *lazy = records_take(bytes);
	if (lazy)
		lazy->bytes = bytes;
	return lazy;
}

static char *move_path(char *to, struct image_file *f)
{
	size_t n = strlen(f->path) + 1;

	f->path = memcpy(to, f->path, n);
	return to + n;
}

static void move_images(struct lazy_image *lazy, struct image_chain *images)
{
	lazy->images = *images;
	char *to = move_path(lazy->paths, &lazy->images.newest);
	for (size_t i = 0; i < images->n; i++)
		to = move_path(to, &lazy->images.parents[i]);
	images->newest.file = OS_NO_FILE;
	images->newest.index = NULL;
	images->parents = NULL;
	images->pages = NULL;
	images->n = 0;
}

/* False where that is not possible, and nothing has been done. */
static bool begin_lazily(struct loader *l, int *result)
{
	struct lazy_image *image = make_lazy(&l->images);
	struct lazy *lazy = image ? lazy_open(l->arena) : NULL;

	if (!lazy) {
		if (image)
			records_give(image, image->bytes);
		return false;
	}
	move_images(image, &l->images);
	*result = loaded_heap_begin_lazily(l->arena, lazy, header(l)->pages,
					   &(struct lazy_source){fetch, end, image});
	return true;
}

static int replace(struct loader *l)
{
	int result;

	if (l->options.flags & COWARENA_LOAD_LAZY && begin_lazily(l, &result))
		return result || attach(l, false) ? -1 : 0;
	return loaded_heap_replace(l->arena, header(l)->pages, false, fill, l) || attach(l, true)
		   ? -1
		   : 0;
}

static int load(struct loader *l)
{
	struct image_file newest;

	if (image_open(&newest, l->path))
		return -1;
	l->images.newest = newest;
	return check_header(l) || (!newest.header.parent && check_size(l)) || make_arena(l) ||
		       image_chain_open(&l->images, &newest, l->options.parents) || check_size(l) ||
		       replace(l)
		   ? -1
		   : 0;
}

static int read_options(struct cowarena_load_options *out, const struct cowarena_load_options *in)
{
	*out = (struct cowarena_load_options)COWARENA_LOAD_OPTIONS_INIT;
	return options_copy(out, sizeof *out, in, "COWARENA_LOAD_OPTIONS_INIT")
		   ? -1
		   : options_check_flags(out->flags, COWARENA_LOAD_SPARSE | COWARENA_LOAD_LAZY);
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
