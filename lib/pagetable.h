/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pagetable.h - the record of each page of an arena: state, stamp, versions.
 *
 * The table lies outside the arena, in flat arrays indexed by page number: the fault handler writes
 * to it, and a rollback must not undo that.
 *
 *	                 the page comes into use
 *	  [not in use] ------------------------------> [writable] <---------------------+
 *	       |                                     stamp == epoch                     |
 *	       | (faithful mode)                           |                            |
 *	       v                                           | cowarena_snapshot_take():  |
 *	    [fresh]                                        | arm, epoch + 1             |
 *	  armed, never touched                             v                            |
 *	       |                                        [armed]                         |
 *	       |  write fault (fault.c)             stamp < epoch                       |
 *	       |                                           | write fault,               |
 *	       |                                           | prepare_write, rollback    |
 *	       |                                           v                            |
 *	       +------------------------------------> [locked] --- copy, publish, ------+
 *	                                                           disarm, unlock
 *
 * A rollback may also arm a page, in the epoch of the page's stamp: no snapshot needs the page
 * (PAGE_REARMED).
 *
 * The stamp is the epoch in which the page was last made writable. While a page is armed, it does
 * not change. So the content of an armed page with stamp s is what every snapshot of the epochs s,
 * s+1, ... holds, and the page needs a copy if one of those snapshots is alive.
 */
#ifndef COWARENA_PAGETABLE_H
#define COWARENA_PAGETABLE_H

#include "bitmap.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits of page.state. */
#define PAGE_LOCKED ((uint64_t)1)
#define PAGE_FRESH ((uint64_t)2)
#define PAGE_REARMED ((uint64_t)4) /* armed by a rollback, in the epoch of its stamp (rearm.h) */
#define PAGE_STAMP_SHIFT 8         /* the stamp: 56 bits, a snapshot a nanosecond for two years */
#define PAGE_STAMP_MAX (UINT64_MAX >> PAGE_STAMP_SHIFT)

struct page {
	_Atomic uint64_t state;
	uint32_t versions; /* root of their tree (versions.h), 0 = none; under PAGE_LOCKED */
	uint32_t heat;     /* page_heat(); gate closed */
};

/* How often a page was written to of late: an epoch, and a level that shadow.c counts. Private.c
   notes the snapshot that has kept the page, with level 0. */
#define HEAT_LEVEL_BITS 4
#define HEAT_LEVEL_MAX ((1u << HEAT_LEVEL_BITS) - 1)

static inline uint32_t page_heat(uint64_t epoch, uint32_t level)
{
	return (uint32_t)epoch << HEAT_LEVEL_BITS | level;
}

struct pagetable {
	struct page *pages;
	/* Pages that may be writable: those that the next snapshot has to arm. */
	struct bitmap dirty;
	/* Used while a snapshot is taken (shadow.h), or pages are armed again (rearm.h); empty
	   otherwise. */
	struct bitmap hot;
	/* Armed pages that may differ from the state that the heap was rolled back to (rearm.h). */
	struct bitmap changed;
	/* Pages that are known to have memory (range.h). */
	struct bitmap backed;
	/* Of pages in private chunks (private.h). Under the snapshot lock. */
	struct bitmap own, filed, hollow;
	void *memory;
	size_t bytes;      /* reserved */
	size_t piece;      /* chunks_size() */
	size_t accessible; /* bytes of `pages` */
	size_t committed;  /* entries of `pages` that may be touched */
	bool is_sparse;    /* most entries will not be touched soon: give them no memory ahead */
};

/* Reserve a table of n entries. -1 with errno when there is no room. */
int pagetable_init(struct pagetable *table, size_t n);
void pagetable_destroy(struct pagetable *table);

/* Make entries [0, n) usable. They are zero until pagetable_enter(). -1 with errno. */
int pagetable_commit(struct pagetable *table, size_t n);

/* Pages [first, end) come into use in this epoch: writable and dirty, or fresh and armed. */
void pagetable_enter(struct pagetable *table, size_t first, size_t end, uint64_t epoch, bool fresh);

static inline uint64_t page_stamp(uint64_t state)
{
	return state >> PAGE_STAMP_SHIFT;
}

/*
 * Lock a page: protects its state, its tree of versions and, while it is armed, its content.
 * Returns the state (without the lock bit). Held for a page copy and a system call at most, by
 * threads whose signals are blocked. A thread that locks several pages locks them in ascending
 * order. One other lock may be taken inside: chunks.lock, by engine-hybrid.c when it disarms. No
 * holder of chunks.lock locks a page. Async-signal-safe.
 */
uint64_t page_lock(struct page *page);

/* Unlock, with a new state. Release: pairs with the acquire of page_lock() and page_peek(). */
static inline void page_unlock(struct page *page, uint64_t state)
{
	atomic_store_explicit(&page->state, state, memory_order_release);
}

/* The state of a page that is not locked at this moment; waits until it is not. */
uint64_t page_peek(struct page *page);

/*
 * Note that [first, first + n) is about to be disarmed. Returns by how much the number of borders
 * between armed and writable pages has grown. Exact while no other thread is marking a neighbour;
 * mappings.h says why that is enough.
 */
long pagetable_mark_dirty(struct pagetable *table, size_t first, size_t n, size_t pages_in_use);

/* Whether [first, first + n) is all dirty, all clean, or mixed. A guess unless setters are
   excluded. */
enum pages_uniform { PAGES_CLEAN, PAGES_DIRTY, PAGES_MIXED };
static inline enum pages_uniform pagetable_uniform(const struct pagetable *table, size_t first,
						   size_t n)
{
	if (bitmap_next(&table->dirty, first) >= first + n)
		return PAGES_CLEAN;
	return bitmap_next_clear(&table->dirty, first) >= first + n ? PAGES_DIRTY : PAGES_MIXED;
}

#endif
