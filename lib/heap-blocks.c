/* SPDX-License-Identifier: BSD-2-Clause */
/* heap-blocks.c - see heap-blocks.h; also tells Valgrind and ASan about blocks. */
#include "config.h"

#include "heap-blocks.h"

#include "error.h"
#include "heap-locals.h"
#include "objects.h"
#include "track.h"

void block_complain(struct cowarena *arena, const void *p, const char *function)
{
	size_t offset = (size_t)((const char *)p - arena->base);
	const char *why =
	    "the pointer is inside a block: it must be the pointer that the allocation returned";

	arena_in_use(arena, function);
	if (!arena_holds(arena, p, 1, atomic_load(&arena->pages))) {
		why = "the pointer does not belong to this arena";
	} else if (offset >> UNIT_SHIFT >= heap_top(arena)) {
		why = "the pointer was freed already, or never allocated";
	} else {
		uint32_t unit = (uint32_t)(offset >> UNIT_SHIFT);
		const struct unit *d = heap_unit(arena, unit);
		while (unit_kind(d) == UNIT_BODY)
			d = heap_unit(arena, --unit);
		d = heap_unit(arena, unit -= unit_back(d));
		unsigned kind = unit_kind(d);
		if (kind == UNIT_FREE || kind == UNIT_FREE_END)
			why = "the pointer was freed already, or never allocated";
		else if (kind == UNIT_META)
			why = "the pointer points into the heap's own bookkeeping";
		else if (kind >= UNIT_SLAB) {
			size_t within =
			    (size_t)((const char *)p - (char *)heap_address(arena, unit));
			if (within % slabs_info(arena, kind - UNIT_SLAB)->size == 0)
				why = "the pointer was freed already, or never allocated";
		}
	}
	error_misuse(function, why, p);
}

void block_free(struct cowarena *arena, struct local *l, void *p)
{
	struct block b = block_find(arena, p, "cowarena_free");

	if (block_is_apart(l->heap, b))
		block_complain(arena, p, "cowarena_free");
	if (slabs_give(arena, l->heap, b.class, b.unit, (unsigned)b.slot))
		slabs_give_back(arena, l, b.unit);
}

static void track_slab(struct cowarena *arena, uint32_t unit, const struct unit *d)
{
	unsigned class = unit_kind(d) - UNIT_SLAB;
	const struct class *c = slabs_info(arena, class);
	const struct local_heap *heap = arena->heap.locals[unit_owner(d)]->heap;
	char *p = heap_address(arena, unit);

	track_freed(p, c->units * UNIT_SIZE);
	for (unsigned i = 0; i < c->slots; i++)
		if (unit_bits(d, i / 64) >> (i % 64) & 1 &&
		    !slabs_apart(&heap->shelf[class], unit, i))
			track_defined(p + i * c->size, c->size);
}

void heap_track(struct cowarena *arena)
{
	uint32_t top = heap_top(arena);
	size_t end = atomic_load(&arena->pages) << arena->page_shift;

	if (!track_is_active())
		return;
	track_defined(arena->base, (size_t)top << UNIT_SHIFT);
	track_freed(heap_address(arena, top), end - ((size_t)top << UNIT_SHIFT));
	for (uint32_t unit = 0; unit < top; unit++) {
		const struct unit *d = heap_unit(arena, unit);
		if (unit_kind(d) == UNIT_FREE)
			track_freed(heap_address(arena, unit), (size_t)d->length << UNIT_SHIFT);
		else if (unit_kind(d) >= UNIT_SLAB)
			track_slab(arena, unit, d);
	}
}
