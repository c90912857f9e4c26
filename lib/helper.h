/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper.h - a thread of the arena that works off the critical path:
 *
 *  - it gives memory to frames before a handler needs them, and takes back what is not needed;
 *  - it maps chunks that have been quiet for some epochs by one huge entry;
 *  - when no snapshot is alive, it gives back what the file holds under pages that the kernel has
 *    copied.
 *
 * The first snapshot starts the thread. The thread works in small steps, each with the snapshot
 * lock held for some 50 us at most. Without the thread (COWARENA_NO_HELPER, or it could not be
 * started) a snapshot gives memory to a few frames itself, and cowarena_compact() does the rest.
 */
#ifndef COWARENA_HELPER_H
#define COWARENA_HELPER_H

#include "bell.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;

struct helper {
	struct bell bell;
	_Atomic bool started;     /* or starting was tried */
	_Atomic uint32_t stop;    /* futex */
	_Atomic uint64_t waits;   /* ns until the thread looks again by itself, or 0 */
	_Atomic unsigned einvals; /* attempts to collapse that failed with EINVAL */
	_Atomic bool has_collapsed;
	/* Frames that an epoch is expected to take; and how many to have ready when an epoch takes
	   more. Protected by the snapshot lock. */
	size_t wanted, ahead;
	size_t next, end; /* chunks that the thread still has to look at */
	pthread_t thread;
};

/* Time without a snapshot after which own pages take no more than their own memory. For tests: set
   before the first snapshot. */
extern uint64_t helper_calm_ns;

/*
 * A snapshot is about to be taken: start the thread, if this is the first snapshot. Before the cut:
 * memory that the C library allocates for the thread may lie in the arena, and must be in each
 * snapshot, or a rollback takes it away. No lock held.
 */
void helper_start(struct cowarena *arena);

/* A snapshot is about to be taken: make sure that some frames have memory. Snapshot lock held. */
void helper_before_take(struct cowarena *arena);

/* A snapshot is about to be released: remember how many frames it has taken. Snapshot lock held. */
void helper_note_use(struct cowarena *arena);

/* Whether many more frames have memory than are needed, or own pages have that need none. Snapshot
   lock held. */
bool helper_can_give_back(struct cowarena *arena);

/* A snapshot was taken, or released. No lock held. */
void helper_after_take(struct cowarena *arena, uint64_t epoch);
void helper_after_release(struct cowarena *arena, bool surplus);

/* The arena is being destroyed: end the thread. Not in a child of fork(), which has no such
   thread. */
void helper_stop(struct cowarena *arena);

#endif
