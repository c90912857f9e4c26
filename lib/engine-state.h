/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-state.h - what the engines keep for an arena; for engine*.c alone.
 *
 * One engine may replace another while faults are on their way (engine-renew.c). So the record
 * lives as long as the arena does, and both engines count in one place.
 */
#ifndef COWARENA_ENGINE_STATE_H
#define COWARENA_ENGINE_STATE_H

#include "arena.h"

struct engine_state {
	/* Borders between armed and writable mappings; mappings.h says how many there may be. */
	_Atomic long borders;
	struct os_file uffd; /* the userfaultfd of the engines that have one */
	void *own;           /* a record that open() makes, and stop() and abandon() give back */
};

static inline struct os_file *engine_uffd_file(const struct cowarena *arena)
{
	return &arena->engine_state->uffd;
}

static inline long engine_borders(const struct cowarena *arena)
{
	return atomic_load_explicit(&arena->engine_state->borders, memory_order_relaxed);
}

static inline void engine_add_borders(struct cowarena *arena, long n)
{
	if (n)
		atomic_fetch_add_explicit(&arena->engine_state->borders, n, memory_order_relaxed);
}

static inline void engine_set_borders(struct cowarena *arena, long n)
{
	atomic_store_explicit(&arena->engine_state->borders, n, memory_order_relaxed);
}

#endif
