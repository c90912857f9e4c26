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

/* Allocate; zeroed; change the size; free. They do not fail: heap_room() is asked before a command
   runs, and an arena that is full all the same ends the process, with a message. */
void *heap_alloc(size_t size);
void *heap_zalloc(size_t size);
void *heap_resize(void *p, size_t size);
void heap_free(void *p);

/* Whether about n more bytes fit into the arena. Looks at the arena every now and then only. */
bool heap_room(size_t n);

/* The same nearer to the end: what was saved when there was no room any more has to be loaded
   again. */
bool heap_room_to_load(size_t n);

/* Bytes in live blocks, as of a moment ago. */
size_t heap_used(void);

/* Give memory that is in no block, and in no snapshot, back to the system. */
void heap_trim(void);

/* Have heap_room() and heap_used() look again at their next call. */
void heap_stale(void);

#endif
