/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.h - cowkv's one arena, in which all its data are; and nothing else is: system calls write
 * into buffers of clients and files, and these must not be armed.
 */
#ifndef COWKV_HEAP_H
#define COWKV_HEAP_H

#include "cowarena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern cowarena *heap;

/* Make the arena. Returns false, and logs why not, if it is not to be had. */
bool heap_open(size_t capacity, size_t cow_limit);
void heap_close(void);

/* Allocate; allocate zeroes; change the size; free. None of them fails: heap_room() is asked before
   a command runs, and if the arena is full all the same, the process ends with a message. */
void *heap_alloc(size_t size);
void *heap_zalloc(size_t size);
void *heap_resize(void *p, size_t size);
void heap_free(void *p);

/* Whether about n more bytes fit into the arena. Looks at the arena every now and then only. */
bool heap_room(size_t n);

/* Whether n more bytes fit, when data are loaded: the arena may become fuller than heap_room()
   allows, as a file that was saved from a full arena has to be loaded again. */
bool heap_room_to_load(size_t n);

/* Bytes in live blocks, a moment ago. */
size_t heap_used(void);

/* Give memory that is in no block, and in no snapshot, back to the system. */
void heap_trim(void);

/* Have heap_room() and heap_used() look again at their next call. */
void heap_stale(void);

#endif
