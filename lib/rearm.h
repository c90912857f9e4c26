/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rearm.h - chooses, after a rollback, which pages are armed again and which stay writable.
 *
 * A program that goes back to one snapshot again and again (a fuzzer, a search, rollback netcode)
 * writes a few pages in between. If every page that was ever written stayed writable, each rollback
 * would have to put all of them back. So a rollback arms pages that have come to rest, and the next
 * rollback to that snapshot looks only at what has been disarmed since: table.dirty, and
 * table.changed, in which a snapshot notes what it arms.
 *
 * Arming a page that is written again costs the call and a fault, some 7 us; leaving a page
 * writable costs a look at its content in each rollback: 0.1 us while the pages that are looked at
 * stay in a processor's cache, 0.4 us when they do not (doc/performance.md). So a page is armed
 * when a rollback finds that nobody has written to it since the rollback before; but a page that
 * was written twice within N rollbacks stays writable until N have passed without a write. With N
 * as the ratio of the two costs this wastes about as much as a fault costs, never many times that
 * (the ski-rental rule: Karlin, Manasse, Rudolph, Sleator, "Competitive Snoopy Caching", 1988). N
 * is REARM_NEAR, or REARM_NEAR_LARGE when the last rollback has looked at more than REARM_LARGE
 * bytes.
 */
#ifndef COWARENA_REARM_H
#define COWARENA_REARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;
struct cowarena_snapshot;

#define REARM_NEAR 128
#define REARM_NEAR_LARGE 24
#define REARM_LARGE ((size_t)4 << 20) /* and as many bytes of frames */

struct rearm {
	/* The id of the snapshot that the heap equalled at the end of the last rollback; 0: none,
	   or a released one. While it is not 0, pages that differ from that snapshot are in
	   table.dirty or in table.changed. Heap lock and snapshot lock. */
	uint64_t to;
	uint32_t rollbacks;
	uint32_t near; /* N, for this rollback */
	size_t looked; /* pages looked at so far in this rollback */
	/* For each page: the last rollback that found it written (0: none), and whether another one
	   shortly before did too. NULL where there is no memory for that, or no rollback yet. */
	uint32_t *written;
	size_t bytes;
};

void rearm_destroy(struct rearm *rearm);

/* A rollback begins. Best effort: without memory no page is remembered. */
void rearm_begin(struct cowarena *arena);

/* Whether a page is to be armed again. written: it differed from the snapshot. */
bool rearm_wants(struct rearm *rearm, size_t page, bool written);

/* Arm the pages in table.changed, which equal the snapshot, and empty that set. Snapshot lock held,
   gate open. limit: no page beyond it is in the set. */
void rearm_finish(struct cowarena *arena, size_t limit);

/* Called when a snapshot is about to arm the dirty pages. Gate closed. */
void rearm_note_cut(struct cowarena *arena);

/* Called when the snapshot is released. Snapshot lock held. */
void rearm_forget(struct cowarena *arena, const struct cowarena_snapshot *snapshot);

#endif
