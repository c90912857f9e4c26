/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-trim.c - gives memory that is in no block back to the system.
 *
 * A page may go when no snapshot needs its content (pagetable.h). If the page is armed all the
 * same, it is disarmed first, as by a write: nothing relies on what the kernel does with the
 * protection of a page that it takes away.
 */
#include "config.h"

#include "arena.h"
#include "fault.h"
#include "heap-units.h"
#include "range.h"
#include "objects.h"

#include <errno.h>

/* Whether no live snapshot needs the page's content. Snapshot lock held. */
static bool is_spare(struct cowarena *arena, size_t page)
{
	uint64_t state = page_peek(&arena->table.pages[page]);
	uint64_t newest = timeline_newest(&arena->timeline);

	return (!newest || page_stamp(state) > newest) && !(state & PAGE_FRESH);
}

static void give_pages(struct cowarena *arena, size_t first, size_t end)
{
	sigset_t signals;

	arena_lock_snapshots(arena, &signals);
	if (private_collect_range(arena, first, end))
		end = first; /* what cannot be noted is not spare */
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	for (size_t n; first < end; first += n) {
		bool spare = is_spare(arena, first);
		for (n = 1; first + n < end && is_spare(arena, first + n) == spare;)
			n++;
		if (!spare)
			continue;
		fault_prepare(arena, first, n, FAULT_SPOIL_LOCKED);
		private_forget(arena, first, n);
		range_punch(arena, first, n);
		/* The next writes there get small pages. */
		chunks_touch(&arena->chunks, first, n, epoch);
	}
	arena_unlock_snapshots(arena, &signals);
}

void heap_trim_units(struct cowarena *arena, uint32_t unit, uint32_t n)
{
	size_t page = arena_page_size(arena);
	size_t first = os_round_up((size_t)unit << UNIT_SHIFT, page) >> arena->page_shift;
	size_t end = (((size_t)unit + n) << UNIT_SHIFT) >> arena->page_shift;

	if (first < end && !arena_has_absent(arena))
		give_pages(arena, first, end);
}

size_t cowarena_trim(cowarena *arena)
{
	int e = errno;

	arena_in_use(arena, __func__);
	if (!arena)
		return 0;
	heap_lock(arena);
	size_t before = os_memory_used(&arena->file);
	const struct heap_header *h = heap_header(arena);
	for (size_t bin = 0; bin < BINS; bin++)
		for (uint32_t unit = h->bins[bin]; unit; unit = heap_unit(arena, unit)->next)
			heap_trim_units(arena, unit, heap_unit(arena, unit)->length);
	size_t end = atomic_load(&arena->pages) << arena->page_shift >> UNIT_SHIFT;
	heap_trim_units(arena, heap_top(arena), (uint32_t)end - heap_top(arena));
	size_t after = os_memory_used(&arena->file);
	heap_unlock(arena);
	errno = e;
	return after && before > after ? before - after : 0; /* 0 also when that cannot be told */
}
