/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transfer.h - sends a snapshot to replicas: one snapshot for all that wait, read by one thread.
 *
 * The thread writes to the sockets of the replicas. Meanwhile the main thread collects the stream
 * for them, from the offset of the cut on, and sends it afterwards. A replica that accepts a
 * snapshot of unknown size (capa eof) gets it as it is made, ended by a mark. For the others the
 * size is found first, by a run that writes to nobody.
 */
#ifndef COWKV_TRANSFER_H
#define COWKV_TRANSFER_H

#include "base/random-id.h"
#include "rdb/rdb.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct replica;

/* A replica that receives the snapshot. The thread has its own descriptor, so that the client may
   go at any time. */
struct target {
	struct replica *replica; /* for the main thread; NULL when the replica has gone */
	int fd;
	bool eof;   /* accepts a snapshot of unknown size */
	bool psync; /* understands +FULLRESYNC */
	_Atomic bool gone;
	bool failed; /* set by the thread */
};

struct transfer {
	bool running;
	/* Called in the main thread when the transfer has ended. The targets still exist; their
	   descriptors are closed. */
	void (*ended)(struct transfer *t);

	struct target *targets; /* malloc'd by whoever begins the transfer */
	size_t n;
	struct rdb_cut cut;
	char mark[RANDOM_ID + 1], id[RANDOM_ID + 1];
	int64_t offset; /* offset of the stream at the cut */
	bool compress;

	pthread_t thread;
	ev_async done;
	enum rdb_written result;
	uint64_t keys, bytes;
	time_t told; /* for the thread */

	char error[200]; /* why a transfer last failed; "" if none has */
};

void transfer_init(struct transfer *t, void (*ended)(struct transfer *t));

/* Take the snapshot. Returns false if that fails: then the transfer has not begun. */
bool transfer_take(struct transfer *t);

/* Send the snapshot to the targets. If no thread can be started, the transfer ends at once. */
void transfer_start(struct transfer *t);

/* Give up the transfer if one is running, and wait for its thread. */
void transfer_stop(struct transfer *t);

/* The thread's function. */
void *transfer_run(void *transfer);

#endif
