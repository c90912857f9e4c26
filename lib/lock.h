/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h - a mutex that the fault handler may take.
 *
 * pthread_mutex_lock() is not async-signal-safe, so this is the three-state futex mutex of Ulrich
 * Drepper, "Futexes are tricky" (2011), section 5: 0 free, 1 held, 2 held and waited for.
 *
 * The holder of a lock that the handler takes has all signals blocked (a signal handler of the
 * application that writes to the arena could otherwise wait for its own thread), and never writes
 * to an armed page.
 */
#ifndef COWARENA_LOCK_H
#define COWARENA_LOCK_H

#include "os.h"
#include "point.h"

#include <stdatomic.h>

struct lock {
	_Atomic uint32_t word;
};

static inline void lock_acquire(struct lock *l)
{
	uint32_t seen = 0;

	if (atomic_compare_exchange_strong(&l->word, &seen, 1))
		return;
	TEST_POINT();
	if (seen != 2)
		seen = atomic_exchange(&l->word, 2);
	while (seen) {
		os_wait(&l->word, 2);
		seen = atomic_exchange(&l->word, 2);
	}
}

static inline void lock_release(struct lock *l)
{
	TEST_POINT();
	if (atomic_exchange(&l->word, 0) == 2)
		os_wake_one(&l->word);
}

#endif
