/* SPDX-License-Identifier: BSD-2-Clause */
/* prepare.c - prepares writes ahead of faults, and sets the callback for page events. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "fault.h"
#include "objects.h"

#include <errno.h>

int cowarena_prepare_write(cowarena *arena, void *p, size_t n)
{
	sigset_t signals;

	arena_in_use(arena, __func__);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (n == 0)
		return 0;
	if (!arena_holds(arena, p, n, atomic_load_explicit(&arena->pages, memory_order_acquire)))
		return error_set(EFAULT, "[%p, +%zu) is not in the arena's heap", p, n);
	int e = errno;
	size_t first = arena_page(arena, p);
	size_t end = arena_page(arena, (char *)p + n - 1) + 1;
	/* Before the gate is entered: whoever closes it afterwards sees this. */
	chunks_prepare(&arena->chunks, first, end - first, atomic_load(&arena->timeline.epoch));
	os_block_signals(&signals);
	fault_prepare(arena, first, end - first, FAULT_SPOIL);
	os_restore_signals(&signals);
	errno = e;
	return 0;
}

int cowarena_on_page(cowarena *arena, cowarena_page_fn *fn, void *ctx)
{
	sigset_t signals;

	arena_in_use(arena, __func__);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	if (fn && arena->engine->private_at_cut)
		return error_set(ENOTSUP,
				 "engine kernel takes no trap at a first write, of which to "
				 "tell: create the arena with engine hybrid");
	arena_lock_snapshots(arena, &signals);
	gate_close(&arena->gate);
	/* From now on each first write is to be a trap. */
	int result = fn ? private_share_all(arena) : 0;
	if (!result) {
		arena->on_page = fn;
		arena->on_page_ctx = ctx;
	}
	gate_open(&arena->gate);
	arena_unlock_snapshots(arena, &signals);
	return result ? error_system(ENOMEM, "no memory to map the heap so that each first write "
					     "is told: " ERROR_NO_ROOM)
		      : 0;
}
