/* SPDX-License-Identifier: BSD-2-Clause */
/* heap.c - the allocation functions. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "heap-blocks.h"
#include "heap-locals.h"
#include "heap-slabs.h"
#include "objects.h"
#include "range.h"
#include "track.h"

#include <errno.h>
#include <string.h>

size_t heap_header_size(size_t range)
{
	size_t entries = (range >> UNIT_SHIFT) / DESCRIPTORS + 1;

	return os_round_up(sizeof(struct heap_header) + entries * sizeof(uint32_t), UNIT_SIZE);
}

size_t heap_range(size_t capacity)
{
	/* Descriptors take 1.2 %; the rest of the 64th and a chunk are for rounding at the ends. */
	size_t chunk = chunks_size();
	size_t range = os_round_up(capacity + capacity / 64 + chunk, chunk);

	return os_round_up(range + heap_header_size(range), chunk);
}

int heap_init(struct cowarena *arena)
{
	uint32_t units = (uint32_t)(heap_header_size(arena->reserved) >> UNIT_SHIFT), blocks = 1;

	/* The header of a very large heap alone has more units than a block describes. */
	while (units + blocks * DESCRIPTOR_UNITS > blocks * DESCRIPTORS)
		blocks++;
	if (range_grow(arena, (size_t)(units + blocks * DESCRIPTOR_UNITS) << UNIT_SHIFT))
		return -1;
	pthread_mutex_init(&arena->heap.lock, NULL);
	slabs_init(&arena->heap);
	struct heap_header *h = heap_header(arena);
	atomic_store(&h->top, units + blocks * DESCRIPTOR_UNITS);
	for (h->blocks = 0; h->blocks < blocks; h->blocks++)
		atomic_store(&h->directory[h->blocks], units + h->blocks * DESCRIPTOR_UNITS);
	unit_set_kind(heap_unit(arena, 0), UNIT_META);
	unit_set_kind(heap_unit(arena, units), UNIT_META);
	heap_cut(arena);
	if (locals_init(arena) == 0)
		return 0;
	heap_destroy(arena);
	return error_set(ENOMEM, "no memory for the heap's own records: " ERROR_NO_ROOM);
}

void heap_destroy(struct cowarena *arena)
{
	/* Memory that is mapped there next is not the arena's. */
	track_defined(arena->base, atomic_load(&arena->pages) << arena->page_shift);
	locals_destroy(arena);
	pthread_mutex_destroy(&arena->heap.lock);
}

/* A heap without a unit. */
static struct heap_header nothing;

void heap_shut(struct cowarena *arena)
{
	arena->is_shut = true;
	arena->base = (char *)&nothing;
	locals_leave(arena);
}

uint64_t heap_layout(const struct cowarena *arena)
{
	const size_t numbers[] = {UNIT_SHIFT,
				  DESCRIPTORS,
				  CLASSES,
				  SLAB_SLOTS_MAX,
				  BINS,
				  LOCALS,
				  UNIT_SLAB,
				  sizeof(struct unit),
				  sizeof(void *),
				  sizeof(struct local_heap),
				  offsetof(struct heap_header, directory)};
	uint64_t sum = 0;

	/* Multiply and add, as a hash of strings does: no number takes the place of another. */
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sum = sum * 0x9e3779b185ebca87u + numbers[i];
	for (unsigned c = 0; c < CLASSES; c++) {
		const struct class *class = slabs_info(arena, c);
		sum = sum * 0x9e3779b185ebca87u + class->size;
		sum = sum * 0x9e3779b185ebca87u + class->units;
	}
	return sum;
}

static uint64_t live_slots(const struct shelf *shelf)
{
	return shelf->slots - shelf->vacant - (uint64_t)__builtin_popcountll(shelf->apart);
}

uint64_t heap_live_bytes(struct cowarena *arena)
{
	heap_stop(arena);
	uint64_t n = heap_header(arena)->big_bytes;
	for (size_t i = 0; i < LOCALS; i++) {
		const struct local *l = arena->heap.locals[i];
		for (unsigned c = 0; l && l->heap && c < CLASSES; c++)
			n += live_slots(&l->heap->shelf[c]) * slabs_info(arena, c)->size;
	}
	heap_go(arena);
	return n;
}

/* Whether the slot has only been set apart. The calling thread need not own the slab; false where
   it cannot tell. */
static bool seems_apart(struct cowarena *arena, struct block b)
{
	struct local *l = local_enter(arena);
	bool apart = false;

	if (l) {
		apart = b.owner == l->index && block_is_apart(l->heap, b);
		local_leave(l);
	} else if (track_is_active()) {
		heap_lock(arena);
		apart = block_is_apart(arena->heap.locals[b.owner]->heap, b);
		heap_unlock(arena);
	}
	return apart;
}

static struct block find_live(struct cowarena *arena, const void *p, const char *function)
{
	struct block b = block_find(arena, p, function);

	if (b.slot >= 0 && seems_apart(arena, b))
		block_complain(arena, p, function);
	return b;
}

/* ---- allocating ---- */

#define NO_CLASS CLASSES

/* The class for a block, or NO_CLASS. A slot is aligned as its size is, up to a unit. */
static inline unsigned class_for(const struct cowarena *arena, size_t size, size_t align)
{
	if (align == 16)
		return size <= SMALL_MAX ? slabs_class(size) : NO_CLASS;
	if (align > UNIT_SIZE || size > SMALL_MAX)
		return NO_CLASS;
	unsigned class = slabs_class(size > align ? size : align);
	while (class < CLASSES && slabs_info(arena, class)->size % align)
		class ++;
	return class;
}

/* Heap lock held. */
static bool new_slab(struct cowarena *arena, struct local *l, unsigned class)
{
	locals_empty_left_behind(arena); /* slabs_new() may take a slab of one of these */
	return slabs_new(arena, l, class);
}

/* Heap lock held. */
static void *take_small(struct cowarena *arena, unsigned class)
{
	struct local *l = local_mine(arena);
	void *p = slabs_take(arena, l->heap, class);

	if (p)
		return p;
	local_empty_box(arena, l);
	if (!slabs_refill(arena, l->heap, class, false) && !new_slab(arena, l, class)) {
		int e = errno;
		if (!slabs_refill(arena, l->heap, class, true))
			return NULL;
		errno = e;
	}
	return slabs_take(arena, l->heap, class);
}

/* Heap lock held. */
static void *take_big(struct cowarena *arena, size_t size, size_t align)
{
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
	unit_set_kind(d, UNIT_BIG);
	d->length = (uint32_t)n;
	heap_header(arena)->big_bytes += n << UNIT_SHIFT;
	return heap_address(arena, unit);
}

/* Allocate with the heap lock. fresh, if not NULL, is set to where memory that has never been in
   use began before the call: that memory is zero. */
__attribute__((noinline)) static void *allocate_locked(struct cowarena *arena, size_t size,
						       size_t align, char **fresh)
{
	arena_in_use(arena, "cowarena_alloc");
	unsigned class = class_for(arena, size, align);
	int e = errno;

	heap_lock(arena);
	if (fresh)
		*fresh = arena_address(arena, atomic_load(&arena->pages));
	void *p = class < CLASSES ? take_small(arena, class) : take_big(arena, size, align);
	if (p && track_is_active())
		track_allocated(p, block_find(arena, p, "cowarena_alloc").size);
	heap_unlock(arena);
	if (p)
		errno = e;
	return p;
}

/* Allocate without a lock, from the thread's own slabs; NULL if that is not possible. */
static inline void *allocate_here(struct cowarena *arena, unsigned class)
{
	struct local *l = class < CLASSES ? local_enter(arena) : NULL;

	if (!l)
		return NULL;
	void *p = slabs_take(arena, l->heap, class);
	if (!p && !local_is_filling(l) && slabs_refill(arena, l->heap, class, false))
		p = slabs_take(arena, l->heap, class);
	local_leave(l);
	return p;
}

static inline void *allocate(struct cowarena *arena, size_t size, size_t align)
{
	void *p = allocate_here(arena, class_for(arena, size, align));

	return p ? p : allocate_locked(arena, size, align, NULL);
}

void *cowarena_alloc(cowarena *arena, size_t size)
{
	if (!arena)
		return error_null(EINVAL, "arena is NULL");
	return allocate(arena, size, 16);
}

void *cowarena_aligned_alloc(cowarena *arena, size_t alignment, size_t size)
{
	if (!arena)
		return error_null(EINVAL, "arena is NULL");
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
	char *p = allocate_here(arena, class_for(arena, bytes, 16));
	if (p)
		return memset(p, 0, bytes);
	char *fresh;
	p = allocate_locked(arena, bytes, 16, &fresh);
	/* Do not touch memory that has never been in use: it is zero already. */
	if (p)
		track_defined(p, bytes);
	if (p && p < fresh)
		memset(p, 0, (size_t)(fresh - p) < bytes ? (size_t)(fresh - p) : bytes);
	return p;
}

/* ---- freeing ---- */

/* The memory of a block of this size goes back at once. The memory that a growing block leaves
   behind is likely to be wanted soon, so it stays, up to the size from which glibc maps each block,
   whatever it is used for (DEFAULT_MMAP_THRESHOLD_MAX). */
#define TRIM_FREED ((size_t)2 << 20)
#define TRIM_OUTGROWN ((size_t)32 << 20)

/* Heap lock held. */
static void free_small(struct cowarena *arena, uint8_t owner, void *p)
{
	struct local *mine = local_mine(arena), *l = arena->heap.locals[owner];

	if (l != mine)
		local_stop(arena, l);
	block_free(arena, l, p);
	if (l != mine)
		local_go(l);
}

__attribute__((noinline)) static void free_locked(struct cowarena *arena, void *p, size_t huge)
{
	int e = errno;

	heap_lock(arena);
	/* Look again: the slab may have another owner by now. */
	struct block b = block_find(arena, p, "cowarena_free");
	track_freed(p, b.size);
	if (b.slot >= 0) {
		free_small(arena, b.owner, p);
	} else {
		uint32_t n = (uint32_t)(b.size >> UNIT_SHIFT);
		heap_header(arena)->big_bytes -= b.size;
		runs_give(arena, b.unit, n);
		if (b.size >= huge && !(arena->flags & COWARENA_FAITHFUL))
			heap_trim_units(arena, b.unit, n);
	}
	heap_unlock(arena);
	errno = e;
}

__attribute__((noinline)) static void give_back(struct cowarena *arena, uint32_t slab)
{
	int e = errno;

	heap_lock(arena);
	slabs_give_back(arena, local_mine(arena), slab);
	heap_unlock(arena);
	errno = e;
}

void cowarena_free(cowarena *arena, void *p)
{
	if (!arena || !p)
		return;
	struct block b = block_find(arena, p, "cowarena_free");
	if (b.slot < 0) {
		free_locked(arena, p, TRIM_FREED);
		return;
	}
	struct local *l = local_enter(arena);
	if (l && b.owner == l->index) {
		if (block_is_apart(l->heap, b))
			block_complain(arena, p, "cowarena_free");
		bool empty = slabs_give(arena, l->heap, b.class, b.unit, (unsigned)b.slot);
		local_leave(l);
		if (empty)
			give_back(arena, b.unit);
		return;
	}
	if (l)
		local_leave(l);
	if (!local_send(arena, heap_unit(arena, b.unit), b.owner, p))
		free_locked(arena, p, TRIM_FREED);
}

/* ---- resizing ---- */

static void track_resized(char *p, size_t old, size_t size)
{
	if (size > old)
		track_allocated(p + old, size - old);
	else
		track_freed(p + size, old - size);
}

/* Try to resize the big block in place. */
static bool resize_big(struct cowarena *arena, struct block b, size_t size)
{
	uint32_t from = (uint32_t)(b.size >> UNIT_SHIFT);

	if (size <= SMALL_MAX || size > arena->reserved)
		return false;
	uint32_t to = (uint32_t)((size + UNIT_SIZE - 1) >> UNIT_SHIFT);
	if (to == from)
		return true;
	int e = errno;
	heap_lock(arena);
	bool done = runs_resize(arena, b.unit, from, to);
	if (done)
		track_resized(heap_address(arena, b.unit), b.size, (size_t)to << UNIT_SHIFT);
	if (done)
		heap_header(arena)->big_bytes += ((uint64_t)to << UNIT_SHIFT) - b.size;
	heap_unlock(arena);
	errno = e;
	return done;
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
	struct block b = find_live(arena, p, "cowarena_realloc");
	if (b.slot >= 0 ? size <= SMALL_MAX && slabs_info(arena, slabs_class(size))->size == b.size
			: resize_big(arena, b, size))
		return p;
	/* The copy may take many faults. The old block is still the caller's. */
	void *q = allocate(arena, size, 16);
	if (!q)
		return NULL;
	memcpy(q, p, b.size < size ? b.size : size);
	if (b.slot < 0)
		free_locked(arena, p, TRIM_OUTGROWN);
	else
		cowarena_free(arena, p);
	return q;
}

void *cowarena_realloc_cb(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)osize;
	if (!nsize) {
		cowarena_free(ud, ptr);
		return NULL;
	}
	void *p = cowarena_realloc(ud, ptr, nsize);
	/* Shrinking must not fail. */
	return !p && ptr && nsize <= cowarena_usable_size(ud, ptr) ? ptr : p;
}

size_t cowarena_usable_size(cowarena *arena, const void *p)
{
	return arena && p ? find_live(arena, p, "cowarena_usable_size").size : 0;
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
	arena_in_use(arena, __func__);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (root && !cowarena_contains(arena, root))
		return error_set(EINVAL, "the root must point into the arena, or be NULL");
	heap_header(arena)->root = root;
	return 0;
}

void *cowarena_root(const cowarena *arena)
{
	arena_in_use(arena, __func__);
	return arena ? heap_header(arena)->root : error_null(EINVAL, "arena is NULL");
}

bool cowarena_contains(const cowarena *arena, const void *p)
{
	if (!arena || !p)
		return false;
	objects_check_fast(arena, MARK_ARENA, __func__);
	const char *base = arena->is_shut ? arena->fork_base : arena->base;
	size_t n = atomic_load_explicit(&arena->pages, memory_order_acquire) << arena->page_shift;
	return (size_t)((const char *)p - base) < n;
}
