/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.h - the heap inside an arena.
 *
 * The arena is divided into units of 4 KiB (whatever the system's page size). Runs of units are
 * handed out by heap-runs.c; a run is a big block, or a slab: slots of one size class (heap-
 * slabs.c).
 *
 *	unit 0        header: root, top, heads of the lists, and the directory
 *	...           descriptors of the units, in blocks of 512 (6 units each); the directory
 *	              says where each block is
 *	...           runs
 *	top           what lies above has never been used, or not since a rollback
 *
 * All of this lies in the arena, so that rollback, views and saved images carry it; none of it
 * lies in or beside a user's block, so that freeing one dirties a descriptor and the header, never
 * a page of user data, and descriptors of 170 MiB of heap fit in... 2 MiB. Numbers, not pointers:
 * 32-bit unit numbers.
 *
 * Protected by the heap lock, a plain mutex: the fault handler never takes it, so that this code
 * may fault like any other. cowarena_snapshot_take() holds it, so a snapshot never has a half-
 * changed heap.
 */
#ifndef COWARENA_HEAP_H
#define COWARENA_HEAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;

#define UNIT_SHIFT 12
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)
#define UNIT_NONE 0u /* unit 0 is the header, never in a list */

#define DESCRIPTORS 512 /* in a block */
#define DESCRIPTOR_UNITS 6

#define CLASSES 36
#define SMALL_MAX ((size_t)16384) /* the largest size class */
#define SLAB_SLOTS_MAX 256

#define BINS 96 /* of free runs: one for each length below 64, then one for each doubling */

enum unit_kind {
	UNIT_BODY = 0,  /* inside a run, or never used */
	UNIT_FREE,      /* first of a free run */
	UNIT_FREE_END,  /* last of a free run of two or more */
	UNIT_BIG,       /* first of a big block */
	UNIT_SLAB,      /* first of a slab */
	UNIT_SLAB_BODY, /* not first in a slab; `length` is how far back the first one is */
	UNIT_META       /* first of the heap's own */
};

/* One for each unit. What matters is said in the first descriptor of a run, and in the last of
   a free one. */
struct unit {
	uint8_t kind;
	uint8_t class;       /* slabs */
	uint16_t vacant;     /* slabs: free slots */
	uint32_t length;     /* of the run */
	uint32_t next, prev; /* free runs of a bin; slabs of a class with a vacant slot */
	uint64_t
	    used[SLAB_SLOTS_MAX / 64]; /* slabs: a bit a slot; bits beyond the last slot are set */
};

_Static_assert(sizeof(struct unit) * DESCRIPTORS == DESCRIPTOR_UNITS * UNIT_SIZE,
	       "blocks are dense");

/* At the arena's base. */
struct heap_header {
	void *root;
	uint64_t live_bytes;
	uint32_t top;           /* units */
	uint32_t blocks;        /* descriptor blocks in the directory */
	uint32_t spare, spares; /* descriptor blocks set apart: first unit of the next, how many */
	uint32_t slabs[CLASSES];
	uint64_t bin_map[(BINS + 63) / 64];
	uint32_t bins[BINS];
	uint32_t directory[]; /* first unit of each descriptor block */
};

/* The part that is not in the arena: nothing here changes what the heap holds. */
struct heap {
	pthread_mutex_t lock;
	uint8_t slab_units[CLASSES];
};

/* Bytes of address space for a heap with blocks of `capacity` bytes; a multiple of ARENA_CHUNK. */
size_t heap_range(size_t capacity);

/* Make an empty heap. -1 with errno and message. */
int heap_init(struct cowarena *arena);
void heap_destroy(struct cowarena *arena);

void heap_lock(struct cowarena *arena);
void heap_unlock(struct cowarena *arena);

uint64_t heap_live_bytes(struct cowarena *arena);

/* Where the root is kept. */
void *const *heap_root_address(const struct cowarena *arena);

/* ---- between the heap's files; heap lock held ---- */

struct heap_header *heap_header(const struct cowarena *arena);
struct unit *heap_unit(const struct cowarena *arena, uint32_t unit);
void *heap_address(const struct cowarena *arena, uint32_t unit);

/* heap-runs.c. A run of n units, the first at a multiple of `align` bytes (a power of two,
   UNIT_SIZE at least) in the address space. UNIT_NONE with errno and message. The caller sets the
   kind. */
uint32_t runs_take(struct cowarena *arena, size_t n, size_t align);
void runs_give(struct cowarena *arena, uint32_t unit, uint32_t n);
/* Make a run of `from` units one of `to` units, in place. False when its neighbour is in use. */
bool runs_resize(struct cowarena *arena, uint32_t unit, uint32_t from, uint32_t to);

/* heap-slabs.c. */
unsigned slabs_class(size_t size);
size_t slabs_class_size(unsigned class);
void slabs_init(struct heap *heap);
void *slabs_take(struct cowarena *arena, unsigned class);
/* The slot's number in the slab, -1 when p is not the start of a slot that is in use. */
int slabs_slot(struct cowarena *arena, uint32_t slab, const void *p);
void slabs_give(struct cowarena *arena, uint32_t slab, int slot);

#endif
