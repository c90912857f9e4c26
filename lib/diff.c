/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diff.c - what changed between two snapshots, or since one.
 *
 * The versions tell which pages were written in between; comparing the contents tells which pages
 * changed. The set of pages is made under the snapshot lock; comparing and calling back are done
 * without it.
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "objects.h"
#include "records.h"
#include "snapshot-read.h"
#include "track.h"
#include "written.h"

#include <errno.h>
#include <string.h>

/* A run that may continue with the next page. */
struct run {
	cowarena_diff_fn *fn;
	void *ctx;
	char *start;
	size_t len;
};

static int flush(struct run *r)
{
	int result = r->len ? r->fn(r->ctx, r->start, r->len) : 0;

	r->len = 0;
	return result;
}

static int extend(struct run *r, char *start, size_t len)
{
	if (r->len && r->start + r->len == start) {
		r->len += len;
		return 0;
	}
	int result = flush(r);
	r->start = start;
	r->len = len;
	return result;
}

static int report_bytes(struct run *r, char *live, const char *a, const char *b, size_t size)
{
	for (size_t i = 0; i < size;) {
		if (a[i] == b[i]) {
			i++;
			continue;
		}
		size_t from = i;
		while (i < size && a[i] != b[i])
			i++;
		int result = extend(r, live + from, i - from);
		if (result)
			return result;
	}
	return 0;
}

static int walk(const struct written *w, cowarena_snapshot *older, cowarena_snapshot *newer,
		unsigned flags, struct run *run)
{
	struct cowarena *arena = older->arena;
	size_t size = arena_page_size(arena);
	char *then = records_take(2 * size);
	char *now = then + size;
	int result = 0;

	if (!then)
		return error_set(ENOMEM, "no memory for two pages: " ERROR_NO_ROOM);
	for (size_t page = bitmap_next(&w->pages, 0); page < w->pages.bits && !result;
	     page = bitmap_next(&w->pages, page + 1)) {
		char *live = arena_address(arena, page);
		size_t offset = page << arena->page_shift;
		snapshot_copy(older, then, offset, size);
		if (newer)
			snapshot_copy(newer, now, offset, size);
		else
			track_copy(now, live, size);
		track_defined(then, 2 * size); /* bytes in no block count like others */
		if (memcmp(then, now, size) == 0)
			continue;
		if (flags & COWARENA_DIFF_BYTES)
			result = report_bytes(run, live, then, now, size);
		else
			result = extend(run, live, size);
	}
	records_give(then, 2 * size);
	/* Pages that came into use since are reported without a look: reading them would only
	   allocate them. */
	if (!result && w->end > older->pages)
		result = extend(run, arena_address(arena, older->pages),
				(w->end - older->pages) << arena->page_shift);
	if (!result)
		result = flush(run);
	/* Checked whatever fn returned: what it was told may be wrong. */
	if (snapshot_intact(older) || (newer && snapshot_usable(newer)))
		result = -1;
	return result;
}

int cowarena_diff_with(cowarena_snapshot *older, cowarena_snapshot *newer, unsigned flags,
		       cowarena_diff_fn *fn, void *ctx)
{
	struct written w;

	snapshot_in_use(older, __func__);
	snapshot_in_use(newer, __func__);
	if (snapshot_intact(older) || (newer && snapshot_usable(newer)))
		return -1;
	if (!fn)
		return error_set(EINVAL, "fn is NULL");
	if (flags & ~(unsigned)COWARENA_DIFF_BYTES)
		return error_set(EINVAL, "unknown diff flags (%#x)", flags);
	if (written_between(older, newer, &w))
		return -1;
	struct run run = {.fn = fn, .ctx = ctx};
	int e = errno;
	int result = walk(&w, older, newer, flags, &run);
	if (result != -1)
		errno = e;
	written_discard(&w);
	return result;
}

int cowarena_diff(cowarena_snapshot *older, cowarena_snapshot *newer, cowarena_diff_fn *fn,
		  void *ctx)
{
	return cowarena_diff_with(older, newer, 0, fn, ctx);
}
