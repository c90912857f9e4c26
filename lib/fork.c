/* SPDX-License-Identifier: BSD-2-Clause */
/* fork.c - see fork.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "fault.h"
#include "fork.h"
#include "range.h"
#include "snapshot.h"
#include "trap.h"

#include <errno.h>
#include <string.h>

/* Protects the list, and is held across a fork. Before any lock of an arena. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cowarena *arenas;

/* Between the handlers of one fork. */
static struct {
	sigset_t signals;
	int done[2]; /* the child closes it when it has its copies, or dies */
	bool any;    /* arenas stand still */
} forking;

/* ---- the child's own copy ---- */

/* What was inherited of an arena's outer parts is of no use: locks that others hold, addresses of memory
   that is not there, descriptors of the parent's. */
static void shed(struct cowarena *arena)
{
	if (arena->engine->abandon)
		arena->engine->abandon(arena);
	arena->engine = &engine_mprotect; /* which has nothing to be opened */
	os_close(arena->poke_fd);
	arena->uffd = arena->poke_fd = -1;
	atomic_store(&arena->poke_tried, false);
	memset(&arena->helper, 0, sizeof arena->helper);
	memset(&arena->gate, 0, sizeof arena->gate);
	memset(&arena->chunks, 0, sizeof arena->chunks);
	memset(&arena->table, 0, sizeof arena->table);
	memset(&arena->snapshots, 0, sizeof arena->snapshots);
	memset(&arena->streams, 0, sizeof arena->streams);
	atomic_store(&arena->borders, 0);
	atomic_store(&arena->half_armed, false);
	pthread_mutex_init(&arena->heap.lock, NULL);
	snapshot_lose_all(arena);
}

/* Memory of its own, with the bytes of the file that was inherited. -1 with errno and message. */
static int copy_memory(struct cowarena *arena, const struct engine *wanted, int inherited)
{
	size_t bytes = arena->committed << arena->page_shift;

	if (range_map(arena, arena->reserved, arena->base))
		return error_set(errno,
				 "no room in the child of the fork() for its copy of an arena (%s)",
				 strerror(errno));
	if (!wanted->open || wanted->open(arena) == 0)
		arena->engine = wanted;
	if (frames_renew(&arena->frames) || pagetable_commit(&arena->table, arena->committed) ||
	    os_dump(arena->base, bytes, true) ||
	    arena->engine->commit(arena, 0, arena->committed, false) ||
	    os_read_all(inherited, arena->base, bytes))
		return error_set(ENOMEM, "no memory for the child's copy of an arena (%s)",
				 strerror(errno));
	size_t pages = atomic_load(&arena->pages);
	pagetable_enter(&arena->table, 0, pages, atomic_load(&arena->timeline.epoch), false);
	return 0;
}

static int attach(struct cowarena *arena)
{
	const struct engine *wanted = arena->engine;
	int inherited = arena->fd;
	char *base = arena->base;

	shed(arena);
	arena->fd = -1;
	struct trap_span *span = NULL;
	if (copy_memory(arena, wanted, inherited) == 0)
		span = trap_add(base, arena->reserved, arena->engine->bus, fault_handle, arena);
	if (span) {
		trap_remove(arena->trap);
		arena->trap = span;
		os_close(inherited);
		return 0;
	}
	/* As before, but that there is no engine to abandon. */
	int e = errno;
	if (arena->engine->close)
		arena->engine->close(arena);
	range_unmap(arena);
	arena->engine = wanted->abandon ? &engine_mprotect : wanted;
	arena->base = base;
	arena->fd = inherited;
	errno = e;
	return -1;
}

int cowarena_after_fork_in_child(void)
{
	int result = 0;

	pthread_mutex_lock(&mutex);
	for (struct cowarena *a = arenas; a && !result; a = a->fork_next)
		if (trap_inherited(a->trap))
			result = attach(a);
	pthread_mutex_unlock(&mutex);
	return result;
}

/* ---- around a fork ---- */

static bool is_copied(const struct cowarena *arena)
{
	return arena->flags & COWARENA_FORK_COPY && !trap_inherited(arena->trap);
}

/* Let every writer wait, and the heap be whole, until thaw(). */
static void freeze(struct cowarena *arena)
{
	heap_lock(arena);
	lock_acquire(&arena->snapshots);
	arena->is_frozen = snapshot_freeze(arena) == 0;
}

static void thaw(struct cowarena *arena)
{
	if (arena->is_frozen)
		gate_open(&arena->gate);
	arena->is_frozen = false;
	lock_release(&arena->snapshots);
	heap_unlock(arena);
}

static void before_fork(void)
{
	pthread_mutex_lock(&mutex);
	forking.any = false;
	for (struct cowarena *a = arenas; a; a = a->fork_next)
		forking.any |= is_copied(a);
	if (!forking.any)
		return;
	if (os_pipe(forking.done))
		forking.done[0] = forking.done[1] = -1;
	os_block_signals(&forking.signals);
	for (struct cowarena *a = arenas; a; a = a->fork_next)
		if (is_copied(a))
			freeze(a);
}

static void after_fork_in_parent(void)
{
	if (forking.any) {
		os_close(forking.done[1]);
		os_wait_closed(forking.done[0]);
		os_close(forking.done[0]);
		for (struct cowarena *a = arenas; a; a = a->fork_next)
			if (is_copied(a))
				thaw(a);
		os_restore_signals(&forking.signals);
	}
	pthread_mutex_unlock(&mutex);
}

/* Arenas that stood still are marked as inherited by now (trap.c, whose handler comes first). */
static void after_fork_in_child(void)
{
	int e = errno;

	for (struct cowarena *a = arenas; a && forking.any; a = a->fork_next) {
		bool frozen = a->is_frozen;
		a->is_frozen = false;
		if (!(a->flags & COWARENA_FORK_COPY) || !frozen)
			continue;
		heap_unlock(a); /* it was this thread that took it */
		/* Without the pipe the parent has not waited. */
		if (forking.done[1] < 0 || attach(a))
			error_log("a child of fork() has no copy of an arena: no memory, address "
				  "space or descriptor for it");
	}
	if (forking.any) {
		os_close(forking.done[0]);
		os_close(forking.done[1]);
		os_restore_signals(&forking.signals);
	}
	errno = e;
	pthread_mutex_unlock(&mutex);
}

int fork_watch(struct cowarena *arena)
{
	static bool prepared;
	int result = 0;

	pthread_mutex_lock(&mutex);
	if (!prepared && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child))
		result = error_set(ENOMEM, "no memory for the fork handlers");
	if (!result) {
		prepared = true;
		arena->fork_next = arenas;
		arenas = arena;
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

void fork_forget(struct cowarena *arena)
{
	struct cowarena **at = &arenas;

	pthread_mutex_lock(&mutex);
	while (*at != arena)
		at = &(*at)->fork_next;
	*at = arena->fork_next;
	pthread_mutex_unlock(&mutex);
}
