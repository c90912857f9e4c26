/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot-read.c - see snapshot-read.h. */
#include "config.h"

#include "snapshot-read.h"

#include "arena.h"
#include "error.h"
#include "point.h"
#include "range.h"
#include "track.h"

#include <errno.h>
#include <string.h>

/* That it was not given up. */
static int check_end(const struct cowarena_snapshot *s)
{
	/* If the caller has read from a frame that was recycled meanwhile, the flag was set
	   before. */
	track_copied();
	if (!atomic_load(&s->spoiled))
		return 0;
	static const char *const why[] = {
	    [SNAPSHOT_AT_LIMIT] = "was given up at the limit of held memory: raise "
				  "options.held_limit, or release snapshots earlier",
	    [SNAPSHOT_UNPROTECTED] = "was given up: the program has closed the library's "
				     "userfaultfd, as daemons do that close all descriptors; close "
				     "only what is your own, or take snapshots afterwards",
	    [SNAPSHOT_NOT_FORKED] = "was taken before fork(): a child has a copy of the heap at "
				    "most, and takes snapshots of its own",
	    [SNAPSHOT_SAVED] = "was saved with COWARENA_SAVE_LAST_USE: save without that flag what "
			       "is used afterwards",
	};
	return error_set(ESTALE, "snapshot %llu %s", (unsigned long long)s->id,
			 why[atomic_load(&s->end)]);
}

int snapshot_usable(const struct cowarena_snapshot *s)
{
	if (!s)
		return error_set(EINVAL, "snapshot is NULL");
	if (check_end(s))
		return -1;
	return atomic_load(&s->last_use)
		   ? error_set(ESTALE,
			       "snapshot %llu is being saved with COWARENA_SAVE_LAST_USE: save "
			       "without that flag what is used otherwise",
			       (unsigned long long)s->id)
		   : 0;
}

int snapshot_intact(const struct cowarena_snapshot *s)
{
	return snapshot_usable(s) ? -1 : snapshot_protected(s);
}

int snapshot_protected(const struct cowarena_snapshot *s)
{
	sigset_t signals;

	if (check_end(s))
		return -1;
	struct cowarena *arena = s->arena;
	/* After a "no" from lost(), check again: another thread may have given up all snapshots,
	   and opened the engine anew, since check_end() looked. */
	const struct engine *engine = arena->engine; /* another engine may take over soon */
	if (!engine->lost || !engine->lost(arena))
		return check_end(s);
	arena_lock_snapshots(arena, &signals);
	if (arena->engine->lost && arena->engine->lost(arena)) /* not renewed in the meantime */
		timeline_spoil_all(arena, SNAPSHOT_UNPROTECTED);
	arena_unlock_snapshots(arena, &signals);
	return check_end(s);
}

/* Copy a part of one page. */
static void copy_part(struct cowarena_snapshot *s, size_t page, void *dst, size_t within, size_t n)
{
	struct cowarena *arena = s->arena;
	struct page *entry = &arena->table.pages[page];

	for (;;) {
		uint64_t state = page_peek(entry);
		if (page_stamp(state) > s->epoch)
			break;
		/* The page has not changed since the snapshot: read the live page. No lock is held,
		   since dst may be armed memory. */
		TEST_POINT();
		if (state & PAGE_FRESH || range_is_hole(arena, page))
			track_clear(dst, n);
		else
			track_copy(dst, arena_past(arena, page) + within, n);
		TEST_POINT();
		/*
		 * Was the live page unchanged all the time? A store to it comes after the page was
		 * disarmed, which comes after it was locked and before it is unlocked with a new
		 * stamp. So if we have read anything of such a store, we see the lock or the new
		 * stamp now.
		 */
		track_copied();
		if (atomic_load_explicit(&entry->state, memory_order_relaxed) == state)
			return;
	}

	/* A version for this snapshot stays as long as the snapshot does. The tree around it
	   changes, so the search holds the page's lock. */
	sigset_t signals;
	os_block_signals(&signals);
	uint64_t state = page_lock(entry);
	uint32_t frame = timeline_find(arena, page, s->epoch);
	page_unlock(entry, state);
	os_restore_signals(&signals);
	if (frame == FRAME_NONE) /* the snapshot was spoiled meanwhile */
		return;
	TEST_POINT();
	const struct version *v = frames_version(&arena->frames, frame);
	if (version_place(v) == VERSION_OF_ZEROS) {
		memset(dst, 0, n);
		return;
	}
	if (version_place(v) == VERSION_IN_FILE) {
		track_copy(dst, arena_past(arena, page) + within, n);
		TEST_POINT();
		/* A version moves to its frame before the file changes (private.c: unfile()). */
		track_copied();
		if (version_place(v) == VERSION_IN_FILE)
			return;
	}
	track_copy(dst, (char *)frames_data(&arena->frames, frame) + within, n);
}

void snapshot_copy(struct cowarena_snapshot *s, void *dst, size_t offset, size_t n)
{
	size_t size = arena_page_size(s->arena);

	while (n) {
		size_t within = offset & (size - 1);
		size_t part = n < size - within ? n : size - within;
		copy_part(s, offset >> s->arena->page_shift, dst, within, part);
		dst = (char *)dst + part;
		offset += part;
		n -= part;
	}
}

/* ---- without a copy ---- */

static bool races_are_seen(void)
{
#ifdef TRACK_TSAN
	return true;
#else
	return track_is_active();
#endif
}

bool snapshot_borrow(struct cowarena_snapshot *s, size_t first, size_t n, struct borrowed *b)
{
	struct cowarena *arena = s->arena;

	if (races_are_seen())
		return false;
	*b = (struct borrowed){.first = first, .n = n, .at = arena_past(arena, first)};
	for (size_t i = 0; i < n; i++) {
		b->states[i] = page_peek(&arena->table.pages[first + i]);
		if (page_stamp(b->states[i]) > s->epoch || b->states[i] & PAGE_FRESH ||
		    range_is_hole(arena, first + i))
			return false;
	}
	TEST_POINT();
	return true;
}

bool snapshot_was_borrowed(struct cowarena_snapshot *s, const struct borrowed *b)
{
	TEST_POINT();
	/* As in copy_part(): who has read anything of a later store sees the new state now. */
	track_copied();
	for (size_t i = 0; i < b->n; i++)
		if (atomic_load_explicit(&s->arena->table.pages[b->first + i].state,
					 memory_order_relaxed) != b->states[i])
			return false;
	return true;
}
