/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rollback.c - the live heap becomes what it was, in place.
 *
 * A rollback is a write like any other: each page that differs is preserved for the younger
 * snapshots that need it, disarmed, and then overwritten. Preserving comes first, for all pages: if
 * that costs the very snapshot (I7), nothing has been changed yet.
 */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "objects.h"
#include "records.h"
#include "snapshot-read.h"
#include "track.h"
#include "verify.h"

#include <errno.h>

static void add_change(void *ctx, size_t page, uint32_t frame)
{
	struct cowarena *arena = ctx;

	(void)frame;
	bitmap_set(&arena->table.changed, page);
}

/* Collect in table.changed all pages, of those in use at the snapshot, that may differ from it. */
static void find_changes(struct cowarena *arena, struct cowarena_snapshot *s)
{
	struct pagetable *t = &arena->table;

	/* A page that has changed since the snapshot has a version that the snapshot sees, and no
	   other page has. Only threads that must not be running could add more meanwhile. */
	if (arena->rearm.to != s->id) {
		bitmap_clear(&t->changed);
		timeline_each(arena, s, add_change, arena);
		return;
	}
	bitmap_add(&t->changed, &t->dirty, NULL, s->pages);
}

/* Preserve and disarm the pages that will be overwritten, neighbours by one call. Dirty pages are
   writable, unless a call has failed half-way. */
static void prepare(struct cowarena *arena, size_t pages)
{
	const struct bitmap *changed = &arena->table.changed, *dirty = &arena->table.dirty;
	bool all = atomic_load_explicit(&arena->half_armed, memory_order_relaxed);

	for (size_t first = 0, n; first < pages; first += n) {
		first = all ? bitmap_next(changed, first) : bitmap_next_but(changed, dirty, first);
		for (n = 1; first + n < pages && bitmap_test(changed, first + n) &&
			    (all || !bitmap_test(dirty, first + n));)
			n++;
		if (first < pages)
			fault_prepare(arena, first, n, FAULT_SPOIL_LOCKED);
	}
}

/* Restore one page. Returns whether it differed. */
static bool restore(struct cowarena *arena, struct cowarena_snapshot *s, size_t page)
{
	size_t size = arena_page_size(arena);
	char *live = arena_address(arena, page);

	/* The page is writable in this epoch, so no handler adds a version; and while we hold the
	   snapshot lock, no version is dropped. So the page need not be locked. Nor may it be: if a
	   bug had left it armed, the fault would wait for the lock. */
	/* The handler of the page may have run in another thread: page_peek() pairs with its
	   page_unlock(). */
	page_peek(&arena->table.pages[page]);
	uint32_t frame = timeline_find(arena, page, s->epoch);
	if (frame == FRAME_NONE) /* the page came into use later, or was disarmed and not written */
		return false;
	const struct version *v = frames_version(&arena->frames, frame);
	if (version_place(v) == VERSION_OF_ZEROS) {
		if (track_is_zeros(live, size))
			return false;
		track_clear(live, size);
		return true;
	}
	const char *then = version_place(v) == VERSION_IN_FILE ? arena_past(arena, page)
							       : frames_data(&arena->frames, frame);
	if (track_same(live, then, size))
		return false;
	track_copy(live, then, size);
	return true;
}

/* Restore all pages of table.changed, and remove from it those that are to stay writable. */
static void restore_all(struct cowarena *arena, struct cowarena_snapshot *s)
{
	struct bitmap *changed = &arena->table.changed;

	for (size_t i = bitmap_next(changed, 0); i < changed->bits; i = bitmap_next(changed, i + 1))
		if (i >= s->pages || !rearm_wants(&arena->rearm, i, restore(arena, s, i)))
			bitmap_unset(changed, i);
}

/* Snapshot lock held. 0, or an errno. */
static int roll_back(struct cowarena *arena, struct cowarena_snapshot *s)
{
	if (timeline_is_lost(s))
		return ESTALE;
	if (frames_reserve(&arena->frames, atomic_load(&arena->pages)) || private_collect(arena))
		return ENOMEM;
	find_changes(arena, s);
	rearm_begin(arena);
	prepare(arena, s->pages);
	if (atomic_load(&s->spoiled)) {
		bitmap_clear(&arena->table.changed);
		return ESTALE;
	}
	restore_all(arena, s);
	/* An engine that copies at the cut arms nothing between cuts. */
	if (arena->engine->copies_at_cut)
		bitmap_clear(&arena->table.changed);
	rearm_finish(arena, s->pages);
	arena->rearm.to = s->id;
	return 0;
}

int cowarena_rollback(cowarena *arena, cowarena_snapshot *s)
{
	sigset_t signals;

	arena_in_use(arena, __func__);
	snapshot_in_use(s, __func__);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (snapshot_intact(s))
		return -1;
	if (s->arena != arena)
		return error_set(EINVAL, "the snapshot is of another arena");
	int e = errno;
	heap_stop(arena);
	arena_lock_snapshots(arena, &signals);
	int failed = roll_back(arena, s);
	debug_check(arena);
	if (!failed)
		verify_live(s);
	arena_unlock_snapshots(arena, &signals);
	if (!failed)
		heap_replaced(arena);
	heap_go(arena);
	if (failed == ESTALE)
		return snapshot_usable(s);
	if (failed)
		return error_set(failed, "no address space for the frames that a rollback could "
					 "need; nothing was rolled back: " ERROR_NO_ROOM);
	errno = e;
	return 0;
}
