/* SPDX-License-Identifier: BSD-2-Clause */
/* private-trim.c - gives back the memory that own pages take twice; see private.h. */
#include "config.h"

#include "arena.h"
#include "private.h"
#include "range.h"

#define RUNS 32 /* given back at a time: each takes 1 to 2 us, with the snapshot lock held */

/* A child of a fork() may copy the file at any time (cowarena_after_fork_in_child()). */
static bool may_trim(struct cowarena *arena)
{
	return !atomic_load(&arena->timeline.live) && !arena->timeline.views &&
	       !arena->privates.has_forked;
}

/* The next own page in [page, end) under which the file has memory. */
static size_t next_doubled(struct cowarena *arena, size_t page, size_t end)
{
	const struct bitmap *own = &arena->table.own;

	for (page = bitmap_next(own, page); page < end; page = bitmap_next(own, page + 1))
		if (!bitmap_test(&arena->table.hollow, page))
			return page;
	return end;
}

/*
 * No snapshot reads the file's pages, and a mapping's own pages stay when the file's go (K38). But
 * what was noted as own may be the file's after all (private_collect()), so first make it own.
 */
static size_t trim_run(struct cowarena *arena, size_t first, size_t n)
{
	uint64_t epoch = atomic_load(&arena->timeline.epoch);

	if (os_make_own(arena_address(arena, first), n << arena->page_shift))
		return 0;
	for (size_t i = first; i < first + n; i++) {
		private_stamp_written(arena, i, epoch); /* the next cut brings it to the file */
		bitmap_set(&arena->table.hollow, i);
	}
	range_punch(arena, first, n);
	frames_uncharge(&arena->frames, n);
	return n;
}

/* In one chunk. Returns how many pages were given back. */
static size_t trim_part(struct cowarena *arena, size_t *page, size_t end)
{
	size_t n = 0;

	if (private_collect_range(arena, *page, end))
		return 0;
	for (int runs = 0; runs < RUNS; runs++) {
		size_t first = next_doubled(arena, *page, end), stop = first;
		while (stop < end && next_doubled(arena, stop, end) == stop)
			stop++;
		*page = stop;
		if (first == end)
			break;
		n += trim_run(arena, first, stop - first);
	}
	return n;
}

/* From *page on, which is moved on; to the end of the heap when all is done. */
static bool trim_next(struct cowarena *arena, size_t *page)
{
	size_t n = 0;
	sigset_t signals;

	arena_lock_snapshots(arena, &signals);
	size_t pages = arena_pages(arena), end = chunks_end(&arena->chunks, *page);
	if (end > pages)
		end = pages;
	if (!may_trim(arena))
		*page = pages;
	else if (chunks_is_private(&arena->chunks, *page))
		n = trim_part(arena, page, chunks_part_end(&arena->chunks, *page, end));
	else
		*page = end;
	arena_unlock_snapshots(arena, &signals);
	return n > 0;
}

bool private_give_back(struct cowarena *arena, bool hold)
{
	const _Atomic uint32_t *stop = &arena->helper.stop;
	bool any = false;
	size_t page = 0;

	/* A nap each time: who takes a snapshot gets the lock. */
	for (; hold && !atomic_load(stop) && private_share_next(arena, &page); any = true)
		os_nap();
	for (page = 0; page < arena_pages(arena) && !atomic_load(stop);)
		if (trim_next(arena, &page)) {
			any = true;
			os_nap();
		}
	return any;
}
