/* SPDX-License-Identifier: BSD-2-Clause */
/* fault.h - resolves write faults, and prepares pages ahead of them. */
#ifndef COWARENA_FAULT_H
#define COWARENA_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;
struct cowarena_view;

/*
 * A write to `address`, in the arena's range, met a write-protected page. Returns true when the
 * store may be tried again; false when the fault is not ours. Async-signal-safe; called with all
 * signals blocked.
 */
bool fault_handle(struct cowarena *arena, const void *address);

/* The fault of another thread, which waits. writer: its number, as os_is_this_thread() takes it. */
bool fault_handle_for(struct cowarena *arena, const void *address, uintptr_t writer);

/*
 * Preserve and disarm [first, first + n), as if it had been written. Ordinary code, signals
 * blocked. spoiling: when the limit of held memory is reached, FAULT_SPOIL takes the snapshot lock
 * and gives up a snapshot; FAULT_SPOIL_LOCKED gives up one with the lock already held.
 */
enum fault_spoil { FAULT_SPOIL, FAULT_SPOIL_LOCKED };
void fault_prepare(struct cowarena *arena, size_t first, size_t n, enum fault_spoil spoiling);

/*
 * Make the pages [first, first + n) of a view private, where the view still shares them with the
 * live heap. Ordinary code, signals blocked. 0, or an errno: ENOMEM at the limit of held memory,
 * EAGAIN when the kernel refuses; pages made private so far stay private.
 */
int fault_settle(struct cowarena *arena, struct cowarena_view *view, size_t first, size_t n);

/*
 * Disarm pages that no snapshot needs. No store has faulted there, so nothing is counted. Snapshot
 * lock held, signals blocked. n: FAULT_PIECE at most. Best effort.
 */
#define FAULT_PIECE 512 /* pages that are locked together when many are prepared */
void fault_reopen(struct cowarena *arena, size_t first, size_t n);

/*
 * Preserve every page in use, and disarm the heap. For engines that copy at the cut. Gate closed,
 * snapshot lock held. -1 when frames run out or disarming fails: the pages that were not done are
 * armed.
 */
int fault_preserve_all(struct cowarena *arena);

/* Preserve one writable page for the snapshot just appended, and leave the page writable in the new
   epoch. Gate closed; nobody writes. False when there is no frame: then the page must be armed. */
bool fault_shadow(struct cowarena *arena, size_t page);

#endif
