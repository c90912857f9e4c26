/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * objects.h - checks the handles that the program holds: of arenas, snapshots, views and
 * stores.
 *
 * Each object begins with a mark, which is changed when the object ends. The record stays readable,
 * and is reused late (records.h): so a handle that is used too long is found out, and so is a
 * pointer that never was a handle. The process is aborted then, as for a block that is freed twice.
 */
#ifndef COWARENA_OBJECTS_H
#define COWARENA_OBJECTS_H

#include "arena.h"
#include "records.h"

/* The marks of live objects. An object that has ended has the complement. */
enum mark {
	MARK_ARENA = 0x41a9e0c5,
	MARK_SNAPSHOT = 0x5a9b07e3,
	MARK_VIEW = 0x71e43d19,
	MARK_STORE = 0x2b8c64f7,
};

_Noreturn void objects_complain(const void *object, enum mark kind, const char *function);

/* Check a handle that is given to a public function, whose name is `function`. */
static inline void objects_check(const void *object, enum mark kind, const char *function)
{
	if (!records_holds(object) ||
	    atomic_load_explicit((const _Atomic uint32_t *)object, memory_order_relaxed) != kind)
		objects_complain(object, kind, function);
}

/* A check that costs next to nothing. A wild pointer to memory that is not mapped faults here. */
static inline void objects_check_fast(const void *object, enum mark kind, const char *function)
{
	if (atomic_load_explicit((const _Atomic uint32_t *)object, memory_order_relaxed) != kind)
		objects_complain(object, kind, function);
}

/* The object ends now. If two threads want to end it, the second one is stopped here. */
static inline void objects_end(void *object, enum mark kind, const char *function)
{
	uint32_t there = kind;

	if (!atomic_compare_exchange_strong((_Atomic uint32_t *)object, &there, ~(uint32_t)kind))
		objects_complain(object, kind, function);
}

/* Abort, in a child of fork() that has no copy of the arena. */
_Noreturn void objects_complain_of_child(const struct cowarena *arena, const char *function);

/*
 * Checks for functions that need the arena's memory. NULL is passed over: the function itself has
 * an error for it.
 */
static inline void arena_in_use(const struct cowarena *arena, const char *function)
{
	if (!arena)
		return;
	objects_check(arena, MARK_ARENA, function);
	if (arena->is_shut)
		objects_complain_of_child(arena, function);
}

static inline void snapshot_in_use(const struct cowarena_snapshot *s, const char *function)
{
	if (!s)
		return;
	objects_check(s, MARK_SNAPSHOT, function);
	if (s->arena->is_shut)
		objects_complain_of_child(s->arena, function);
}

/* The fast check: programs translate each pointer that they read in a view. */
static inline void view_in_use(const struct cowarena_view *view, const char *function)
{
	if (!view)
		return;
	objects_check_fast(view, MARK_VIEW, function);
	if (view->snapshot->arena->is_shut)
		objects_complain_of_child(view->snapshot->arena, function);
}

#endif
