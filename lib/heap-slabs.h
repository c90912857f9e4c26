/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-slabs.h - small blocks: slots of one size in a run of units.
 *
 * Sizes are multiples of 16 up to 128; above, each doubling has eight sizes, so that at most a
 * ninth of a block is lost to rounding there. A bitmap in the descriptor of the slab's first unit
 * says which slots are in use: the slots hold nothing but the user's data.
 *
 * A slot that is handed out will be written to. In a slab that slots have been taken from since the
 * last snapshot, the slot's page is likely to be writable; in another slab the page is armed, and
 * costs a copy, however few of its slots are vacant. So while there is a snapshot, slabs of this
 * epoch come first, then new slabs, and old ones with holes only when half the slots of a class are
 * vacant: a copy of a page takes as much memory as a new page, and takes time as well. And while
 * less than a sixteenth of a class is vacant, a new slab is better than single slots of many. The
 * epoch is noted in the slab, in the arena, and not looked up page by page, so that after a
 * rollback the same calls get the same addresses.
 */
#ifndef COWARENA_HEAP_SLABS_H
#define COWARENA_HEAP_SLABS_H

#include "arena.h"
#include "heap-units.h"

#define LINEAR_CLASSES 8 /* 16, 32, ... 128 */
#define LINEAR_LOG 7
#define STEPS_LOG 3 /* classes to a doubling above */

/* The class of a size up to SMALL_MAX. */
static inline unsigned slabs_class(size_t size)
{
	if (size <= (size_t)1 << LINEAR_LOG)
		return size ? (unsigned)(size - 1) / 16 : 0;
	unsigned log = 63 - (unsigned)__builtin_clzll(size - 1);
	return LINEAR_CLASSES + ((log - LINEAR_LOG) << STEPS_LOG) +
	       (unsigned)((size - 1) >> (log - STEPS_LOG) & ((1u << STEPS_LOG) - 1));
}

static inline const struct class *slabs_info(const struct cowarena *arena, unsigned class)
{
	return &arena->heap.classes[class];
}

/* ---- the caller may work on the local heap (heap-locals.h) ---- */

/* Take a slot of the class; NULL when slabs_refill() has to come first. */
static inline void *slabs_take(struct cowarena *arena, struct local_heap *heap, unsigned class)
{
	struct shelf *shelf = &heap->shelf[class];
	uint64_t apart = shelf->apart;

	if (!apart || shelf->epoch != arena->heap.epoch)
		return NULL;
	shelf->apart = apart & (apart - 1);
	size_t slot = shelf->word * 64 + (unsigned)__builtin_ctzll(apart);
	size_t size = slabs_info(arena, class)->size;
	char *p = (char *)heap_address(arena, shelf->current) + slot * size;
	__builtin_prefetch(p + size, 1); /* likely the next slot taken, which will be written to */
	return p;
}

/* Whether a slot that counts as used has only been set apart. */
static inline bool slabs_apart(const struct shelf *shelf, uint32_t slab, unsigned slot)
{
	return slab == shelf->current && slot / 64 == shelf->word &&
	       shelf->apart >> (slot % 64) & 1;
}

/* Set more slots of the local heap apart to take from. False when there are none, or, unless `any`,
   when a new slab is better. */
bool slabs_refill(struct cowarena *arena, struct local_heap *heap, unsigned class, bool any);

/* List a slab that was full, is not the current one, and has a vacant slot again. */
void slabs_list(struct cowarena *arena, struct shelf *shelf, uint32_t slab);

/* Free slot `slot`. Returns whether the slab has become empty and should be given back
   (slabs_give_back()). */
static inline bool slabs_give(struct cowarena *arena, struct local_heap *heap, unsigned class,
			      uint32_t slab, unsigned slot)
{
	struct unit *d = heap_unit(arena, slab);
	struct shelf *shelf = &heap->shelf[class];
	size_t word = slot / 64;

	atomic_store_explicit(&d->used[word], unit_bits(d, word) & ~((uint64_t)1 << (slot % 64)),
			      memory_order_relaxed);
	shelf->vacant++;
	if (d->vacant++ == 0 && slab != shelf->current)
		slabs_list(arena, shelf, slab);
	return d->vacant == slabs_info(arena, class)->slots && slab != shelf->current &&
	       shelf->first != shelf->last;
}

/* ---- heap lock held as well ---- */

/* Get a new slab to take from, or one that was left behind, if there is one. The boxes of local
   heaps without an owner are empty (locals_empty_left_behind()). False with errno and message. */
bool slabs_new(struct cowarena *arena, struct local *l, unsigned class);

/* Give the slab's run back, if the slab belongs to this local heap, is empty, and is not the last
   one with room. */
void slabs_give_back(struct cowarena *arena, struct local *l, uint32_t slab);

/* ---- any thread ---- */

void slabs_init(struct heap *heap);

/* The slot's number in the slab, -1 when p is not the start of a slot that is in use. */
static inline int slabs_slot(const struct cowarena *arena, uint32_t slab, const struct unit *d,
			     const void *p)
{
	const struct class *c = slabs_info(arena, unit_kind(d) - UNIT_SLAB);
	uint32_t offset =
	    (uint32_t)((const char *)p - (arena->base + ((size_t)slab << UNIT_SHIFT)));
	/* Exact: the reciprocal is too large by less than 1 / 2^32, an offset is below 2^17, a
	   size below 2^15. */
	uint32_t slot = (uint32_t)((uint64_t)offset * c->reciprocal >> 32);

	if (slot * c->size != offset || slot >= c->slots ||
	    !(unit_bits(d, slot / 64) >> (slot % 64) & 1))
		return -1;
	return (int)slot;
}

#endif
