/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rollback.c - the live heap becomes what it was, in place.
 *
 * A rollback is a write like any other: each page that differs is preserved for the younger
 * snapshots that need it, and disarmed; then it is overwritten. Preserving comes first, for all
 * pages: if that costs the very snapshot (I7), nothing has been changed yet.
 */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "snapshot.h"
#include "track.h"
#include "verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct changes {
	uint32_t *pages;
	size_t n, room;
};

static void count_change(void *ctx, size_t page, uint32_t frame)
{
	(void)page, (void)frame;
	((struct changes *)ctx)->n++;
}

static void add_change(void *ctx, size_t page, uint32_t frame)
{
	struct changes *c = ctx;

	(void)frame;
	if (c->n < c->room)
		c->pages[c->n++] = (uint32_t)page;
}

static void restore(struct cowarena *arena, struct cowarena_snapshot *s, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	size_t size = arena_page_size(arena);
	char *live = arena_address(arena, page);

	/* No version is dropped while we hold the snapshot lock, so the page's lock need not
	   be held during the copy; and it must not be, should the page have been armed by a
	   mistake of ours. */
	uint64_t state = page_lock(entry);
	uint32_t frame = timeline_find(arena, page, s->epoch);
	page_unlock(entry, state);
	if (frames_version(&arena->frames, frame)->zero)
		track_clear(live, size);
	else
		track_copy(live, frames_data(&arena->frames, frame), size);
}

/* Snapshot lock held. 0, or an errno. */
static int roll_back(struct cowarena *arena, struct cowarena_snapshot *s)
{
	struct changes c = {0};

	if (atomic_load(&s->spoiled))
		return ESTALE;
	if (frames_reserve(&arena->frames, atomic_load(&arena->pages)))
		return ENOMEM;
	/* A page that has changed since the snapshot has a version that the snapshot sees, and
	   no other page has. More may be added to the lists meanwhile only by threads that must
	   not be running. */
	timeline_each(arena, s, count_change, &c);
	c.room = c.n;
	c.n = 0;
	if (!c.room)
		return 0;
	c.pages = malloc(c.room * sizeof *c.pages);
	if (!c.pages)
		return ENOMEM;
	timeline_each(arena, s, add_change, &c);

	/* Runs of neighbours are prepared by one call each: few are sorted by chance, but
	   streams are. */
	for (size_t i = 0, n; i < c.n; i += n) {
		size_t low = c.pages[i];
		for (n = 1; i + n < c.n; n++) {
			if (c.pages[i + n] == c.pages[i + n - 1] - 1)
				low = c.pages[i + n];
			else
				break;
		}
		fault_prepare(arena, low, n, FAULT_SPOIL_LOCKED);
	}
	int result = atomic_load(&s->spoiled) ? ESTALE : 0;
	for (size_t i = 0; i < c.n && !result; i++)
		restore(arena, s, c.pages[i]);
	free(c.pages);
	return result;
}

int cowarena_rollback(cowarena *arena, cowarena_snapshot *s)
{
	sigset_t signals;

	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (snapshot_usable(s))
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
		return error_set(failed, "no memory for a list of the changed pages, or for "
					 "frames; nothing was rolled back: " ERROR_NO_ROOM);
	errno = e;
	return 0;
}
