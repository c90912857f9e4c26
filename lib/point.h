/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * point.h - TEST_POINT(): marks a place where threads may get into each other's way.
 *
 * In a build with -DCOWARENA_TEST_POINTS (make check-points) a thread sometimes sleeps there, at
 * random, since some interleavings never happen otherwise. In any other build TEST_POINT() does
 * nothing.
 */
#ifndef COWARENA_POINT_H
#define COWARENA_POINT_H

#ifdef COWARENA_TEST_POINTS

#include "os.h"

#include <stdatomic.h>

/* Async-signal-safe. One call in 256 sleeps for some 100 us: more would only make everything
   slow. */
static inline void test_point(void)
{
	static _Atomic uint64_t state;
	uint64_t x =
	    atomic_fetch_add_explicit(&state, 0x9e3779b97f4a7c15u, memory_order_relaxed) + os_now();

	/* Mixed as in splitmix64 (Steele, Lea and Flood, 2014). */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	if (x >> 56 == 0)
		os_nap();
}

#define TEST_POINT() test_point()

#else
#define TEST_POINT() ((void)0)
#endif

#endif
