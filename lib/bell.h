/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bell.h - how a fault handler calls the helper thread (helper.h), which lies above it.
 */
#ifndef COWARENA_BELL_H
#define COWARENA_BELL_H

#include "os.h"

#include <stdatomic.h>

struct bell {
	_Atomic uint32_t rung; /* futex */
	_Atomic bool heard;    /* a thread is there to hear it */
	_Atomic bool called;   /* a handler has called, and the thread has not come yet */
};

/* Async-signal-safe. */
static inline void bell_ring(struct bell *b)
{
	atomic_fetch_add(&b->rung, 1);
	os_wake_one(&b->rung);
}

/* Ring once, until the thread comes. Async-signal-safe. */
static inline void bell_call(struct bell *b)
{
	if (atomic_load(&b->heard) && !atomic_exchange(&b->called, true))
		bell_ring(b);
}

#endif
