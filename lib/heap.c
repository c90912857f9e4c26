/* SPDX-License-Identifier: BSD-2-Clause */
/* heap.c - the allocation functions, and what they refuse. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "range.h"

#include <errno.h>
#include <string.h>

struct heap_header *heap_header(const struct cowarena *arena)
{
	return (struct heap_header *)arena->base;
}

void *heap_address(const struct cowarena *arena, uint32_t unit)
{
	return arena->base + ((size_t)unit << UNIT_SHIFT);
}

struct unit *heap_unit(const struct cowarena *arena, uint32_t unit)
{
	uint32_t block = heap_header(arena)->directory[unit / DESCRIPTORS];

	return (struct unit *)heap_address(arena, block) + unit % DESCRIPTORS;
}

static size_t header_size(size_t range)
{
	size_t entries = (range >> UNIT_SHIFT) / DESCRIPTORS + 1;

	return os_round_up(sizeof(struct heap_header) + entries * sizeof(uint32_t), UNIT_SIZE);
}

size_t heap_range(size_t capacity)
{
	/* Descriptors take 1.2 %; the rest of the 64th and a chunk are for rounding at the ends. */
	size_t range = os_round_up(capacity + capacity / 64 + ARENA_CHUNK, ARENA_CHUNK);

	return os_round_up(range + header_size(range), ARENA_CHUNK);
}

int heap_init(struct cowarena *arena)
{
	uint32_t units = (uint32_t)(header_size(arena->reserved) >> UNIT_SHIFT), blocks = 1;

	/* The header of a very large heap alone has more units than a block describes. */
	while (units + blocks * DESCRIPTOR_UNITS > blocks * DESCRIPTORS)
		blocks++;
	if (range_grow(arena, (size_t)(units + blocks * DESCRIPTOR_UNITS) << UNIT_SHIFT))
		return -1;
	pthread_mutex_init(&arena->heap.lock, NULL);
	slabs_init(&arena->heap);
	struct heap_header *h = heap_header(arena);
	h->top = units + blocks * DESCRIPTOR_UNITS;
	for (h->blocks = 0; h->blocks < blocks; h->blocks++)
		h->directory[h->blocks] = units + h->blocks * DESCRIPTOR_UNITS;
	heap_unit(arena, 0)->kind = UNIT_META;
	heap_unit(arena, units)->kind = UNIT_META;
	return 0;
}

void heap_destroy(struct cowarena *arena)
{
	pthread_mutex_destroy(&arena->heap.lock);
}

void heap_lock(struct cowarena *arena)
{
	pthread_mutex_lock(&arena->heap.lock);
}

void heap_unlock(struct cowarena *arena)
{
	pthread_mutex_unlock(&arena->heap.lock);
}

uint64_t heap_live_bytes(struct cowarena *arena)
{
	heap_lock(arena);
	uint64_t n = heap_header(arena)->live_bytes;
	heap_unlock(arena);
	return n;
}

/* ---- finding the block of a pointer ---- */

struct block {
	uint32_t unit; /* first of its run */
	int slot;      /* in a slab; -1 for a big block */
	size_t size;
};

/* Why is p not the start of a live block? Cost does not matter here. */
_Noreturn static void complain(struct cowarena *arena, const void *p, const char *function)
{
	size_t offset = (size_t)((const char *)p - arena->base);
	const char *why = "is inside a block: it must be the pointer that the allocation returned";
	char line[200];

	if (!arena_holds(arena, p, 1, atomic_load(&arena->pages))) {
		why = "does not belong to this arena";
	} else if (offset >> UNIT_SHIFT >= heap_header(arena)->top) {
		why = "was freed already, or never allocated";
	} else {
		uint32_t unit = (uint32_t)(offset >> UNIT_SHIFT);
		const struct unit *d = heap_unit(arena, unit);
		while (d->kind == UNIT_BODY)
			d = heap_unit(arena, --unit);
		if (d->kind == UNIT_SLAB_BODY)
			d = heap_unit(arena, unit -= d->length);
		if (d->kind == UNIT_FREE || d->kind == UNIT_FREE_END)
			why = "was freed already, or never allocated";
		else if (d->kind == UNIT_META)
			why = "points into the heap's own bookkeeping";
		else if (d->kind == UNIT_SLAB) {
			size_t within =
			    (size_t)((const char *)p - (char *)heap_address(arena, unit));
			if (within % slabs_class_size(d->class) == 0)
				why = "was freed already, or never allocated";
		}
	}
	snprintf(line, sizeof line, "%s: the pointer %s", function, why);
	error_fatal(line, p);
}

static struct block find(struct cowarena *arena, const void *p, const char *function)
{
	struct heap_header *h = heap_header(arena);
	size_t offset = (size_t)((const char *)p - arena->base); /* huge when p lies below */

	if (offset >> UNIT_SHIFT >= h->top)
		complain(arena, p, function);
	uint32_t unit = (uint32_t)(offset >> UNIT_SHIFT);
	const struct unit *d = heap_unit(arena, unit);
	if (d->kind == UNIT_SLAB_BODY) {
		unit -= d->length;
		d = heap_unit(arena, unit);
	}
	if (d->kind == UNIT_SLAB) {
		int slot = slabs_slot(arena, unit, p);
		if (slot >= 0)
			return (struct block){unit, slot, slabs_class_size(d->class)};
	} else if (d->kind == UNIT_BIG && offset % UNIT_SIZE == 0) {
		return (struct block){unit, -1, (size_t)d->length << UNIT_SHIFT};
	}
	complain(arena, p, function);
}

/* ---- allocating, heap lock held ---- */

static void *take(struct cowarena *arena, size_t size, size_t align)
{
	struct heap_header *h = heap_header(arena);
	void *p;

	/* A slot is aligned as its size is, up to a unit: look for a class that suits. */
	if (align <= UNIT_SIZE && size <= SMALL_MAX && align <= SMALL_MAX) {
		unsigned class = slabs_class(size > align ? size : align);
		while (class < CLASSES && slabs_class_size(class) % align)
			class ++;
		if (class < CLASSES) {
			p = slabs_take(arena, class);
			if (p)
				h->live_bytes += slabs_class_size(class);
			return p;
		}
	}
	if (size > arena->reserved)
		return error_null(
		    ENOMEM,
		    "%zu bytes are more than the arena's capacity: create it with a larger "
		    "options.capacity",
		    size);
	size_t n = size ? (size + UNIT_SIZE - 1) >> UNIT_SHIFT : 1;
	uint32_t unit = runs_take(arena, n, align > UNIT_SIZE ? align : UNIT_SIZE);
	if (!unit)
		return NULL;
	struct unit *d = heap_unit(arena, unit);
	d->kind = UNIT_BIG;
	d->length = (uint32_t)n;
	h->live_bytes += n << UNIT_SHIFT;
	return heap_address(arena, unit);
}

static void give(struct cowarena *arena, struct block b)
{
	heap_header(arena)->live_bytes -= b.size;
	if (b.slot >= 0)
		slabs_give(arena, b.unit, b.slot);
	else
		runs_give(arena, b.unit, (uint32_t)(b.size >> UNIT_SHIFT));
}

static void *allocate(struct cowarena *arena, size_t size, size_t align)
{
	if (!arena)
		return error_null(EINVAL, "arena is NULL");
	int e = errno;
	heap_lock(arena);
	void *p = take(arena, size, align);
	heap_unlock(arena);
	if (p)
		errno = e;
	return p;
}

void *cowarena_alloc(cowarena *arena, size_t size)
{
	return allocate(arena, size, 16);
}

void *cowarena_aligned_alloc(cowarena *arena, size_t alignment, size_t size)
{
	if (!alignment || alignment & (alignment - 1))
		return error_null(EINVAL, "alignment %zu is not a power of two", alignment);
	return allocate(arena, size, alignment < 16 ? 16 : alignment);
}

void *cowarena_calloc(cowarena *arena, size_t n, size_t size)
{
	size_t bytes;

	if (!arena)
		return error_null(EINVAL, "arena is NULL");
	if (__builtin_mul_overflow(n, size, &bytes))
		return error_null(ENOMEM, "%zu times %zu bytes overflow", n, size);
	int e = errno;
	heap_lock(arena);
	/* What has never been in use is zero, and must not be touched only to say so. */
	char *fresh = arena_address(arena, atomic_load(&arena->pages));
	char *p = take(arena, bytes, 16);
	heap_unlock(arena);
	if (!p)
		return NULL;
	if (p < fresh)
		memset(p, 0, (size_t)(fresh - p) < bytes ? (size_t)(fresh - p) : bytes);
	errno = e;
	return p;
}

/* Whether the block can be made to fit in place, heap lock held; block->size is the new size
   then. */
static bool resize(struct cowarena *arena, struct block *b, size_t size)
{
	if (b->slot >= 0)
		return size <= SMALL_MAX && slabs_class_size(slabs_class(size)) == b->size;
	if (size <= SMALL_MAX || size > arena->reserved)
		return false;
	uint32_t from = (uint32_t)(b->size >> UNIT_SHIFT);
	uint32_t to = (uint32_t)((size + UNIT_SIZE - 1) >> UNIT_SHIFT);
	if (!runs_resize(arena, b->unit, from, to))
		return false;
	heap_header(arena)->live_bytes += ((uint64_t)to << UNIT_SHIFT) - b->size;
	return true;
}

void *cowarena_realloc(cowarena *arena, void *p, size_t size)
{
	if (!p)
		return cowarena_alloc(arena, size);
	if (!arena)
		return error_null(EINVAL, "arena is NULL");
	if (!size) {
		cowarena_free(arena, p);
		return NULL;
	}
	int e = errno;
	heap_lock(arena);
	struct block b = find(arena, p, "cowarena_realloc");
	size_t old = b.size;
	if (resize(arena, &b, size)) {
		heap_unlock(arena);
		errno = e;
		return p;
	}
	void *q = take(arena, size, 16);
	heap_unlock(arena);
	if (!q)
		return NULL;
	/* Without the lock: the copy may take many faults. The old block is still the caller's. */
	memcpy(q, p, old < size ? old : size);
	cowarena_free(arena, p);
	errno = e;
	return q;
}

void cowarena_free(cowarena *arena, void *p)
{
	int e = errno;

	if (!arena || !p)
		return;
	heap_lock(arena);
	give(arena, find(arena, p, "cowarena_free"));
	heap_unlock(arena);
	errno = e;
}

size_t cowarena_usable_size(cowarena *arena, const void *p)
{
	if (!arena || !p)
		return 0;
	heap_lock(arena);
	struct block b = find(arena, p, "cowarena_usable_size");
	heap_unlock(arena);
	return b.size;
}

char *cowarena_strdup(cowarena *arena, const char *s)
{
	if (!s)
		return error_null(EINVAL, "s is NULL");
	size_t n = strlen(s) + 1;
	char *p = cowarena_alloc(arena, n);
	return p ? memcpy(p, s, n) : NULL;
}

/* ---- the root ---- */

void *const *heap_root_address(const struct cowarena *arena)
{
	return &heap_header(arena)->root;
}

int cowarena_set_root(cowarena *arena, void *root)
{
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (root && !cowarena_contains(arena, root))
		return error_set(EINVAL, "the root must point into the arena, or be NULL");
	heap_header(arena)->root = root;
	return 0;
}

void *cowarena_root(const cowarena *arena)
{
	return arena ? heap_header(arena)->root : error_null(EINVAL, "arena is NULL");
}

bool cowarena_contains(const cowarena *arena, const void *p)
{
	return arena && p && (const char *)p >= arena->base &&
	       arena_holds(arena, p, 1, atomic_load_explicit(&arena->pages, memory_order_acquire));
}
