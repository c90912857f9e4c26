/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-kernel.c - engine "kernel": the kernel copies what is written (private.h).
 *
 * Every chunk that a snapshot needs becomes private at the cut. First writes take no signal, so
 * debuggers are not disturbed, and system calls may store into the heap. Writers are held for the
 * length of the cut only, by userfaultfd's wait or else by mprotect(2) and the gate, unless nobody
 * writes (COWARENA_QUIESCENT, or a process of one thread).
 *
 *	            a snapshot is taken (arm)
 *	  [shared] ---------------------------------------> [private]
 *	     ^                                                  |
 *	     +--------------------------------------------------+
 *	            no snapshot, and cowarena_compact()
 *
 * Memory that comes into use is mapped shared until the next cut: a private mapping of a hole would
 * take two pages, the file's and its own. Where the kernel refuses a private mapping, or the
 * program has closed the descriptor of the heap's file, chunks stay shared, and are armed as engine
 * "sigsegv" arms them.
 *
 * All changes between shared and private are made with the gate closed: so what a handler in the
 * gate finds stays so.
 */
#include "config.h"

#include "engine-state.h"
#include "mappings.h"
#include "private.h"

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int commit(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	return engine_mprotect.commit(arena, first, n, armed);
}

/* Make the chunks of [first, end) private, or in one chunk what follows its private part. */
static int make_private(struct cowarena *arena, size_t first, size_t end)
{
	size_t per = chunks_pages(&arena->chunks), chunk = first / per;

	first = chunk * per + chunks_private_pages(&arena->chunks, chunk);
	end = smaller(os_round_up(end, per), arena_pages(arena));
	return private_map(arena, first, end - first);
}

/* Then it takes traps, and system calls that store there fail. */
static int arm_shared(struct cowarena *arena, size_t first, size_t end)
{
	arena->privates.holds_system_calls = false;
	return engine_mprotect.arm(arena, first, end - first);
}

static int arm(struct cowarena *arena, size_t first, size_t n)
{
	for (size_t end = first + n, stop; first < end; first = stop) {
		stop = chunks_part_end(&arena->chunks, first, end);
		if (chunks_is_private(&arena->chunks, first))
			private_fold(arena, first, stop - first);
		else if (make_private(arena, first, stop) && arm_shared(arena, first, stop))
			return -1;
	}
	return 0;
}

/* Of chunks that could not become private; fault.c asks for no others. */
static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	return engine_mprotect.disarm(arena, first, n);
}

static void widen(struct cowarena *arena, size_t *first, size_t *n)
{
	size_t islands = atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed);

	mappings_widen(arena, engine_borders(arena) + 2 * (long)islands, first, n);
}

/* A private chunk stays as it is: to map it anew its writers would have to be held, and a system
   call that stores there would fail in the midst of nothing. */
static bool cool(struct cowarena *arena, size_t chunk)
{
	size_t n = chunks_pages(&arena->chunks), first = chunk * n;

	return !chunks_is_private(&arena->chunks, first) &&
	       pagetable_uniform(&arena->table, first, n) != PAGES_MIXED;
}

const struct engine engine_kernel = {
    .name = "kernel",
    .open = private_open,
    .private_at_cut = true,
    .commit = commit,
    .arm = arm,
    .armed = mappings_recount,
    .disarm = disarm,
    .widen = widen,
    .cool = cool,
    .mappings = mappings_count,
};
