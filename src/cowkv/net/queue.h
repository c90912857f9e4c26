/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.h - requests that a client has sent, and that are kept to be run later, all at once: a
   transaction. */
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
	size_t bytes; /* that all of it takes */
	bool open;    /* requests are put here instead of being run */
	bool spoiled; /* one of them was refused: none may be run */
};

/* Put a copy of a request at the end. False if the queue holds too much already. */
bool queue_add(struct queue *q, const struct command *command, const struct slice *argv,
	       size_t argc);

/* Forget all requests, and close the queue. */
void queue_clear(struct queue *q);

#endif
