/* SPDX-License-Identifier: BSD-2-Clause */
/* arming.h - arms a set of pages, run by run. */
#ifndef COWARENA_ARMING_H
#define COWARENA_ARMING_H

#include "bitmap.h"

struct cowarena;

/*
 * Arm the pages of `set` that are in use. Runs with a short gap between them take one call, since
 * the pages in the gap are armed already. A gap with hot pages (table.hot), which are to stay
 * writable, is not merged. Gate closed.
 *
 * Returns: 0; or -1 with errno when the kernel refuses: then any page of the heap may be armed, and
 * arena->half_armed is set.
 */
int arming_arm(struct cowarena *arena, const struct bitmap *set);

#endif
