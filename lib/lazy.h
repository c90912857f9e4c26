/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lazy.h - a heap that comes in as it is touched.
 *
 * A heap from a file can be used at once: its pages are absent from the memory file, and a thread
 * brings those that are touched, and the others one group after the other in between. Who touches
 * an absent page waits in the kernel, by userfaultfd; so do system calls, snapshots that copy the
 * page, and the fault handler. All mappings through which the library reads are watched.
 *
 * Until all is there (arena_has_absent())
 *  - absent pages are not holes, though the memory file has nothing there (range.c);
 *  - nothing is mapped over the heap or beside it: no chunk becomes private or huge, and no engine
 *    registers the heap with a userfaultfd of its own, which the kernel refuses (EBUSY);
 *  - views, images and children of fork() wait, since they look at the file by other ways;
 *  - no memory is given back (heap-trim.c): it would come in again.
 *
 * The thread writes to no arena and takes no lock, so whoever waits for a page may hold any lock.
 */
#ifndef COWARENA_LAZY_H
#define COWARENA_LAZY_H

#include "os.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;

#define LAZY_GROUP 64 /* pages that come in together */

/* Where the pages come from. */
struct lazy_source {
	/* Put pages [first, first + n), of one group, to `to`, one after the other. *present gets a
	   bit for each that is not zeros; of the others nothing need be written. Called by one
	   thread; touches no arena. -1 with errno and message: EAGAIN, not now, it is asked for
	   again, and nobody has touched it. */
	int (*fetch)(void *ctx, size_t first, size_t n, char *to, uint64_t *present);
	/* Nothing is fetched any more. May be NULL. */
	void (*end)(void *ctx);
	void *ctx;
};

struct lazy;

/*
 * Prepare to have the arena's heap come in lazily. NULL with errno, and no message, where it must
 * be loaded at once: the engine does not go with that, a tool watches the memory, or the system
 * refuses.
 */
struct lazy *lazy_open(struct cowarena *arena);

/* Undo lazy_open(). */
void lazy_close(struct lazy *lazy);

/*
 * From now on all memory of [0, pages) is absent, whatever was there, and comes from the source.
 * Nobody else knows the arena. Takes over what lazy_open() has returned, and the source. -1 with
 * errno and message.
 */
int lazy_begin(struct cowarena *arena, struct lazy *lazy, size_t pages,
	       const struct lazy_source *source);

/* Wait until all pages are there; 0 at once for other arenas. -1 with errno and message: some
   cannot be fetched. */
int lazy_finish(struct cowarena *arena);

/* The arena is being destroyed, and nobody uses it; or in a child of fork(), where the thread is
   not. */
void lazy_stop(struct cowarena *arena);
void lazy_drop_inherited(struct cowarena *arena);

#endif
