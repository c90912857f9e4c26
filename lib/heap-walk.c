/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-walk.c - walks all live blocks, and checks the bookkeeping, of the live heap or of a
 * snapshot.
 *
 * Both work on a copy of the bookkeeping, so that the function called for a block may use the heap.
 * Nothing read from the copy is trusted: a stray write may have hit it.
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "heap-locals.h"
#include "heap-slabs.h"
#include "objects.h"
#include "records.h"
#include "snapshot-read.h"
#include "track.h"

#include <errno.h>
#include <string.h>

struct image {
	struct cowarena *arena;
	struct cowarena_snapshot *snapshot; /* NULL: the live heap */
	size_t bytes;                       /* of the heap at that time */
	struct heap_header *header;         /* with the directory */
	size_t header_bytes, units_bytes;
	uint32_t top;
	struct unit *units; /* 0 to the end of the last descriptor block */
	struct local_heap *locals[LOCALS];
};

/* ---- making the copy ---- */

static int damaged(const struct image *image, size_t unit, const char *why)
{
	return error_set(EUCLEAN,
			 "the heap's bookkeeping is damaged at %p: %s; something wrote beyond its "
			 "block, or into freed memory",
			 (void *)(image->arena->base + (unit << UNIT_SHIFT)), why);
}

static int no_memory(void)
{
	return error_set(ENOMEM, "no memory for a copy of the heap's bookkeeping: " ERROR_NO_ROOM);
}

static int fetch(const struct image *image, void *dst, size_t offset, size_t n)
{
	const char *src = image->arena->base + offset;

	if (offset > image->bytes || n > image->bytes - offset)
		return damaged(image, offset >> UNIT_SHIFT, "a number leads out of the heap");
	if (image->snapshot)
		return cowarena_snapshot_read(image->snapshot, dst, src, n);
	memcpy(dst, src, n);
	return 0;
}

static int fetch_header(struct image *image)
{
	size_t fixed = offsetof(struct heap_header, directory);
	struct heap_header h;

	if (fetch(image, &h, 0, fixed))
		return -1;
	image->top = atomic_load(&h.top);
	if (!h.blocks || !image->top || !h.locals[0] ||
	    h.blocks > (image->bytes >> UNIT_SHIFT) / DESCRIPTORS + 1 ||
	    image->top > h.blocks * (size_t)DESCRIPTORS ||
	    (size_t)image->top << UNIT_SHIFT > image->bytes)
		return damaged(image, 0, "the heap ends elsewhere than its header says");
	if (h.root && (size_t)((char *)h.root - image->arena->base) >= image->bytes)
		return damaged(image, 0, "the root is not in the heap");
	size_t n = fixed + h.blocks * sizeof *h.directory;
	image->header = records_take(n);
	image->header_bytes = n;
	if (!image->header)
		return no_memory();
	int result = fetch(image, image->header, 0, n);
	image->header->blocks = h.blocks; /* the number that was checked */
	return result;
}

static int fetch_units(struct image *image)
{
	const struct heap_header *h = image->header;

	image->units_bytes = h->blocks * DESCRIPTOR_UNITS * UNIT_SIZE;
	image->units = records_take(image->units_bytes);
	if (!image->units)
		return no_memory();
	for (size_t i = 0; i < h->blocks; i++)
		if (fetch(image, image->units + i * DESCRIPTORS,
			  (size_t)atomic_load(&h->directory[i]) << UNIT_SHIFT,
			  DESCRIPTOR_UNITS * UNIT_SIZE))
			return -1;
	return 0;
}

static int fetch_locals(struct image *image)
{
	for (size_t i = 0; i < LOCALS; i++) {
		uint32_t unit = image->header->locals[i];
		if (!unit)
			continue;
		image->locals[i] = records_take(sizeof *image->locals[i]);
		if (!image->locals[i])
			return no_memory();
		if (fetch(image, image->locals[i], (size_t)unit << UNIT_SHIFT,
			  sizeof *image->locals[i]))
			return -1;
	}
	return 0;
}

/* A descriptor block that is set apart is as the kernel has given it. */
static int check_spares(const struct image *image)
{
	const struct heap_header *h = image->header;
	const size_t n = DESCRIPTOR_UNITS * UNIT_SIZE;
	char *block = h->spares ? records_take(n) : NULL;
	int result = h->spares && !block ? no_memory() : 0;

	for (size_t i = 0; i < h->spares && !result; i++) {
		size_t unit = h->spare + i * DESCRIPTOR_UNITS;
		result = fetch(image, block, unit << UNIT_SHIFT, n);
		if (!result && !track_is_zeros(block, n))
			result = damaged(image, unit, "what was never in use is not zeros");
	}
	records_give(block, n);
	return result;
}

static void discard(struct image *image)
{
	records_give(image->header, image->header_bytes);
	records_give(image->units, image->units_bytes);
	for (size_t i = 0; i < LOCALS; i++)
		records_give(image->locals[i], sizeof *image->locals[i]);
}

/* Make the copy; look at the spare blocks too if `spares`. -1 with errno and message; then too the
   caller discards it. */
static int load(struct image *image, cowarena *arena, cowarena_snapshot *s, bool spares)
{
	memset(image, 0, sizeof *image);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (s && s->arena != arena)
		return error_set(EINVAL, "the snapshot is of another arena");
	if (s && snapshot_intact(s))
		return -1;
	image->arena = arena;
	image->snapshot = s;
	if (!s)
		heap_stop(arena);
	image->bytes = (s ? s->pages : atomic_load(&arena->pages)) << arena->page_shift;
	/* All of it while the heap is at rest. */
	int result = fetch_header(image) || fetch_units(image) || fetch_locals(image) ||
			     (spares && check_spares(image))
			 ? -1
			 : 0;
	if (!s)
		heap_go(arena);
	return result;
}

/* ---- runs ---- */

/* The length in units of the run that begins here; 0 if none does. */
static uint32_t run_length(const struct image *image, uint32_t unit)
{
	const struct unit *d = &image->units[unit];
	unsigned kind = unit_kind(d);
	uint32_t n = 1;

	switch (kind) {
	case UNIT_FREE:
	case UNIT_BIG:
		n = d->length;
		break;
	case UNIT_META: /* up to whatever comes next */
		while (unit + n < image->top && unit_kind(d + n) == UNIT_BODY)
			n++;
		break;
	default:
		if (kind < UNIT_SLAB || kind >= UNIT_SLAB + CLASSES)
			return 0;
		n = slabs_info(image->arena, kind - UNIT_SLAB)->units;
	}
	return n <= image->top - unit ? n : 0;
}

static bool is_used(const struct unit *d, size_t slot)
{
	return unit_bits(d, slot / 64) >> (slot % 64) & 1;
}

/* Whether the slot is used and has been handed out. */
static bool is_live(const struct image *image, uint32_t slab, unsigned slot)
{
	const struct unit *d = &image->units[slab];
	uint8_t owner = unit_owner(d);
	const struct local_heap *heap = owner < LOCALS ? image->locals[owner] : NULL;

	return is_used(d, slot) &&
	       !(heap && slabs_apart(&heap->shelf[unit_kind(d) - UNIT_SLAB], slab, slot));
}

int cowarena_heap_walk(cowarena *arena, cowarena_snapshot *s, cowarena_heap_walk_fn *fn, void *ctx)
{
	struct image image;
	int e = errno, result = 0;

	arena_in_use(arena, __func__);
	snapshot_in_use(s, __func__);
	if (!fn)
		return error_set(EINVAL, "fn is NULL");
	if (load(&image, arena, s, false)) {
		discard(&image);
		return -1;
	}
	for (uint32_t unit = 0, n; unit < image.top && !result; unit += n) {
		const struct unit *d = &image.units[unit];
		unsigned kind = unit_kind(d);
		n = run_length(&image, unit);
		if (!n) {
			discard(&image);
			return damaged(&image, unit, "no run begins where one should");
		}
		if (kind == UNIT_BIG)
			result = fn(ctx, heap_address(arena, unit), (size_t)n << UNIT_SHIFT);
		if (kind < UNIT_SLAB)
			continue;
		const struct class *c = slabs_info(arena, kind - UNIT_SLAB);
		for (unsigned i = 0; i < c->slots && !result; i++)
			if (is_live(&image, unit, i))
				result = fn(ctx, (char *)heap_address(arena, unit) + i * c->size,
					    c->size);
	}
	discard(&image);
	errno = e;
	return result;
}

/* ---- checking: each function returns what is wrong, or NULL ---- */

/* The sums over the slabs of a local heap, to be compared with its shelf. */
struct sum {
	uint32_t slots, vacant;
	uint32_t with_room; /* slabs */
};

struct audit {
	struct image image;
	uint64_t *claimed; /* a bit for each unit that the heap has for itself */
	size_t claimed_bytes;
	struct sum sum[LOCALS][CLASSES];
	size_t free_runs;
	uint64_t big_bytes;
};

static const char *check_slab(struct audit *audit, uint32_t unit)
{
	const struct unit *d = &audit->image.units[unit];
	unsigned class = unit_kind(d) - UNIT_SLAB;
	const struct class *c = slabs_info(audit->image.arena, class);
	uint8_t owner = unit_owner(d);
	size_t vacant = 0;

	for (size_t i = 0; i < SLAB_SLOTS_MAX; i++) {
		if (i >= c->slots && !is_used(d, i))
			return "a slab has more slots than its class";
		vacant += !is_used(d, i);
	}
	if (vacant != d->vacant)
		return "a slab's vacant slots are miscounted";
	if (owner >= LOCALS || !audit->image.locals[owner])
		return "a slab belongs to no local heap";
	for (uint32_t i = 1; i < c->units; i++)
		if (unit_kind(d + i) != i)
			return "a slab is not whole";
	struct sum *sum = &audit->sum[owner][class];
	sum->slots += c->slots;
	sum->vacant += d->vacant;
	sum->with_room += d->vacant > 0;
	return NULL;
}

static const char *check_run(struct audit *audit, uint32_t unit, uint32_t n, bool after_free)
{
	const struct unit *d = &audit->image.units[unit];
	unsigned kind = unit_kind(d);

	if (kind >= UNIT_SLAB)
		return check_slab(audit, unit);
	for (uint32_t i = 1; i < n; i++) {
		bool end = kind == UNIT_FREE && i == n - 1;
		if (unit_kind(d + i) != (end ? UNIT_FREE_END : UNIT_BODY) ||
		    (end && d[i].length != n))
			return "a run is not whole";
	}
	if (kind == UNIT_BIG)
		audit->big_bytes += (uint64_t)n << UNIT_SHIFT;
	if (kind == UNIT_FREE) {
		audit->free_runs++;
		if (after_free || unit + n == audit->image.top)
			return "a free run is not merged with its neighbour";
	}
	return NULL;
}

static const char *check_bins(const struct audit *audit)
{
	const struct heap_header *h = audit->image.header;
	size_t listed = 0;

	if (BINS % 64 && h->bin_map[BINS / 64] >> (BINS % 64))
		return "the map of the free runs' lists is too long";
	for (size_t bin = 0; bin < BINS; bin++) {
		if ((h->bin_map[bin / 64] >> (bin % 64) & 1) != (h->bins[bin] != 0))
			return "the map of the free runs' lists is wrong";
		uint32_t before = UNIT_NONE, unit = h->bins[bin];
		while (unit) {
			if (unit >= audit->image.top || ++listed > audit->free_runs)
				return "a list of free runs leads astray";
			const struct unit *d = &audit->image.units[unit];
			if (unit_kind(d) != UNIT_FREE || d->prev != before)
				return "a list of free runs is broken";
			if (runs_bin(d->length) != bin)
				return "a free run is in the list of another length";
			before = unit;
			unit = d->next;
		}
	}
	return listed == audit->free_runs ? NULL : "a free run is in no list";
}

static bool is_slab_of(const struct image *image, uint32_t unit, size_t owner, unsigned class)
{
	return unit < image->top && unit_kind(&image->units[unit]) == UNIT_SLAB + class &&
	       unit_owner(&image->units[unit]) == owner;
}

/* A bit for each slot that a slab of the class has in this word. */
static uint64_t slots_in(const struct image *image, unsigned class, size_t word)
{
	size_t slots = slabs_info(image->arena, class)->slots, before = word * 64;

	return slots >= before + 64 ? UINT64_MAX
	       : slots > before     ? ((uint64_t)1 << (slots - before)) - 1
				    : 0;
}

static const char *check_shelf(const struct audit *audit, size_t owner, unsigned class)
{
	const struct image *image = &audit->image;
	const struct shelf *shelf = &image->locals[owner]->shelf[class];
	const struct sum *sum = &audit->sum[owner][class];
	uint32_t listed = 0, before = UNIT_NONE;

	if (shelf->slots != sum->slots || shelf->vacant != sum->vacant)
		return "a local heap's slots are miscounted";
	if (shelf->apart && !shelf->current)
		return "a local heap has slots set apart, and no slab";
	if (shelf->current) {
		if (!is_slab_of(image, shelf->current, owner, class))
			return "a local heap takes from what is no slab of its own";
		if (shelf->word >= SLAB_WORDS ||
		    shelf->apart & ~slots_in(image, class, shelf->word))
			return "a slot is set apart that the slab does not have";
		if (shelf->apart & ~unit_bits(&image->units[shelf->current], shelf->word))
			return "a slot is both set apart and vacant";
		listed += image->units[shelf->current].vacant > 0;
	}
	for (uint32_t unit = shelf->first; unit; unit = image->units[unit].next) {
		if (!is_slab_of(image, unit, owner, class) || ++listed > sum->with_room)
			return "a list of slabs leads astray";
		const struct unit *d = &image->units[unit];
		if (d->prev != before || !d->vacant || unit == shelf->current)
			return "a list of slabs is broken";
		before = unit;
	}
	return shelf->last != before      ? "a list of slabs does not end where it should"
	       : listed != sum->with_room ? "a slab with room is in no list"
					  : NULL;
}

static const char *check_lists(const struct audit *audit)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < LOCALS; i++)
		for (unsigned c = 0; audit->image.locals[i] && c < CLASSES && !wrong; c++)
			wrong = check_shelf(audit, i, c);
	if (!wrong && audit->big_bytes != audit->image.header->big_bytes)
		wrong = "the bytes of big blocks are miscounted";
	return wrong ? wrong : check_bins(audit);
}

/* n units from this one on are the heap's own, and for nothing else. */
static bool claim(struct audit *audit, size_t unit, size_t n)
{
	if (unit > audit->image.top || n > audit->image.top - unit)
		return false;
	for (; n--; unit++) {
		uint64_t bit = (uint64_t)1 << (unit % 64);
		if (audit->claimed[unit / 64] & bit)
			return false;
		audit->claimed[unit / 64] |= bit;
	}
	return true;
}

static const char *claim_all(struct audit *audit)
{
	const struct heap_header *h = audit->image.header;
	bool fine = claim(audit, 0, heap_header_size(audit->image.arena->reserved) >> UNIT_SHIFT);

	for (size_t i = 0; fine && i < h->blocks; i++)
		fine = claim(audit, atomic_load(&h->directory[i]), DESCRIPTOR_UNITS);
	for (size_t i = 0; fine && i < LOCALS; i++)
		fine = !h->locals[i] || claim(audit, h->locals[i], 1);
	fine = fine && claim(audit, h->spares ? h->spare : 0, (size_t)h->spares * DESCRIPTOR_UNITS);
	return fine ? NULL : "parts of the heap's own lie one on the other, or beyond its end";
}

/* Whether just these n units are the heap's own. */
static bool is_claimed(const struct audit *audit, uint32_t unit, uint32_t n, bool own)
{
	for (uint32_t i = unit; i < unit + n; i++)
		if ((audit->claimed[i / 64] >> (i % 64) & 1) != own)
			return false;
	return true;
}

static int check(struct audit *audit)
{
	const struct image *image = &audit->image;
	bool after_free = false;

	audit->claimed_bytes = (image->top / 64 + 1) * sizeof *audit->claimed;
	audit->claimed = records_take(audit->claimed_bytes);
	if (!audit->claimed)
		return no_memory();
	const char *own = claim_all(audit);
	if (own)
		return damaged(image, 0, own);
	for (uint32_t unit = 0, n; unit < image->top; unit += n) {
		n = run_length(image, unit);
		const char *wrong =
		    n ? check_run(audit, unit, n, after_free) : "no run begins where one should";
		bool meta = unit_kind(&image->units[unit]) == UNIT_META;
		if (!wrong && !is_claimed(audit, unit, n, meta))
			wrong = "what the heap has for itself is in use otherwise, or not at all";
		if (wrong)
			return damaged(image, unit, wrong);
		after_free = unit_kind(&image->units[unit]) == UNIT_FREE;
	}
	for (size_t unit = image->top; unit < image->header->blocks * (size_t)DESCRIPTORS; unit++)
		if (unit_kind(&image->units[unit]) != UNIT_BODY)
			return damaged(image, unit, "something begins beyond the heap's end");
	const char *wrong = check_lists(audit);
	return wrong ? damaged(image, 0, wrong) : 0;
}

int cowarena_heap_check(cowarena *arena, cowarena_snapshot *s)
{
	int e = errno;

	arena_in_use(arena, __func__);
	snapshot_in_use(s, __func__);
	struct audit *audit = records_take(sizeof *audit);

	if (!audit)
		return no_memory();
	int result = load(&audit->image, arena, s, true) || check(audit) ? -1 : 0;
	discard(&audit->image);
	records_give(audit->claimed, audit->claimed_bytes);
	if (!result)
		errno = e;
	records_give(audit, sizeof *audit);
	return result;
}
