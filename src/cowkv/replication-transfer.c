/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replication-transfer.c - a snapshot on its way to replicas: one for all that wait for it, read by one thread.
 *
 * The thread writes to the sockets of the replicas itself; meanwhile the main thread collects the stream for them, from the
 * offset of the cut on, and sends it afterwards. A replica that can take it (capa eof) gets the snapshot
 * as it is made, between two marks; for one that cannot, its size is found out first, by writing it to nobody.
 */
#include "config.h"

#include "log.h"
#include "loop.h"
#include "random-id.h"
#include "replication-transfer.h"
#include "settings.h"
#include "thread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct transfer transfer;

bool transfer_running(void)
{
	return transfer.running;
}

const char *transfer_error(void)
{
	return transfer.error;
}

static void fails(const char *why)
{
	snprintf(transfer.error, sizeof transfer.error, "%s", why);
	log_line(LOG_WARNING, "The snapshot for replicas was given up: %s", why);
}

static void finish(void)
{
	pthread_join(transfer.thread, NULL);
	rdb_cut_done(&transfer.cut);
	if (transfer.result == RDB_SPOILED)
		fails(rdb_cut_spoiled(&transfer.cut)
			  ? "more memory was needed than --cow-limit allows"
			  : "it is lost, or the data in memory are damaged");
	else if (transfer.result == RDB_NOT_TAKEN)
		fails("none of them has taken all of it");
	for (size_t i = 0; i < transfer.n; i++) {
		struct target *t = &transfer.targets[i];
		close(t->fd);
		if (!t->client)
			continue;
		t->client->replica->target = NULL;
		if (t->failed || transfer.result != RDB_WRITTEN) {
			client_close(t->client);
			continue;
		}
		/* With a mark, the stream must not follow before the replica has found it. */
		t->client->replica->state = t->eof ? REPLICA_LOADS : REPLICA_ONLINE;
		t->client->replica->heard = loop_now();
		if (t->client->replica->acked)
			replica_has_loaded(t->client);
		client_wants_to_send(t->client);
	}
	if (transfer.result == RDB_WRITTEN)
		log_line(LOG_NOTICE,
			 "Snapshot for %zu replica(s): %" PRIu64 " keys, %" PRIu64 " bytes sent",
			 transfer.n, transfer.keys, transfer.bytes);
	free(transfer.targets);
	transfer.targets = NULL;
	transfer.running = false;
}

static void on_done(struct ev_loop *loop, ev_async *async, int events)
{
	(void)loop;
	(void)async;
	(void)events;
	if (transfer.running)
		finish();
}

void transfer_init(void)
{
	ev_async_init(&transfer.done, on_done);
	ev_async_start(main_loop, &transfer.done);
}

static void drop_waiting(void)
{
	for (struct replica *r = replicas, *after; r; r = after) {
		after = r->after;
		if (r->state == REPLICA_WAITS)
			client_close(r->client);
	}
}

static size_t collect(void)
{
	size_t n = 0;

	for (const struct replica *r = replicas; r; r = r->after)
		n += r->state == REPLICA_WAITS;
	transfer.targets = calloc(n ? n : 1, sizeof *transfer.targets);
	transfer.n = transfer.needs_size = 0;
	for (struct replica *r = replicas; r && transfer.targets; r = r->after) {
		if (r->state != REPLICA_WAITS)
			continue;
		struct client *c = r->client;
		struct target *t = &transfer.targets[transfer.n];
		t->fd = dup(c->fd);
		if (t->fd < 0)
			continue;
		t->client = c;
		r->acked = false;
		t->eof = r->eof;
		t->psync = r->psync;
		transfer.needs_size += !t->eof;
		r->target = t;
		r->state = REPLICA_RECEIVES;
		buffer_take(&c->out, buffer_size(&c->out)); /* signs of life, at most */
		transfer.n++;
	}
	return transfer.n;
}

void transfer_begin(void)
{
	char error[160];

	client_send_all();
	if (!rdb_cut_take(&transfer.cut, error, sizeof error)) {
		fails(error);
		drop_waiting();
		return;
	}
	/* From here on the stream is collected for them. */
	transfer.offset = stream.offset;
	memcpy(transfer.id, stream.id, sizeof stream.id);
	stream.select = true;
	random_id(transfer.mark);
	transfer.bytes = transfer.keys = 0;
	transfer.compress = config.compress;
	int e = collect() ? 0 : ENOMEM;
	if (!e)
		e = thread_start(&transfer.thread, transfer_run, NULL);
	if (!e) {
		log_line(LOG_NOTICE, "Snapshot for %zu replica(s) taken in %" PRIu64 " us",
			 transfer.n, transfer.cut.usec);
		transfer.running = true;
		return;
	}
	log_line(LOG_WARNING, "Cannot send to replicas: %s", strerror(e));
	rdb_cut_release(&transfer.cut);
	rdb_cut_done(&transfer.cut);
	for (size_t i = 0; i < transfer.n; i++) {
		close(transfer.targets[i].fd);
		transfer.targets[i].client->replica->target = NULL;
		client_close(transfer.targets[i].client);
	}
	free(transfer.targets);
	transfer.targets = NULL;
}

void transfer_wait(void)
{
	if (!transfer.running)
		return;
	for (size_t i = 0; i < transfer.n; i++) /* it is not worth waiting for */
		atomic_store(&transfer.targets[i].gone, true);
	finish();
}
