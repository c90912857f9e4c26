/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mappings.h - a budget of kernel mappings.
 *
 * Each border between an armed and a writable run costs a mapping when mprotect arms, and Linux
 * allows 65,530 in a process by default (vm.max_map_count, K20), which a checkerboard of 32,751
 * pages uses up. So borders are counted against a budget of half the limit, divided by the number
 * of arenas. As the budget fills, each new island is made wider: 1, 16, 512, ... units. Each stage
 * may use half of what the earlier stages have left, and the last stage is the whole heap, so the
 * budget is never exceeded however large the heap is.
 *
 * The count may drift by 2 whenever two threads mark neighbouring pages at once and each still sees
 * the other's page armed; the next snapshot arms everything, and the count starts again. The other
 * half of the limit is room for the drift.
 */
#ifndef COWARENA_MAPPINGS_H
#define COWARENA_MAPPINGS_H

#include "arena.h"
#include "trap.h"

#define MAPPINGS_WIDTH_MAX ((size_t)1 << 32) /* wider than any heap */

/* How many units a new island should have at this number of borders. Async-signal-safe. */
static inline size_t mappings_width(const struct cowarena *arena, long borders)
{
	long budget = (long)(arena->mapping_limit / 2 / trap_spans());
	long left = budget - borders;
	size_t width = 1;

	/* Stage k begins when less than budget / 2^k is left. */
	for (long half = budget / 2; left <= half && width < MAPPINGS_WIDTH_MAX; half /= 2)
		width *= width == 16 ? 32 : 16;
	return width;
}

/* For engine->armed(): count the borders anew. (engine-mappings.c) */
void mappings_recount(struct cowarena *arena);

/* For engine->mappings(): runs of pages that are armed by a mapping, open, warm, private, or
   watched. Exact but for concurrent changes. Snapshot lock held. */
size_t mappings_count(struct cowarena *arena);

/* For engine->widen(). Async-signal-safe. */
static inline void mappings_widen(const struct cowarena *arena, long borders, size_t *first,
				  size_t *n)
{
	size_t width = mappings_width(arena, borders);

	if (width > 1)
		arena_widen(arena, first, n, width);
}

#endif
