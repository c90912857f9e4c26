/* SPDX-License-Identifier: BSD-2-Clause */
/* sharing.c - see sharing.h. */
#include "config.h"

#include "arena.h"
#include "sharing.h"
#include "track.h"

/* Make one page of a read-only view private, while the view still shows the file's page. */
static bool split_sealed(struct cowarena_view *view, char *at, const char *file, size_t size)
{
	/* The byte is read from the heap's mapping of the file: a read of the view's page would
	   map some of its neighbours first. */
	track_pause(); /* the byte may lie in no block, or be uninitialised */
	bool poked = os_poke(&view->poke, at, file, 1) == 0;
	track_resume();
	if (poked)
		return true;
	/* Where poking is refused, the page is writable for this moment. */
	if (os_protect(at, size, OS_READ_WRITE))
		return false;
	os_touch(at);
	return os_protect(at, size, OS_READ) == 0;
}

/* Views of spoiled snapshots count too: that does no harm, and the two loops below must agree even
   if a snapshot is spoiled between them. */
static bool shares(const struct cowarena_view *view, size_t page, uint64_t first, uint64_t last)
{
	uint64_t epoch = view->snapshot->epoch;

	return epoch >= first && epoch <= last && !bitmap_test(&view->own, page);
}

size_t sharing_count(const struct cowarena *arena, size_t page, uint64_t first, uint64_t last)
{
	size_t n = 0;

	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next)
		n += shares(v, page, first, last);
	return n;
}

bool sharing_split(struct cowarena *arena, struct cowarena_view *view, size_t page)
{
	char *at = view->base + (page << arena->page_shift);
	bool done = true;

	if (!view->sealed)
		os_touch(at);
	else
		done = split_sealed(view, at, arena_past(arena, page), arena_page_size(arena));
	if (done)
		bitmap_set(&view->own, page);
	return done;
}

void sharing_end(struct cowarena *arena, size_t page, uint64_t first, uint64_t last)
{
	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next) {
		if (!shares(v, page, first, last))
			continue;
		if (!sharing_split(arena, v, page))
			atomic_store(&v->broken, true);
		atomic_fetch_add_explicit(&v->touched, 1, memory_order_relaxed);
	}
}
