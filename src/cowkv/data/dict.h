/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dict.h - a chained hash table in the arena that is rehashed step by step, in both directions.
 *
 * While it is being rehashed a dict has two tables: each operation moves one bucket of the old one,
 * so that no operation waits for all of it. Moving an entry writes to it, to its neighbours and to
 * both tables, all over the heap; while a snapshot is being saved each such page would have to be
 * copied. So then a dict is not rehashed, and not resized unless its chains have become long:
 * dict_guarded.
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
	struct entry **table[2]; /* the second while it is being rehashed */
	size_t size[2];          /* buckets: a power of two, or 0 */
	size_t used;             /* entries in both */
	size_t next; /* bucket of table[0] that is moved next; SIZE_MAX when not rehashing */
};

/* While this is set no bucket is moved, and no table grows until it has 5 entries a bucket. */
extern bool dict_guarded;

/* Keys are hashed with a secret of this process, so that nobody can choose keys of one bucket. */
void dict_seed(void);

#define DICT_EMPTY ((struct dict){.next = SIZE_MAX})

struct entry *dict_find(struct dict *d, struct slice key);

/* Find a key, or add it with the value NULL; *added tells. */
struct entry *dict_add(struct dict *d, struct slice key, bool *added);

/* Take an entry out. It is the caller's then: heap_free() it. NULL if there is none. */
struct entry *dict_take(struct dict *d, struct slice key);

/* Take an entry out, and free it with its value, which is of heap_alloc() or NULL. Returns whether
   there was one. */
bool dict_remove(struct dict *d, struct slice key);

/* Free all entries, their values by `drop` unless that is NULL, and the tables. */
void dict_clear(struct dict *d, void (*drop)(void *value));

/* Any entry, each about as likely as the others. NULL if there is none. */
struct entry *dict_random(struct dict *d);

/* A random number, from the source that dict_random() uses. */
uint64_t dict_random_number(void);

/* Whether most buckets are empty, so that dict_random() has to search. */
static inline bool dict_sparse(const struct dict *d)
{
	return d->used < (d->size[0] + d->size[1]) / 16;
}

/* Move up to n buckets, unless dict_guarded. Returns whether there are more to move. */
bool dict_step(struct dict *d, size_t n);

/* Make room for n entries at once, before they are added. */
void dict_reserve(struct dict *d, size_t n);

/* Tables that became too large get smaller: to be called where much may have been taken out. */
void dict_shrink(struct dict *d);

/*
 * One step of a walk that comes to every entry that is there from the first step to the last,
 * whatever is added, taken, or rehashed between steps; to some perhaps twice. From cursor 0;
 * returns the next cursor, 0 at the end. fn must not change the dict.
 */
uint64_t dict_scan(struct dict *d, uint64_t cursor, void (*fn)(void *ctx, struct entry *e),
		   void *ctx);

/* All entries, in no order. The dict must not change meanwhile. */
struct dict_iterator {
	const struct dict *d;
	struct entry *next;
	size_t table, bucket;
	ptrdiff_t shift; /* from live pointers to those of a view; 0 for the live heap */
};
#define DICT_ITERATOR(dict) ((struct dict_iterator){.d = (dict)})
struct entry *dict_next(struct dict_iterator *i);

/* The address in a view of what is at p in the live heap. */
#define AT(p, shift) ((__typeof__(p))((uintptr_t)(p) + (uintptr_t)(shift)))

#endif
