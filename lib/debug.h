/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug.h - COWARENA_DEBUG=1 in the environment: the invariants are asserted at every transition.
 *
 * A violation is one line in the log, with the page's number, and abort(3). All here is
 * async-signal-safe.
 */
#ifndef COWARENA_DEBUG_H
#define COWARENA_DEBUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;

/* How many naps a page may stay locked with the gate closed. For tests. */
extern unsigned debug_naps_max;

/* Whether the environment asks for it. */
bool debug_wanted(void);

/* A snapshot was taken, released, given up, rolled back to, or a view was opened or closed:
   look at every page and every version. Snapshot lock held, gate open: it is closed meanwhile.
   Does nothing unless asked for. */
void debug_check(struct cowarena *arena);

/* A page was preserved in a frame, and will be disarmed next. It is locked. */
void debug_preserved(struct cowarena *arena, size_t page, uint32_t frame);

#endif
