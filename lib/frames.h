/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frames.h - the pool of frames, and the version that each frame holds.
 *
 * A frame is a page-sized buffer outside the arena. Each frame has a record that says which page it
 * preserves, and for which epochs: together they are a version, and both have one index.
 *
 * Frames live in segments of 16 MiB. Before a snapshot arms anything, it reserves address space for
 * as many frames as it could ever need, so that taking a frame in the handler never fails for lack
 * of them, and never allocates (I3); memory is used only as frames are. Free frames are recycled
 * last in, first out: such frames are warm, in the cache and in the page tables.
 *
 *	index 1 ... unused        taken, in the stack `free`, or without memory in the stack `cold`
 *	unused ... populated      never taken, given memory ahead of need
 *	populated ... total       address space
 */
#ifndef COWARENA_FRAMES_H
#define COWARENA_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_NONE 0u
#define FRAMES_STEP_BYTES ((size_t)256 << 10)
#define FRAMES_STEP_MAX 64
#define FRAMES_LOW 32 /* with fewer never-taken frames with memory, frames.low is set */

/* Where the content of a version is. */
enum version_place {
	VERSION_IN_FRAME,
	VERSION_OF_ZEROS, /* the page was never touched: the frame's memory is not used */
	VERSION_IN_FILE   /* in the heap's file; it may move to the frame (private.h) */
};

/* A version: the content of `page` as the snapshots of the epochs first..last hold it.
   Immutable from publication on (I2), but for the links. */
struct version {
	uint64_t first;
	_Atomic uint64_t last_and_place; /* 56 bits, as wide as a stamp (pagetable.h), and 8 */
	uint32_t page;
	/* In the page's tree (versions.h), the roots of the older and of the newer versions;
	   protected by the page's lock. */
	uint32_t older, newer;
	/* Next in a list: of the free frames, or of the versions that one snapshot keeps
	   (timeline.h). Atomic because a thread that takes a free frame may read the link when
	   another thread has the frame already. */
	_Atomic uint32_t link;
};

_Static_assert(sizeof(struct version) == 32, "two versions share a cache line");

static inline uint64_t version_last(const struct version *v)
{
	return atomic_load_explicit(&v->last_and_place, memory_order_relaxed) >> 8;
}

static inline enum version_place version_place(const struct version *v)
{
	return atomic_load_explicit(&v->last_and_place, memory_order_acquire) & 0xff;
}

static inline void version_end(struct version *v, uint64_t last, enum version_place place)
{
	atomic_store_explicit(&v->last_and_place, last << 8 | place, memory_order_release);
}

struct segment {
	char *data;
	struct version *versions;
};

struct frames {
	size_t page_size;
	unsigned segment_shift; /* log2 of the frames in a segment */
	struct segment *segments;
	size_t segments_max;
	size_t maps;             /* calls of mmap that the segments came from */
	_Atomic uint32_t total;  /* frames that exist, counting index 0, which is none */
	_Atomic uint32_t unused; /* the first index that was never taken */
	/* Stacks of free frames: with memory, and without. A tag in the upper half, against ABA. */
	_Atomic uint64_t free, cold;
	_Atomic uint32_t populated; /* indices below it have been given memory */
	_Atomic bool low;           /* free frames with memory have run out, or nearly */
	size_t promised; /* how many may be taken, in all, before the next frames_reserve() */

	_Atomic size_t taken;   /* frames in use, those included that hold no page */
	_Atomic size_t bare;    /* frames in use that hold no page */
	_Atomic size_t in_cold; /* frames in the stack `cold` */
	_Atomic size_t held;    /* pages of memory held by frames and views */
	_Atomic size_t held_peak;
	size_t held_max; /* the limit, in pages */
	size_t most;     /* how many can be in use at once */
};

/* held_max: the limit, in pages. zeros: there may be frames that hold no page, which do not count
   against the limit. */
int frames_init(struct frames *frames, size_t held_max, bool zeros);
void frames_destroy(struct frames *frames);

/* In a child of fork(), which has inherited no frames: start over. -1 with errno. */
int frames_renew(struct frames *frames);

/* Make sure that n frames can be taken before the next call. -1 with errno ENOMEM. One caller
   at a time. */
int frames_reserve(struct frames *frames, size_t n);

/* Frames that have memory and are not taken. */
size_t frames_warm(const struct frames *frames);

/* Give memory to free frames until n have some, or until 256 KiB were given: so the caller holds
   the lock that it needs for some 50 us at most. Returns whether n have it. One caller at a
   time. */
bool frames_prefault(struct frames *frames, size_t n);

/* Give the memory of free frames back until only n have some, in steps as above. Returns whether
   that is done. The caller excludes reserving and prefaulting. */
bool frames_trim(struct frames *frames, size_t n);

/* Account for n more pages of memory; false when the limit forbids it. Async-signal-safe. */
bool frames_charge(struct frames *frames, size_t n);
void frames_uncharge(struct frames *frames, size_t n);

/* Take a frame, which is charged already; FRAME_NONE if there is none. Give one back, which is not
   uncharged. Async-signal-safe. */
uint32_t frames_take(struct frames *frames);
uint32_t frames_take_bare(struct frames *frames);
void frames_give(struct frames *frames, uint32_t frame);

static inline struct version *frames_version(const struct frames *f, uint32_t frame)
{
	return &f->segments[frame >> f->segment_shift]
		    .versions[frame & (((uint32_t)1 << f->segment_shift) - 1)];
}

static inline void *frames_data(const struct frames *f, uint32_t frame)
{
	return f->segments[frame >> f->segment_shift].data +
	       (size_t)(frame & (((uint32_t)1 << f->segment_shift) - 1)) * f->page_size;
}

/* Kernel mappings in use. */
size_t frames_mappings(const struct frames *frames);

#endif
