/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug.h - COWARENA_DEBUG=1 in the environment: the invariants are asserted at every transition.
 *
 * A violation writes one line to the log, with the page's number, and calls abort(3). The checks
 * are async-signal-safe.
 */
#ifndef COWARENA_DEBUG_H
#define COWARENA_DEBUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;

/* How many naps a page may stay locked with the gate closed. Tests change it. */
extern unsigned debug_naps_max;

/* Whether the environment asks for it. */
bool debug_wanted(void);

/* Check every page and every version. Called when a snapshot was taken, released, given up or
   rolled back to, and when a view was opened or closed. Snapshot lock held, gate open: this closes
   it meanwhile. Does nothing unless the environment asks for it. */
void debug_check(struct cowarena *arena);

/* Check a page that was preserved in a frame, and will be disarmed next. The page is locked. */
void debug_preserved(struct cowarena *arena, size_t page, uint32_t frame);

#endif
