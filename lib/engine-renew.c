/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-renew.c - restarts an engine that has lost its protection.
 *
 * The program has closed the userfaultfd, and the kernel has lifted the protection that depended on
 * it. Nothing tells which pages have been written since, so the arena becomes what it was before
 * the first snapshot: all pages writable, all dirty.
 */
#include "config.h"

#include "engine-state.h"
#include "error.h"

#include <errno.h>
#include <string.h>

/* Gate closed. -1 with errno. */
static int open_all_pages(struct cowarena *arena)
{
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);
	size_t bytes = arena->committed << arena->page_shift;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	/* The range is mapped anew: a process that has inherited the descriptor keeps the old
	   protection alive. */
	if (os_map_anew(arena->base, arena->reserved, bytes) &&
	    os_protect(arena->base, bytes, OS_READ_WRITE))
		return -1;
	for (size_t i = 0; i < pages; i++) {
		page_lock(&arena->table.pages[i]);
		page_unlock(&arena->table.pages[i], epoch << PAGE_STAMP_SHIFT);
	}
	pagetable_mark_dirty(&arena->table, 0, pages, pages);
	chunks_all_cold(&arena->chunks);
	engine_set_borders(arena, 1);
	return 0;
}

/* Snapshot lock held, gate closed. */
static int begin_anew(struct cowarena *arena)
{
	int result = 0;

	/* Engine hybrid has lost nothing while all chunks are cold. */
	if (arena->engine->lost(arena)) {
		gate_open(&arena->gate); /* spoiling closes the gate itself */
		timeline_spoil_all(arena, SNAPSHOT_UNPROTECTED);
		gate_close(&arena->gate);
		result = private_share_all(arena) || open_all_pages(arena) ? -1 : 0;
	}
	if (result)
		return error_set(ENOMEM,
				 "the heap could not be made writable anew (%s): " ERROR_NO_ROOM,
				 error_name(errno));
	/* Otherwise engine sigsegv takes over: it finds cold chunks and open pages as it would
	   leave them itself; or engine kernel, which knows private chunks too. (There are none
	   while each first write is to be told.) */
	if (arena->engine->open(arena))
		arena->engine =
		    private_works(arena) && !arena->on_page ? &engine_kernel : &engine_mprotect;
	return 0;
}

int engine_renew(struct cowarena *arena)
{
	sigset_t signals;
	int e = errno;

	/* Before taking any lock that the engine's thread may need. */
	if (arena->engine->stop)
		arena->engine->stop(arena);
	arena_lock_snapshots(arena, &signals);
	gate_close(&arena->gate);
	/* Only with nobody inside the gate: handlers use the descriptor. */
	arena->engine->close(arena);
	int result = begin_anew(arena);
	gate_open(&arena->gate);
	arena_unlock_snapshots(arena, &signals);
	if (!result)
		errno = e; /* falling back to another engine is no failure */
	return result;
}
