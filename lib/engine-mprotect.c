/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-mprotect.c - engine "sigsegv": pages are armed with mprotect(2).
 *
 * Works everywhere. What it is short of is mappings: each border between an armed and a writable
 * run is one, and Linux allows 65,530 in a process by default (vm.max_map_count), which a
 * checkerboard of 32,751 pages uses up. So borders are counted against a budget of half the limit,
 * divided by the number of arenas, and as it fills, a fault takes more neighbours along: 1, 16,
 * 512, ... pages. Each stage may use half of what the earlier ones have left, and the last one is
 * the whole heap, so the budget is never exceeded however large the heap is.
 *
 * The count can drift when two threads mark neighbouring pages at once and each sees the
 * other's page armed still: by 2 for each such meeting, until the next snapshot arms everything
 * and the count starts again. The other half of the limit is room for that, and if it were not, a
 * refused mprotect makes fault.c come again with a wider range.
 */
#include "config.h"

#include "arena.h"
#include "trap.h"

#define WIDTH_MAX ((size_t)1 << 32) /* wider than any heap */

static int protect(struct cowarena *arena, size_t first, size_t n, enum os_protection protection)
{
	return os_protect(arena_address(arena, first), n << arena->page_shift, protection);
}

static int commit(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	return protect(arena, first, n, armed ? OS_READ : OS_READ_WRITE);
}

static int arm(struct cowarena *arena, size_t first, size_t n)
{
	return protect(arena, first, n, OS_READ);
}

static void armed_all(struct cowarena *arena)
{
	atomic_store_explicit(&arena->borders, 1, memory_order_relaxed);
}

static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);
	long grown = pagetable_mark_dirty(&arena->table, first, n, pages);
	if (grown)
		atomic_fetch_add_explicit(&arena->borders, grown, memory_order_relaxed);
	return protect(arena, first, n, OS_READ_WRITE);
}

static void widen(struct cowarena *arena, size_t *first, size_t *n)
{
	long budget = (long)(arena->mapping_limit / 2 / trap_spans());
	long left = budget - atomic_load_explicit(&arena->borders, memory_order_relaxed);
	size_t width = 1;

	/* Stage k begins when less than budget / 2^k is left. */
	for (long half = budget / 2; left <= half && width < WIDTH_MAX; half /= 2)
		width *= width == 16 ? 32 : 16;
	if (width > 1)
		arena_widen(arena, first, n, width);
}

static size_t mappings(struct cowarena *arena)
{
	long borders = atomic_load_explicit(&arena->borders, memory_order_relaxed);

	return (borders > 0 ? (size_t)borders : 0) + 2; /* ... and the inaccessible rest */
}

const struct engine engine_mprotect = {
    .name = "sigsegv",
    .merge_gap = 64, /* arming costs 0.06 us a page, a call that splits and merges mappings 4 us */
    .commit = commit,
    .arm = arm,
    .armed_all = armed_all,
    .disarm = disarm,
    .widen = widen,
    .mappings = mappings,
};
