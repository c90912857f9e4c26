/* SPDX-License-Identifier: BSD-2-Clause */
/* heap-lock.c - the heap lock. */
#include "config.h"

#include "arena.h"
#include "threads.h"

void heap_lock(struct cowarena *arena)
{
	threads_introduce(); /* not under the lock: it may call malloc(3), which may be this heap */
	pthread_mutex_lock(&arena->heap.lock);
}

void heap_unlock(struct cowarena *arena)
{
	pthread_mutex_unlock(&arena->heap.lock);
}
