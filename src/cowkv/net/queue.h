/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.h - a transaction: the requests kept until their client sends EXEC. */
#ifndef COWKV_QUEUE_H
#define COWKV_QUEUE_H

#include "base/slice.h"

struct command;

/* A request. The arguments are copies, in one block. */
struct queued {
	const struct command *command;
	struct slice *argv;
	size_t argc;
};

struct queue {
	struct queued *at;
	size_t n, room;
	size_t bytes; /* memory of all requests */
	bool open;    /* requests are queued instead of run */
	bool spoiled; /* a request was refused, so none may run */
};

/* Add a copy of a request. Returns false if the queue holds too much already. */
bool queue_add(struct queue *q, const struct command *command, const struct slice *argv,
	       size_t argc);

/* Drop all requests, and close the queue. */
void queue_clear(struct queue *q);

#endif
