/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena.h - the object that everything hangs on.
 *
 * Layout of the address range:
 *
 *	base                 pages in use         committed             reserved
 *	|--- heap: armed or writable ---|--- writable, unused ---|--- inaccessible ---|
 *
 * The marks only ever grow: after a rollback the heap's own top is lower, but snapshots may still
 * need the pages above it. In faithful mode there is no unused part.
 */
#ifndef COWARENA_ARENA_H
#define COWARENA_ARENA_H

#include "chunks.h"
#include "cowarena.h"
#include "engine.h"
#include "frames.h"
#include "gate.h"
#include "heap.h"
#include "helper.h"
#include "lock.h"
#include "pagetable.h"
#include "private.h"
#include "rearm.h"
#include "stats.h"
#include "streams.h"
#include "timeline.h"

struct lazy;
struct trap_span;

struct cowarena {
	_Atomic uint32_t mark; /* objects.h */
	bool is_shut;          /* heap_shut() */
	/* Constant after creation. */
	char *base;
	char *past; /* the base, or a second mapping of the heap's file (private.h) */
	size_t page_shift;
	size_t reserved; /* bytes */
	unsigned flags, limit_policy;
	size_t copy_ahead;           /* the most pages that one fault copies */
	const struct engine *engine; /* changed by engine_renew() alone, with the gate closed */
	struct engine_state *engine_state; /* private to the engines */
	struct os_file file;               /* the memory */
	struct os_file
	    poke; /* os_poke_open(), if that works; opened with the first read-only view */
	_Atomic bool poke_tried;
	struct trap_span *trap;

	/* Grow only; written under the heap lock. */
	_Atomic size_t pages; /* in use: the high-water mark */
	size_t committed;     /* in pages */

	struct cowarena *arenas_next; /* in the list of arenas.h */
	/* Used while the process forks: whether the child gets a copy, and of which snapshot. */
	bool is_copied;
	struct cowarena_snapshot *fork_snapshot;
	bool holds_place;   /* range_hold_place() */
	bool file_is_whole; /* the file is what the heap is: a child may copy it */
	char *fork_base;    /* the base, while the heap is shut */
	/* In the child, while its copy is being made: the engine that the child will have, and the
	   parent's file. */
	const struct engine *fork_engine;
	struct os_file fork_file;

	struct lazy *lazy; /* lazy.h; NULL: all memory has been there from the beginning */
	_Atomic bool has_absent;
	struct helper helper;
	size_t mapping_limit;

	/* Arming or disarming has failed half-way since the last cut: pages that should be writable
	   may be armed. */
	_Atomic bool half_armed;

	bool debug; /* debug.h */

	/* Changed with the gate closed, so that code inside the gate sees a matching pair. */
	cowarena_page_fn *on_page;
	void *on_page_ctx;

	struct heap heap;
	struct lock snapshots; /* "the snapshot lock", see timeline.h */
	struct gate gate;
	struct pagetable table;
	struct chunks chunks;
	struct frames frames;
	struct timeline timeline;
	struct streams streams;
	struct rearm rearm;
	struct privates privates;
	struct counters counters;
};

/* Create an arena, of options that were checked, in its first epoch, 1 or later. range: of exactly
   so many bytes, instead of the capacity in the options. The caller adds it to the list of all
   arenas. NULL with errno and message. */
struct cowarena *arena_create(const struct cowarena_options *options, size_t range, uint64_t epoch);

static inline size_t arena_page_size(const struct cowarena *a)
{
	return (size_t)1 << a->page_shift;
}

static inline char *arena_address(const struct cowarena *a, size_t page)
{
	return a->base + (page << a->page_shift);
}

/* Where snapshots read what has not changed since: the heap's file, by a mapping through which no
   program writes. */
static inline char *arena_past(const struct cowarena *a, size_t page)
{
	return a->past + (page << a->page_shift);
}

/* Pages in use. Acquire: pairs with range_grow(). */
static inline size_t arena_pages(const struct cowarena *a)
{
	return atomic_load_explicit(&a->pages, memory_order_acquire);
}

/* Meaningful only for addresses in the arena. */
static inline size_t arena_page(const struct cowarena *a, const void *p)
{
	return (size_t)((const char *)p - a->base) >> a->page_shift;
}

/* Whether [p, p + n) lies in the first `pages` pages. */
static inline bool arena_holds(const struct cowarena *a, const void *p, size_t n, size_t pages)
{
	size_t offset = (size_t)((const char *)p - a->base); /* huge when p lies below */

	return offset <= pages << a->page_shift && n <= (pages << a->page_shift) - offset;
}

/* Widen a range of pages to multiples of `width` pages, within the heap. Async-signal-safe. */
static inline void arena_widen(const struct cowarena *a, size_t *first, size_t *n, size_t width)
{
	size_t pages = atomic_load_explicit(&a->pages, memory_order_acquire);
	size_t end = *first + *n;

	*first -= *first % width;
	end = (end + width - 1) / width * width;
	*n = (end < pages ? end : pages) - *first;
}

/* Whether pages may be absent from the memory file that are no holes (lazy.h). Once it is false it
   stays so. Acquire: who sees that all are there finds them in the file. */
static inline bool arena_has_absent(const struct cowarena *a)
{
	return atomic_load_explicit(&a->has_absent, memory_order_acquire);
}

/* Begin and end a section of ordinary code under the snapshot lock: all signals blocked. */
static inline void arena_lock_snapshots(struct cowarena *a, sigset_t *signals)
{
	os_block_signals(signals);
	lock_acquire(&a->snapshots);
}

static inline void arena_unlock_snapshots(struct cowarena *a, const sigset_t *signals)
{
	lock_release(&a->snapshots);
	os_restore_signals(signals);
}

#endif
