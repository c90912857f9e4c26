/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shadow.h - hot pages: copied at the snapshot instead of armed.
 *
 * A page that was written in each of the last epochs will be written again. Copying the page costs
 * 0.15 to 0.5 us; arming it costs more, and the fault that follows ten times that. So the page is
 * copied during the cut (its shadow), and left writable.
 *
 * Only with COWARENA_QUIESCENT: another thread that wrote to the page during the copy would tear
 * the cut (I4), and nothing would show it.
 */
#ifndef COWARENA_SHADOW_H
#define COWARENA_SHADOW_H

#include <stdbool.h>

struct cowarena;

/* Move the hot pages from table.dirty to table.hot: pages of private chunks (private.h), and with
   `quiescent` others too. Gate closed, before arming. */
void shadow_choose(struct cowarena *arena, bool quiescent);

/* The snapshot has been appended: preserve the hot pages for it, and make them dirty pages of the
   new epoch. -1 if a page could be neither copied nor armed. Gate closed. */
int shadow_copy(struct cowarena *arena);

/* No snapshot is taken after all: the hot pages become dirty as before. Gate closed. */
void shadow_undo(struct cowarena *arena);

#endif
