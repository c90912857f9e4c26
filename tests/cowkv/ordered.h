/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ordered.h - writers that run, in this order and for i = 1, 2, 3, ..., RPUSH log i, SET a i, HSET
 * h i (text), SET b i. Each writer is a thread with its own connection and keys, and writes as fast
 * as it can. The keys in a snapshot show whether it is of one instant.
 */
#ifndef COWARENA_TESTS_COWKV_ORDERED_H
#define COWARENA_TESTS_COWKV_ORDERED_H

#include "servers.h"

#define ORDERED_WRITERS 3

enum ordered_way {
	ORDERED_SINGLY,      /* each command after the answer to the previous one */
	ORDERED_PIPELINED,   /* many i at once, more than the server reads at a time */
	ORDERED_TRANSACTIONS /* pipelined, with the four commands of each i in MULTI and EXEC */
};

/* The state of one writer's keys. */
struct ordered_state {
	long long log, a, h, b; /* log: elements; h: fields */
};

/* Start the writers. They wait. */
void ordered_start(const struct server *s, enum ordered_way way);

/* Let the writers write until ordered_pause(). Each stops at a certain number, in case that takes
   very long. */
void ordered_resume(void);

/* Wait until each writer has written n more than when it was resumed. */
void ordered_wait(long long n);

/* Make the writers stop at the end of an i, and wait until all have. */
void ordered_pause(void);

/* The last i of a writer that was answered. */
long long ordered_done(unsigned writer);

/* While the writers pause: delete what they have written, and let them begin again with other
   keys. */
void ordered_anew(struct server *s);

/* The state of a writer's keys at another server. Fails the test unless the log is 1 .. n, and the
   fields of h are 1 .. m. */
struct ordered_state ordered_look(struct server *s, unsigned writer);

void ordered_end(void);

/* Number of i in one pipeline. */
#define ORDERED_PIPELINE 300

#endif
