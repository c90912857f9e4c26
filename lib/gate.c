/* SPDX-License-Identifier: BSD-2-Clause */
/* gate.c - see gate.h. */
#include "config.h"

#include "gate.h"
#include "os.h"
#include "point.h"

#define SPINS 200 /* a handler takes some microseconds; sleeping and waking takes longer */

void gate_enter(struct gate *gate, unsigned hint)
{
	_Atomic uint32_t *inside = &gate->shard[hint % GATE_SHARDS].inside;

	for (;;) {
		TEST_POINT();
		atomic_fetch_add(inside, 1); /* pairs with the store in gate_close() */
		TEST_POINT();
		if (!atomic_load(&gate->closed))
			return;
		gate_leave(gate, hint);
		TEST_POINT();
		os_wait(&gate->closed, 1);
	}
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

void gate_close(struct gate *gate)
{
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
	atomic_store(&gate->closed, 0);
	TEST_POINT();
	os_wake_all(&gate->closed);
}
