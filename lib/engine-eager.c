/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-eager.c - engine "eager": every page is copied at the snapshot.
 *
 * The oldest way to an exact snapshot, and the oracle that tests compare the other engines with.
 * Only threads that write during the cut itself fault, and they wait at the gate. The heap is armed
 * for the duration of the cut only, by two calls.
 */
#include "config.h"

#include "arena.h"

static int commit(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	return engine_mprotect.commit(arena, first, n, armed);
}

static int arm(struct cowarena *arena, size_t first, size_t n)
{
	return engine_mprotect.arm(arena, first, n);
}

static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	pagetable_mark_dirty(&arena->table, first, n, arena->pages);
	return commit(arena, first, n, false);
}

static size_t mappings(struct cowarena *arena)
{
	(void)arena;
	return 2;
}

const struct engine engine_eager = {
    .name = "eager",
    .copies_at_cut = true,
    .merge_gap = SIZE_MAX,
    .commit = commit,
    .arm = arm,
    .disarm = disarm,
    .mappings = mappings,
};
