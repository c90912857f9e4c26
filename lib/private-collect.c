/* SPDX-License-Identifier: BSD-2-Clause */
/* private-collect.c - finds the pages that the kernel has copied; see private.h. */
#include "config.h"

#include "arena.h"
#include "private.h"
#include "range.h"
#include "track.h"

#define RUNS 128

bool private_equals_file(struct cowarena *arena, size_t page)
{
	return track_same(arena_address(arena, page), arena_past(arena, page),
			  arena_page_size(arena));
}

/* ---- what is noted of a page ---- */

/* A version whose content stays where it is: in the file. Page locked. */
static bool publish_filed(struct cowarena *arena, size_t page, uint64_t stamp)
{
	uint32_t frame = frames_take_bare(&arena->frames);

	if (frame == FRAME_NONE)
		return false;
	timeline_publish(arena, page, stamp, frame, VERSION_IN_FILE);
	bitmap_set(&arena->table.filed, page);
	return true;
}

static void note_own(struct cowarena *arena, size_t page)
{
	frames_charge(&arena->frames, 1); /* there is no limit */
	bitmap_set(&arena->table.own, page);
	atomic_fetch_add_explicit(&arena->privates.own, 1, memory_order_relaxed);
}

/* A page that is own has been written to. False when there is no record for a version. */
static bool note(struct cowarena *arena, size_t page)
{
	struct pagetable *t = &arena->table;
	_Atomic uint64_t *events = arena->counters.shard[0].pages;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	bool was_own = bitmap_test(&t->own, page);

	if (was_own && bitmap_test(&t->dirty, page))
		return true;
	uint64_t state = page_lock(&t->pages[page]), stamp = page_stamp(state);
	bool needed = timeline_needs(&arena->timeline, page, stamp);
	bool noted = !needed || publish_filed(arena, page, stamp);
	if (noted) {
		if (!was_own)
			note_own(arena, page);
		arena->privates.written++;
		pagetable_mark_dirty(t, page, 1, arena_pages(arena));
		chunks_touch(&arena->chunks, page, 1, epoch);
		if (stamp < epoch && !was_own) /* else it was copied at a cut */
			stats_add(&events[needed ? COWARENA_PAGE_COPIED : COWARENA_PAGE_REUSED], 1);
		if (!needed && timeline_newest(&arena->timeline) >= stamp)
			stats_add(&arena->counters.shard[0].saved_free, 1);
		state = epoch << PAGE_STAMP_SHIFT;
	}
	page_unlock(&t->pages[page], state);
	return noted;
}

void private_stamp_written(struct cowarena *arena, size_t page, uint64_t epoch)
{
	page_lock(&arena->table.pages[page]);
	page_unlock(&arena->table.pages[page], epoch << PAGE_STAMP_SHIFT);
	pagetable_mark_dirty(&arena->table, page, 1, arena_pages(arena));
}

void private_fill_up(struct cowarena *arena)
{
	struct bitmap *hollow = &arena->table.hollow;
	size_t n = 0;

	for (size_t i = bitmap_next(hollow, 0); i < hollow->bits; i = bitmap_next(hollow, i + 1))
		n++;
	bitmap_clear(hollow);
	frames_charge(&arena->frames, n);
}

/* ---- ways to find pages ---- */

enum collected { COLLECTED, NO_RECORD, NOT_TOLD };

/* As os_own_pages(). The program may have closed the descriptor. */
static int find_own(struct cowarena *arena, char *at, size_t n, struct os_run *runs, void **walked)
{
	struct os_file *pagemap = &arena->privates.pagemap;
	int found = os_own_pages(pagemap, at, n, runs, RUNS, walked);

	if (found < 0 && !os_file_is_ours(pagemap) && os_pagemap_open(pagemap) == 0)
		found = os_own_pages(pagemap, at, n, runs, RUNS, walked);
	return found;
}

/* Between cuts pages are not watched again: a store to them would take a fault for nothing. */
static int find_written(struct cowarena *arena, char *at, size_t n, struct os_run *runs,
			void **walked)
{
	const struct privates *p = &arena->privates;

	return os_written_pages(&p->pagemap, at, n, p->cutting, runs, RUNS, walked);
}

typedef int find_fn(struct cowarena *arena, char *at, size_t n, struct os_run *runs, void **walked);

static bool note_range(struct cowarena *arena, size_t first, size_t end)
{
	for (; first < end; first++)
		if (!note(arena, first))
			return false;
	return true;
}

/* Where the file has no memory nobody has written. */
static bool note_run(struct cowarena *arena, const struct os_run *run)
{
	size_t page = arena_page(arena, run->start), end = page + (run->bytes >> arena->page_shift);

	if (!run->in_swap)
		return note_range(arena, page, end);
	while ((page = range_skip_hole(arena, page, end)) < end)
		if (!note(arena, page++))
			return false;
	return true;
}

/*
 * What looks like pages in swap, where memory is held or was watched, is nearly always pages that
 * are in no page table. They come into it, so that most are sure; what is not sure is taken for
 * own.
 */
static enum collected collect_unsure(struct cowarena *arena, const struct os_run *run)
{
	size_t page = arena_page(arena, run->start), end = page + (run->bytes >> arena->page_shift);
	struct os_run runs[RUNS];
	void *walked;

	page = range_skip_hole(arena, page, end);
	char *at = arena_address(arena, page), *stop = arena_address(arena, end);
	if (at < stop)
		os_map_resident(at, (size_t)(stop - at));
	for (; at < stop; at = walked) {
		int n = find_own(arena, at, (size_t)(stop - at), runs, &walked);
		if (n < 0)
			return note_range(arena, arena_page(arena, at), end) ? COLLECTED
									     : NO_RECORD;
		for (int i = 0; i < n; i++)
			if (!note_run(arena, &runs[i]))
				return NO_RECORD;
	}
	return COLLECTED;
}

static enum collected collect_run(struct cowarena *arena, const struct os_run *run)
{
	if (run->in_swap)
		return collect_unsure(arena, run);
	return note_run(arena, run) ? COLLECTED : NO_RECORD;
}

/* The pages of [*first, end) that the kernel names. NOT_TOLD: from *first on. */
static enum collected collect_found(struct cowarena *arena, size_t *first, size_t end,
				    find_fn *find)
{
	char *at = arena_address(arena, *first), *stop = arena_address(arena, end);
	struct os_run runs[RUNS];
	void *walked;

	for (; at < stop; at = walked, *first = arena_page(arena, at)) {
		int n = find(arena, at, (size_t)(stop - at), runs, &walked);
		if (n < 0)
			return NOT_TOLD;
		for (int i = 0; i < n; i++)
			if (collect_run(arena, &runs[i]) != COLLECTED)
				return NO_RECORD;
	}
	return COLLECTED;
}

/* Without the kernel's word: a page that differs from the file's is own. One that does not has no
   need to be. */
static enum collected collect_different(struct cowarena *arena, size_t first, size_t end)
{
	for (; first < end; first++)
		if (!private_equals_file(arena, first) && !note(arena, first))
			return NO_RECORD;
	return COLLECTED;
}

/* ---- watching ---- */

static struct chunk *chunk_of(struct cowarena *arena, size_t page)
{
	return &arena->chunks.at[page >> arena->chunks.pages_shift];
}

static void set_watched(struct cowarena *arena, size_t first, size_t end, bool watched)
{
	for (; first < end; first = chunks_end(&arena->chunks, first))
		chunk_of(arena, first)->watched = watched;
}

bool private_is_watched(struct cowarena *arena, size_t page)
{
	return chunk_of(arena, page)->watched;
}

/* The end of the part of [first, end) that is watched, or that is not, as its first page is. */
static size_t watched_end(struct cowarena *arena, size_t first, size_t end)
{
	bool watched = private_is_watched(arena, first);

	do
		first = chunks_end(&arena->chunks, first);
	while (first < end && private_is_watched(arena, first) == watched);
	return first < end ? first : end;
}

/* On failure find_own() is asked for the pages again, which finds too many rather than too few. */
static void watch(struct cowarena *arena, size_t first, size_t n)
{
	struct privates *p = &arena->privates;
	char *at = arena_address(arena, first);
	size_t bytes = n << arena->page_shift;
	bool watched = os_watch(&p->watch, at, bytes) == 0;

	if (!watched && !os_file_is_ours(&p->watch)) { /* the program has closed it */
		p->cannot_watch = os_watch_open(&p->watch, &p->pagemap) != 0;
		watched = !p->cannot_watch && os_watch(&p->watch, at, bytes) == 0;
	}
	set_watched(arena, first, first + n, watched);
}

void private_never_watch(struct cowarena *arena)
{
	os_file_close(&arena->privates.watch);
	arena->privates.cannot_watch = true;
}

void private_unwatch(struct cowarena *arena)
{
	size_t pages = arena_pages(arena);

	if (arena->privates.cannot_watch)
		return;
	os_uffd_unregister(&arena->privates.watch, arena->base, pages << arena->page_shift);
	set_watched(arena, 0, pages, false);
	private_never_watch(arena);
}

void private_watch_again(struct cowarena *arena, size_t first, size_t n)
{
	for (size_t end = first + n, stop; first < end; first = stop) {
		stop = watched_end(arena, first, end);
		if (private_is_watched(arena, first) &&
		    os_uffd_protect(&arena->privates.watch, arena_address(arena, first),
				    (stop - first) << arena->page_shift, true))
			set_watched(arena, first, stop, false);
	}
}

static void want_past(struct cowarena *arena, size_t first, size_t end)
{
	for (; first < end; first = chunks_end(&arena->chunks, first))
		if (atomic_load(&chunk_of(arena, first)->past) == PAST_UNKNOWN) {
			atomic_store(&chunk_of(arena, first)->past, PAST_WANTED);
			atomic_fetch_add(&arena->privates.past_wanted, 1);
		}
}

/* Runs of chunks of [first, end) that have own pages: others cost nothing to ask about. */
static void work_on_own(struct cowarena *arena, size_t first, size_t end)
{
	const struct chunks *c = &arena->chunks;
	const struct bitmap *own = &arena->table.own;
	size_t mask = ~(chunks_pages(c) - 1), from, stop;

	for (; (from = bitmap_next(own, first)) < end; first = stop) {
		from = (from & mask) > first ? from & mask : first;
		for (stop = chunks_end(c, from);
		     stop < end && bitmap_next(own, stop) < chunks_end(c, stop);)
			stop = chunks_end(c, stop);
		stop = stop < end ? stop : end;
		if (!arena->privates.cannot_watch)
			watch(arena, from, stop - from);
		want_past(arena, from, stop);
	}
}

/* ---- collecting ---- */

/* Chunks that are watched, or that are not. */
static enum collected collect_part(struct cowarena *arena, size_t first, size_t end)
{
	enum collected result = NOT_TOLD;

	size_t start = first;
	if (private_is_watched(arena, first))
		result = collect_found(arena, &first, end, find_written);
	/* Some pages are watched again, and what has been written to them is not noted. */
	if (result == NO_RECORD)
		set_watched(arena, start, end, false);
	if (result != NOT_TOLD)
		return result;
	size_t from = first;
	set_watched(arena, first, end, false); /* the program has closed the descriptor */
	result = collect_found(arena, &first, end, find_own);
	if (result == NOT_TOLD)
		return collect_different(arena, first, end);
	if (result == COLLECTED && arena->privates.cutting)
		work_on_own(arena, from, end);
	return result;
}

int private_collect_range(struct cowarena *arena, size_t from, size_t to)
{
	if (!atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed))
		return 0;
	for (size_t end; from < to; from = end) {
		/* Asked first: a chunk may become private at any time, and none becomes shared. */
		bool private = chunks_is_private(&arena->chunks, from);
		end = chunks_part_end(&arena->chunks, from, to);
		if (!private)
			continue;
		end = watched_end(arena, from, end);
		if (collect_part(arena, from, end) != COLLECTED)
			return -1;
	}
	return 0;
}

int private_collect(struct cowarena *arena)
{
	return private_collect_range(arena, 0, arena_pages(arena));
}
