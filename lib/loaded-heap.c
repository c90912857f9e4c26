/* SPDX-License-Identifier: BSD-2-Clause */
/* loaded-heap.c - see loaded-heap.h. */
#include "config.h"

#include "loaded-heap.h"

#include "arena.h"
#include "arenas.h"
#include "error.h"
#include "lazy.h"
#include "range.h"
#include "track.h"

#include <errno.h>
#include <string.h>

/* A heap of which the file has less could be a trap: its page table takes 32 bytes a page. */
#define SPARSE_MIN ((uint64_t)4 << 30)
#define SPARSE_RATIO 1024

int loaded_heap_check_size(const struct loaded_heap *from, uint64_t heap, uint64_t file)
{
	if (heap <= SPARSE_MIN + file * SPARSE_RATIO)
		return 0;
	return error_set(EFBIG,
			 "%s says that its heap has %llu MiB, and has %llu KiB itself: if you "
			 "trust it, set %s in options.flags",
			 from->path, (unsigned long long)heap >> 20, (unsigned long long)file >> 10,
			 from->sparse);
}

struct cowarena *loaded_heap_create(const struct loaded_heap *from,
				    const struct cowarena_options *options, uint64_t epoch)
{
	struct cowarena_options o = *options;

	o.base = (void *)(uintptr_t)from->base;
	struct cowarena *arena = arena_create(&o, from->reserved, epoch);
	if (!arena && errno == EEXIST)
		error_set(EADDRINUSE,
			  "the heap of the %s %s must lie at %p, where something else is mapped: "
			  "open it before that, or create the arena with an options.base that is "
			  "free in every process",
			  from->kind, from->path, o.base);
	if (!arena || heap_layout(arena) == from->layout)
		return arena;
	cowarena_destroy(arena);
	return error_null(ENOTSUP,
			  "%s is of a version that lays its heap out in another way than this one "
			  "(%s): open the %s with the version that has written it",
			  from->path, cowarena_version(), from->kind);
}

int loaded_heap_replace(struct cowarena *arena, uint64_t pages, bool again, int (*fill)(void *ctx),
			void *ctx)
{
	size_t shift = arena->page_shift;

	heap_stop(arena);
	if (!again)
		memset(arena->base, 0, arena_pages(arena) << shift);
	int result = range_grow(arena, pages << shift);
	track_defined(arena->base, arena_pages(arena) << shift);
	if (!result)
		result = fill(ctx);
	heap_go(arena);
	return result;
}

int loaded_heap_begin_lazily(struct cowarena *arena, struct lazy *lazy, uint64_t pages,
			     const struct lazy_source *source)
{
	heap_stop(arena);
	int result = lazy_begin(arena, lazy, pages, source);
	heap_go(arena);
	return result;
}

int loaded_heap_attach(struct cowarena *arena, bool check)
{
	if (check && cowarena_heap_check(arena, NULL))
		return -1;
	heap_stop(arena);
	int result = heap_attached(arena);
	heap_go(arena);
	/* Not before: a fork(), or the end of a thread, would wait for the heap. */
	if (!result)
		arenas_add(arena);
	return result;
}
