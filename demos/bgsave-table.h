/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bgsave-table.h - a hash table with chains that grows step by step, as Redis' table does.
 *
 * When there are as many entries as buckets, a second array of twice the size is allocated; from
 * then on each operation, even a lookup, moves the entries of one bucket to the new array. So no
 * request has to wait for the whole move. But moving an entry writes to it: while a snapshot is
 * being saved, each page with entries would have to be copied, whether or not anybody changes their
 * contents. So while `postpone` is set, nothing is moved, and the table grows only when its chains
 * would get too long.
 *
 * All of the table lies in an arena, the struct too, so a snapshot has all of it.
 */
#ifndef COWARENA_DEMOS_BGSAVE_TABLE_H
#define COWARENA_DEMOS_BGSAVE_TABLE_H

#include "cowarena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VALUE_SIZE 48
#define FORCED_AT 5 /* entries per bucket at which even a postponed table grows */

struct record {
	uint64_t key;
	char value[VALUE_SIZE];
};

struct entry {
	struct entry *next;
	struct record record;
};

struct buckets {
	struct entry **heads; /* chains of entries */
	size_t size, used;    /* heads, a power of two; entries */
};

struct table {
	struct buckets now, next; /* next.heads: NULL unless the table grows */
	size_t moved;             /* the buckets of `now` below this one are empty */
	size_t entries_moved;     /* since the table was made */
	bool postpone;
};

/* Returns an empty table in the arena. size: a power of two. */
struct table *table_new(cowarena *arena, size_t size);

/* Returns NULL if the key is not there. Writes nothing. */
struct record *table_peek(const struct table *table, uint64_t key);

/* Find a key as a request does: moves a bucket if the table grows. */
struct record *table_get(cowarena *arena, struct table *table, uint64_t key);

/* Change the value of a key, or insert it. Moves a bucket if the table grows. */
void table_set(cowarena *arena, struct table *table, uint64_t key, const char *value);

/* Whether the table has two arrays, and moves from one to the other. */
bool table_grows(const struct table *table);

/* Verify with a small table that a postponed one grows at FORCED_AT entries per bucket, and not
   before. */
void table_check_rule(cowarena *arena);

/* Called for an entry. */
typedef void table_walk_fn(void *ctx, const struct record *record);

/* Walk the table in a snapshot's view: one of several parts, counted from 0. */
void table_walk(const cowarena_view *view, const struct table *table, size_t part, size_t parts,
		table_walk_fn *fn, void *ctx);

#endif
