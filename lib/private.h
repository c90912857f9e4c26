/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * private.h - pages that the kernel copies.
 *
 * A chunk that a snapshot needs can be mapped privately: MAP_PRIVATE of the heap's file. A store
 * to a page of it takes the kernel's own copy-on-write, in this process, without a signal. The
 * file keeps what the page was, and snapshots read it there (arena_past()). It is what fork() does,
 * with both sides in one process.
 *
 * What is known of a page of a private chunk, in addition to its state (pagetable.h):
 *
 *	table.own    the mapping has a page of its own; it was charged to frames.held
 *	table.filed  a version of the page has its content in the file (VERSION_IN_FILE)
 *	table.hollow an own page under which the file has no memory (private_give_back)
 *
 *	           the kernel copies it (private_collect)
 *	  [clean] ------------------------------------------> [own]
 *	  stamp < epoch                                   stamp == epoch, dirty
 *	     ^                                               |    ^     |
 *	     |             private_fold()                    |    |     |  private_keep()
 *	     +-----------------------------------------------+    +-----+
 *
 * Kept is what is likely to be written again: its content goes to the file or to a frame, and the
 * page stays own. What has come to rest is folded: its content goes to the file, and the own page
 * is dropped.
 *
 * In a chunk that is watched the kernel notes writes to own pages too. There a page is folded and
 * not dropped, and so is clean and own: the file and the own page hold the same bytes. It is
 * dropped when too many are own.
 *
 * Invariants, beside those of doc/design.md:
 *	P1  The file's page holds what a clean page has been since its stamp, whether or not the
 *	    kernel has copied the page meanwhile, and whether or not the page is own.
 *	P2  Of a page that is stamped with this epoch no snapshot reads the file's page, but through
 *	    a version that is VERSION_IN_FILE.
 *	P3  The file's page does not change while such a version exists: its content moves to its
 *	    frame first, and so does that of views which show it (sharing.h).
 *	P4  A page has one such version at most, and a clean page has none.
 *
 * A page that is own already is not copied by the kernel a second time. So who writes to such
 * pages must be held for the length of the cut: see private_begin_cut().
 *
 * Locks: all of this is called with the snapshot lock held and signals blocked, unless it says
 * otherwise.
 */
#ifndef COWARENA_PRIVATE_H
#define COWARENA_PRIVATE_H

#include "chunks.h"
#include "os.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;

/* Of a chunk: whether the second mapping of the file has it in its page table. */
enum past_state { PAST_UNKNOWN, PAST_WANTED, PAST_FILLED };

/* How those who write are held. */
enum held { HELD_NOT, HELD_BY_PROTECTION, HELD_BY_WAITING };

struct privates {
	struct os_file pagemap;
	struct os_file watch; /* os_watch_open() */
	bool cannot_watch;    /* the system has refused that, or writers are held by waiting */
	bool has_forked;      /* a child of a fork() may be copying the file */
	struct os_file hold;  /* os_hold_open(), with engine kernel */
	bool can_wait;        /* that has worked */
	bool holds_system_calls;
	_Atomic size_t chunks;      /* that are private, at least in part */
	_Atomic size_t own;         /* pages */
	_Atomic size_t past_wanted; /* chunks */
	size_t filled;              /* the chunk that private_fill_past() looks at next */
	_Atomic size_t traps;       /* scattered first writes since the last cut */
	struct os_run *drops;       /* own pages whose content is in the file, to be dropped */
	int dropping;
	bool cutting;
	enum held held;  /* now: during a cut, or while a chunk is being shared */
	size_t written;  /* pages that were found to be written to since the last cut */
	bool keeps_none; /* pages that were folded are dropped, during this cut */
	size_t swept;    /* page up to which own pages were last dropped for being too many */
};

/* Nothing is open. */
void private_init(struct cowarena *arena);

/*
 * Find out, by trying, whether chunks can be private here, and map the file a second time. -1 with
 * errno and message.
 */
int private_open(struct cowarena *arena);
/* The same for an engine that can do without, and has not asked before. */
void private_open_if_possible(struct cowarena *arena);
void private_close(struct cowarena *arena);

/* In a child of fork(): close what it has inherited. */
void private_drop_inherited(struct cowarena *arena);

/* As if the system had refused to watch pages. For tests; before the first snapshot. */
void private_never_watch(struct cowarena *arena);

/* As if the system had refused to hold writers by userfaultfd's wait. For tests. */
void private_never_wait(struct cowarena *arena);

/* Whether chunks of the arena can become private. */
bool private_works(const struct cowarena *arena);

/* Whether system calls may store into private chunks at any time: they wait while writers are
   held. */
bool private_takes_system_calls(const struct cowarena *arena);

/* In a child of fork(), where none of the mappings is. */
void private_abandon(struct cowarena *arena);

/*
 * Make [first, first + n) private. The range begins where a chunk does, or where the private part
 * of a chunk ends. Its clean pages hold what they have held since their stamps, and nobody writes
 * to these. -1 with errno; then nothing has changed. Async-signal-safe.
 * Gate closed; or inside the gate with chunks.lock held, for one whole chunk that is armed. Others
 * may be inside too then, and resolve faults of the chunk. One that has found the chunk shared
 * preserves its page and disarms it: that is right still, as with a page that was written before
 * its chunk became private. But to preserve the page it must not copy the live bytes, which may be
 * new ones already: see private_is_claimed().
 */
int private_map(struct cowarena *arena, size_t first, size_t n);

/*
 * Whether the live address of a locked clean page may show other bytes than the file. Asked after
 * the bytes were read: private_map() sets the flag before the mapping changes, and a reader that
 * has seen anything of a later store has read through the new mapping. So that reader finds the
 * flag, if its load of the flag comes after its loads of the bytes: that is what the fence is for.
 */
static inline bool private_is_claimed(const struct chunks *c, size_t page)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&c->at[page >> c->pages_shift].claimed, memory_order_relaxed);
}

/*
 * Ask the kernel which pages were written to since, and note them: each becomes own, dirty and
 * stamped with this epoch, and if a snapshot needs what it was, gets a version in the file. Pages
 * that were not written to may be among them. -1 when there is no address space for the record of
 * a version.
 * Cost: for each page in the page tables 2 to 3 ns where chunks are watched, else 10 to 50 ns; 0.2
 * us for each page found.
 */
int private_collect(struct cowarena *arena);
int private_collect_range(struct cowarena *arena, size_t from, size_t to); /* these pages only */

/* Whether the kernel notes first writes to the page, own or not: watched chunks (os_watch()). */
bool private_is_watched(struct cowarena *arena, size_t page);

/* Watch no chunk any more: what is watched cannot be held by waiting. What was written to is found
   otherwise. Gate closed. */
void private_unwatch(struct cowarena *arena);

/* Watch those pages of a range again that are in watched chunks. Nobody writes there. What cannot
   be watched is found otherwise. */
void private_watch_again(struct cowarena *arena, size_t first, size_t n);

/*
 * When no snapshot is alive, own pages need not take memory twice. hold: share their chunks, one
 * after the other, so that the next cut has nothing to copy either. What is left is trimmed: nobody
 * reads the file under an own page, so the file's memory there goes back. Such a page is hollow
 * then (table.hollow), not charged, and dirty: the next cut brings its content to the file. Nobody
 * is held for that. Not after a fork(), whose child may copy the file much later.
 * Takes the snapshot lock, for a millisecond at most, and lets others have it in between. Stops
 * when the helper is to stop. Returns whether there was anything to give back.
 */
bool private_give_back(struct cowarena *arena, bool hold);

/* What is hollow gets memory in the file from now on: charge for it. */
void private_fill_up(struct cowarena *arena);

/* The page has been written to in this epoch. */
void private_stamp_written(struct cowarena *arena, size_t page, uint64_t epoch);

/* For the helper, without a lock: fill the second mapping's page table for a chunk whose pages are
   folded, else the cut takes a fault for each. Returns whether there are more. */
bool private_fill_past(struct cowarena *arena);

/* Whether the live address shows what the file holds. */
bool private_equals_file(struct cowarena *arena, size_t page);

/*
 * Around the cut, with the gate closed. Begin: hold those who may write to private chunks, and
 * collect; and with engine kernel make private what is to be so. quiescent: nobody writes; then
 * nothing is done for that. -1 with errno. End: drop what was folded, see to P4, and let writers go
 * on. -1: the program has closed the descriptor by which they were held, and the snapshot may be
 * torn.
 *
 * Who is held waits in the kernel, system calls too, or fails there with EFAULT without the
 * privilege that takes (os_hold()). Where userfaultfd is not to be had, a store waits at the gate,
 * by a fault of its own, and a system call fails.
 *
 * Why that is one cut across all threads (I4): all private chunks are held before the kernel is
 * asked which pages it has copied. A store there that was done before its page was held is found,
 * and so is in the snapshot; every other store there comes after the cut. Of the shared memory that
 * engine kernel makes private, a store that came before the change of the mapping is in the file,
 * and so in the snapshot, and one that came after it is not; if that is one range, one call changes
 * the mapping, at one instant (K32), which comes while the others are held. If there are several
 * ranges they are held too. (Engine hybrid arms shared memory as without private chunks: until the
 * last page is armed, stores to others are in the snapshot.)
 */
int private_begin_cut(struct cowarena *arena, bool quiescent);
int private_end_cut(struct cowarena *arena);

/*
 * Whether an own page is to be kept rather than folded, during the cut. A page that the last
 * snapshot has kept is kept again if it has been written since. A page that was written for the
 * first time is kept too, since that costs the cut a third of folding it; but a kept page takes
 * twice the memory, so only while few pages are own.
 */
bool private_wants_keeping(struct cowarena *arena, size_t page);

/* Preserve an own page for the snapshot just appended, and leave it own and writable. Gate closed,
   writers held. False when there is no record for a version. */
bool private_keep(struct cowarena *arena, size_t page);

/* Bring the own pages among [first, first + n) that are dirty to the file, and watch them, or queue
   them to be dropped. Gate closed, writers held. Nobody may write to them before private_drop(). */
void private_fold(struct cowarena *arena, size_t first, size_t n);
void private_drop(struct cowarena *arena);

/* For a fork(): bring own pages to the file, so that a child can copy it. Nobody is held: what
   other threads write meanwhile may be missing, as it may where they write to the file itself while
   the child copies. Takes the snapshot lock. -1 when that could not be done. */
int private_flush(struct cowarena *arena);

/* Map all chunks as the file is: armed if a snapshot is alive, else writable. Gate closed. -1 with
   errno: some are private still. */
int private_share_all(struct cowarena *arena);
/* The same if no snapshot is alive, for the next private chunk from page *at on, which is moved on;
   with engine hybrid, of those where no memory was prepared since the last snapshot. False when
   there is none, a snapshot is alive, or the kernel refuses. Takes the snapshot lock, and holds
   writers, for less than a millisecond. */
bool private_share_next(struct cowarena *arena, size_t *at);

/* The file's memory of pages that are in no block is about to be given back: what versions have
   there goes to frames, and own pages are dropped whatever they hold. No snapshot needs them. */
void private_forget(struct cowarena *arena, size_t first, size_t n);

#endif
