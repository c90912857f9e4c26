/* SPDX-License-Identifier: BSD-2-Clause */
/* gate.c - see gate.h. */
#include "config.h"

#include "gate.h"
#include "os.h"
#include "point.h"

#include <stdbool.h>

#define SPINS 200 /* a handler takes some microseconds; sleeping and waking takes longer */

static bool try_to_enter(struct gate *gate, unsigned hint)
{
	TEST_POINT();
	/* pairs with the store in gate_close() */
	atomic_fetch_add(&gate->shard[hint % GATE_SHARDS].inside, 1);
	TEST_POINT();
	if (!atomic_load(&gate->closed))
		return true;
	gate_leave(gate, hint);
	return false;
}

void gate_enter(struct gate *gate, unsigned hint)
{
	if (try_to_enter(gate, hint))
		return;
	atomic_fetch_add(&gate->waiting, 1);
	do {
		TEST_POINT();
		os_wait(&gate->closed, 1);
	} while (!try_to_enter(gate, hint));
	if (atomic_fetch_sub(&gate->waiting, 1) == 1)
		os_wake_all(&gate->waiting);
}

void gate_leave(struct gate *gate, unsigned hint)
{
	_Atomic uint32_t *inside = &gate->shard[hint % GATE_SHARDS].inside;

	/* The subtraction publishes what was done inside to the closer, who reads the count. If the
	   gate is closed only after our look, the closer has not slept on the old count yet. */
	TEST_POINT();
	atomic_fetch_sub(inside, 1);
	TEST_POINT();
	if (atomic_load(&gate->closed))
		os_wake_all(inside);
}

/* Nobody begins to wait while the gate is open, but for who has just found it closed. */
static void let_through(struct gate *gate)
{
	uint64_t start = os_now(), now = start;

	for (uint32_t n; (n = atomic_load(&gate->waiting)) != 0; now = os_now()) {
		if (now - start >= GATE_PATIENCE_NS)
			return;
		os_wait_at_most(&gate->waiting, n, GATE_PATIENCE_NS);
	}
	/* They are in. Their stores come after they have left, in threads that may have to be woken
	   first (engine-uffd-thread.c): that takes no more than to sleep and be woken here. */
	if (now - gate->opened < GATE_RECENT_NS || now > start)
		os_nap();
}

void gate_close(struct gate *gate)
{
	if (gate->opened)
		let_through(gate);
	gate->opened = 0;
	atomic_store(&gate->closed, 1);
	TEST_POINT();
	for (unsigned i = 0; i < GATE_SHARDS; i++) {
		_Atomic uint32_t *inside = &gate->shard[i].inside;
		unsigned spins = 0;
		for (uint32_t n; (n = atomic_load(inside)) != 0; spins++)
			if (spins >= SPINS) {
				TEST_POINT();
				os_wait(inside, n);
			}
	}
}

void gate_open(struct gate *gate)
{
	if (atomic_load_explicit(&gate->waiting, memory_order_relaxed))
		gate->opened = os_now();
	atomic_store(&gate->closed, 0);
	TEST_POINT();
	os_wake_all(&gate->closed);
}
