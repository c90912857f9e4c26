/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate.h - keeps fault handlers out while the arena's epoch, or a list that they read, changes
 * (I4).
 *
 * Handlers pass through the gate; closing it waits until those inside have left, and holds
 * newcomers (asleep, in a futex) until it is opened. Between closing and opening no page is being
 * disarmed, so once everything is armed, memory stands still: that is the cut.
 *
 * It is Dekker's protocol: a handler counts itself in and then looks whether the gate is closed;
 * the closer marks the gate closed and then looks whether anybody is in. Both pairs are
 * sequentially consistent, so at least one of the two sees the other.
 *
 * The count is spread over cache lines, so that handlers on different processors do not
 * fight for one.
 *
 * Stores get their turn. A thread that takes one snapshot after the other would close the gate
 * again before a waiting handler wakes up, or arm the page that a handler has disarmed before the
 * store is done; the store would never be done. So whoever closes the gate
 *  - waits until the handlers that have waited are in, and then leaves them a moment;
 *  - leaves a moment to each thread whose handler has come again for the page of its last fault.
 *    The moment grows with the number of these returns.
 * A moment ends GATE_RECENT_NS after the last opening, or after the last waiting handler came in: a
 * thread that takes snapshots less often mostly does not wait.
 * The closer waits GATE_PATIENCE_NS at most for a handler that is not scheduled. All of this is a
 * courtesy, nothing else depends on it.
 */
#ifndef COWARENA_GATE_H
#define COWARENA_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_SHARDS 16
#define GATE_RECENT_NS 1000000
#define GATE_PATIENCE_NS 1000000000

struct gate {
	_Atomic uint32_t closed;  /* futex */
	_Atomic uint32_t waiting; /* handlers that found it closed, and are not in yet; futex */
	uint64_t opened;          /* when, by os_now(); closers only */
	bool awaited;             /* handlers were waiting then; closers only */
	struct gate_shard {
		_Alignas(64) _Atomic uint32_t inside; /* futex */
		/* The last fault. Two threads of one shard may lose each other's notes. */
		_Atomic uint32_t returns; /* how often in a row the fault was the same again */
		_Atomic uint32_t losing;  /* returns, until a closer has seen them */
		_Atomic uintptr_t writer;
		_Atomic size_t page;
	} shard[GATE_SHARDS];
};

/*
 * Note that the handler for `page` comes for a store of thread `writer` (os_this_thread(), or the
 * kernel's thread id). hint: as for gate_enter(). Async-signal-safe.
 */
void gate_note(struct gate *gate, unsigned hint, uintptr_t writer, size_t page);

/* Enter the gate; waits while it is closed. hint: spreads threads; gate_leave() must get the same
   hint. Async-signal-safe. */
void gate_enter(struct gate *gate, unsigned hint);
void gate_leave(struct gate *gate, unsigned hint);

/* Close the gate and wait until nobody is inside. The caller holds the arena's snapshot lock,
   has all signals blocked, and is not inside itself. */
void gate_close(struct gate *gate);
void gate_open(struct gate *gate);

#endif
