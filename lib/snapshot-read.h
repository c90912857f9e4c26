/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot-read.h - whether a snapshot can be used, and reading its bytes. */
#ifndef COWARENA_SNAPSHOT_READ_H
#define COWARENA_SNAPSHOT_READ_H

#include "cowarena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -1 with errno and message when the snapshot is NULL or spoiled. */
int snapshot_usable(const struct cowarena_snapshot *snapshot);

/* Check as snapshot_usable() does, but first give up all snapshots if the engine has lost its
   protection. What was read from live pages, or through a view, was right if this returns 0
   afterwards. Snapshot lock not held. */
int snapshot_intact(const struct cowarena_snapshot *snapshot);

/* The same for the save that is a snapshot's last use. */
int snapshot_protected(const struct cowarena_snapshot *snapshot);

/* Copy n bytes at an offset in the heap, as the snapshot holds them. The range must be in the
   snapshot. No lock held. */
void snapshot_copy(struct cowarena_snapshot *snapshot, void *dst, size_t offset, size_t n);

/* Pages that are read where they are, although others may write to them. */
struct borrowed {
	size_t first, n; /* pages */
	const char *at;  /* their bytes */
	uint64_t states[64];
};

/*
 * Borrow pages [first, first + n) of the snapshot, 64 at most: false if one of them has changed
 * since, or has no memory. Then read, and ask whether what was read was the snapshot's. False
 * always where a tool would report the race. No lock held.
 */
bool snapshot_borrow(struct cowarena_snapshot *snapshot, size_t first, size_t n,
		     struct borrowed *borrowed);
bool snapshot_was_borrowed(struct cowarena_snapshot *snapshot, const struct borrowed *borrowed);

#endif
