/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ordered.h - writers that do, in order and for i = 1, 2, 3, ..., RPUSH log i, SET a i, HSET h i
 * (text), SET b i: each a thread with a connection and keys of its own, as fast as they can. What a
 * snapshot has of these keys shows whether it is of one instant.
 */
#ifndef COWARENA_TESTS_COWKV_ORDERED_H
#define COWARENA_TESTS_COWKV_ORDERED_H

#include "servers.h"

#define ORDERED_WRITERS 3

enum ordered_way {
	ORDERED_SINGLY,      /* each command after the answer to the one before */
	ORDERED_PIPELINED,   /* many i at once; longer than what the server reads at a time */
	ORDERED_TRANSACTIONS /* the same, the four of each i in MULTI and EXEC */
};

/* What there is of one writer. */
struct ordered_state {
	long long log, a, h, b; /* elements of the log, fields of h */
};

/* Start the writers. They wait. */
void ordered_start(const struct server *s, enum ordered_way way);

/* Let them write until ordered_pause(): no more than a certain number each, should that take very
   long. */
void ordered_resume(void);

/* Wait until each has written n more than when it was resumed. */
void ordered_wait(long long n);

/* Stop at the end of an i, and wait until all of them have. */
void ordered_pause(void);

/* How far a writer has come: what was answered. */
long long ordered_done(unsigned writer);

/* While they pause: delete what they have written, and have them begin again with other keys. */
void ordered_anew(struct server *s);

/* What another server has of a writer's keys; fails the test unless the log is 1 .. n, and the
   fields of h are 1 .. m. */
struct ordered_state ordered_look(struct server *s, unsigned writer);

void ordered_end(void);

/* The i of one pipeline. */
#define ORDERED_PIPELINE 300

#endif
