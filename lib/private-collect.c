/* SPDX-License-Identifier: BSD-2-Clause */
/* private-collect.c - finds the pages that the kernel has copied; see private.h. */
#include "config.h"

#include "arena.h"
#include "private.h"
#include "track.h"

#define RUNS 128

typedef int page_fn(struct cowarena *arena, size_t page);

bool private_equals_file(struct cowarena *arena, size_t page)
{
	return track_same(arena_address(arena, page), arena_past(arena, page),
			  arena_page_size(arena));
}

/* Without the kernel's word: a page that differs from the file's is own. One that does not has no
   need to be. */
static int each_different(struct cowarena *arena, size_t first, size_t end, page_fn *fn)
{
	for (; first < end; first++)
		if (!private_equals_file(arena, first) && fn(arena, first))
			return -1;
	return 0;
}

/* As os_own_pages(). The program may have closed the descriptor. */
static int own_runs(struct cowarena *arena, char *at, size_t n, struct os_run *runs, void **walked)
{
	struct os_file *pagemap = &arena->privates.pagemap;
	int found = os_own_pages(pagemap, at, n, runs, RUNS, walked);

	if (found < 0 && !os_file_is_ours(pagemap) && os_pagemap_open(pagemap) == 0)
		found = os_own_pages(pagemap, at, n, runs, RUNS, walked);
	return found;
}

/* Call fn for each page that the mapping has of its own. */
static int each_own(struct cowarena *arena, size_t first, size_t end, page_fn *fn)
{
	char *at = arena_address(arena, first), *stop = arena_address(arena, end);
	struct os_run runs[RUNS];
	void *walked;

	for (; at < stop; at = walked) {
		int n = own_runs(arena, at, (size_t)(stop - at), runs, &walked);
		if (n < 0)
			return each_different(arena, arena_page(arena, at), end, fn);
		for (int i = 0; i < n; i++) {
			size_t page = arena_page(arena, runs[i].start);
			size_t last = page + (runs[i].bytes >> arena->page_shift);
			for (; page < last; page++)
				if (fn(arena, page))
					return -1;
		}
	}
	return 0;
}

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

/* The kernel has copied the page. */
static int note_own(struct cowarena *arena, size_t page)
{
	struct pagetable *t = &arena->table;
	_Atomic uint64_t *pages = arena->counters.shard[0].pages;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	if (bitmap_test(&t->own, page))
		return 0;
	uint64_t state = page_lock(&t->pages[page]), stamp = page_stamp(state);
	bool needed = timeline_newest(&arena->timeline) >= stamp;
	bool noted = !needed || publish_filed(arena, page, stamp);
	if (noted) {
		frames_charge(&arena->frames, 1); /* there is no limit */
		bitmap_set(&t->own, page);
		atomic_fetch_add_explicit(&arena->privates.own, 1, memory_order_relaxed);
		pagetable_mark_dirty(t, page, 1, arena_pages(arena));
		chunks_touch(&arena->chunks, page, 1, epoch);
		if (stamp < epoch)
			stats_add(&pages[needed ? COWARENA_PAGE_COPIED : COWARENA_PAGE_REUSED], 1);
		state = epoch << PAGE_STAMP_SHIFT;
	}
	page_unlock(&t->pages[page], state);
	return noted ? 0 : -1;
}

int private_collect_range(struct cowarena *arena, size_t from, size_t to)
{
	int result = 0;

	if (!atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed))
		return 0;
	for (size_t end; !result && from < to; from = end) {
		end = chunks_part_end(&arena->chunks, from, to);
		if (chunks_is_private(&arena->chunks, from))
			result = each_own(arena, from, end, note_own);
	}
	return result;
}

int private_collect(struct cowarena *arena)
{
	return private_collect_range(arena, 0, arena_pages(arena));
}
