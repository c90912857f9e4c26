/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chunks.h - the record of each chunk of an arena.
 *
 * A chunk is as large as a huge page: 2 MiB where pages have 4 KiB, 32 MiB where they have 16 KiB.
 * A chunk that is quiet can be mapped by one huge entry, which makes arming it, and reading from
 * it, cheaper (helper.c does that). The hybrid engine arms such a chunk by its mapping, and a chunk
 * that is being written to page by page (engine-hybrid.c).
 */
#ifndef COWARENA_CHUNKS_H
#define COWARENA_CHUNKS_H

#include "lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the pages of a chunk are armed; only the hybrid engine uses this. */
enum chunk_state {
	CHUNK_COLD, /* by mprotect */
	CHUNK_WARM, /* by userfaultfd */
	CHUNK_TORN  /* by either or both: a change between them has failed half-way */
};

struct chunk {
	_Atomic uint32_t touched; /* lower half of the epoch in which a page was last disarmed */
	_Atomic uint8_t state;    /* enum chunk_state */
	_Atomic uint32_t private_pages; /* the pages from the first one on that are mapped privately
					   (private.h); all, but in the heap's last chunk */
	_Atomic uint32_t prepared;      /* the epoch in which memory of it was last prepared */
	_Atomic bool huge;              /* mapped by one entry, as far as we know */
	_Atomic bool claimed;           /* private, or about to be (private_is_claimed()) */
	_Atomic uint8_t past;           /* enum past_state (private.h) */
	bool watched; /* its private pages are (private.h); under the snapshot lock */
};

struct chunks {
	struct chunk *at;
	size_t count;
	size_t bytes;         /* of a chunk: chunks_size() */
	unsigned pages_shift; /* log2 of the pages in a chunk */
	/* Protects the change of a chunk from and to CHUNK_COLD, `accessible` and, in cold chunks,
	   disarming. Innermost of all locks. Its holders have all signals blocked. */
	struct lock lock;
	_Atomic size_t not_cold; /* chunks in another state than CHUNK_COLD */
	size_t accessible;       /* pages below have been committed */
};

/* The size of a chunk in bytes: a power of two, at least a page, the same in the whole process. */
size_t chunks_size(void);

/* Make the records for a range of so many bytes, a multiple of chunks_size(). -1 with errno. */
int chunks_init(struct chunks *chunks, size_t bytes, size_t page_size);
void chunks_destroy(struct chunks *chunks);

static inline size_t chunks_pages(const struct chunks *c)
{
	return (size_t)1 << c->pages_shift;
}

/* Note that pages [first, first + n) are about to be disarmed in this epoch. Async-signal-safe. */
void chunks_touch(struct chunks *chunks, size_t first, size_t n, uint64_t epoch);

/* Note that pages [first, first + n) are about to be prepared in this epoch; and whether any of the
   chunk were. */
void chunks_prepare(struct chunks *chunks, size_t first, size_t n, uint64_t epoch);
static inline bool chunks_is_prepared(const struct chunks *c, size_t chunk, uint64_t epoch)
{
	return atomic_load(&c->at[chunk].prepared) == (uint32_t)epoch;
}

/* All chunks become cold, when no page is armed any more. Nobody is inside the gate. */
void chunks_all_cold(struct chunks *chunks);

/* How many of the first n chunks are mapped by one entry. */
size_t chunks_huge(const struct chunks *chunks, size_t n);

/* The end of the chunk that the page is in. */
static inline size_t chunks_end(const struct chunks *c, size_t page)
{
	return (page | (chunks_pages(c) - 1)) + 1;
}

/* Acquire: who finds pages private finds them mapped so. */
static inline size_t chunks_private_pages(const struct chunks *c, size_t chunk)
{
	return atomic_load_explicit(&c->at[chunk].private_pages, memory_order_acquire);
}

static inline bool chunks_is_private(const struct chunks *c, size_t page)
{
	return (page & (chunks_pages(c) - 1)) < chunks_private_pages(c, page >> c->pages_shift);
}

/* Whether borders between armed and writable pages of the page's chunk are borders of mappings: the
   chunk is neither warm nor private. */
static inline bool chunks_has_borders(const struct chunks *c, size_t page)
{
	return atomic_load_explicit(&c->at[page >> c->pages_shift].state, memory_order_acquire) !=
		   CHUNK_WARM &&
	       !chunks_is_private(c, page);
}

/* The end of the part of [first, end) that is private, or that is not, as its first page is. */
static inline size_t chunks_part_end(const struct chunks *c, size_t first, size_t end)
{
	size_t chunk = first & ~(chunks_pages(c) - 1);
	bool private = chunks_is_private(c, first);

	/* In a chunk the private pages come before those that are not. */
	do {
		if (private)
			first = chunk + chunks_private_pages(c, chunk >> c->pages_shift);
		else
			first = chunk + chunks_pages(c);
		chunk += chunks_pages(c);
	} while (first < end && first == chunk && chunks_is_private(c, first) == private);
	return first < end ? first : end;
}

/* Epochs since a page of the chunk was last disarmed. */
static inline uint32_t chunks_quiet(const struct chunks *c, size_t chunk, uint64_t epoch)
{
	return (uint32_t)epoch - atomic_load_explicit(&c->at[chunk].touched, memory_order_relaxed);
}

#endif
