/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify.h - COWARENA_VERIFY: a hash of every page at the snapshot, and a look at each use of it
 * whether anything moved (I2, I6).
 *
 * For finding mistakes, of the library and of programs that write around its back (DMA,
 * io_uring). What has moved is said in one line, with the address, and abort(3) is called. Each
 * function does nothing in an arena without the flag.
 */
#ifndef COWARENA_VERIFY_H
#define COWARENA_VERIFY_H

#include <stddef.h>

struct cowarena;
struct cowarena_snapshot;
struct cowarena_view;

/* Room for the hashes of so many pages. -1 with errno. */
int verify_prepare(struct cowarena_snapshot *snapshot, size_t pages);
/* Hash the heap, which stands still: gate closed. */
void verify_record(struct cowarena_snapshot *snapshot);
void verify_forget(struct cowarena_snapshot *snapshot);

/* Whether the snapshot still reads as recorded: n bytes from an offset in the heap on; or all
   of it. No lock held. */
void verify_read(struct cowarena_snapshot *snapshot, size_t offset, size_t n);
void verify_all(struct cowarena_snapshot *snapshot);

/* Whether the live heap, or a read-only view, is what the snapshot was. Nobody writes to it. */
void verify_live(struct cowarena_snapshot *snapshot);
void verify_view(const struct cowarena_view *view);

#endif
