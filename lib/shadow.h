/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shadow.h - pages that are copied at the snapshot instead of armed.
 *
 * A page that was written in each of the last epochs will be written again. Copying the page costs
 * 0.15 to 0.5 us; arming it costs more, and the fault that follows ten times that. So the page is
 * copied during the cut (its shadow), and left writable.
 *
 * A page that was written alone, without its neighbours, takes a call of its own to be armed, 0.8
 * us, or ten times that in a virtual machine under load. Where the engine can arm such a page at
 * any time, the page is copied too, and armed after the cut by the helper: the pause gets shorter,
 * and does not depend on what a change of a page table costs. A page that the helper has not come
 * to is armed by the next cut.
 *
 * Only if nobody writes during the cut (COWARENA_QUIESCENT, or a process of one thread): a write to
 * the page during the copy would tear the cut (I4), and nothing would show it. Without the caller's
 * promise hot pages are copied only if they were written alone: a program that writes all of its
 * memory in order expects a snapshot that arms it, by one call, not one that copies it.
 */
#ifndef COWARENA_SHADOW_H
#define COWARENA_SHADOW_H

#include <stdbool.h>

struct cowarena;

/* Who may be writing while the cut is made. */
enum writers {
	WRITERS_ANY,
	WRITERS_NONE,    /* the taker is the only thread of the process */
	WRITERS_PROMISED /* none, by COWARENA_QUIESCENT */
};

/* Move the pages to copy from table.dirty to table.hot: pages of private chunks (private.h), and if
   nobody writes others too. Gate closed, before arming. */
void shadow_choose(struct cowarena *arena, enum writers writers);

/* The snapshot has been appended: preserve these pages for it, and make them dirty pages of the
   new epoch. -1 if a page could be neither copied nor armed. Gate closed. */
int shadow_copy(struct cowarena *arena);

/* No snapshot is taken after all: these pages become dirty as before. Gate closed. */
void shadow_undo(struct cowarena *arena);

/* For the helper: arm some of the pages that the last snapshot has copied and that are not hot.
   Takes the snapshot lock. Returns whether there are more. */
bool shadow_arm_some(struct cowarena *arena);

#endif
