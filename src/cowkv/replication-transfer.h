/* SPDX-License-Identifier: BSD-2-Clause */
/* replication-transfer.h - a transfer: what the main thread (replication-transfer.c) and its thread (replication-send.c) share. */
#ifndef COWKV_REPLICATION_TRANSFER_H
#define COWKV_REPLICATION_TRANSFER_H

#include "random-id.h"
#include "rdb.h"
#include "replication-parts.h"

#include <pthread.h>

struct transfer {
	bool running;
	pthread_t thread;
	ev_async done;
	struct rdb_cut cut;
	struct target *targets;
	size_t n, needs_size;
	char mark[RANDOM_ID + 1], id[RANDOM_ID + 1];
	int64_t offset;
	bool compress;
	enum rdb_written result;
	uint64_t keys, bytes;
	char error[200]; /* why the last that failed has; the main thread's */
	time_t told;     /* the thread's */
};
extern struct transfer transfer;

/* The thread. */
void *transfer_run(void *unused);

#endif
