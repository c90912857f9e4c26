/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot-read.h - whether a snapshot can be used, and reading its bytes. */
#ifndef COWARENA_SNAPSHOT_READ_H
#define COWARENA_SNAPSHOT_READ_H

#include "cowarena.h"

#include <stddef.h>

/* -1 with errno and message when the snapshot is NULL or spoiled. */
int snapshot_usable(const struct cowarena_snapshot *snapshot);

/* Check as snapshot_usable() does, but first give up all snapshots if the engine has lost its
   protection. What was read from live pages, or through a view, was right if this returns 0
   afterwards. Snapshot lock not held. */
int snapshot_intact(const struct cowarena_snapshot *snapshot);

/* Copy n bytes at an offset in the heap, as the snapshot holds them. The range must be in the
   snapshot. No lock held. */
void snapshot_copy(struct cowarena_snapshot *snapshot, void *dst, size_t offset, size_t n);

#endif
