/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.h - counters that the fault handler can afford.
 *
 * One set for each shard, in cache lines of its own; they are added up when somebody asks. Relaxed
 * atomics: no counter orders anything.
 */
#ifndef COWARENA_STATS_H
#define COWARENA_STATS_H

#include "cowarena.h"
#include "gate.h"

#include <stdatomic.h>
#include <stdint.h>

/* Durations in a log-linear histogram: 8 steps to the doubling, so each is exact to within 1/8. */
#define STATS_STEPS 8
#define STATS_BUCKETS (40 * STATS_STEPS)

struct counters {
	struct counter_shard {
		_Alignas(64) _Atomic uint64_t faults;
		_Atomic uint64_t pages[COWARENA_PAGE_EVENTS];
		_Atomic uint64_t saved_free;
		_Atomic uint64_t fault_ns_max;
		_Atomic uint64_t histogram[STATS_BUCKETS];
	} shard[GATE_SHARDS];
	/* Written under the snapshot lock. */
	_Atomic uint64_t pause_ns_last, pause_ns_max;
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline void stats_max(_Atomic uint64_t *counter, uint64_t value)
{
	uint64_t seen = atomic_load_explicit(counter, memory_order_relaxed);

	while (value > seen &&
	       !atomic_compare_exchange_weak_explicit(counter, &seen, value, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

/* The histogram's bucket for a duration, and the largest duration that a bucket holds. */
static inline unsigned stats_bucket(uint64_t ns)
{
	if (ns < STATS_STEPS)
		return (unsigned)ns;
	unsigned log = 63 - (unsigned)__builtin_clzll(ns);
	unsigned bucket = (log - 2) * STATS_STEPS + (unsigned)(ns >> (log - 3) & (STATS_STEPS - 1));
	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

static inline uint64_t stats_bucket_top(unsigned bucket)
{
	if (bucket < STATS_STEPS)
		return bucket;
	unsigned log = bucket / STATS_STEPS + 2;
	uint64_t step = (uint64_t)1 << (log - 3);
	return ((uint64_t)1 << log) + (bucket % STATS_STEPS + 1) * step - 1;
}

#endif
