/* SPDX-License-Identifier: BSD-2-Clause */
/* heap-slabs.c - see heap-slabs.h. */
#include "config.h"

#include "heap-slabs.h"

#include "heap-locals.h"
#include "track.h"

#define SLOTS_WANTED 32 /* in a slab of up to SLAB_WANTED units: a new slab takes the heap lock */
#define SLAB_WANTED 4
#define SLOTS_MIN 4
#define SCRAPS 8
#define LOOKED_AT 16 /* slabs looked at to find an empty one */

static uint32_t class_size(unsigned class)
{
	if (class < LINEAR_CLASSES)
		return (class + 1) * 16;
	unsigned log = LINEAR_LOG + ((class - LINEAR_CLASSES) >> STEPS_LOG);
	uint32_t step = (uint32_t)1 << (log - STEPS_LOG);
	return ((uint32_t)1 << log) + ((class - LINEAR_CLASSES) % (1u << STEPS_LOG) + 1) * step;
}

/* Whether a slab of n units has enough slots, and loses at most a 64th at its end. */
static bool suits(size_t n, size_t size)
{
	size_t slots = n * UNIT_SIZE / size;

	return (slots >= SLOTS_WANTED || (slots >= SLOTS_MIN && n >= SLAB_WANTED)) &&
	       n * UNIT_SIZE % size <= n * UNIT_SIZE / 64;
}

/* Choose the shortest slab that suits each class. */
void slabs_init(struct heap *heap)
{
	for (unsigned i = 0; i < CLASSES; i++) {
		struct class *c = &heap->classes[i];
		size_t size = class_size(i), n = 1;
		while (n < SLAB_UNITS_MAX && !suits(n, size))
			n++;
		c->size = (uint32_t)size;
		c->reciprocal = (uint32_t)((((uint64_t)1 << 32) + size - 1) / size);
		c->units = (uint16_t)n;
		c->slots = (uint16_t)(n * UNIT_SIZE / size);
	}
}

/* ---- the list of a shelf ---- */

void slabs_list(struct cowarena *arena, struct shelf *shelf, uint32_t slab)
{
	struct unit *d = heap_unit(arena, slab);

	d->next = UNIT_NONE;
	d->prev = shelf->last;
	if (shelf->last)
		heap_unit(arena, shelf->last)->next = slab;
	else
		shelf->first = slab;
	shelf->last = slab;
}

static void take_out(struct cowarena *arena, struct shelf *shelf, uint32_t slab)
{
	struct unit *d = heap_unit(arena, slab);

	if (d->prev)
		heap_unit(arena, d->prev)->next = d->next;
	else
		shelf->first = d->next;
	if (d->next)
		heap_unit(arena, d->next)->prev = d->prev;
	else
		shelf->last = d->prev;
}

/* Set the vacant slots of a word apart; the current slab has a vacant slot. */
static void set_apart(struct cowarena *arena, struct shelf *shelf)
{
	struct unit *d = heap_unit(arena, shelf->current);
	uint32_t word = 0;

	while (!~unit_bits(d, word))
		word++;
	shelf->word = word;
	shelf->epoch = arena->heap.epoch;
	shelf->apart = ~unit_bits(d, word);
	atomic_store_explicit(&d->used[word], ~(uint64_t)0, memory_order_relaxed);
	uint32_t n = (uint32_t)__builtin_popcountll(shelf->apart);
	d->vacant = (uint16_t)(d->vacant - n);
	shelf->vacant -= n;
}

static void make_current(struct cowarena *arena, struct shelf *shelf, uint32_t slab)
{
	heap_unit(arena, slab)->epoch = arena->heap.epoch;
	shelf->current = slab;
	set_apart(arena, shelf);
}

/* Make the slots that were set apart vacant again. */
static void put_back(struct cowarena *arena, struct shelf *shelf)
{
	if (!shelf->apart)
		return;
	struct unit *d = heap_unit(arena, shelf->current);
	uint32_t n = (uint32_t)__builtin_popcountll(shelf->apart);
	atomic_store_explicit(&d->used[shelf->word], unit_bits(d, shelf->word) & ~shelf->apart,
			      memory_order_relaxed);
	d->vacant = (uint16_t)(d->vacant + n);
	shelf->vacant += n;
	shelf->apart = 0;
}

/* Take no more slots from the current slab. It is listed unless it is full; a full slab is listed
   when a slot in it is freed. */
static void put_aside(struct cowarena *arena, struct shelf *shelf)
{
	uint32_t slab = shelf->current;

	put_back(arena, shelf);
	shelf->current = UNIT_NONE;
	if (slab && heap_unit(arena, slab)->vacant)
		slabs_list(arena, shelf, slab);
}

/* While there is a snapshot: the first slab of this epoch, else the emptiest of some slabs. */
static uint32_t choose(struct cowarena *arena, const struct shelf *shelf)
{
	uint32_t best = UNIT_NONE;
	unsigned most = 0, n = 0;

	for (uint32_t slab = shelf->first; slab && n < LOOKED_AT; n++) {
		const struct unit *d = heap_unit(arena, slab);
		if (d->epoch == arena->heap.epoch)
			return slab;
		if (d->vacant > most) {
			most = d->vacant;
			best = slab;
		}
		slab = d->next;
	}
	return best;
}

bool slabs_refill(struct cowarena *arena, struct local_heap *heap, unsigned class, bool any)
{
	struct shelf *shelf = &heap->shelf[class];
	bool snapshots = atomic_load_explicit(&arena->timeline.live, memory_order_relaxed);

	/* Stay with the same slab as long as it is of this epoch. */
	if (shelf->current && !shelf->apart) {
		const struct unit *d = heap_unit(arena, shelf->current);
		if (d->vacant && d->epoch == arena->heap.epoch) {
			set_apart(arena, shelf);
			return true;
		}
	}
	put_aside(arena, shelf);
	uint32_t slab = snapshots ? choose(arena, shelf) : shelf->first;
	if (!slab)
		return false;
	bool armed = snapshots && heap_unit(arena, slab)->epoch != arena->heap.epoch;
	if (!any && shelf->vacant < (armed ? shelf->slots / 2 + 1 : shelf->slots / SCRAPS))
		return false;
	take_out(arena, shelf, slab);
	make_current(arena, shelf, slab);
	return true;
}

/* ---- heap lock held ---- */

static void set_owner(struct unit *d, struct local *l)
{
	atomic_store_explicit(&d->owner, l->index, memory_order_relaxed);
}

/* A slab with room, taken from a local heap without an owner. The local heap's box is empty, so the
   slots that other threads have freed are vacant. */
static uint32_t left_behind(struct cowarena *arena, const struct local *l, unsigned class)
{
	for (size_t i = 0; i < LOCALS; i++) {
		struct local *from = arena->heap.locals[i];
		if (!from || from == l || from->owner || !from->heap)
			continue;
		struct shelf *shelf = &from->heap->shelf[class];
		put_aside(arena, shelf);
		uint32_t slab = shelf->first;
		if (!slab)
			continue;
		take_out(arena, shelf, slab);
		shelf->vacant -= heap_unit(arena, slab)->vacant;
		shelf->slots -= slabs_info(arena, class)->slots;
		return slab;
	}
	return UNIT_NONE;
}

static uint32_t make_slab(struct cowarena *arena, unsigned class)
{
	const struct class *c = slabs_info(arena, class);
	uint32_t slab = runs_take(arena, c->units, UNIT_SIZE);

	if (!slab)
		return UNIT_NONE;
	struct unit *d = heap_unit(arena, slab);
	/* Each slot is reported when it is handed out. */
	track_freed(heap_address(arena, slab), c->units * UNIT_SIZE);
	unit_set_kind(d, UNIT_SLAB + class);
	d->vacant = c->slots;
	for (size_t i = 0; i < SLAB_WORDS; i++) {
		size_t below = c->slots > i * 64 ? c->slots - i * 64 : 0; /* slots in this word */
		atomic_store_explicit(&d->used[i], below >= 64 ? 0 : ~(uint64_t)0 << below,
				      memory_order_relaxed);
	}
	for (uint32_t i = 1; i < c->units; i++)
		unit_set_kind(heap_unit(arena, slab + i), i);
	return slab;
}

bool slabs_new(struct cowarena *arena, struct local *l, unsigned class)
{
	struct shelf *shelf = &l->heap->shelf[class];
	uint32_t slab = left_behind(arena, l, class);

	if (!slab)
		slab = make_slab(arena, class);
	if (!slab)
		return false;
	struct unit *d = heap_unit(arena, slab);
	set_owner(d, l);
	shelf->vacant += d->vacant;
	shelf->slots += slabs_info(arena, class)->slots;
	put_aside(arena, shelf);
	make_current(arena, shelf, slab);
	return true;
}

void slabs_give_back(struct cowarena *arena, struct local *l, uint32_t slab)
{
	/* The slab was found empty before the lock was taken. */
	if (slab >= heap_top(arena))
		return;
	struct unit *d = heap_unit(arena, slab);
	unsigned kind = unit_kind(d);
	if (kind < UNIT_SLAB || unit_owner(d) != l->index)
		return;
	struct shelf *shelf = &l->heap->shelf[kind - UNIT_SLAB];
	const struct class *c = slabs_info(arena, kind - UNIT_SLAB);
	if (d->vacant != c->slots || slab == shelf->current || shelf->first == shelf->last)
		return;
	take_out(arena, shelf, slab);
	shelf->slots -= c->slots;
	shelf->vacant -= c->slots;
	for (uint32_t i = 1; i < c->units; i++)
		unit_set_kind(heap_unit(arena, slab + i), UNIT_BODY);
	runs_give(arena, slab, c->units);
}
