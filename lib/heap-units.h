/* SPDX-License-Identifier: BSD-2-Clause */
/* heap-units.h - access to the descriptors of units (heap.h). */
#ifndef COWARENA_HEAP_UNITS_H
#define COWARENA_HEAP_UNITS_H

#include "arena.h"

static inline struct heap_header *heap_header(const struct cowarena *arena)
{
	return (struct heap_header *)(void *)arena->base;
}

/* Units below the top are in use, or free inside the heap. Any thread. */
static inline uint32_t heap_top(const struct cowarena *arena)
{
	return atomic_load_explicit(&heap_header(arena)->top, memory_order_relaxed);
}

static inline void *heap_address(const struct cowarena *arena, uint32_t unit)
{
	return arena->base + ((size_t)unit << UNIT_SHIFT);
}

/* The descriptor of a unit below the top. Any thread, for a block that it owns. */
static inline struct unit *heap_unit(const struct cowarena *arena, uint32_t unit)
{
	uint32_t block = atomic_load_explicit(&heap_header(arena)->directory[unit / DESCRIPTORS],
					      memory_order_relaxed);

	return (struct unit *)heap_address(arena, block) + unit % DESCRIPTORS;
}

static inline uint8_t unit_kind(const struct unit *d)
{
	return atomic_load_explicit(&d->kind, memory_order_relaxed);
}

/* For a unit in the body of a slab, how many units before it the slab begins; 0 for any other unit.
   (No branch: its outcome would be random.) */
static inline uint32_t unit_back(const struct unit *d)
{
	uint32_t kind = unit_kind(d);

	return kind & -(uint32_t)(kind < UNIT_FREE);
}

static inline void unit_set_kind(struct unit *d, unsigned kind)
{
	atomic_store_explicit(&d->kind, (uint8_t)kind, memory_order_relaxed);
}

static inline uint8_t unit_owner(const struct unit *d)
{
	return atomic_load_explicit(&d->owner, memory_order_relaxed);
}

static inline uint64_t unit_bits(const struct unit *d, size_t word)
{
	return atomic_load_explicit(&d->used[word], memory_order_relaxed);
}

#endif
