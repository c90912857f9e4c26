/* SPDX-License-Identifier: BSD-2-Clause */
/* range.h - an arena's range of addresses: mapped, grown, unmapped. */
#ifndef COWARENA_RANGE_H
#define COWARENA_RANGE_H

#include <stdbool.h>
#include <stddef.h>

struct cowarena;

/* Reserve and map a range of so many bytes, with its page table. -1 with errno; the message is
   left to the caller, and so is range_unmap(). */
int range_map(struct cowarena *arena, size_t bytes, void *base);
void range_unmap(struct cowarena *arena);

/*
 * Whether a page has no memory, and so is all zeros. Reading it would give it memory that nobody
 * frees. Async-signal-safe. Cost: a system call for a hole; two for 512 pages with memory.
 */
bool range_is_hole(struct cowarena *arena, size_t page);

/* The first page of [page, end) that may have memory; end if there is none. */
size_t range_skip_hole(struct cowarena *arena, size_t page, size_t end);

/*
 * The next pages of [page, pages) that have no memory: [*first, *end). False when there are none,
 * or that cannot be told. Cost: the kernel looks at all memory before them, 50 ns a page, but not
 * again at what is known to have memory.
 */
bool range_next_hole(struct cowarena *arena, size_t page, size_t pages, size_t *first, size_t *end);

/* Give the memory of pages back to the system: the pages become holes. Nobody needs their content,
   and nobody writes there meanwhile. */
void range_punch(struct cowarena *arena, size_t first, size_t n);

/* In a child of fork(), where nothing is mapped: reserve the arena's place, for range_map() to
   map over, unless something lies there by now; or give the place up again. */
void range_hold_place(struct cowarena *arena);
void range_leave_place(struct cowarena *arena);

/* The heap needs the first `bytes` bytes: commit them. Heap lock held. -1 with errno and
   message. */
int range_grow(struct cowarena *arena, size_t bytes);

/* The same in a new arena, but what was not committed is armed, as if it had last been written to
   in epoch 0, which no snapshot has ended. Costs the same for any size. */
int range_grow_armed(struct cowarena *arena, size_t bytes);

#endif
