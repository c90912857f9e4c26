/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-ours.c - the side that takes snapshots of an arena.
 */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SLACK ((size_t)64 << 20) /* for the heap's own data */

/* The library's message says it all. */
static int failed(struct side *s)
{
	snprintf(s->error, sizeof s->error, "%s", cowarena_errmsg());
	return -1;
}

static int close_view(struct side *s)
{
	cowarena_view *view = s->view;

	s->view = NULL;
	return cowarena_view_close(view) ? failed(s) : 0;
}

/* The older snapshot stays until the new one is taken, as it does in programs that take one after
   the other. */
static int freeze(struct side *s, unsigned flags, double *seconds)
{
	cowarena_snapshot *older = s->snapshot;

	if (close_view(s))
		return -1;
	double start = seconds_now();
	s->snapshot = cowarena_snapshot_take(s->arena, flags);
	double taken = seconds_now();
	if (!s->snapshot) {
		failed(s);
		s->snapshot = older;
		return -1;
	}
	*seconds = taken - start;
	if (cowarena_snapshot_release(older))
		return failed(s);
	s->drop = seconds_now() - taken;
	return 0;
}

static int view(struct side *s, unsigned flags)
{
	s->view = cowarena_view_open(s->snapshot, flags);
	return s->view ? 0 : failed(s);
}

static int thaw(struct side *s)
{
	cowarena_snapshot *snapshot = s->snapshot;

	if (close_view(s))
		return -1;
	s->snapshot = NULL;
	return cowarena_snapshot_release(snapshot) ? failed(s) : 0;
}

static int settle(struct side *s)
{
	return cowarena_compact(s->arena) ? failed(s) : 0;
}

static int save(struct side *s)
{
	double seconds;

	return freeze(s, 0, &seconds);
}

static int restore(struct side *s, double *seconds)
{
	double start = seconds_now();

	if (cowarena_rollback(s->arena, s->snapshot))
		return failed(s);
	*seconds = seconds_now() - start;
	return 0;
}

static int held(struct side *s, size_t dirty, double *bytes)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	(void)dirty;
	if (cowarena_stats_get(s->arena, &stats))
		return failed(s);
	*bytes = (double)stats.held_bytes;
	return 0;
}

/* (Where a system call may store at any time, this is not needed, and costs next to nothing.) */
static int ready(struct side *s, char *p, size_t n)
{
	return cowarena_prepare_write(s->arena, p, n) ? failed(s) : 0;
}

static void *read_view(void *p)
{
	struct side *s = p;
	const char *past = cowarena_view_at(s->view, s->block);

	while (!atomic_load(&s->stop))
		read_lines(past, s->past);
	return NULL;
}

static int read_past(struct side *s, bool begin)
{
	atomic_store(&s->stop, !begin);
	if (!begin) {
		pthread_join(s->reader, NULL);
		return close_view(s);
	}
	if (view(s, 0))
		return -1;
	errno = pthread_create(&s->reader, NULL, read_view, s);
	return errno ? side_fail(s, "no second thread, see ulimit -s and -u") : 0;
}

static int save_to(struct side *s, cowarena_snapshot *snapshot, cowarena_snapshot *parent,
		   double *seconds)
{
	struct cowarena_save_options options = COWARENA_SAVE_OPTIONS_INIT;

	options.flags = COWARENA_SAVE_NO_SYNC;
	options.parent = parent;
	double start = seconds_now();
	if (cowarena_snapshot_save(snapshot, side_file(), &options))
		return failed(s);
	*seconds = seconds_now() - start;
	side_file_remove();
	return 0;
}

static int write_out(struct side *s, bool increment, double *seconds)
{
	cowarena_snapshot *older = s->snapshot;
	cowarena_snapshot *newer = cowarena_snapshot_take(s->arena, 0);

	if (!newer)
		return failed(s);
	s->snapshot = newer;
	int result = save_to(s, newer, increment ? older : NULL, seconds);
	if (cowarena_snapshot_release(older))
		return failed(s);
	return result;
}

static void *write_list(void *p)
{
	struct side *s = p;
	volatile char *block = s->block;

	for (size_t i = 0; i < s->writes; i++)
		block[s->list[i] * s->pages->page]++;
	return NULL;
}

struct most {
	cowarena *arena;
	uint64_t bytes;
};

static int note_most(void *ctx, uint64_t done, uint64_t all)
{
	struct cowarena_stats stats = {.sz = sizeof stats};
	struct most *most = ctx;

	(void)done, (void)all;
	if (cowarena_stats_peek(most->arena, &stats) == 0 && stats.held_bytes > most->bytes)
		most->bytes = stats.held_bytes;
	return 0;
}

/* The snapshot's last use. */
static int save_busy(struct side *s, cowarena_snapshot *snapshot, struct most *most)
{
	struct cowarena_save_options options = COWARENA_SAVE_OPTIONS_INIT;
	pthread_t thread;

	options.flags = COWARENA_SAVE_NO_SYNC | COWARENA_SAVE_LAST_USE;
	options.progress = note_most;
	options.ctx = most;
	errno = pthread_create(&thread, NULL, write_list, s);
	if (errno)
		return side_fail(s, "no second thread, see ulimit -s and -u");
	int result = cowarena_snapshot_save(snapshot, side_file(), &options) ? failed(s) : 0;
	pthread_join(thread, NULL);
	side_file_remove();
	return result;
}

static int write_out_busy(struct side *s, size_t n, double *bytes)
{
	struct most most = {.arena = s->arena};
	cowarena_snapshot *snapshot = cowarena_snapshot_take(s->arena, 0);

	if (!snapshot)
		return failed(s);
	s->writes = n;
	int result = save_busy(s, snapshot, &most);
	*bytes = (double)most.bytes;
	return cowarena_snapshot_release(snapshot) ? failed(s) : result;
}

static const struct side_ops ops = {freeze, view,  thaw,      settle,    save,          restore,
				    held,   ready, read_past, write_out, write_out_busy};

int ours_open(struct side *s, const struct pages *pages, unsigned engine)
{
	struct cowarena_options options = COWARENA_OPTIONS_INIT;
	size_t size = pages->count * pages->page;

	s->ops = &ops;
	s->pages = pages;
	options.capacity = size + SLACK;
	options.engine = engine;
	options.flags = engine == COWARENA_ENGINE_AUTO ? 0 : COWARENA_STRICT_ENGINE;
	s->arena = cowarena_create(&options);
	if (!s->arena)
		return failed(s);
	s->block = cowarena_aligned_alloc(s->arena, pages->page, size);
	if (!s->block)
		return failed(s);
	memset(s->block, 1, size);
	return 0;
}

void ours_close(struct side *s)
{
	cowarena_destroy(s->arena);
	s->arena = NULL;
}
