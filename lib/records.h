/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records.h - memory for the library's own records.
 *
 * The records never come from malloc(3): malloc may be a heap of ours, whose locks the library
 * holds at that moment, whose pages it arms, which a rollback takes back, and which a child of
 * fork() does not have.
 *
 * No function here takes a lock. So a record may be taken or given back under any lock, and in a
 * signal handler. If another thread of the parent was in here at a fork(), the child loses the
 * records that the thread had in hand, and nothing else.
 *
 * A small record (RECORDS_SMALL bytes at most) stays mapped for ever, and is reused as late as
 * possible: code that still has its address reads the old bytes for a while, and never faults.
 */
#ifndef COWARENA_RECORDS_H
#define COWARENA_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#define RECORDS_ALIGN 64
#define RECORDS_SMALL ((size_t)64 << 10)

/* Take n bytes, all zero, at a multiple of RECORDS_ALIGN. NULL with errno when there is no
   memory. */
void *records_take(size_t n);

/* Give back what records_take(n) returned, with that n. NULL does nothing. errno stays. */
void records_give(void *p, size_t n);

/* Whether p can be the address of a small record, in use or given back: then it is readable. */
bool records_holds(const void *p);

#endif
