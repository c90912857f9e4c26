/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * versions.h - the versions of one page, found by epoch.
 *
 * A page that is rewritten after each of ten thousand snapshots has ten thousand versions. With a
 * list, reading from the oldest snapshot, and releasing it, would cost a walk over all of them. So
 * the versions of a page are a treap: a search tree by epoch, and a heap by a priority that each
 * frame draws from its number. Its depth is logarithmic whatever the order of adding and removing
 * (Seidel and Aragon, "Randomized Search Trees", 1996), the links lie in the versions, and nothing
 * is allocated.
 *
 * `root` is the version at the root, FRAME_NONE for a page without versions. All functions are
 * async-signal-safe; the page is locked, or the gate is closed.
 */
#ifndef COWARENA_VERSIONS_H
#define COWARENA_VERSIONS_H

#include "frames.h"

/* The newest version that begins at or before `epoch`; FRAME_NONE when there is none. */
uint32_t versions_upto(const struct frames *frames, uint32_t root, uint64_t epoch);

/* The version that holds the page as of `epoch`; FRAME_NONE when there is none. */
uint32_t versions_find(const struct frames *frames, uint32_t root, uint64_t epoch);

/* Add a version that begins after all others end. */
void versions_add(struct frames *frames, uint32_t *root, uint32_t frame);

/* Remove a version, which must be in the tree. */
void versions_remove(struct frames *frames, uint32_t *root, uint32_t frame);

#endif
