/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.h - cowkv's one arena, which holds all its data and nothing else: system calls write into
 * the buffers of clients and files, so those must not be armed.
 */
#ifndef COWKV_HEAP_H
#define COWKV_HEAP_H

#include "cowarena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern cowarena *heap;

/* Make the arena. If that fails, logs why and returns false. */
bool heap_open(size_t capacity, size_t cow_limit);
void heap_close(void);

/* Allocate; allocate zeroed memory; resize; free. None of them fails: heap_room() is asked before a
   command runs, and if the arena is full nevertheless, the process ends with a message. */
void *heap_alloc(size_t size);
void *heap_zalloc(size_t size);
void *heap_resize(void *p, size_t size);
void heap_free(void *p);

/* Whether about n more bytes fit into the arena. The answer rests on figures that are renewed from
   time to time. */
bool heap_room(size_t n);

/* Whether n more bytes fit while data are loaded. The arena may become fuller than heap_room()
   allows, so that a file saved from a full arena can be loaded again. */
bool heap_room_to_load(size_t n);

/* Bytes in live blocks, as of the last look. */
size_t heap_used(void);

/* Return memory that no block and no snapshot uses to the system. */
void heap_trim(void);

/* Make the next heap_room() or heap_used() look at the arena again. */
void heap_stale(void);

#endif
