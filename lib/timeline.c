/* SPDX-License-Identifier: BSD-2-Clause */
/* timeline.c - see timeline.h. */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "point.h"
#include "versions.h"

#include <errno.h>

void timeline_append(struct cowarena *arena, struct cowarena_snapshot *s)
{
	struct timeline *t = &arena->timeline;

	s->id = ++t->taken;
	s->epoch = atomic_load_explicit(&t->epoch, memory_order_relaxed);
	s->older = t->newest;
	s->newer = NULL;
	if (t->newest)
		t->newest->newer = s;
	else
		t->oldest = s;
	t->newest = s;
	s->next = t->all;
	s->link = &t->all;
	if (s->next)
		s->next->link = &s->next;
	/* Another thread may be forking: the list in the child must be whole when read forwards
	   (snapshot_lose_all). */
	TEST_POINT();
	atomic_thread_fence(memory_order_release);
	t->all = s;
	t->live++;
	/* The gate orders this for the handlers. */
	atomic_store_explicit(&t->epoch, s->epoch + 1, memory_order_relaxed);
}

/* Push a version on a snapshot's list. Consumers take the whole list at once, so there is no
   ABA. */
static void keep(struct frames *f, struct cowarena_snapshot *s, uint32_t frame)
{
	uint32_t head = atomic_load_explicit(&s->keeps, memory_order_relaxed);

	do
		atomic_store_explicit(&frames_version(f, frame)->link, head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&s->keeps, &head, frame, memory_order_release,
						      memory_order_relaxed));
}

void timeline_publish(struct cowarena *arena, size_t page, uint64_t first, uint32_t frame,
		      enum version_place place)
{
	struct timeline *t = &arena->timeline;
	struct version *v = frames_version(&arena->frames, frame);
	struct page *entry = &arena->table.pages[page];

	uint64_t last = atomic_load_explicit(&t->epoch, memory_order_relaxed) - 1;

	v->first = first;
	version_end(v, last & PAGE_STAMP_MAX, place);
	if (place != VERSION_IN_FRAME)
		atomic_fetch_add_explicit(&arena->frames.bare, 1, memory_order_relaxed);
	v->page = (uint32_t)page;
	versions_add(&arena->frames, &entry->versions, frame);
	keep(&arena->frames, t->newest, frame);
}

uint32_t timeline_find(struct cowarena *arena, size_t page, uint64_t epoch)
{
	return versions_find(&arena->frames, arena->table.pages[page].versions, epoch);
}

/* Nobody needs this version any more. */
static void drop(struct cowarena *arena, uint32_t frame)
{
	struct version *v = frames_version(&arena->frames, frame);
	struct page *entry = &arena->table.pages[v->page];
	enum version_place place = version_place(v);
	uint64_t state = page_lock(entry);

	versions_remove(&arena->frames, &entry->versions, frame);
	if (place == VERSION_IN_FILE)
		bitmap_unset(&arena->table.filed, v->page);
	page_unlock(entry, state);
	frames_give(&arena->frames, frame);
	if (place == VERSION_IN_FRAME)
		frames_uncharge(&arena->frames, 1);
	else
		atomic_fetch_sub_explicit(&arena->frames.bare, 1, memory_order_relaxed);
}

static void unlink_snapshot(struct cowarena *arena, struct cowarena_snapshot *s)
{
	struct timeline *t = &arena->timeline;
	/* Handlers look at the newest snapshot only: they push to its list, and ask for its
	   epoch; or for the next one's, if they need not preserve pages for the newest
	   (timeline_needs). */
	bool seen = s == t->newest || (s == t->newest->older && atomic_load(&t->newest->last_use));

	if (seen)
		gate_close(&arena->gate);
	if (s->newer)
		s->newer->older = s->older;
	else
		t->newest = s->older;
	if (s->older)
		s->older->newer = s->newer;
	else
		t->oldest = s->newer;
	if (seen)
		gate_open(&arena->gate);
}

void timeline_retire(struct cowarena *arena, struct cowarena_snapshot *s)
{
	unlink_snapshot(arena, s);
	TEST_POINT();

	/* Acquire: pairs with keep(). Nobody pushes to this list any more. */
	uint32_t frame = atomic_exchange_explicit(&s->keeps, FRAME_NONE, memory_order_acquire);
	while (frame != FRAME_NONE) {
		struct version *v = frames_version(&arena->frames, frame);
		uint32_t next = atomic_load_explicit(&v->link, memory_order_relaxed);
		TEST_POINT();
		if (s->older && v->first <= s->older->epoch)
			keep(&arena->frames, s->older, frame);
		else
			drop(arena, frame);
		frame = next;
	}
}

void timeline_forget(struct cowarena *arena, struct cowarena_snapshot *s)
{
	/* In this order for a concurrent fork, as in timeline_append(). */
	*s->link = s->next;
	atomic_thread_fence(memory_order_release);
	TEST_POINT();
	if (s->next)
		s->next->link = s->link;
	arena->timeline.live--;
}

static void give_up(struct cowarena *arena, struct cowarena_snapshot *s, enum snapshot_end why)
{
	struct timeline *t = &arena->timeline;

	/* The callback runs first, before anybody can meet the ESTALE. */
	if (t->on_spoiled)
		t->on_spoiled(t->on_spoiled_ctx, s->id);
	TEST_POINT();
	atomic_store_explicit(&s->end, (uint8_t)why, memory_order_relaxed);
	/* Set before any of the snapshot's frames is recycled: a reader that has copied from a
	   recycled frame sees the flag afterwards (snapshot-read.c). The page locks and the pool's
	   exchanges that follow are the release. */
	atomic_store(&s->spoiled, true);
	TEST_POINT();
	timeline_retire(arena, s);
	atomic_fetch_add(&t->spoils, 1); /* once its memory is free */
	debug_check(arena);
}

int timeline_begin_last_use(struct cowarena_snapshot *s)
{
	if (timeline_is_lost(s))
		return ESTALE;
	if (s->views)
		return EBUSY;
	atomic_store(&s->last_use, true);
	return 0;
}

void timeline_end_last_use(struct cowarena *arena, struct cowarena_snapshot *s)
{
	if (atomic_load(&s->spoiled))
		return;
	atomic_store_explicit(&s->end, SNAPSHOT_SAVED, memory_order_relaxed);
	atomic_store(&s->spoiled, true); /* as in give_up() */
	timeline_retire(arena, s);
	debug_check(arena);
}

bool timeline_spoil(struct cowarena *arena)
{
	struct timeline *t = &arena->timeline;
	struct cowarena_snapshot *s =
	    arena->limit_policy == COWARENA_LIMIT_DROP_OLDEST ? t->oldest : t->newest;

	if (s)
		give_up(arena, s, SNAPSHOT_AT_LIMIT);
	return s;
}

void timeline_spoil_all(struct cowarena *arena, enum snapshot_end why)
{
	while (arena->timeline.oldest)
		give_up(arena, arena->timeline.oldest, why);
}

void timeline_add_view(struct cowarena *arena, struct cowarena_view *view)
{
	gate_close(&arena->gate);
	view->next = arena->timeline.views;
	atomic_thread_fence(memory_order_release); /* as in timeline_append() */
	arena->timeline.views = view;
	gate_open(&arena->gate);
}

void timeline_remove_view(struct cowarena *arena, struct cowarena_view *view)
{
	struct cowarena_view **at = &arena->timeline.views;

	gate_close(&arena->gate);
	while (*at != view)
		at = &(*at)->next;
	*at = view->next;
	gate_open(&arena->gate);
}

/* Walk the page table: each page's state says whether the page has changed since the snapshot. */
static void each_page(struct cowarena *arena, struct cowarena_snapshot *s, timeline_fn *fn,
		      void *ctx)
{
	for (size_t i = 0; i < s->pages; i++) {
		struct page *entry = &arena->table.pages[i];
		if (page_stamp(page_peek(entry)) <= s->epoch)
			continue;
		uint64_t state = page_lock(entry);
		uint32_t frame = timeline_find(arena, i, s->epoch);
		page_unlock(entry, state);
		if (frame != FRAME_NONE)
			fn(ctx, i, frame);
	}
}

void timeline_each(struct cowarena *arena, struct cowarena_snapshot *s, timeline_fn *fn, void *ctx)
{
	/* Pages that were rewritten after each of many snapshots have many more versions than serve
	   one snapshot. */
	if (atomic_load_explicit(&arena->frames.taken, memory_order_relaxed) > s->pages) {
		each_page(arena, s, fn, ctx);
		return;
	}
	/* A version that covers s is listed with s or with a newer snapshot. */
	for (struct cowarena_snapshot *at = s; at; at = at->newer) {
		/* Acquire: pairs with keep(). Handlers may push meanwhile, in front of what is
		   seen here. */
		uint32_t frame = atomic_load_explicit(&at->keeps, memory_order_acquire);
		while (frame != FRAME_NONE) {
			struct version *v = frames_version(&arena->frames, frame);
			uint32_t next = atomic_load_explicit(&v->link, memory_order_relaxed);
			if (v->first <= s->epoch && s->epoch <= version_last(v))
				fn(ctx, v->page, frame);
			frame = next;
		}
	}
}
