/* SPDX-License-Identifier: BSD-2-Clause */
/* transfer.c - see transfer.h; the thread is in transfer-send.c. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "base/thread.h"
#include "data/stream.h"
#include "replication/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fails(struct transfer *t, const char *why)
{
	snprintf(t->error, sizeof t->error, "%s", why);
	log_line(LOG_WARNING, "The snapshot for replicas was given up: %s", why);
}

static void end(struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		close(t->targets[i].fd);
	t->ended(t);
	free(t->targets);
	t->targets = NULL;
	t->running = false;
}

static void finish(struct transfer *t)
{
	pthread_join(t->thread, NULL);
	rdb_cut_done(&t->cut);
	if (t->result == RDB_SPOILED)
		fails(t, rdb_cut_spoiled(&t->cut)
			     ? "more memory was needed than --cow-limit allows"
			     : "it is lost, or the data in memory are damaged");
	else if (t->result == RDB_NOT_TAKEN)
		fails(t, "none of them has taken all of it");
	end(t);
	if (t->result == RDB_WRITTEN)
		log_line(LOG_NOTICE,
			 "Snapshot for %zu replica(s): %" PRIu64 " keys, %" PRIu64 " bytes sent",
			 t->n, t->keys, t->bytes);
}

static void on_done(struct ev_loop *loop, ev_async *async, int events)
{
	struct transfer *t = async->data;

	(void)loop;
	(void)events;
	if (t->running)
		finish(t);
}

void transfer_init(struct transfer *t, void (*ended)(struct transfer *t))
{
	t->ended = ended;
	ev_async_init(&t->done, on_done);
	t->done.data = t;
	ev_async_start(main_loop, &t->done);
}

bool transfer_take(struct transfer *t)
{
	char error[160];

	if (!rdb_cut_take(&t->cut, error, sizeof error)) {
		fails(t, error);
		return false;
	}
	/* From this offset on, the stream is collected for the targets. */
	t->offset = stream.offset;
	memcpy(t->id, stream.id, sizeof stream.id);
	stream.select = true;
	random_id(t->mark);
	t->bytes = t->keys = 0;
	t->compress = config.compress;
	return true;
}

void transfer_start(struct transfer *t)
{
	int e = t->n ? thread_start(&t->thread, transfer_run, t) : ENOMEM;

	if (!e) {
		log_line(LOG_NOTICE, "Snapshot for %zu replica(s) taken in %" PRIu64 " us", t->n,
			 t->cut.usec);
		t->running = true;
		return;
	}
	log_line(LOG_WARNING, "Cannot send to replicas: %s", strerror(e));
	rdb_cut_release(&t->cut);
	rdb_cut_done(&t->cut);
	t->result = RDB_NOT_TAKEN;
	end(t);
}

void transfer_stop(struct transfer *t)
{
	if (!t->running)
		return;
	for (size_t i = 0; i < t->n; i++) /* the thread need not go on for its targets */
		atomic_store(&t->targets[i].gone, true);
	finish(t);
}
