/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot.c - taking, reading and releasing snapshots. */
#include "config.h"

#include "arena.h"
#include "arming.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "helper.h"
#include "objects.h"
#include "point.h"
#include "records.h"
#include "shadow.h"
#include "snapshot-read.h"
#include "snapshot.h"
#include "track.h"
#include "verify.h"

#include <errno.h>
#include <string.h>

/* Arm the dirty pages. -1 with errno. */
static int arm_dirty(struct cowarena *arena)
{
	struct bitmap *dirty = &arena->table.dirty;

	atomic_store_explicit(&arena->half_armed, false, memory_order_relaxed);
	if (arming_arm(arena, dirty))
		return -1;
	bitmap_clear(dirty);
	return 0;
}

/* Whether pages may be copied during the cut, and stay writable. */
static bool copies_some(const struct cowarena *arena, bool quiescent)
{
	return atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed) ||
	       (quiescent && !(arena->flags & COWARENA_FAITHFUL) && !arena->engine->copies_at_cut);
}

/* Reserve frames: each page may need one in the epoch, and a hot page one more during the cut. So
   may a page of a private chunk, and another when the cut finds that it was written to in the epoch
   that ends. -1 with message. */
static int reserve(struct cowarena *arena, size_t pages, bool shadow)
{
	size_t private = atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed)
			 << arena->chunks.pages_shift;
	size_t extra = (shadow ? pages : 0) + (private < pages ? private : pages);

	if (frames_reserve(&arena->frames, pages + extra))
		return error_system(ENOMEM, "no address space for the frames that "
					    "the snapshot could need: " ERROR_NO_ROOM
					    ", or vm.overcommit_memory");
	return 0;
}

/*
 * The cut. All signals are blocked, heap lock and snapshot lock are held: no block is half
 * allocated, and nobody else closes the gate. Until the last dirty page is armed, threads go on
 * writing to the pages that are not armed yet; such a write is in the snapshot. Then nothing can
 * change before the gate opens, in the new epoch (K1, K2).
 */
static int cut(struct cowarena *arena, struct cowarena_snapshot *s, bool quiescent)
{
	int result = -1;

	gate_close(&arena->gate);
	bool shadow = copies_some(arena, quiescent); /* chunks become private inside the gate */
	s->pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);
	/* Reserve again, usually to find it done: until now writers went on taking frames. */
	if (reserve(arena, s->pages, shadow))
		goto out;
	if (private_begin_cut(arena, quiescent)) {
		error_system(ENOMEM,
			     "the kernel refused to hold those who write to the heap (%s): if this "
			     "is ENOMEM, raise vm.max_map_count",
			     error_name(errno));
		goto out;
	}
	rearm_note_cut(arena);
	if (shadow)
		shadow_choose(arena, quiescent);
	/* On failure some dirty pages are armed. Their stamps say writable, so a fault mends them
	   (fault.c). */
	if (arm_dirty(arena)) {
		shadow_undo(arena);
		error_system(ENOMEM,
			     "the kernel refused to write-protect the heap (%s): raise "
			     "vm.max_map_count",
			     error_name(errno));
		goto out;
	}
	TEST_POINT();
	verify_record(s);
	timeline_append(arena, s);
	result = arena->engine->copies_at_cut ? fault_preserve_all(arena)
		 : shadow                     ? shadow_copy(arena)
					      : 0;
	if (arena->engine->armed)
		arena->engine->armed(arena);
	if (result)
		error_set(ENOMEM, "neither frames to copy pages to nor mappings to arm them: raise "
				  "options.held_limit or vm.max_map_count");
out:
	if (private_end_cut(arena))
		result =
		    error_set(ENOMEM, "the program has closed a descriptor of the library while "
				      "the snapshot was being taken: take it again");
	TEST_POINT();
	gate_open(&arena->gate);
	if (result && s->epoch) {
		timeline_retire(arena, s);
		timeline_forget(arena, s);
		arena->timeline.taken--; /* nobody has seen the id */
	}
	debug_check(arena);
	return result;
}

/*
 * An engine that copies at the cut knows what it will need. With the others the need turns out
 * later, and the writer gives up a snapshot by the same policy (fault.c). Nobody else takes frames
 * here: this engine's only faults wait for the cut. -1 with message.
 */
static int make_room(struct cowarena *arena)
{
	const struct frames *f = &arena->frames;
	size_t pages = atomic_load(&arena->pages);
	size_t views = 0; /* pages held by views stay, whatever is given up */

	for (size_t i = atomic_load(&arena->pages); i-- > 0;) /* fresh pages are not charged */
		pages -= (page_peek(&arena->table.pages[i]) & PAGE_FRESH) != 0;
	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next)
		views += atomic_load(&v->touched);
	while (pages > f->held_max - atomic_load(&f->held))
		if (arena->limit_policy != COWARENA_LIMIT_DROP_OLDEST ||
		    pages > f->held_max - views || !timeline_spoil(arena))
			return error_set(
			    ENOMEM,
			    "a copy of the heap (%zu bytes) does not fit into what is left of "
			    "options.held_limit: raise it, or release snapshots or views",
			    pages << arena->page_shift);
	return 0;
}

cowarena_snapshot *cowarena_snapshot_take(cowarena *arena, unsigned flags)
{
	sigset_t signals;

	arena_in_use(arena, __func__);
	if (!arena)
		return error_null(EINVAL, "arena is NULL");
	if (flags & ~(unsigned)COWARENA_QUIESCENT)
		return error_null(EINVAL, "unknown snapshot flags (%#x)", flags);
	helper_start(arena);
	uint64_t start = os_now();
	struct cowarena_snapshot *s = records_take(sizeof *s);
	if (!s)
		return error_null(ENOMEM, "no memory for the snapshot's record: " ERROR_NO_ROOM);
	s->arena = arena;
	atomic_store(&s->mark, MARK_SNAPSHOT);

	heap_stop(arena);
	if (arena->engine->must_renew && arena->engine->must_renew(arena) && engine_renew(arena)) {
		heap_go(arena);
		records_give(s, sizeof *s);
		errno = ENOMEM;
		return NULL;
	}
	arena_lock_snapshots(arena, &signals);
	bool quiescent = flags & COWARENA_QUIESCENT;
	size_t pages = atomic_load(&arena->pages);
	int result = reserve(arena, pages, copies_some(arena, quiescent));
	if (!result && verify_prepare(s, pages))
		result = error_set(ENOMEM, "no memory for the hashes of COWARENA_VERIFY");
	if (!result && arena->engine->copies_at_cut)
		result = make_room(arena);
	if (!result) {
		helper_before_take(arena);
		result = cut(arena, s, quiescent);
	}
	if (!result) {
		uint64_t pause = os_now() - start;
		atomic_store_explicit(&arena->counters.pause_ns_last, pause, memory_order_relaxed);
		stats_max(&arena->counters.pause_ns_max, pause);
	}
	arena_unlock_snapshots(arena, &signals);
	heap_cut(arena);
	heap_go(arena);
	if (!result) {
		helper_after_take(arena, s->epoch);
		return s;
	}
	verify_forget(s);
	records_give(s, sizeof *s);
	errno = ENOMEM;
	return NULL;
}

static int has_views(const struct cowarena_snapshot *s, unsigned views)
{
	return error_set(EBUSY, "snapshot %llu has %u open view%s: close %s first",
			 (unsigned long long)s->id, views, views == 1 ? "" : "s",
			 views == 1 ? "it" : "them");
}

/* In a child of fork() that has no copy of the arena, only the record is left. */
static int forget_in_child(struct cowarena *arena, struct cowarena_snapshot *s)
{
	if (s->views)
		return has_views(s, s->views);
	objects_end(s, MARK_SNAPSHOT, "cowarena_snapshot_release");
	timeline_forget(arena, s);
	records_give(s, sizeof *s);
	return 0;
}

int cowarena_snapshot_release(cowarena_snapshot *s)
{
	sigset_t signals;

	if (!s)
		return 0;
	int e = errno;
	objects_check(s, MARK_SNAPSHOT, __func__);
	struct cowarena *arena = s->arena;
	if (arena->is_shut)
		return forget_in_child(arena, s);
	if (s->hashes && !atomic_load(&s->spoiled))
		verify_all(s);
	arena_lock_snapshots(arena, &signals);
	unsigned views = s->views;
	if (!views) {
		objects_end(s, MARK_SNAPSHOT, __func__);
		helper_note_use(arena);
		rearm_forget(arena, s);
		if (!atomic_load(&s->spoiled))
			timeline_retire(arena, s);
		timeline_forget(arena, s);
		debug_check(arena);
	}
	bool surplus = helper_can_give_back(arena);
	arena_unlock_snapshots(arena, &signals);
	if (views)
		return has_views(s, views);
	verify_forget(s);
	records_give(s, sizeof *s);
	helper_after_release(arena, surplus);
	errno = e;
	return 0;
}

void snapshot_destroy_all(struct cowarena *arena)
{
	while (arena->timeline.views)
		cowarena_view_close(arena->timeline.views);
	for (struct cowarena_snapshot *s; (s = arena->timeline.all) != NULL;) {
		timeline_forget(arena, s);
		verify_forget(s);
		objects_end(s, MARK_SNAPSHOT, "cowarena_destroy");
		records_give(s, sizeof *s);
	}
}

int cowarena_on_spoiled(cowarena *arena, cowarena_spoiled_fn *fn, void *ctx)
{
	sigset_t signals;

	arena_in_use(arena, __func__);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	arena_lock_snapshots(arena, &signals);
	arena->timeline.on_spoiled = fn;
	arena->timeline.on_spoiled_ctx = ctx;
	arena_unlock_snapshots(arena, &signals);
	return 0;
}

void snapshot_lose_all(struct cowarena *arena)
{
	struct timeline *t = &arena->timeline;
	struct cowarena_snapshot **link = &t->all;
	size_t live = 0;

	for (struct cowarena_view *v = t->views; v; v = v->next)
		v->pages = 0;
	for (struct cowarena_snapshot *s = t->all; s; s = s->next) {
		atomic_store(&s->end, SNAPSHOT_NOT_FORKED);
		atomic_store(&s->spoiled, true);
		atomic_store(&s->keeps, FRAME_NONE);
		s->older = s->newer = NULL;
		/* A thread of the parent may have been changing these. */
		s->link = link;
		link = &s->next;
		live++;
	}
	atomic_store(&t->live, live);
	t->newest = t->oldest = NULL;
	t->views = NULL;
}

uint64_t cowarena_snapshot_id(const cowarena_snapshot *s)
{
	if (!s)
		return 0;
	objects_check(s, MARK_SNAPSHOT, __func__);
	return s->id;
}

int cowarena_snapshot_check(const cowarena_snapshot *s)
{
	snapshot_in_use(s, __func__);
	return snapshot_intact(s);
}

int cowarena_snapshot_read(cowarena_snapshot *s, void *dst, const void *src, size_t n)
{
	snapshot_in_use(s, __func__);
	if (snapshot_usable(s))
		return -1;
	if (n == 0)
		return 0;
	if (!dst)
		return error_set(EINVAL, "dst is NULL");
	if (!arena_holds(s->arena, src, n, s->pages))
		return error_set(
		    EFAULT,
		    "[%p, +%zu) is not in the heap as it was at snapshot %llu: src must be a live "
		    "address of that time",
		    src, n, (unsigned long long)s->id);
	int e = errno;
	size_t offset = (size_t)((const char *)src - s->arena->base);
	snapshot_copy(s, dst, offset, n);
	track_read(dst, n);
	verify_read(s, offset, n);
	errno = e;
	/* Frames may have been filled when the protection was gone already. */
	return snapshot_intact(s);
}

void *cowarena_snapshot_root(cowarena_snapshot *s)
{
	void *root = NULL;

	snapshot_in_use(s, __func__);
	if (!s)
		return error_null(EINVAL, "snapshot is NULL");
	return cowarena_snapshot_read(s, &root, heap_root_address(s->arena), sizeof root) ? NULL
											  : root;
}
