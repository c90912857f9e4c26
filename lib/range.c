/* SPDX-License-Identifier: BSD-2-Clause */
/* range.c - see range.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "point.h"
#include "range.h"

#include <errno.h>
#include <string.h>

int range_map(struct cowarena *arena, size_t bytes, void *base)
{
	arena->reserved = bytes;
	arena->base = arena->holds_place ? base : os_reserve(bytes, chunks_size(), base);
	arena->past = arena->base;
	arena->holds_place = false;
	if (!arena->base)
		return -1;
	if (os_memory_file(&arena->file, arena->reserved) ||
	    os_map_shared(arena->base, arena->reserved, &arena->file) ||
	    os_keep_from_children(arena->base, arena->reserved) ||
	    pagetable_init(&arena->table, arena->reserved >> arena->page_shift) ||
	    chunks_init(&arena->chunks, arena->reserved, arena_page_size(arena)))
		return -1;
	os_dump(arena->base, arena->reserved, false); /* a dump would read every hole */
	return 0;
}

void range_hold_place(struct cowarena *arena)
{
	arena->holds_place = os_reserve(arena->reserved, chunks_size(), arena->base) != NULL;
}

void range_leave_place(struct cowarena *arena)
{
	os_unmap(arena->base, arena->reserved);
	arena->holds_place = false;
}

void range_unmap(struct cowarena *arena)
{
	int e = errno;

	chunks_destroy(&arena->chunks);
	pagetable_destroy(&arena->table);
	/* A child of fork() may keep the file open for as long as it lives. Free its memory now. */
	if (arena->file.fd >= 0)
		os_memory_free(&arena->file, arena->past, arena->reserved);
	if (arena->past != arena->base)
		os_unmap(arena->past, arena->reserved);
	if (arena->base)
		os_unmap(arena->base, arena->reserved);
	os_file_close(&arena->file);
	arena->base = NULL;
	errno = e;
}

bool range_is_hole(struct cowarena *arena, size_t page)
{
	struct bitmap *backed = &arena->table.backed;
	size_t start, left = arena_pages(arena) - page;

	if (bitmap_test(backed, page) ||
	    !os_next_memory(&arena->file, page << arena->page_shift, &start, NULL))
		return false;
	if (start > page << arena->page_shift)
		return true;
	/* Note some of the following pages too: a caller that reads on asks for them next. (To ask
	   for the next hole would have the kernel look at all memory up to there.) */
	size_t n = os_resident_pages(arena_past(arena, page), left << arena->page_shift);
	bitmap_fill(backed, page, page + n);
	return false;
}

size_t range_skip_hole(struct cowarena *arena, size_t page, size_t end)
{
	size_t start;

	if (page >= end || bitmap_test(&arena->table.backed, page) || arena_has_absent(arena) ||
	    !os_next_memory(&arena->file, page << arena->page_shift, &start, NULL))
		return page;
	start >>= arena->page_shift;
	return start < end ? start : end;
}

bool range_next_hole(struct cowarena *arena, size_t page, size_t pages, size_t *first, size_t *end)
{
	struct bitmap *backed = &arena->table.backed;
	size_t start, stop;

	if (arena_has_absent(arena))
		return false;
	while ((page = bitmap_next_clear(backed, page)) < pages) {
		size_t at = page << arena->page_shift;
		if (!os_next_memory(&arena->file, at, &start, NULL))
			return false;
		if (start > at) {
			start >>= arena->page_shift;
			*first = page;
			*end = start < pages ? start : pages;
			return true;
		}
		if (!os_next_memory(&arena->file, at, &start, &stop))
			return false;
		stop >>= arena->page_shift;
		bitmap_fill(backed, page, stop < pages ? stop : pages);
		page = stop;
	}
	return false;
}

void range_punch(struct cowarena *arena, size_t first, size_t n)
{
	/* By the second mapping, if there is one: the heap's own may be private there. */
	os_punch(arena_past(arena, first), n << arena->page_shift);
	/* A thread that has asked before and notes its answer now will read a hole: that costs
	   memory, but changes no byte. */
	for (size_t i = first; i < first + n; i++)
		bitmap_unset(&arena->table.backed, i);
}

/* Make memory accessible up to a page, by whole units of bytes. armed: as pages that have not
   changed for long. -1 with errno and message. */
static int commit(struct cowarena *arena, size_t pages, size_t unit, bool armed)
{
	size_t want = os_round_up(pages << arena->page_shift, unit) >> arena->page_shift;
	char *from = arena_address(arena, arena->committed);
	size_t n = want - arena->committed;

	if (pagetable_commit(&arena->table, want) ||
	    arena->engine->commit(arena, arena->committed, n, armed))
		return error_system(ENOMEM, "no memory to grow the heap (%s): " ERROR_NO_ROOM,
				    error_name(errno));
	os_dump(from, n << arena->page_shift, true);
	arena->committed = want;
	return 0;
}

static int check_capacity(const struct cowarena *arena, size_t bytes)
{
	return bytes <= arena->reserved
		   ? 0
		   : error_set(ENOMEM, "the arena's capacity is used up: create it with a larger "
				       "options.capacity");
}

int range_grow_armed(struct cowarena *arena, size_t bytes)
{
	size_t page = arena_page_size(arena);
	size_t pages = os_round_up(bytes, page) >> arena->page_shift;
	size_t writable = arena->committed << arena->page_shift;

	/* What is writable already, and then the others, whose entries are zero as they are. */
	if (check_capacity(arena, bytes) || range_grow(arena, bytes < writable ? bytes : writable))
		return -1;
	arena->table.is_sparse = true;
	if (pages > arena->committed && commit(arena, pages, page, true))
		return -1;
	if (pages > arena_pages(arena))
		atomic_store_explicit(&arena->pages, pages, memory_order_release);
	return 0;
}

int range_grow(struct cowarena *arena, size_t bytes)
{
	size_t page = arena_page_size(arena);
	size_t old = atomic_load_explicit(&arena->pages, memory_order_relaxed);
	size_t pages = os_round_up(bytes, page) >> arena->page_shift;
	bool faithful = arena->flags & COWARENA_FAITHFUL;

	if (pages <= old)
		return 0;
	if (check_capacity(arena, bytes))
		return -1;
	/* By whole chunks, so that one call serves many small growths. But in faithful mode nothing
	   armed may follow the heap: then disarming the whole heap, the last resort when mappings
	   are short, splits none. */
	if (pages > arena->committed &&
	    commit(arena, pages, faithful ? page : arena->chunks.bytes, faithful))
		return -1;
	/* No snapshot can be cut meanwhile: that takes the heap lock. */
	uint64_t epoch = atomic_load(&arena->timeline.epoch);
	pagetable_enter(&arena->table, old, pages, epoch, faithful);
	chunks_touch(&arena->chunks, old, pages - old, epoch);
	TEST_POINT();
	/* Release: a handler that sees the new mark sees the pages' states. */
	atomic_store_explicit(&arena->pages, pages, memory_order_release);
	return 0;
}
