/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify.h - COWARENA_VERIFY: a hash of every page at the snapshot, compared at each later use to
 * find what has changed (I2, I6).
 *
 * For finding mistakes, of the library and of programs that write behind its back (DMA, io_uring).
 * A change is reported in one line, with the address, and abort(3) is called. Each function does
 * nothing in an arena without the flag.
 */
#ifndef COWARENA_VERIFY_H
#define COWARENA_VERIFY_H

#include <stddef.h>

struct cowarena;
struct cowarena_snapshot;
struct cowarena_view;

/* Get memory for the hashes of so many pages. -1 with errno. */
int verify_prepare(struct cowarena_snapshot *snapshot, size_t pages);
/* Hash the heap, which stands still: gate closed. */
void verify_record(struct cowarena_snapshot *snapshot);
void verify_forget(struct cowarena_snapshot *snapshot);

/* Check that the snapshot still reads as recorded: n bytes at an offset in the heap, or all of it.
   No lock held. */
void verify_read(struct cowarena_snapshot *snapshot, size_t offset, size_t n);
void verify_all(struct cowarena_snapshot *snapshot);

/* Check that the live heap, or a read-only view, equals the snapshot. Nobody writes there. */
void verify_live(struct cowarena_snapshot *snapshot);
void verify_view(const struct cowarena_view *view);

#endif
