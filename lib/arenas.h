/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arenas.h - the list of all arenas of the process, for events that concern each of them: a fork(),
 * the end of a thread.
 *
 * The list's mutex comes before any lock of an arena. It is held across a fork().
 */
#ifndef COWARENA_ARENAS_H
#define COWARENA_ARENAS_H

struct cowarena;

void arenas_lock(void);
void arenas_unlock(void);

/* Across a fork the list stays as it is. A thread that ends does not wait for the list: a fork
   handler of the application, which runs after ours, may join the thread. */
void arenas_hold(void);
void arenas_release(void);
void arenas_lock_at_end(void);
void arenas_unlock_at_end(void);
void arenas_inherit(void); /* in the child, held */

/* List locked: the first arena; the others follow in `arenas_next`. */
struct cowarena *arenas_first(void);

/* List not locked. An arena must be forgotten before it is destroyed, if it is in the list. */
void arenas_add(struct cowarena *arena);
void arenas_forget(struct cowarena *arena);

#endif
