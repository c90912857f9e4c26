/* SPDX-License-Identifier: BSD-2-Clause */
/* heap-blocks.h - finds the block of a pointer: in any thread, for a live block that it owns. */
#ifndef COWARENA_HEAP_BLOCKS_H
#define COWARENA_HEAP_BLOCKS_H

#include "arena.h"
#include "heap-slabs.h"

struct block {
	uint32_t unit; /* first of its run */
	int slot;      /* in a slab; -1 for a big block */
	size_t size;
	uint8_t owner, class; /* of the slab */
};

/* Say why p is not the start of a live block, and abort(3). */
_Noreturn void block_complain(struct cowarena *arena, const void *p, const char *function);

/* The block that begins at p. A pointer that is not the start of one ends the process. */
static inline __attribute__((always_inline)) struct block
block_find(struct cowarena *arena, const void *p, const char *function)
{
	size_t offset = (size_t)((const char *)p - arena->base); /* huge when p lies below */

	if (offset >> UNIT_SHIFT >= heap_top(arena))
		block_complain(arena, p, function);
	uint32_t unit = (uint32_t)(offset >> UNIT_SHIFT);
	unit -= unit_back(heap_unit(arena, unit));
	const struct unit *d = heap_unit(arena, unit);
	unsigned kind = unit_kind(d);
	if (kind >= UNIT_SLAB) {
		int slot = slabs_slot(arena, unit, d, p);
		if (slot >= 0)
			return (struct block){unit, slot, slabs_info(arena, kind - UNIT_SLAB)->size,
					      unit_owner(d), (uint8_t)(kind - UNIT_SLAB)};
	} else if (kind == UNIT_BIG && offset % UNIT_SIZE == 0) {
		return (struct block){unit, -1, (size_t)d->length << UNIT_SHIFT, 0, 0};
	}
	block_complain(arena, p, function);
}

/* Whether the block is a slot that has only been set apart, and so is not live. The caller may look
   into the local heap. */
static inline bool block_is_apart(const struct local_heap *heap, struct block b)
{
	return slabs_apart(&heap->shelf[b.class], b.unit, (unsigned)b.slot);
}

/* Free a block in a slab of l. Heap lock held, and the local heap at rest or the caller's own. */
void block_free(struct cowarena *arena, struct local *l, void *p);

#endif
