/* SPDX-License-Identifier: BSD-2-Clause */
/* written.c - see written.h. The versions of pages tell. */
#include "config.h"

#include "written.h"

#include "arena.h"
#include "error.h"
#include "private.h"
#include "records.h"
#include "snapshot-read.h"

#include <errno.h>

struct search {
	struct bitmap *pages;
	uint64_t before; /* only versions that ended before this epoch */
	const struct cowarena *arena;
};

static void add(void *ctx, size_t page, uint32_t frame)
{
	struct search *s = ctx;

	if (version_last(frames_version(&s->arena->frames, frame)) < s->before)
		bitmap_set(s->pages, page);
}

int written_between(struct cowarena_snapshot *older, struct cowarena_snapshot *newer,
		    struct written *w)
{
	struct cowarena *arena = older->arena;
	sigset_t signals;

	if (newer && newer->arena != arena)
		return error_set(EINVAL, "the snapshots are of two arenas");
	if (newer && newer->epoch < older->epoch)
		return error_set(EINVAL, "snapshot %llu is older than %llu: swap the arguments",
				 (unsigned long long)newer->id, (unsigned long long)older->id);
	w->bytes = bitmap_bytes(older->pages);
	w->memory = records_take(w->bytes);
	if (!w->memory)
		return error_set(ENOMEM, "no memory for a bit a page: " ERROR_NO_ROOM);
	bitmap_init(&w->pages, w->memory, older->pages);
	struct search s = {
	    .pages = &w->pages, .before = newer ? newer->epoch : UINT64_MAX, .arena = arena};

	arena_lock_snapshots(arena, &signals);
	w->end = newer ? newer->pages : atomic_load(&arena->pages);
	/* A snapshot that was spoiled in the meantime is out of the order. */
	bool spoiled = timeline_is_lost(older), found = private_collect(arena) == 0;
	if (!spoiled && found)
		timeline_each(arena, older, add, &s);
	arena_unlock_snapshots(arena, &signals);
	if (!spoiled && found)
		return 0;
	written_discard(w);
	return spoiled ? snapshot_usable(older)
		       : error_set(ENOMEM, "no address space for the records of pages that "
					   "have changed: " ERROR_NO_ROOM);
}

void written_discard(struct written *w)
{
	records_give(w->memory, w->bytes);
	w->memory = NULL;
}
