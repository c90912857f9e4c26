/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-runs.c - runs of units: taken, given back, resized.
 *
 * Free runs are kept by length: a list for each length below 64 units, one for each doubling above,
 * and a bitmap of the lists that are not empty. A run given back merges with free neighbours, and
 * with the top. Boundary tags (Knuth, The Art of Computer Programming 1, 2.5) are in the
 * descriptors: a free run has its length in its first and its last descriptor. All descriptors
 * inside a run say UNIT_BODY, so merging and splitting touch only the ends.
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "heap-units.h"
#include "range.h"
#include "track.h"

#include <errno.h>
#include <string.h>

#define SPARES_MAX 16 /* descriptor blocks set apart together */
#define EXACT_BINS 64

unsigned runs_bin(uint32_t n)
{
	return n < EXACT_BINS ? n : EXACT_BINS + 25 - (unsigned)__builtin_clz(n);
}

static void set_top(struct cowarena *arena, uint32_t top)
{
	atomic_store_explicit(&heap_header(arena)->top, top, memory_order_relaxed);
}

static void link_run(struct cowarena *arena, uint32_t unit, uint32_t n)
{
	struct heap_header *h = heap_header(arena);
	struct unit *d = heap_unit(arena, unit);
	unsigned bin = runs_bin(n);

	unit_set_kind(d, UNIT_FREE);
	d->length = n;
	d->prev = UNIT_NONE;
	d->next = h->bins[bin];
	if (d->next)
		heap_unit(arena, d->next)->prev = unit;
	h->bins[bin] = unit;
	h->bin_map[bin / 64] |= (uint64_t)1 << (bin % 64);
	if (n > 1) {
		struct unit *last = heap_unit(arena, unit + n - 1);
		unit_set_kind(last, UNIT_FREE_END);
		last->length = n;
	}
}

/* The descriptors at both ends become those of a body. */
static void unlink_run(struct cowarena *arena, uint32_t unit)
{
	struct heap_header *h = heap_header(arena);
	struct unit *d = heap_unit(arena, unit);
	unsigned bin = runs_bin(d->length);

	if (d->prev)
		heap_unit(arena, d->prev)->next = d->next;
	else if (!(h->bins[bin] = d->next))
		h->bin_map[bin / 64] &= ~((uint64_t)1 << (bin % 64));
	if (d->next)
		heap_unit(arena, d->next)->prev = d->prev;
	unit_set_kind(d, UNIT_BODY);
	unit_set_kind(heap_unit(arena, unit + d->length - 1), UNIT_BODY);
}

/* How many units to skip from `unit` to reach a multiple of align. */
static size_t skip_to(const struct cowarena *arena, size_t unit, size_t align)
{
	uintptr_t p = (uintptr_t)arena->base + (unit << UNIT_SHIFT);

	return (-p & (align - 1)) >> UNIT_SHIFT;
}

/* A free run that holds n units at the alignment, or UNIT_NONE. */
static uint32_t find_run(struct cowarena *arena, size_t n, size_t align)
{
	struct heap_header *h = heap_header(arena);
	unsigned bin = n < EXACT_BINS ? (unsigned)n : runs_bin((uint32_t)n);

	while (bin < BINS) {
		uint64_t map = h->bin_map[bin / 64] >> (bin % 64);
		if (!map) {
			bin = (bin / 64 + 1) * 64;
			continue;
		}
		bin += (unsigned)__builtin_ctzll(map);
		if (bin >= BINS) /* a stray write */
			break;
		for (uint32_t unit = h->bins[bin]; unit;) {
			const struct unit *d = heap_unit(arena, unit);
			if (skip_to(arena, unit, align) + n <= d->length)
				return unit;
			unit = d->next;
		}
		bin++;
	}
	return UNIT_NONE;
}

/*
 * Raise the top by n units at the alignment, by the units skipped before them, and by the
 * descriptors that all these need. Descriptors are set apart several blocks at a time, more as the
 * heap grows, so that they lie dense: few pages are dirtied by bookkeeping. Returns the first unit,
 * skipped ones included; *length is the number of units.
 */
static uint32_t raise_top(struct cowarena *arena, size_t n, size_t align, uint32_t *length)
{
	struct heap_header *h = heap_header(arena);
	size_t first = heap_top(arena), fresh = 0, data, end;

	for (;;) {
		data = first + fresh * DESCRIPTOR_UNITS;
		end = data + skip_to(arena, data, align) + n;
		size_t wanted = (end + DESCRIPTORS - 1) / DESCRIPTORS;
		size_t have = h->blocks + h->spares + fresh;
		if (wanted <= have)
			break;
		if (!fresh)
			fresh = h->blocks < SPARES_MAX ? h->blocks : SPARES_MAX;
		if (wanted - (h->blocks + h->spares) > fresh)
			fresh = wanted - (h->blocks + h->spares);
	}
	if (end > UINT32_MAX) {
		error_set(ENOMEM, "the heap has as many units as can be numbered");
		return UNIT_NONE;
	}
	size_t used = atomic_load(&arena->pages) << arena->page_shift; /* above are zeros */
	if (range_grow(arena, end << UNIT_SHIFT))
		return UNIT_NONE;
	set_top(arena, (uint32_t)end);
	track_defined(arena->base + (first << UNIT_SHIFT), (data - first) << UNIT_SHIFT);
	/* Descriptors start as UNIT_BODY. A top that was higher once, before a rollback or not,
	   left other things there. */
	size_t from = first << UNIT_SHIFT, to = data << UNIT_SHIFT;
	if (from < used)
		memset(arena->base + from, 0, (to < used ? to : used) - from);
	/* Spares are used first, then fresh blocks; the blocks that are left become the spares. */
	for (uint32_t next = (uint32_t)first; h->blocks * (size_t)DESCRIPTORS < end || fresh;) {
		if (!h->spares) {
			h->spare = next;
			h->spares = (uint32_t)fresh;
			fresh = 0;
		}
		if (h->blocks * (size_t)DESCRIPTORS >= end)
			break;
		atomic_store_explicit(&h->directory[h->blocks++], h->spare, memory_order_relaxed);
		h->spare += DESCRIPTOR_UNITS;
		h->spares--;
	}
	if (data > first)
		unit_set_kind(heap_unit(arena, (uint32_t)first), UNIT_META);
	*length = (uint32_t)(end - data);
	return (uint32_t)data;
}

uint32_t runs_take(struct cowarena *arena, size_t n, size_t align)
{
	if (n > UINT32_MAX || align >> UNIT_SHIFT > UINT32_MAX) {
		error_set(ENOMEM, "more than an arena can hold");
		return UNIT_NONE;
	}
	uint32_t unit = find_run(arena, n, align), length;
	if (unit) {
		length = heap_unit(arena, unit)->length;
		unlink_run(arena, unit);
	} else {
		unit = raise_top(arena, n, align, &length);
		if (!unit)
			return UNIT_NONE;
	}
	uint32_t skip = (uint32_t)skip_to(arena, unit, align);
	uint32_t rest = length - skip - (uint32_t)n;
	if (rest)
		runs_give(arena, unit + skip + (uint32_t)n, rest);
	if (skip)
		runs_give(arena, unit, skip);
	return unit + skip;
}

void runs_give(struct cowarena *arena, uint32_t unit, uint32_t n)
{
	unit_set_kind(heap_unit(arena, unit), UNIT_BODY);
	if (unit + n < heap_top(arena) && unit_kind(heap_unit(arena, unit + n)) == UNIT_FREE) {
		uint32_t more = heap_unit(arena, unit + n)->length;
		unlink_run(arena, unit + n);
		n += more;
	}
	const struct unit *before =
	    heap_unit(arena, unit - 1); /* unit 0 is the header, so a unit comes before */
	if (unit_kind(before) == UNIT_FREE || unit_kind(before) == UNIT_FREE_END) {
		uint32_t more = before->length;
		unit -= more;
		unlink_run(arena, unit);
		n += more;
	}
	if (unit + n == heap_top(arena))
		set_top(arena, unit);
	else
		link_run(arena, unit, n);
}

bool runs_resize(struct cowarena *arena, uint32_t unit, uint32_t from, uint32_t to)
{
	struct heap_header *h = heap_header(arena);

	if (to < from) {
		runs_give(arena, unit + to, from - to);
	} else if (to > from) {
		uint32_t more = to - from, next = unit + from;
		if (next == heap_top(arena)) {
			/* In place only if no descriptors are needed in between. */
			if ((size_t)unit + to > h->blocks * (size_t)DESCRIPTORS ||
			    range_grow(arena, ((size_t)unit + to) << UNIT_SHIFT))
				return false;
			set_top(arena, unit + to);
		} else {
			struct unit *d = heap_unit(arena, next);
			if (unit_kind(d) != UNIT_FREE || d->length < more)
				return false;
			uint32_t rest = d->length - more;
			unlink_run(arena, next);
			if (rest)
				runs_give(arena, next + more, rest);
		}
	}
	heap_unit(arena, unit)->length = to;
	return true;
}
