/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate.h - keeps fault handlers out while the arena's epoch, or a list that they read, changes
 * (I4).
 *
 * Handlers pass through the gate; closing it waits until those inside have left, and holds
 * newcomers (asleep, in a futex) until it is opened. Between closing and opening no page is being
 * disarmed, so once everything is armed, memory stands still: that is the cut.
 *
 * It is a Dekker protocol: a handler counts itself in and then looks whether the gate is
 * closed; the closer marks the gate closed and then looks whether anybody is in. Both pairs are
 * sequentially consistent, so at least one of the two sees the other.
 *
 * The count is spread over cache lines, so that handlers on different processors do not
 * fight for one.
 *
 * Handlers who have waited go first: a thread that takes one snapshot after the other would find
 * the gate again before they wake up, arm the page that they have come for, and their stores
 * would never be done. So whoever closes the gate waits until they are in, and leaves them a
 * moment for their stores, if the gate was opened less than GATE_RECENT_NS ago. A handler that is
 * not scheduled for long is waited for GATE_PATIENCE_NS at most: to go first is a courtesy,
 * nothing else depends on it.
 */
#ifndef COWARENA_GATE_H
#define COWARENA_GATE_H

#include <stdatomic.h>
#include <stdint.h>

#define GATE_SHARDS 16
#define GATE_RECENT_NS 1000000
#define GATE_PATIENCE_NS 1000000000

struct gate {
	_Atomic uint32_t closed;  /* futex */
	_Atomic uint32_t waiting; /* handlers who found it closed, and are not in yet; futex */
	uint64_t opened; /* when it was opened for somebody who waited, or 0; closers only */
	struct gate_shard {
		_Alignas(64) _Atomic uint32_t inside; /* futex */
	} shard[GATE_SHARDS];
};

/* Enter; waits while the gate is closed. hint: spreads threads, the same one must be given to
   gate_leave(). Async-signal-safe. */
void gate_enter(struct gate *gate, unsigned hint);
void gate_leave(struct gate *gate, unsigned hint);

/* Close the gate and wait until nobody is inside. The caller holds the arena's snapshot lock,
   has all signals blocked, and is not inside itself. */
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);

#endif
