/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-slabs.c - small blocks: slots of one size in a run of units.
 *
 * Sizes are multiples of 16 up to 128, then four to each doubling (as in jemalloc), so at
 * most a fifth of a block is lost to rounding. Which slots are in use is a bitmap in the
 * descriptor of the slab's first unit: the slots hold nothing but the user's data.
 */
#include "config.h"

#include "arena.h"

#define LINEAR_CLASSES 8 /* 16, 32, ... 128 */
#define LINEAR_LOG 7
#define SLOTS_WANTED 8 /* at least, in a slab */
#define SLAB_UNITS_MAX 32

unsigned slabs_class(size_t size)
{
	if (size <= (size_t)1 << LINEAR_LOG)
		return size ? (unsigned)(size - 1) / 16 : 0;
	unsigned log = 63 - (unsigned)__builtin_clzll(size - 1);
	return LINEAR_CLASSES + (log - LINEAR_LOG) * 4 + (unsigned)((size - 1) >> (log - 2) & 3);
}

size_t slabs_class_size(unsigned class)
{
	if (class < LINEAR_CLASSES)
		return (class + 1) * (size_t)16;
	unsigned log = LINEAR_LOG + (class - LINEAR_CLASSES) / 4;
	size_t step = (size_t)1 << (log - 2);
	return ((size_t)1 << log) + ((class - LINEAR_CLASSES) % 4 + 1) * step;
}

/* The shortest slab with enough slots and at most a sixteenth lost at its end. */
void slabs_init(struct heap *heap)
{
	for (unsigned c = 0; c < CLASSES; c++) {
		size_t size = slabs_class_size(c), n = 1;
		while (n < SLAB_UNITS_MAX && (n * UNIT_SIZE / size < SLOTS_WANTED ||
					      n * UNIT_SIZE % size > n * UNIT_SIZE / 16))
			n++;
		heap->slab_units[c] = (uint8_t)n;
	}
}

static size_t slots_of(const struct cowarena *arena, unsigned class)
{
	return arena->heap.slab_units[class] * UNIT_SIZE / slabs_class_size(class);
}

static void link_slab(struct cowarena *arena, uint32_t slab)
{
	struct unit *d = heap_unit(arena, slab);
	uint32_t *head = &heap_header(arena)->slabs[d->class];

	d->prev = UNIT_NONE;
	d->next = *head;
	if (*head)
		heap_unit(arena, *head)->prev = slab;
	*head = slab;
}

static void unlink_slab(struct cowarena *arena, uint32_t slab)
{
	struct unit *d = heap_unit(arena, slab);

	if (d->prev)
		heap_unit(arena, d->prev)->next = d->next;
	else
		heap_header(arena)->slabs[d->class] = d->next;
	if (d->next)
		heap_unit(arena, d->next)->prev = d->prev;
}

static uint32_t new_slab(struct cowarena *arena, unsigned class)
{
	uint32_t n = arena->heap.slab_units[class];
	uint32_t slab = runs_take(arena, n, UNIT_SIZE);

	if (!slab)
		return UNIT_NONE;
	struct unit *d = heap_unit(arena, slab);
	size_t slots = slots_of(arena, class);
	d->kind = UNIT_SLAB;
	d->class = (uint8_t) class;
	d->vacant = (uint16_t)slots;
	d->length = n;
	for (size_t i = 0; i < SLAB_SLOTS_MAX / 64; i++) {
		size_t below = slots > i * 64 ? slots - i * 64 : 0; /* slots in this word */
		d->used[i] = below >= 64 ? 0 : ~(uint64_t)0 << below;
	}
	for (uint32_t i = 1; i < n; i++) {
		struct unit *body = heap_unit(arena, slab + i);
		body->kind = UNIT_SLAB_BODY;
		body->length = i;
	}
	link_slab(arena, slab);
	return slab;
}

void *slabs_take(struct cowarena *arena, unsigned class)
{
	uint32_t slab = heap_header(arena)->slabs[class];

	if (!slab)
		slab = new_slab(arena, class);
	if (!slab)
		return NULL;
	struct unit *d = heap_unit(arena, slab);
	size_t word = 0;
	while (!~d->used[word])
		word++;
	unsigned bit = (unsigned)__builtin_ctzll(~d->used[word]);
	d->used[word] |= (uint64_t)1 << bit;
	if (--d->vacant == 0)
		unlink_slab(arena, slab);
	return (char *)heap_address(arena, slab) + (word * 64 + bit) * slabs_class_size(class);
}

int slabs_slot(struct cowarena *arena, uint32_t slab, const void *p)
{
	const struct unit *d = heap_unit(arena, slab);
	uint32_t size = (uint32_t)slabs_class_size(d->class);
	uint32_t offset = (uint32_t)((const char *)p - (const char *)heap_address(arena, slab));
	uint32_t slot = offset / size;

	if (offset % size || slot >= slots_of(arena, d->class) ||
	    !(d->used[slot / 64] >> (slot % 64) & 1))
		return -1;
	return (int)slot;
}

void slabs_give(struct cowarena *arena, uint32_t slab, int slot)
{
	struct unit *d = heap_unit(arena, slab);

	d->used[slot / 64] &= ~((uint64_t)1 << (slot % 64));
	if (d->vacant++ == 0)
		link_slab(arena, slab);
	/* An empty slab goes back, unless it is the last one with room: the next block would
	   want it. */
	if (d->vacant == slots_of(arena, d->class) && (d->next || d->prev)) {
		unlink_slab(arena, slab);
		for (uint32_t i = 1; i < d->length; i++)
			heap_unit(arena, slab + i)->kind = UNIT_BODY;
		runs_give(arena, slab, d->length);
	}
}
