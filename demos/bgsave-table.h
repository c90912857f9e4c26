/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bgsave-table.h - a hash table with chains that grows little by little, as the one of Redis does.
 *
 * When there are as many entries as buckets, a second array of twice as many is allocated; from
 * then on each operation, a lookup too, moves the entries of one bucket to the other array. No
 * single request has to wait for all of it. But to move an entry is to write to it: while a
 * snapshot is being saved, each page that has entries would have to be copied, whether anybody
 * changes what they hold or not. So `postpone` says that now is not the time: nothing is moved,
 * and the table grows only when its chains would get too long.
 *
 * All of it lies in an arena, the struct too, and so a snapshot has all of it.
 */
#ifndef COWARENA_DEMOS_BGSAVE_TABLE_H
#define COWARENA_DEMOS_BGSAVE_TABLE_H

#include "cowarena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VALUE_SIZE 48
#define FORCED_AT 5 /* entries a bucket: postponed or not, then it grows */

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
	struct buckets now, next; /* next.heads: NULL but while the table grows */
	size_t moved;             /* the buckets of `now` below this one are empty */
	size_t entries_moved;     /* ever */
	bool postpone;
};

/* Returns an empty table in the arena. size: a power of two. */
struct table *table_new(cowarena *arena, size_t size);

/* Returns NULL if there is none. Writes nothing. */
struct record *table_peek(const struct table *table, uint64_t key);

/* The same, as a request does it: moves a bucket if the table grows. */
struct record *table_get(cowarena *arena, struct table *table, uint64_t key);

/* Change the value of a key, or insert it. Moves a bucket if the table grows. */
void table_set(cowarena *arena, struct table *table, uint64_t key, const char *value);

/* Whether it has two arrays, and goes from one to the other. */
bool table_grows(const struct table *table);

/* See with a small table that a postponed one grows at FORCED_AT entries a bucket, and not
   before. */
void table_check_rule(cowarena *arena);

/* Called for an entry. */
typedef void table_walk_fn(void *ctx, const struct record *record);

/* Pass to fn what a snapshot's view has of the table: its part-th part of so many, from 0 on. */
void table_walk(const cowarena_view *view, const struct table *table, size_t part, size_t parts,
		table_walk_fn *fn, void *ctx);

#endif
