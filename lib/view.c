/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view.c - a snapshot as contiguous memory.
 *
 * A view is a private mapping of the arena's file: it shows the live pages until either side writes
 * (K14). The handler makes the view's page private before it lets the live page change
 * (sharing.h), and at the opening the view gets copies of the pages that have changed already.
 */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "lazy.h"
#include "objects.h"
#include "range.h"
#include "records.h"
#include "sightings.h"
#include "snapshot-read.h"
#include "track.h"
#include "verify.h"

#include <errno.h>
#include <string.h>

#define HOLE_MIN ((size_t)64) /* pages */
#define HOLES_MAX 500         /* holes that a view may map; each may take two mappings */
#define LOOKS_MAX 1000        /* a look takes 1 us, and every other page may be a hole */

struct filling {
	struct cowarena_view *view;
	size_t filled;
	bool failed;
};

/* Under the snapshot lock, before the caller has the view: nobody else reads or writes this page.
   The handler may be making the page private at the same time, which changes no byte. */
static void fill(void *ctx, size_t page, uint32_t frame)
{
	struct filling *f = ctx;
	struct cowarena *arena = f->view->snapshot->arena;
	size_t size = arena_page_size(arena);
	char *at = f->view->base + (page << arena->page_shift);

	enum version_place place = version_place(frames_version(&arena->frames, frame));

	if (place == VERSION_IN_FILE) /* which the view shows */
		return;
	if (f->failed || !frames_charge(&arena->frames, 1)) {
		f->failed = true;
		return;
	}
	f->filled++;
	bitmap_set(&f->view->own, page);
	if (place == VERSION_OF_ZEROS)
		memset(at, 0, size);
	else
		memcpy(at, frames_data(&arena->frames, frame), size);
	track_read(at, size);
}

/*
 * Map zeros of the view's own where the file has no memory: a read through the file would give it
 * some. What is a hole at any time after the snapshot was zeros at the snapshot, or has changed
 * since; and pages that have changed are filled in afterwards. Small holes are not worth a mapping,
 * and many holes are not worth a long search. -1 when there is no room.
 */
static int map_holes(struct cowarena *arena, struct cowarena_view *view)
{
	size_t first, end;
	unsigned looks = 0;

	for (size_t page = 0; range_next_hole(arena, page, view->pages, &first, &end); page = end) {
		if (view->holes >= HOLES_MAX || looks++ >= LOOKS_MAX)
			return 0;
		if (end - first < HOLE_MIN)
			continue;
		char *at = view->base + (first << arena->page_shift);
		size_t n = (end - first) << arena->page_shift;
		if (os_map_zeros(at, n))
			return -1;
		os_keep_from_children(at, n);
		os_dump(at, n, false);
		bitmap_fill(&view->own, first, end);
		view->holes++;
	}
	return 0;
}

/* -1 when there is no room. */
static int map(struct cowarena *arena, struct cowarena_view *view)
{
	size_t n = view->pages << arena->page_shift;
	size_t bits = os_round_up(bitmap_bytes(view->pages), arena_page_size(arena));

	view->base = os_map_private(n, &arena->file);
	if (!view->base)
		return -1;
	view->own_memory = os_map_anonymous(bits);
	if (!view->own_memory)
		return -1;
	os_keep_from_children(view->base, n);
	os_dump(view->base, n, false);
	os_keep_from_children(view->own_memory, bits);
	bitmap_init(&view->own, view->own_memory, view->pages);
	return map_holes(arena, view);
}

static void unmap(struct cowarena *arena, struct cowarena_view *view)
{
	size_t bits = os_round_up(bitmap_bytes(view->pages), arena_page_size(arena));

	if (!view->pages) /* a child of fork() has none of it */
		return;
	if (view->base)
		os_unmap(view->base, view->pages << arena->page_shift);
	if (view->own_memory)
		os_unmap(view->own_memory, bits);
}

static void remove_view(struct cowarena *arena, struct cowarena_view *view)
{
	if (!view->pages) {
		view->snapshot->views--;
		return;
	}
	timeline_remove_view(arena, view);
	view->snapshot->views--;
	frames_uncharge(&arena->frames, atomic_load(&view->touched));
}

/* The protection and `sealed`, by which handlers know of it, change together: no handler is inside.
   0, or an errno. */
static int seal(struct cowarena *arena, struct cowarena_view *view)
{
	gate_close(&arena->gate);
	int failed = os_protect(view->base, view->pages << arena->page_shift, OS_READ) ? errno : 0;
	view->sealed = !failed;
	gate_open(&arena->gate);
	return failed;
}

/* Snapshot lock held. 0, or an errno. */
static int open_locked(struct cowarena *arena, struct cowarena_view *view)
{
	struct filling f = {.view = view};
	struct cowarena_snapshot *s = view->snapshot;

	if (timeline_is_lost(s))
		return ESTALE;
	view->poke = arena->poke;
	/* From here on the handler splits off pages that change; the pages that have changed
	   already are filled in below. */
	timeline_add_view(arena, view);
	s->views++;
	timeline_each(arena, s, fill, &f);
	atomic_fetch_add_explicit(&view->touched, f.filled, memory_order_relaxed);
	int failed = f.failed ? ENOMEM : view->writable ? 0 : seal(arena, view);
	if (failed)
		remove_view(arena, view);
	debug_check(arena);
	return failed;
}

/* Called with the first read-only view. */
static void prepare_poking(struct cowarena *arena)
{
	sigset_t signals;
	int e = errno;

	if (atomic_load(&arena->poke_tried))
		return;
	struct os_file poke;
	os_poke_open(&poke);
	arena_lock_snapshots(arena, &signals);
	if (!atomic_exchange(&arena->poke_tried, true)) {
		arena->poke = poke;
		poke = OS_NO_FILE;
	}
	arena_unlock_snapshots(arena, &signals);
	os_file_close(&poke);
	errno = e; /* split_sealed() has another way */
}

cowarena_view *cowarena_view_open(cowarena_snapshot *s, unsigned flags)
{
	sigset_t signals;

	snapshot_in_use(s, __func__);
	if (snapshot_intact(s))
		return NULL;
	if (flags & ~(unsigned)COWARENA_VIEW_PRIVATE)
		return error_null(EINVAL, "unknown view flags (%#x)", flags);
	struct cowarena *arena = s->arena;
	if (lazy_finish(arena))
		return NULL;
	struct cowarena_view *view = records_take(sizeof *view);
	if (!view)
		return error_null(ENOMEM, "no memory for the view's record: " ERROR_NO_ROOM);
	view->snapshot = s;
	view->pages = s->pages;
	view->writable = flags & COWARENA_VIEW_PRIVATE;
	int failed = map(arena, view) ? errno : 0;
	if (!failed && !view->writable)
		prepare_poking(arena);
	if (!failed) {
		arena_lock_snapshots(arena, &signals);
		failed = open_locked(arena, view);
		arena_unlock_snapshots(arena, &signals);
	}
	if (!failed) {
		atomic_store(&view->mark, MARK_VIEW);
		sightings_add(view->base, view->pages << arena->page_shift);
		return view;
	}
	unmap(arena, view);
	records_give(view, sizeof *view);
	if (failed == ESTALE) {
		snapshot_usable(s);
		return NULL;
	}
	if (failed == EBADF)
		return error_null(
		    EBADF,
		    "the descriptor of the arena's memory has been closed by the program, as "
		    "daemons do "
		    "that close all: close only what is your own, or create the arena afterwards");
	errno = failed;
	error_system(ENOMEM, "no room for the view: raise ulimit -v, -d, vm.max_map_count or "
			     "options.held_limit, or close other views");
	return NULL;
}

/* Whether this is a child of fork(), which does not have the view. (Another thread may be giving up
   the snapshot at this moment, for another reason.) */
static bool is_of_parent(const struct cowarena_view *view)
{
	return atomic_load_explicit(&view->snapshot->end, memory_order_relaxed) ==
	       SNAPSHOT_NOT_FORKED;
}

void *cowarena_view_at(const cowarena_view *view, const void *live)
{
	if (!view)
		return error_null(EINVAL, "view is NULL");
	view_in_use(view, __func__);
	if (!live)
		return NULL;
	if (is_of_parent(view)) {
		snapshot_usable(view->snapshot);
		return NULL;
	}
	struct cowarena *arena = view->snapshot->arena;
	size_t offset = (size_t)((const char *)live - arena->base);
	if (offset >= view->pages << arena->page_shift)
		return error_null(EFAULT, "%p is not in the heap as it was at snapshot %llu", live,
				  (unsigned long long)view->snapshot->id);
	return view->base + offset;
}

int cowarena_view_range(const cowarena_view *view, const void **start, const void **end)
{
	if (!view)
		return error_set(EINVAL, "view is NULL");
	view_in_use(view, __func__);
	if (is_of_parent(view))
		return snapshot_usable(view->snapshot);
	const struct cowarena *arena = view->snapshot->arena;
	if (start)
		*start = arena->base;
	if (end)
		*end = arena->base + (view->pages << arena->page_shift);
	return 0;
}

/* Check what was read so far. The snapshot, or the view, is marked before a page of it can change,
   and snapshot_usable() looks at the mark after the reads (its fence). 0; or -1 with errno and
   message. */
static int check(const struct cowarena_view *view)
{
	if (snapshot_usable(view->snapshot))
		return -1;
	if (atomic_load(&view->broken))
		return error_set(
		    ESTALE,
		    "the kernel refused to split off a page of the view, which may have "
		    "shown newer data: raise vm.max_map_count, or let a sandbox allow mprotect(2)");
	return 0;
}

int cowarena_view_check(const cowarena_view *view)
{
	view_in_use(view, __func__);
	if (!view)
		return error_set(EINVAL, "view is NULL");
	return snapshot_intact(view->snapshot) ? -1 : check(view);
}

int cowarena_view_settle(cowarena_view *view, const void *p, size_t n)
{
	sigset_t signals;

	if (cowarena_view_check(view))
		return -1;
	struct cowarena *arena = view->snapshot->arena;
	size_t offset = (size_t)((const char *)p - view->base),
	       all = view->pages << arena->page_shift;
	if (offset > all || n > all - offset)
		return error_set(EFAULT,
				 "[%p, +%zu) is not in the view: p must be an address in it, as "
				 "cowarena_view_at() gives",
				 p, n);
	if (n == 0)
		return 0;
	int e = errno;
	size_t first = offset >> arena->page_shift, last = (offset + n - 1) >> arena->page_shift;
	os_block_signals(&signals);
	int failed = fault_settle(arena, view, first, last - first + 1);
	os_restore_signals(&signals);
	if (failed == ENOMEM)
		return error_set(ENOMEM, "the pages do not fit into what is left of "
					 "options.held_limit: raise it, or close other views");
	if (failed)
		return error_set(failed, "the kernel refused to split off a page of the view: "
					 "raise vm.max_map_count");
	errno = e;
	return cowarena_view_check(view);
}

/* In a child of fork() that has no copy of the arena, only the record is left. */
static int forget_in_child(struct cowarena_view *view)
{
	struct cowarena_view **at = &view->snapshot->arena->timeline.views;

	objects_end(view, MARK_VIEW, "cowarena_view_close");
	while (*at && *at != view)
		at = &(*at)->next;
	if (*at)
		*at = view->next;
	view->snapshot->views--;
	sightings_remove(view->base);
	records_give(view, sizeof *view);
	return 0;
}

int cowarena_view_close(cowarena_view *view)
{
	sigset_t signals;

	if (!view)
		return 0;
	int e = errno;
	objects_check(view, MARK_VIEW, __func__);
	struct cowarena_snapshot *s = view->snapshot;
	struct cowarena *arena = s->arena;
	if (arena->is_shut)
		return forget_in_child(view);
	snapshot_intact(s); /* if not, check() reports it */
	arena_lock_snapshots(arena, &signals);
	objects_end(view, MARK_VIEW, __func__);
	sightings_remove(view->base);
	/* Checked before the view is removed: afterwards another thread may release the
	   snapshot. */
	int result = check(view);
	if (!result)
		verify_view(view);
	remove_view(arena, view);
	debug_check(arena);
	arena_unlock_snapshots(arena, &signals);
	unmap(arena, view);
	records_give(view, sizeof *view);
	errno = result ? ESTALE : e;
	return result;
}
