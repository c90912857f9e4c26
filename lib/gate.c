/* SPDX-License-Identifier: BSD-2-Clause */
/* gate.c - see gate.h. */
#include "config.h"

#include "gate.h"
#include "os.h"
#include "point.h"

#define SPINS 200 /* a handler takes some microseconds; sleeping and waking takes longer */

/* The time that a store needs once its handler has left. With a thread to wake in between
   (engine-uffd-thread.c), that takes no more than to sleep and be woken here. */
#define MOMENT_NS 50000
#define RETURNS_A_DOUBLING 4
#define DOUBLINGS_MAX 5 /* then it is longer than GATE_RECENT_NS */

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
	   gate is closed only after this look, the closer has not slept on the old count yet. */
	TEST_POINT();
	atomic_fetch_sub(inside, 1);
	TEST_POINT();
	if (atomic_load(&gate->closed))
		os_wake_all(inside);
}

void gate_note(struct gate *gate, unsigned hint, uintptr_t writer, size_t page)
{
	struct gate_shard *s = &gate->shard[hint % GATE_SHARDS];
	size_t last = atomic_load_explicit(&s->page, memory_order_relaxed);
	/* A neighbouring page counts too: a store may need two pages. */
	bool again = atomic_load_explicit(&s->writer, memory_order_relaxed) == writer &&
		     page - last + 1 <= 2;
	uint32_t returns = again ? atomic_load_explicit(&s->returns, memory_order_relaxed) + 1 : 0;

	atomic_store_explicit(&s->writer, writer, memory_order_relaxed);
	atomic_store_explicit(&s->page, page, memory_order_relaxed);
	atomic_store_explicit(&s->returns, returns, memory_order_relaxed);
	atomic_store_explicit(&s->losing, returns, memory_order_relaxed);
}

/* While the gate is open no handler begins to wait, except one that has just found it closed.
   Returns when the last of the waiting handlers came in, as far as the caller knows. */
static uint64_t let_in(struct gate *gate)
{
	uint64_t start = os_now(), now = start;

	for (uint32_t n; (n = atomic_load(&gate->waiting)) != 0; now = os_now()) {
		if (now - start >= GATE_PATIENCE_NS)
			break;
		os_wait_at_most(&gate->waiting, n, GATE_PATIENCE_NS);
	}
	return now > start ? now : gate->opened;
}

/* The returns of the thread that has lost most since the last call. The caller's own stores do not
   count: they wait for the caller anyway. */
static uint32_t most_returns(struct gate *gate)
{
	uint32_t most = 0;

	for (unsigned i = 0; i < GATE_SHARDS; i++) {
		struct gate_shard *s = &gate->shard[i];
		uint32_t n = atomic_load_explicit(&s->losing, memory_order_relaxed);
		if (!n)
			continue;
		atomic_store_explicit(&s->losing, 0, memory_order_relaxed);
		if (n > most &&
		    !os_is_this_thread(atomic_load_explicit(&s->writer, memory_order_relaxed)))
			most = n;
	}
	return most;
}

static void leave_a_moment(struct gate *gate)
{
	uint32_t returns = most_returns(gate);

	if (!gate->awaited && !returns)
		return;
	uint64_t entered = gate->awaited ? let_in(gate) : gate->opened;
	uint64_t since = os_now() - entered;
	uint32_t doublings = returns / RETURNS_A_DOUBLING;
	uint64_t moment = doublings < DOUBLINGS_MAX ? MOMENT_NS << doublings : GATE_RECENT_NS;
	if (since < GATE_RECENT_NS)
		os_sleep(moment < GATE_RECENT_NS - since ? moment : GATE_RECENT_NS - since);
}

void gate_close(struct gate *gate)
{
	leave_a_moment(gate);
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
	gate->opened = os_now();
	gate->awaited = atomic_load_explicit(&gate->waiting, memory_order_relaxed) != 0;
	atomic_store(&gate->closed, 0);
	TEST_POINT();
	os_wake_all(&gate->closed);
}
