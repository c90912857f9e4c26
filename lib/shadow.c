/* SPDX-License-Identifier: BSD-2-Clause */
/* shadow.c - see shadow.h. */
#include "config.h"

#include "arena.h"
#include "fault.h"
#include "shadow.h"
#include "track.h"
#include "versions.h"

/* The level of page.heat counts the epochs in a row in which the page was dirty; its epoch is the
   last of these. */
#define LEVEL_HOT 2

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
	uint32_t level = entry->heat & HEAT_LEVEL_MAX;

	if ((entry->heat ^ page_heat(epoch - 1, 0)) > HEAT_LEVEL_MAX)
		level = 0;
	/* The page was left writable, and nobody wrote to it: it has cooled down. Its shadow stays
	   what it is; from here on the page is armed, and snapshots see the live page. */
	if (level >= LEVEL_HOT && equals_shadow(arena, page, epoch))
		level = 0;
	else if (level < HEAT_LEVEL_MAX)
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

/* What is own (private.h) is kept until it has come to rest. */
static bool is_to_be_copied(struct cowarena *arena, size_t page, uint64_t epoch, bool quiescent)
{
	if (bitmap_test(&arena->table.own, page))
		return private_wants_keeping(arena, page);
	return quiescent && !chunks_is_private(&arena->chunks, page) && is_hot(arena, page, epoch);
}

void shadow_choose(struct cowarena *arena, bool quiescent)
{
	struct pagetable *t = &arena->table;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);

	for (size_t i = bitmap_next(&t->dirty, 0), next; i < pages; i = next) {
		next = bitmap_next(&t->dirty, i + 1);
		prefetch(arena, next, pages);
		if (is_to_be_copied(arena, i, epoch, quiescent)) {
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
		pagetable_mark_dirty(t, i, 1, pages);
		if (bitmap_test(&t->own, i) ? private_keep(arena, i) : fault_shadow(arena, i))
			continue;
		if (arena->engine->arm(arena, i, 1) == 0) { /* no frame: arm the page instead */
			bitmap_unset(&t->dirty, i);
			continue;
		}
		/* If the page cannot be armed either, only the snapshot that is being taken
		   suffers. */
		atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
		struct page *entry = &t->pages[i];
		page_lock(entry);
		page_unlock(entry, epoch << PAGE_STAMP_SHIFT);
		result = -1;
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
