/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dict.h - a chained hash table in the arena that grows and shrinks step by step.
 *
 * While a dict is rehashed it has two tables, and each operation moves one bucket from the old
 * table to the new one, so no operation waits for the whole move. Moving an entry writes to it, to
 * its neighbours and to both tables, all over the heap; during a save each of these pages would
 * have to be copied. So during a save a dict is not rehashed, and not resized unless its chains are
 * long: see dict_guarded.
 */
#ifndef COWKV_DICT_H
#define COWKV_DICT_H

#include "base/slice.h"
#include "data/heap.h"

struct entry {
	struct entry *next;
	void *value;
	uint32_t hash, len;
	char key[];
};

struct dict {
	struct entry **table[2]; /* table[1] is used during a rehash only */
	size_t size[2];          /* number of buckets: a power of two, or 0 */
	size_t used;             /* number of entries, in both tables */
	size_t next; /* bucket of table[0] to move next; SIZE_MAX if there is no rehash */
};

/* While this is set, no bucket moves, and no table grows below 5 entries per bucket. */
extern bool dict_guarded;

/* Choose the secret that keys are hashed with, so that nobody can make keys share a bucket. */
void dict_seed(void);

#define DICT_EMPTY ((struct dict){.next = SIZE_MAX})

struct entry *dict_find(struct dict *d, struct slice key);

/* Find a key, or add it with the value NULL; *added says which. */
struct entry *dict_add(struct dict *d, struct slice key, bool *added);

/* Remove an entry without freeing it; the caller does that, with heap_free(). NULL if there is
   none. */
struct entry *dict_take(struct dict *d, struct slice key);

/* Remove an entry, and free it and its value (from heap_alloc(), or NULL). Returns whether there
   was one. */
bool dict_remove(struct dict *d, struct slice key);

/* Free the tables and all entries. `drop` frees their values, unless it is NULL. */
void dict_clear(struct dict *d, void (*drop)(void *value));

/* A random entry, all about equally likely. NULL if there is none. */
struct entry *dict_random(struct dict *d);

/* A random number, from the generator of dict_random(). */
uint64_t dict_random_number(void);

/* Whether most buckets are empty, which makes dict_random() search. */
static inline bool dict_sparse(const struct dict *d)
{
	return d->used < (d->size[0] + d->size[1]) / 16;
}

/* Move up to n buckets, unless dict_guarded. Returns whether there are more to move. */
bool dict_step(struct dict *d, size_t n);

/* Make room for n entries at once, before they are added. */
void dict_reserve(struct dict *d, size_t n);

/* Shrink a table that has become too large. To be called where many entries may have been
   removed. */
void dict_shrink(struct dict *d);

/*
 * One step of a walk over all entries. An entry that is there from the first step to the last is
 * visited at least once, whatever is added, removed or rehashed between steps. The first cursor is
 * 0; returns the next one, 0 at the end. fn must not change the dict.
 */
uint64_t dict_scan(struct dict *d, uint64_t cursor, void (*fn)(void *ctx, struct entry *e),
		   void *ctx);

/* Visits all entries, in no particular order. The dict must not change meanwhile. */
struct dict_iterator {
	const struct dict *d;
	struct entry *next;
	size_t table, bucket;
	ptrdiff_t shift; /* added to a live pointer to get that of a view; 0 for the live heap */
};
#define DICT_ITERATOR(dict) ((struct dict_iterator){.d = (dict)})
struct entry *dict_next(struct dict_iterator *i);

/* The address in a view of what is at p in the live heap. */
#define AT(p, shift) ((__typeof__(p))((uintptr_t)(p) + (uintptr_t)(shift)))

#endif
