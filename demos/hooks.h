/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks.h - malloc(), calloc(), realloc() and free() on an arena, for libraries that take such
 * functions. Something to copy.
 *
 *	static cowarena *arena;
 *	COWARENA_HOOKS(in_arena, arena)
 *	...
 *	arena = cowarena_create(NULL);
 *	json_set_alloc_funcs(in_arena_malloc, in_arena_free);
 *
 * Where a library passes the caller's argument to its hooks (Lua, zlib, FreeType), pass the arena
 * there instead; then there may be many arenas. Without such an argument, one variable of the
 * process tells the functions which arena to use. Rules to follow:
 *
 *   - Create the arena and install the hooks before the first use of the library: what it got from
 *     malloc(3) before must not be freed here, cowarena_free() calls abort(3). For the same reason
 *     the arena may be destroyed only when the library has given everything back, or is not used
 *     any more, and what the library hands out has to be freed by its function, not by free(3).
 *   - A rollback restores what is in the arena, not the library's static variables. It is sound
 *     where these hold no pointer into the arena, and count nothing of what is in it. Look for
 *     caches, free lists and registries, and turn them off.
 *   - Take snapshots and roll back between two calls of the library, with no other thread in it.
 *     What the library has outside memory (files, sockets, threads) is not rolled back.
 */
#ifndef COWARENA_DEMOS_HOOKS_H
#define COWARENA_DEMOS_HOOKS_H

#include "cowarena.h"

/* Define name_malloc() and the other three, on the arena that the variable points to when they are
   called. */
#define COWARENA_HOOKS(name, arena)                                                                \
	__attribute__((unused)) static void *name##_malloc(size_t size)                            \
	{                                                                                          \
		return cowarena_alloc(arena, size);                                                \
	}                                                                                          \
	__attribute__((unused)) static void *name##_calloc(size_t n, size_t size)                  \
	{                                                                                          \
		return cowarena_calloc(arena, n, size);                                            \
	}                                                                                          \
	__attribute__((unused)) static void *name##_realloc(void *p, size_t size)                  \
	{                                                                                          \
		return cowarena_realloc(arena, p, size);                                           \
	}                                                                                          \
	__attribute__((unused)) static void name##_free(void *p)                                   \
	{                                                                                          \
		cowarena_free(arena, p);                                                           \
	}

#endif
