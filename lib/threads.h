/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads.h - numbers the threads that use the library, and calls functions at their ends.
 *
 * The number is in thread-local storage, and not in the pthread key whose destructor reports the
 * end: where the program has many keys, the C library keeps the values in memory from malloc(3),
 * which may be an arena that is not there (in a child of fork()).
 */
#ifndef COWARENA_THREADS_H
#define COWARENA_THREADS_H

#include <stdint.h>

/*
 * Give the calling thread a number, if it has none. A thread that is refused once (there is no key,
 * no memory) has none until its end. No lock of an arena held: the C library may call malloc(3),
 * which may be an arena.
 */
void threads_introduce(void);

/* The calling thread's number, which no other thread of the process has had; 0 for none. */
uint64_t threads_me(void);

/* Call fn at the end of each thread with a number, in that thread. A second call with the same fn
   changes nothing. There is room for THREADS_HEAR functions. */
#define THREADS_HEAR 2
void threads_hear(void (*fn)(uint64_t number));

#endif
