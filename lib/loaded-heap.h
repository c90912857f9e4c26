/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loaded-heap.h - an arena whose heap comes from a file: an image, or a store.
 *
 * The arena comes before anything that takes memory, which could lie in the heap's place.
 */
#ifndef COWARENA_LOADED_HEAP_H
#define COWARENA_LOADED_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;
struct cowarena_options;
struct lazy;
struct lazy_source;

/* What a file says of its heap. */
struct loaded_heap {
	const char *path;
	const char *kind;   /* "image", "store" */
	const char *sparse; /* the flag that allows a heap far larger than the file */
	uint64_t base;      /* address */
	uint64_t reserved;  /* bytes of address space */
	uint64_t layout;    /* heap_layout() */
};

/* Whether so many bytes of file justify so many of heap. -1 with errno EFBIG and message. */
int loaded_heap_check_size(const struct loaded_heap *from, uint64_t heap, uint64_t file);

/* Make the arena, at the heap's place, with an empty heap. Nobody else knows of it until
   loaded_heap_attach(). NULL with errno and message: EADDRINUSE, ENOTSUP (another layout), and
   those of cowarena_create(). */
struct cowarena *loaded_heap_create(const struct loaded_heap *from,
				    const struct cowarena_options *options, uint64_t epoch);

/* Replace the heap by one of so many pages: fill() puts those there that are not zeros. again: an
   earlier try has failed, and what it has filled is still there. -1 with errno and message. */
int loaded_heap_replace(struct cowarena *arena, uint64_t pages, bool again, int (*fill)(void *ctx),
			void *ctx);

/* The same for a heap that comes in as it is touched: as lazy_begin(). Then loaded_heap_attach() is
   told not to check, which would touch all of the bookkeeping. */
int loaded_heap_begin_lazily(struct cowarena *arena, struct lazy *lazy, uint64_t pages,
			     const struct lazy_source *source);

/* The heap is whole: check its bookkeeping if that is wanted, and let the arena be found. -1 with
   errno and message: EUCLEAN, the bookkeeping is damaged; ENOMEM. */
int loaded_heap_attach(struct cowarena *arena, bool check);

#endif
