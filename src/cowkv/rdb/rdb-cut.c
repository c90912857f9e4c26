/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-cut.c - the cuts of rdb.h. */
#include "config.h"

#include "base/settings.h"
#include "rdb/rdb.h"

#include <stdio.h>
#include <time.h>

static unsigned cuts; /* main thread only */

static uint64_t usec_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct rdb_data rdb_live(void)
{
	return (struct rdb_data){.root = db, .size = SIZE_MAX, .used = heap_used()};
}

bool rdb_cut_take(struct rdb_cut *cut, char *error, size_t size)
{
	uint64_t begin = usec_now();

	*cut = (struct rdb_cut){0};
	/* Not COWARENA_QUIESCENT, though no other thread writes to the heap: it copies pages at
	   once, of which the view then has its own copies, so the pause is longer and memory is
	   taken twice. */
	cut->snapshot = cowarena_snapshot_take(heap, 0);
	if (!cut->snapshot) {
		snprintf(error, size, "no snapshot: %s", cowarena_errmsg());
		return false;
	}
	/* Open the view at once, while nothing has changed that it would have to copy. */
	cut->data.view = cowarena_view_open(cut->snapshot, 0);
	if (!cut->data.view) {
		snprintf(error, size, "no view of the snapshot: %s", cowarena_errmsg());
		cowarena_snapshot_release(cut->snapshot);
		return false;
	}
	cut->data.root = db;
	const void *start, *end;
	cowarena_view_range(cut->data.view, &start, &end);
	cut->data.low = (uintptr_t)start;
	cut->data.size = (uintptr_t)end - cut->data.low;
	cut->data.shift =
	    (ptrdiff_t)((uintptr_t)cowarena_view_at(cut->data.view, start) - cut->data.low);
	cut->data.used = heap_used();
	if (cuts++ == 0)
		dict_guarded = config.rehash_guard;
	cut->usec = usec_now() - begin;
	return true;
}

bool rdb_cut_spoiled(const struct rdb_cut *cut)
{
	return cut->snapshot ? cowarena_snapshot_check(cut->snapshot) != 0 : cut->spoiled;
}

void rdb_cut_release(struct rdb_cut *cut)
{
	cut->spoiled = rdb_cut_spoiled(cut);
	cowarena_view_close(cut->data.view);
	cowarena_snapshot_release(cut->snapshot);
	cut->data.view = NULL;
	cut->snapshot = NULL;
}

void rdb_cut_done(struct rdb_cut *cut)
{
	(void)cut;
	if (--cuts == 0)
		dict_guarded = false;
}
