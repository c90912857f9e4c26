/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arenas.h - all arenas of the process, for what concerns each of them: a fork(), a thread that
 * ends.
 *
 * Their list has a mutex, which comes before any lock of an arena. It is held across a fork().
 */
#ifndef COWARENA_ARENAS_H
#define COWARENA_ARENAS_H

struct cowarena;

void arenas_lock(void);
void arenas_unlock(void);

/* Across a fork: the list stays as it is. A thread that ends does not wait for it: a handler
   of the application's that comes after ours may join the thread. */
void arenas_hold(void);
void arenas_release(void);
void arenas_lock_at_end(void);
void arenas_unlock_at_end(void);
void arenas_inherit(void); /* in the child, held */

/* Locked: the first one; the others follow in `arenas_next`. */
struct cowarena *arenas_first(void);

/* Not locked. The arena must be forgotten before it goes. */
void arenas_add(struct cowarena *arena);
void arenas_forget(struct cowarena *arena);

#endif
