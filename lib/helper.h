/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper.h - work that is better done off the critical path, by a thread of the arena's own:
 *
 * - frames are given memory before a handler needs them, and what is not needed any more is given
 * back;
 * - chunks that have been quiet for some epochs are mapped by one huge entry.
 *
 * The thread is started by the first snapshot. All it does is done in small steps, each with the
 * snapshot lock held for some 50 us at most. Without it (COWARENA_NO_HELPER, or no thread to be
 * had) a snapshot gives memory to a few frames itself, and cowarena_compact() does the rest.
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
	_Atomic bool started;     /* or tried to be */
	_Atomic uint32_t stop;    /* futex */
	_Atomic bool waits_idle;  /* it will look again by itself */
	_Atomic unsigned einvals; /* attempts to collapse that were refused so */
	_Atomic bool has_collapsed;
	/* Frames that an epoch is expected to take; and how many to have ready when it takes more.
	   Protected by the snapshot lock. */
	size_t wanted, ahead;
	size_t next, end; /* chunks that the thread has still to look at */
	pthread_t thread;
};

/*
 * A snapshot is about to be taken: start the thread, if it is the first one. Before the cut:
 * what the C library allocates for the thread may lie in the arena, and must be in each
 * snapshot, or a rollback takes it away. No lock held.
 */
void helper_start(struct cowarena *arena);

/* A snapshot is about to be taken: see to some frames with memory. Snapshot lock held. */
void helper_before_take(struct cowarena *arena);

/* A snapshot is about to be released: remember how many frames it took. Snapshot lock held. */
void helper_note_use(struct cowarena *arena);

/* Whether there are many more frames with memory than are needed. Snapshot lock held. */
bool helper_has_surplus(struct cowarena *arena);

/* A snapshot was taken, or released. No lock held. */
void helper_after_take(struct cowarena *arena, uint64_t epoch);
void helper_after_release(struct cowarena *arena, bool surplus);

/* The arena goes. Not in a child of fork(), which has no such thread. */
void helper_stop(struct cowarena *arena);

#endif
