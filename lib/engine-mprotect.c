/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-mprotect.c - engine "sigsegv": pages are armed with mprotect(2).
 *
 * Works everywhere. Mappings are scarce, so the engine counts borders, and as the budget
 * (mappings.h) fills, a fault takes more neighbours along. Should the count be wrong, a refused
 * mprotect makes fault.c try again with a wider range.
 */
#include "config.h"

#include "engine-state.h"
#include "mappings.h"

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

static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);
	engine_add_borders(arena, pagetable_mark_dirty(&arena->table, first, n, pages));
	return protect(arena, first, n, OS_READ_WRITE);
}

static void widen(struct cowarena *arena, size_t *first, size_t *n)
{
	mappings_widen(arena, engine_borders(arena), first, n);
}

/* A chunk without a border inside is one mapping as it is. */
static bool cool(struct cowarena *arena, size_t chunk)
{
	return pagetable_uniform(&arena->table, chunk << arena->chunks.pages_shift,
				 chunks_pages(&arena->chunks)) != PAGES_MIXED;
}

static size_t mappings(struct cowarena *arena)
{
	long borders = engine_borders(arena);

	return (borders > 0 ? (size_t)borders : 0) + 2; /* what is never in use is inaccessible */
}

const struct engine engine_mprotect = {
    .name = "sigsegv",
    .takes_absent = true,
    .merge_gap = 64, /* arming costs 0.06 us a page, a call that splits and merges mappings 4 us */
    .commit = commit,
    .arm = arm,
    .armed = mappings_recount,
    .disarm = disarm,
    .widen = widen,
    .cool = cool,
    .mappings = mappings,
};
