/* SPDX-License-Identifier: BSD-2-Clause */
/* compact.c - see compact.h. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"
#include "data/compact.h"
#include "data/heap.h"

#include <stdatomic.h>
#include <string.h>

#define GROWTH ((size_t)4 << 20) /* compacting pays after this growth of the arena */

static struct {
	pthread_t thread;
	bool running;
	atomic_bool ended;
	ev_async told;
	size_t bytes;   /* size of the arena when it was last compacted */
	uint64_t taken; /* number of snapshots taken by then */
} compactor;

static void *run(void *unused)
{
	(void)unused;
	cowarena_compact(heap);
	atomic_store(&compactor.ended, true);
	ev_async_send(main_loop, &compactor.told);
	return NULL;
}

void compact_wait(void)
{
	if (compactor.running)
		pthread_join(compactor.thread, NULL);
	compactor.running = false;
}

static void on_end(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	if (atomic_load(&compactor.ended))
		compact_wait();
}

void compact_cron(void)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	if (compactor.running || cowarena_stats_peek(heap, &stats) || stats.snapshots_live)
		return;
	if (stats.arena_bytes < compactor.bytes + GROWTH &&
	    stats.snapshots_taken == compactor.taken)
		return;
	compactor.bytes = stats.arena_bytes;
	compactor.taken = stats.snapshots_taken;
	atomic_store(&compactor.ended, false);
	int e = thread_start(&compactor.thread, run, NULL);
	compactor.running = !e;
	if (e)
		log_line(LOG_WARNING, "No thread to make huge pages: %s", strerror(e));
}

void compact_init(void)
{
	ev_async_init(&compactor.told, on_end);
	ev_async_start(main_loop, &compactor.told);
}
