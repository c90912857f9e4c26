/* SPDX-License-Identifier: BSD-2-Clause */
/* shadow.c - see shadow.h. */
#include "config.h"

#include "arena.h"
#include "fault.h"
#include "shadow.h"
#include "track.h"
#include "versions.h"

#define LEVEL_HOT 2 /* so many epochs in a row */

#define LATER_SHARE 16 /* this part of the heap may be copied to be armed later */
#define ARMED_AT_ONCE 16

#define PREFETCH 1024 /* bytes of a page; then the processor's own prefetching takes over */

/* Whether the page has not changed since its shadow was made, at the previous snapshot. */
static bool equals_shadow(struct cowarena *arena, size_t page, uint64_t epoch)
{
	uint32_t frame =
	    versions_find(&arena->frames, arena->table.pages[page].versions, epoch - 1);

	return frame != FRAME_NONE &&
	       track_same(arena_address(arena, page), frames_data(&arena->frames, frame),
			  arena_page_size(arena));
}

static bool is_hot(struct cowarena *arena, size_t page, uint64_t epoch)
{
	struct page *entry = &arena->table.pages[page];
	uint32_t level = entry->heat & PAGE_HEAT_KEPT;

	if (level > PAGE_HEAT_MAX || entry->heat != page_heat(epoch - 1, level))
		level = 0;
	/* The page was left writable, and nobody wrote to it: it has cooled down. Its shadow stays
	   what it is; from here on the page is armed, and snapshots see the live page. */
	if (level >= LEVEL_HOT && equals_shadow(arena, page, epoch))
		level = 0;
	else if (level < PAGE_HEAT_MAX)
		level++;
	entry->heat = page_heat(epoch, level);
	return level >= LEVEL_HOT;
}

/* These loops mostly wait for memory: prefetch the next page while working on one. */
static void prefetch(struct cowarena *arena, size_t page, size_t pages)
{
	if (page >= pages)
		return;
	__builtin_prefetch(&arena->table.pages[page], 1);
	for (size_t at = 0; at < PREFETCH; at += 64)
		__builtin_prefetch(arena_address(arena, page) + at);
}

/* With a limit, memory is kept for pages that are written to. And a rollback looks at each page
   that its snapshot has copied: where there are rollbacks, their pages are not copied in vain. */
static bool arms_later(const struct cowarena *arena)
{
	return arena->engine->arm_later && arena->frames.held_max == SIZE_MAX && !arena->rearm.to &&
	       atomic_load_explicit(&arena->helper.bell.heard, memory_order_relaxed);
}

/* Whether the page takes a call of its own to be armed, and the helper can make that call. */
static bool is_for_later(struct cowarena *arena, size_t page)
{
	const struct pagetable *t = &arena->table;

	return !bitmap_test(&t->later, page) && /* the helper has not come to it */
	       !(page && (bitmap_test(&t->dirty, page - 1) || bitmap_test(&t->hot, page - 1))) &&
	       !(page + 1 < t->dirty.bits && bitmap_test(&t->dirty, page + 1));
}

struct choice {
	uint64_t epoch;
	enum writers writers;
	size_t later; /* so many pages more may be armed later */
};

/* What is own (private.h) is kept until it has come to rest. */
static bool is_to_be_copied(struct cowarena *arena, size_t page, struct choice *c)
{
	if (bitmap_test(&arena->table.own, page))
		return private_wants_keeping(arena, page);
	if (c->writers == WRITERS_ANY || chunks_is_private(&arena->chunks, page))
		return false;
	bool alone = c->later && is_for_later(arena, page);
	bool hot = (alone || c->writers == WRITERS_PROMISED) && is_hot(arena, page, c->epoch);
	if (alone && !hot) {
		c->later--;
		bitmap_set(&arena->table.later, page);
	} else {
		bitmap_unset(&arena->table.later, page);
	}
	return alone || hot;
}

void shadow_choose(struct cowarena *arena, enum writers writers)
{
	struct pagetable *t = &arena->table;
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed), clean = 0;
	struct choice c = {
	    .epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed),
	    .writers = writers,
	    .later = arms_later(arena) ? pages / LATER_SHARE : 0,
	};

	for (size_t i = bitmap_next(&t->dirty, 0), next; i < pages; i = next) {
		next = bitmap_next(&t->dirty, i + 1);
		if (next == i + 1 && writers != WRITERS_PROMISED &&
		    !chunks_is_private(&arena->chunks, i)) {
			/* Not alone. Found once for all chunks of a run. */
			if (clean <= i)
				clean = bitmap_next_clear(&t->dirty, i);
			size_t stop = chunks_end(&arena->chunks, i);
			next = bitmap_next(&t->dirty, clean < stop ? clean : stop);
			continue;
		}
		prefetch(arena, next, pages);
		if (is_to_be_copied(arena, i, &c)) {
			bitmap_set(&t->hot, i);
			bitmap_unset(&t->dirty, i);
		}
	}
}

int shadow_copy(struct cowarena *arena)
{
	struct pagetable *t = &arena->table;
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	int result = 0;

	for (size_t i = bitmap_next(&t->hot, 0), next; i < pages; i = next) {
		next = bitmap_next(&t->hot, i + 1);
		prefetch(arena, next, pages);
		if (bitmap_test(&t->own, i) ? private_keep(arena, i) : fault_shadow(arena, i)) {
			pagetable_mark_dirty(t, i, 1, pages);
			continue;
		}
		bitmap_set(&t->dirty, i); /* which it is: private_fold() asks */
		bool armed = arena->engine->arm(arena, i, 1) == 0; /* no frame: arm it instead */
		bitmap_unset(&t->dirty, i);
		if (!armed) {
			/* If the page cannot be armed either, only the snapshot that is being taken
			   suffers. */
			atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
			struct page *entry = &t->pages[i];
			page_lock(entry);
			page_unlock(entry, epoch << PAGE_STAMP_SHIFT);
			bitmap_set(&t->dirty, i);
			result = -1;
		}
	}
	bitmap_clear(&t->hot);
	return result;
}

void shadow_undo(struct cowarena *arena)
{
	struct pagetable *t = &arena->table;

	for (size_t i = bitmap_next(&t->hot, 0); i < t->hot.bits; i = bitmap_next(&t->hot, i + 1))
		bitmap_set(&t->dirty, i);
	bitmap_clear(&t->hot);
}

/*
 * The page is dirty, so nobody needs what it was, and what is written to it meanwhile belongs to
 * the next snapshot as before: that snapshot finds the page armed, or disarmed by a fault and dirty
 * again. It is now what a page is that a rollback has armed.
 */
static void arm_later(struct cowarena *arena, size_t page)
{
	struct pagetable *t = &arena->table;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	uint64_t state = page_lock(&t->pages[page]);

	if (state == epoch << PAGE_STAMP_SHIFT && bitmap_test(&t->dirty, page) &&
	    arena->engine->arm_later(arena, page)) {
		bitmap_unset(&t->dirty, page);
		if (arena->rearm.to) /* it may differ from that snapshot (rearm.h) */
			bitmap_set(&t->changed, page);
		state |= PAGE_REARMED;
	}
	page_unlock(&t->pages[page], state);
}

bool shadow_arm_some(struct cowarena *arena)
{
	struct bitmap *later = &arena->table.later;
	sigset_t signals;
	size_t i;

	if (bitmap_next(later, 0) >= later->bits)
		return false;
	arena_lock_snapshots(arena, &signals);
	i = bitmap_next(later, 0);
	for (int n = 0; i < later->bits && n < ARMED_AT_ONCE; n++, i = bitmap_next(later, i + 1)) {
		bitmap_unset(later, i);
		if (arena->engine->arm_later)
			arm_later(arena, i);
	}
	arena_unlock_snapshots(arena, &signals);
	return i < later->bits;
}
