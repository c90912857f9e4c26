/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeline.h - the live snapshots in order, and the versions that each of them keeps.
 *
 * A version (frames.h) serves every live snapshot whose epoch it covers. It is listed once, in the
 * list `keeps` of the newest of these snapshots. When a snapshot goes, each version in its list
 * either covers the next older live snapshot too, and moves to that snapshot's list, or serves
 * nobody any more. So a release looks only at what the snapshot is the newest to keep, and the
 * handler maintains no reference counts: the interval is the count. (The dead lists of ZFS work
 * this way round; Ahrens, "How ZFS snapshots really work", 2019.)
 *
 * What protects what:
 *   the snapshot lock   the order of snapshots, the list of views, and every consumer of `keeps`
 *   the closed gate     in addition, changes of `epoch`, `newest` and `views`, which handlers read
 *   no lock             pushing to `keeps` (handlers, inside the gate)
 * Lock order: heap lock, snapshot lock, gate, page locks.
 */
#ifndef COWARENA_TIMELINE_H
#define COWARENA_TIMELINE_H

#include "bitmap.h"
#include "cowarena.h"
#include "frames.h"
#include "os.h"

#include <stdatomic.h>

/* Why a snapshot was given up. */
enum snapshot_end {
	SNAPSHOT_AT_LIMIT,    /* of held memory */
	SNAPSHOT_UNPROTECTED, /* the program has closed the userfaultfd */
	SNAPSHOT_NOT_FORKED,  /* this is a child of fork() */
	SNAPSHOT_SAVED        /* a save was its last use */
};

struct cowarena_snapshot {
	_Atomic uint32_t mark; /* objects.h */
	struct cowarena *arena;
	uint64_t id;
	uint64_t epoch;                          /* the epoch that it ended */
	size_t pages;                            /* pages in use at the cut */
	struct cowarena_snapshot *older, *newer; /* among the snapshots that are not spoiled */
	struct cowarena_snapshot *next, **link;  /* list of all snapshots that are not released */
	_Atomic uint32_t keeps; /* head of a list of versions, linked by version.link */
	unsigned views;         /* open ones */
	/* Set once, when the snapshot's versions are given up (I7). */
	_Atomic bool spoiled;
	_Atomic uint8_t end; /* why: enum snapshot_end; set before */
	/* A save is its last use, and has passed so many pages: those need not be preserved. */
	_Atomic bool last_use;
	_Atomic size_t passed;
	_Atomic uint64_t image; /* number of the last image of it (image.h), or 0 */
	uint64_t *hashes;       /* of its first `hashed` pages; verify.c */
	size_t hashed;
};

struct cowarena_view {
	_Atomic uint32_t mark; /* objects.h */
	struct cowarena_snapshot *snapshot;
	char *base;
	size_t pages; /* 0 when it was lost to a fork() */
	bool writable;
	bool sealed;         /* read-only from now on; false while the view is being filled */
	struct os_file poke; /* for os_poke(), which makes a sealed view's pages private */
	_Atomic bool broken; /* a page could not be made private, and may show newer data */
	/* Pages that are private to the view, no longer shared with the live heap. Set under the
	   page's lock, before the live page may change. */
	struct bitmap own;
	void *own_memory;
	_Atomic size_t touched; /* pages that were charged to frames.held */
	size_t holes;           /* runs of pages that are mapped as zeros */
	struct cowarena_view *next;
};

struct timeline {
	_Atomic uint64_t epoch; /* the current one; starts at 1 */
	struct cowarena_snapshot *newest, *oldest;
	struct cowarena_view *views;
	_Atomic uint64_t taken; /* snapshots ever taken: the last id */
	struct cowarena_snapshot *all;
	_Atomic size_t live;     /* not released, spoiled ones included */
	_Atomic uint64_t spoils; /* snapshots given up; grows under the snapshot lock */
	/* The callback for given-up snapshots; under the snapshot lock. */
	cowarena_spoiled_fn *on_spoiled;
	void *on_spoiled_ctx;
};

/* The cut: `snapshot` gets the current epoch, and a new one begins. Gate closed. */
void timeline_append(struct cowarena *arena, struct cowarena_snapshot *snapshot);

/* The newest live snapshot's epoch, 0 if there is none. Inside the gate or under the snapshot
   lock. */
static inline uint64_t timeline_newest(const struct timeline *t)
{
	return t->newest ? t->newest->epoch : 0;
}

/*
 * Whether a live snapshot needs what the page has held since epoch `stamp`. A snapshot whose last
 * use is a save needs no page that the save has passed: acquire pairs with timeline_pass(), so a
 * store that follows comes after the save's reads. Inside the gate or under the snapshot lock.
 */
static inline bool timeline_needs(const struct timeline *t, size_t page, uint64_t stamp)
{
	const struct cowarena_snapshot *s = t->newest;

	if (s && page < atomic_load_explicit(&s->passed, memory_order_acquire))
		s = s->older;
	return s && s->epoch >= stamp;
}

/* Whether nobody but the save may use the snapshot, or nobody at all. */
static inline bool timeline_is_lost(const struct cowarena_snapshot *s)
{
	return atomic_load(&s->spoiled) || atomic_load(&s->last_use);
}

/* A save is the snapshot's last use: EBUSY, it has views; ESTALE, it was given up, or there is
   such a save already. Then the save passes one page after the other, and ends. Locks as for
   timeline_retire(), except for passing, which takes none. 0, or an errno. */
int timeline_begin_last_use(struct cowarena_snapshot *snapshot);
static inline void timeline_pass(struct cowarena_snapshot *s, size_t pages)
{
	if (atomic_load_explicit(&s->last_use, memory_order_relaxed))
		atomic_store_explicit(&s->passed, pages, memory_order_release);
}
void timeline_end_last_use(struct cowarena *arena, struct cowarena_snapshot *snapshot);

/*
 * Publish a frame that holds what `page` has held since epoch `first`: from now on every snapshot
 * from that epoch to the newest finds it. Page locked, inside the gate.
 */
void timeline_publish(struct cowarena *arena, size_t page, uint64_t first, uint32_t frame,
		      enum version_place place);

/* The frame that holds the page as of the epoch. Page locked; the page's state says that it was
   preserved since. */
uint32_t timeline_find(struct cowarena *arena, size_t page, uint64_t epoch);

/* Forget a snapshot that is retired or spoiled; the caller frees it. Snapshot lock held. */
void timeline_forget(struct cowarena *arena, struct cowarena_snapshot *snapshot);

/* Take a snapshot out of the order, and recycle the versions that only it kept. Snapshot lock held,
   gate open. */
void timeline_retire(struct cowarena *arena, struct cowarena_snapshot *snapshot);

/* Give up a snapshot, by the arena's policy, to free memory. False if there is none. Locks as for
   timeline_retire(). */
bool timeline_spoil(struct cowarena *arena);

/* Give up all snapshots. Locks as for timeline_retire(). */
void timeline_spoil_all(struct cowarena *arena, enum snapshot_end why);

/* Add or remove an open view. Snapshot lock held, gate open: these close it meanwhile. */
void timeline_add_view(struct cowarena *arena, struct cowarena_view *view);
void timeline_remove_view(struct cowarena *arena, struct cowarena_view *view);

/*
 * Call fn for each version that holds what `snapshot` sees. Snapshot lock held. The pages come in
 * no order. Cost: in proportion to the versions of this snapshot and of newer ones, or to the pages
 * of the snapshot, whichever are fewer.
 */
typedef void timeline_fn(void *ctx, size_t page, uint32_t frame);
void timeline_each(struct cowarena *arena, struct cowarena_snapshot *snapshot, timeline_fn *fn,
		   void *ctx);

#endif
