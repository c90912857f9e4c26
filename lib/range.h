/* SPDX-License-Identifier: BSD-2-Clause */
/* range.h - an arena's range of addresses: mapped, grown, unmapped. */
#ifndef COWARENA_RANGE_H
#define COWARENA_RANGE_H

#include <stddef.h>

struct cowarena;

/* Reserve and map a range of so many bytes, with its page table. -1 with errno; the message is left to the
   caller, and so is range_unmap(). */
int range_map(struct cowarena *arena, size_t bytes, void *base);
void range_unmap(struct cowarena *arena);

/* The heap needs the first `bytes` bytes: commit them. Heap lock held. -1 with errno and
   message. */
int range_grow(struct cowarena *arena, size_t bytes);

#endif
