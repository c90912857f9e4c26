/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.c - creation and destruction. */
#include "config.h"

#include "arena.h"
#include "arenas.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "fork.h"
#include "helper.h"
#include "lazy.h"
#include "objects.h"
#include "options.h"
#include "private.h"
#include "range.h"
#include "records.h"
#include "snapshot.h"
#include "track.h"
#include "trap.h"

#include <errno.h>

#define CAPACITY_DEFAULT ((size_t)64 << 30)
#define COPY_AHEAD_DEFAULT 64 /* with more, only the copying itself would be left to save */
#define CAPACITY_DEFAULT_MIN ((size_t)1 << 30)

/*
 * Open the wanted engine, or the next best: trying shows which one works here. -1 with errno and
 * message of the wanted engine. Each engine that was refused leaves a message behind.
 */
static int open_engine(struct cowarena *arena, const struct cowarena_options *o)
{
	static const struct engine *const choices[][3] = {
	    [COWARENA_ENGINE_AUTO] = {&engine_hybrid, &engine_kernel, &engine_mprotect},
	    [COWARENA_ENGINE_SIGSEGV] = {&engine_mprotect},
	    [COWARENA_ENGINE_UFFD] = {&engine_uffd, &engine_mprotect},
	    [COWARENA_ENGINE_EAGER] = {&engine_eager},
	    [COWARENA_ENGINE_HYBRID] = {&engine_hybrid, &engine_mprotect},
	    [COWARENA_ENGINE_KERNEL] = {&engine_kernel, &engine_hybrid, &engine_mprotect},
	};
	static const struct engine *const syscall_safe[] = {&engine_uffd_thread, &engine_hybrid,
							    &engine_mprotect};
	bool safe = o->flags & COWARENA_SYSCALL_SAFE && o->engine != COWARENA_ENGINE_KERNEL;
	const struct engine *const *choice = safe ? syscall_safe : choices[o->engine];
	/* Any engine satisfies COWARENA_ENGINE_AUTO. */
	bool strict = o->flags & COWARENA_STRICT_ENGINE && (o->engine || safe);

	for (int i = 0; i < 3 && choice[i]; i++) {
		arena->engine = choice[i];
		if (!arena->engine->open || arena->engine->open(arena) == 0)
			return 0;
		if (strict)
			break;
	}
	return -1;
}

static int map_failed(size_t capacity, size_t range, void *base)
{
	if (error_refused())
		return -1;
	switch (errno) {
	case EEXIST:
		return error_set(
		    EEXIST,
		    "something is mapped at options.base (%p) already: leave it NULL, or "
		    "choose another address",
		    base);
	case EFBIG:
		return error_set(
		    EFBIG,
		    "a file of %zu bytes, which backs the arena, is more than this process may "
		    "make: raise ulimit -f, or lower options.capacity",
		    range);
	case EMFILE:
	case ENFILE:
		return error_set(errno,
				 "no file descriptor left for the arena's memory: raise ulimit -n");
	default:
		return error_set(
		    errno == EAGAIN ? ENOMEM : errno, /* mlockall(MCL_FUTURE), and ulimit -l */
		    "cannot reserve %zu bytes of address space (%s): lower options.capacity, "
		    "or " ERROR_NO_ROOM,
		    capacity, error_name(errno));
	}
}

/* -1 with errno. */
static int map(struct cowarena *arena, size_t range, void *base)
{
	if (range > os_file_limit()) { /* ftruncate(2) would raise SIGXFSZ */
		errno = EFBIG;
		return -1;
	}
	if (range_map(arena, range, base) == 0)
		return 0;
	range_unmap(arena);
	return -1;
}

static int map_exactly(struct cowarena *arena, size_t range, void *base)
{
	return map(arena, range, base) ? map_failed(range, range, base) : 0;
}

static int map_any(struct cowarena *arena, const struct cowarena_options *o)
{
	size_t capacity = o->capacity ? o->capacity : CAPACITY_DEFAULT;

	for (;;) {
		if (map(arena, heap_range(capacity), o->base) == 0)
			return 0;
		/* The default capacity is not a demand: take what limits allow. (Valgrind says
		   EINVAL.) */
		if (o->capacity || capacity <= CAPACITY_DEFAULT_MIN ||
		    (errno != ENOMEM && errno != EFBIG && errno != EINVAL))
			break;
		capacity /= 2;
	}
	return map_failed(capacity, heap_range(capacity), o->base);
}

struct cowarena *arena_create(const struct cowarena_options *options, size_t range, uint64_t epoch)
{
	const struct cowarena_options o = *options;
	int before = errno;

	struct cowarena *arena = records_take(sizeof *arena);
	if (!arena || engine_prepare(arena)) {
		records_give(arena, sizeof *arena);
		error_system(ENOMEM, "no memory for the arena's own record: " ERROR_NO_ROOM);
		return NULL;
	}
	arena->page_shift = (size_t)__builtin_ctzll(os_page_size());
	arena->flags = o.flags;
	arena->limit_policy = o.limit_policy;
	arena->debug = debug_wanted();
	track_init();
	arena->copy_ahead = o.flags & COWARENA_FAITHFUL ? 1
			    : o.copy_ahead              ? o.copy_ahead
							: COPY_AHEAD_DEFAULT;
	if (arena->copy_ahead > STREAMS_WINDOW_MAX)
		arena->copy_ahead = STREAMS_WINDOW_MAX;
	arena->file = arena->poke = OS_NO_FILE;
	private_init(arena);
	arena->mapping_limit = os_mapping_limit();
	atomic_store(&arena->timeline.epoch, epoch);

	if (range ? map_exactly(arena, range, o.base) : map_any(arena, &o))
		goto no_map;
	if (frames_init(&arena->frames, o.held_limit ? o.held_limit >> arena->page_shift : SIZE_MAX,
			o.flags & COWARENA_FAITHFUL)) {
		error_system(ENOMEM, "no address space for the pool of frames: " ERROR_NO_ROOM);
		goto no_frames;
	}
	if (open_engine(arena, &o))
		goto no_engine;
	arena->trap =
	    trap_add(arena->base, arena->reserved, arena->engine->bus, fault_handle, arena);
	if (!arena->trap)
		goto no_trap;
	if (heap_init(arena))
		goto no_heap;
	if (fork_prepare())
		goto no_fork;
	atomic_store(&arena->mark, MARK_ARENA);
	errno = before; /* falling back to another choice is no failure */
	return arena;

no_fork:
	heap_destroy(arena);
no_heap:
	trap_remove(arena->trap);
no_trap:
	engine_close(arena);
no_engine:
	frames_destroy(&arena->frames);
no_frames:
	range_unmap(arena);
no_map:;
	int e = errno;
	engine_forget(arena);
	records_give(arena, sizeof *arena);
	errno = e;
	return NULL;
}

cowarena *cowarena_create(const struct cowarena_options *options)
{
	struct cowarena_options o;

	if (options_read(&o, options))
		return NULL;
	struct cowarena *arena = arena_create(&o, 0, 1);
	if (arena)
		arenas_add(arena);
	return arena;
}

_Static_assert(sizeof(struct cowarena) <= RECORDS_SMALL, "it stays readable");

/* From now on any use of the arena is reported. */
static void bury(struct cowarena *arena)
{
	heap_shut(arena);
	objects_end(arena, MARK_ARENA, "cowarena_destroy");
	engine_forget(arena);
	records_give(arena, sizeof *arena);
}

void cowarena_destroy(cowarena *arena)
{
	if (!arena)
		return;
	int e = errno;
	objects_check(arena, MARK_ARENA, __func__);
	arenas_forget(arena);
	if (trap_inherited(arena->trap)) {
		/* In a child of fork(): none of the mappings is there, others may be in their
		   place, and locks may be held by threads that do not exist here. */
		trap_remove(arena->trap);
		arena->base = arena->fork_base;
		engine_abandon(arena);
		lazy_drop_inherited(arena);
		heap_destroy(arena);
		os_file_close(&arena->poke);
		os_file_close(&arena->file);
		bury(arena);
		errno = e;
		return;
	}
	lazy_stop(arena);
	helper_stop(arena);
	/* A thread that resolves faults may still have one, of a write that is done long since. */
	engine_close(arena);
	arena->debug = false; /* from here on nothing is armed */
	snapshot_destroy_all(arena);
	rearm_destroy(&arena->rearm);
	heap_destroy(arena);
	trap_remove(arena->trap);
	frames_destroy(&arena->frames);
	os_file_close(&arena->poke);
	range_unmap(arena);
	bury(arena);
	errno = e;
}

const char *cowarena_engine_name(const cowarena *arena)
{
	if (!arena)
		return error_null(EINVAL, "arena is NULL");
	objects_check(arena, MARK_ARENA, __func__);
	return arena->engine->name;
}

bool cowarena_syscall_safe(const cowarena *arena)
{
	if (!arena)
		return false;
	objects_check(arena, MARK_ARENA, __func__);
	return arena->engine->syscall_safe || private_takes_system_calls(arena);
}
