/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transfer.h - a snapshot on its way to replicas: one for all that wait for it, read by one thread.
 *
 * The thread writes to the sockets of the replicas itself; meanwhile the main thread collects the
 * stream for them, from the offset of the cut on, and sends it afterwards. A replica that can take
 * it (capa eof) gets the snapshot as it is made, between two marks; for one that cannot, its size
 * is found out first, by writing it to nobody.
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

/* One that receives. The thread has a descriptor of its own, so that the client may go at any
   time. */
struct target {
	struct replica *replica; /* the main thread's; NULL when it has gone */
	int fd;
	bool eof;   /* can take a snapshot whose size is not known before */
	bool psync; /* knows +FULLRESYNC */
	_Atomic bool gone;
	bool failed; /* the thread's */
};

struct transfer {
	bool running;
	/* Called in the main thread when the transfer has ended. The targets are still there; their
	   descriptors are closed. */
	void (*ended)(struct transfer *t);

	struct target *targets; /* malloc'd by whoever begins the transfer */
	size_t n;
	struct rdb_cut cut;
	char mark[RANDOM_ID + 1], id[RANDOM_ID + 1];
	int64_t offset; /* of the stream, at the cut */
	bool compress;

	pthread_t thread;
	ev_async done;
	enum rdb_written result;
	uint64_t keys, bytes;
	time_t told; /* the thread's */

	char error[200]; /* why the last transfer that failed has failed; "" if none has */
};

void transfer_init(struct transfer *t, void (*ended)(struct transfer *t));

/* Take the snapshot. If that fails: false, and the transfer has not begun. */
bool transfer_take(struct transfer *t);

/* Send the snapshot to the targets. If there is no thread for that, the transfer ends at once. */
void transfer_start(struct transfer *t);

/* Give the transfer up if one is running, and wait for its thread. */
void transfer_stop(struct transfer *t);

/* The thread. */
void *transfer_run(void *transfer);

#endif
