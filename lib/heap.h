/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.h - the heap inside an arena.
 *
 * The arena is divided into units of 4 KiB (whatever the system's page size). heap-runs.c hands out
 * runs of units. A run is a big block, or a slab: slots of one size class (heap-slabs.c).
 *
 *	unit 0        header: root, top, heads of the lists, and the directory
 *	...           descriptors of the units, in blocks of 512 (6 units each); the directory
 *	              says where each block is
 *	...           runs
 *	top           what lies above has never been used, or not since a rollback
 *
 * All of this lies in the arena, so that rollback, views and saved images carry it. None of it lies
 * in or beside a user's block, so that freeing a block dirties a descriptor and the header, never a
 * page of user data; the descriptors of 170 MiB of heap fit in 2 MiB. Links are 32-bit unit
 * numbers, not pointers.
 *
 * Each thread has a local heap: slabs of its own, in which it allocates and frees without a lock
 * (heap-locals.h tells how other threads are kept out). Everything else is protected by the heap
 * lock, a plain mutex: the fault handler never takes it, so this code may fault like any other.
 * cowarena_snapshot_take() stops the local heaps and holds the lock, so a snapshot never has a
 * half-changed heap.
 */
#ifndef COWARENA_HEAP_H
#define COWARENA_HEAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;
struct local;

#define UNIT_SHIFT 12
#define UNIT_SIZE ((size_t)1 << UNIT_SHIFT)
#define UNIT_NONE 0u /* unit 0 is the header, never in a list */

#define DESCRIPTORS 512 /* in a block */
#define DESCRIPTOR_UNITS 6

#define CLASSES 64
#define SMALL_MAX ((size_t)16384) /* the largest size class */
#define SLAB_SLOTS_MAX 256
#define SLAB_UNITS_MAX 32
#define SLAB_WORDS (SLAB_SLOTS_MAX / 64)

#define BINS 96 /* of free runs: one for each length below 64, then one for each doubling */

#define LOCALS 64 /* local heaps; no thread owns the first one */

enum unit_kind {
	UNIT_BODY = 0, /* inside a run, or never used */
	/* 1 to SLAB_UNITS_MAX - 1: inside a slab, so many units behind its first */
	UNIT_FREE = 32, /* first of a free run */
	UNIT_FREE_END,  /* last of a free run of two or more */
	UNIT_BIG,       /* first of a big block */
	UNIT_META,      /* first of a run of the heap's own */
	UNIT_SLAB = 64  /* first of a slab; the class is added to it */
};

/*
 * The descriptor of a unit. The first descriptor of a run, and the last one of a free run, hold the
 * run's data. A thread may look at the kind, owner and bits of a slab with a block of its own,
 * while the slab's owner is at work on the rest.
 */
struct unit {
	_Atomic uint8_t kind;
	_Atomic uint8_t owner; /* slabs: whose local heap it belongs to */
	uint16_t vacant;       /* slabs: free slots */
	union {
		uint32_t length; /* of the run */
		uint32_t epoch;  /* slabs: epoch in which slots were last handed out */
	};
	uint32_t next, prev; /* free runs of a bin; slabs of a class with a vacant slot */
	/* slabs: a bit a slot; bits beyond the last slot are set */
	_Atomic uint64_t used[SLAB_WORDS];
};

_Static_assert(sizeof(struct unit) * DESCRIPTORS == DESCRIPTOR_UNITS * UNIT_SIZE,
	       "blocks are dense");

/*
 * A thread's slabs of one size class. Slots are set apart one word of the bitmap at a time: from
 * then on the slab counts them as used, and `apart` has those that have not been handed out yet.
 */
struct shelf {
	uint64_t apart; /* a bit for each slot, in word `word` of the current slab */
	uint32_t epoch; /* epoch in which they were set apart */
	uint32_t word;
	uint32_t current;     /* where slots are taken from; in no list */
	uint32_t first, last; /* other slabs with a vacant slot; the last freed from is last */
	uint32_t slots;       /* in all its slabs, full ones too */
	uint32_t vacant;      /* vacant ones among these, without those set apart */
};

/* The shelves of a local heap; they take a unit of their own. */
struct local_heap {
	struct shelf shelf[CLASSES];
};

_Static_assert(sizeof(struct local_heap) <= UNIT_SIZE, "a local heap fits");

/* At the arena's base. */
struct heap_header {
	void *root;
	uint64_t big_bytes;     /* live */
	_Atomic uint32_t top;   /* units */
	uint32_t blocks;        /* descriptor blocks in the directory */
	uint32_t spare, spares; /* descriptor blocks set apart: first unit of the next, how many */
	uint32_t locals[LOCALS];
	uint64_t bin_map[(BINS + 63) / 64];
	uint32_t bins[BINS];
	_Atomic uint32_t directory[]; /* first unit of each descriptor block */
};

/* A size class. */
struct class
{
	uint32_t size;         /* bytes */
	uint32_t reciprocal;   /* 2^32 / size, rounded up: divides offsets in a slab */
	uint16_t slots, units; /* of a slab */
};

/* The part of the heap that is not in the arena: nothing here changes what the heap holds. */
struct heap {
	pthread_mutex_t lock;
	uint64_t key;   /* no other heap has had it */
	uint32_t epoch; /* as in the slabs */
	struct class classes[CLASSES];
	struct local *locals[LOCALS]; /* as in the header; NULL for none yet */
};

/* Bytes of address space for a heap with blocks of `capacity` bytes: whole chunks. */
size_t heap_range(size_t capacity);

/* Bytes at the beginning of such a range for the header. */
size_t heap_header_size(size_t range);

/* Make an empty heap. -1 with errno and message. */
int heap_init(struct cowarena *arena);
void heap_destroy(struct cowarena *arena);

/*
 * From now on no thread finds a block, or a local heap: every function of the heap comes to where
 * the arena is checked first. Called when the arena is destroyed, or in a child of fork(), which
 * does not have the arena's memory. This changes arena->base.
 */
void heap_shut(struct cowarena *arena);

/* heap_stop() takes the heap lock and brings the heap to rest: no thread is in it, no block is on
   its way. heap_go() undoes that. */
void heap_stop(struct cowarena *arena);
void heap_go(struct cowarena *arena);

/* Between heap_stop() and heap_go(): a rollback has replaced the arena's memory; a snapshot was
   taken. */
void heap_replaced(struct cowarena *arena);
void heap_cut(struct cowarena *arena);

/* Tell Valgrind and ASan which memory is in a block, after the memory has been replaced or moved
   in. */
void heap_track(struct cowarena *arena);

/* In a child of fork(), which does not have the parent's other threads. */
void heap_inherit(struct cowarena *arena);
/* The child has its copy of the memory: maybe of another instant than the fork, so with other local
   heaps. -1 with errno and message. */
int heap_attached(struct cowarena *arena);

uint64_t heap_live_bytes(struct cowarena *arena);

/* A number for how this version lays a heap out: another number, another layout. */
uint64_t heap_layout(const struct cowarena *arena);

/* Where the root is kept. */
void *const *heap_root_address(const struct cowarena *arena);

/* ---- between the heap's files; heap lock held, unless said otherwise ---- */

/* heap-lock.c */
void heap_lock(struct cowarena *arena);
void heap_unlock(struct cowarena *arena);

/* heap-runs.c. Take a run of n units, the first at an address that is a multiple of `align` (a
   power of two, at least UNIT_SIZE). UNIT_NONE with errno and message. The caller sets the kind. */
uint32_t runs_take(struct cowarena *arena, size_t n, size_t align);
void runs_give(struct cowarena *arena, uint32_t unit, uint32_t n);
/* The list for free runs of n units. */
unsigned runs_bin(uint32_t n);
/* Resize a run in place. False when its neighbour is in use. */
bool runs_resize(struct cowarena *arena, uint32_t unit, uint32_t from, uint32_t to);

/* heap-trim.c. Give back the memory of a run that is free, or above the top, where no snapshot
   needs it. */
void heap_trim_units(struct cowarena *arena, uint32_t unit, uint32_t n);

#endif
