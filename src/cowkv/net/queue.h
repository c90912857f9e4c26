/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.h - a transaction: requests that are kept until their client says EXEC. */
#ifndef COWKV_QUEUE_H
#define COWKV_QUEUE_H

#include "base/slice.h"

struct command;

/* The arguments are copies, in one block. */
struct queued {
	const struct command *command;
	struct slice *argv;
	size_t argc;
};

struct queue {
	struct queued *at;
	size_t n, room;
	size_t bytes; /* memory of all requests */
	bool open;    /* requests are put here instead of being run */
	bool spoiled; /* one of them was refused: none may be run */
};

/* Put a copy of a request at the end. False if the queue holds too much already. */
bool queue_add(struct queue *q, const struct command *command, const struct slice *argv,
	       size_t argc);

/* Forget all requests, and close the queue. */
void queue_clear(struct queue *q);

#endif
