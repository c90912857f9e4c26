/* SPDX-License-Identifier: BSD-2-Clause */
/* arming.c - see arming.h. */
#include "config.h"

#include "arena.h"
#include "arming.h"
#include "point.h"

/* The end of the run that begins at `first`, with neighbouring runs that are not worth a call of
   their own. */
static size_t run_end(const struct cowarena *arena, const struct bitmap *set, size_t first,
		      size_t pages)
{
	const struct bitmap *hot = &arena->table.hot;
	size_t end = bitmap_next_clear(set, first), next = bitmap_next(set, end);

	while (next < pages && next - end <= arena->engine->merge_gap &&
	       bitmap_next(hot, end) > next) {
		end = bitmap_next_clear(set, next);
		next = bitmap_next(set, end);
	}
	return end < pages ? end : pages;
}

int arming_arm(struct cowarena *arena, const struct bitmap *set)
{
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);

	for (size_t first = bitmap_next(set, 0), end; first < pages;
	     first = bitmap_next(set, end)) {
		end = run_end(arena, set, first, pages);
		TEST_POINT();
		if (arena->engine->arm(arena, first, end - first) == 0)
			continue;
		atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
		/* If mappings ran short, the whole heap is one mapping. That arms the hot pages
		   too; a fault will mend it. */
		if (arena->engine->arm(arena, 0, pages))
			return -1;
	}
	return 0;
}
