/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-space.h - which blocks of a store's file are free.
 *
 * A block is free that is in none of the sets but the last. So nothing that the last checkpoint, a
 * name, or a slot in doubt refers to is written over.
 */
#ifndef COWARENA_STORE_SPACE_H
#define COWARENA_STORE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum space_set {
	/* What a slot may refer to. */
	SPACE_LAST,    /* the last durable checkpoint has it */
	SPACE_TABLE,   /* the table of names */
	SPACE_KEPT,    /* a named checkpoint has it */
	SPACE_ATTEMPT, /* was taken for the checkpoint that is being written */
	/* What it does not. */
	SPACE_DOUBT, /* a slot that could not be made durable, and may be all the same, has it */
	SPACE_AVOID, /* was written by an attempt whose sync failed */
	SPACE_HOLE,  /* has no memory in the file */
	SPACE_SETS
};

struct space {
	uint64_t *words[SPACE_SETS];
	size_t capacity; /* words of each set */
	void *memory;
	uint64_t length; /* blocks of the file */
	uint64_t hint;   /* no free block lies below */
};

/* Have room for so many blocks. -1 with errno ENOMEM. */
int space_reserve(struct space *s, uint64_t blocks);
void space_destroy(struct space *s);

/* Mark a block. Returns whether it was marked. There must be room for it. */
bool space_add(struct space *s, enum space_set set, uint64_t block);
void space_remove(struct space *s, enum space_set set, uint64_t block);

/* Add all of a set to another, and clear the first, or not. */
void space_join(struct space *s, enum space_set to, enum space_set from);
void space_move(struct space *s, enum space_set to, enum space_set from);
void space_clear(struct space *s, enum space_set set);

/* Whether two sets have a block in common. */
bool space_meet(const struct space *s, enum space_set a, enum space_set b);

/* Take the first free block for the attempt; 0 with errno ENOMEM. The attempt has ended: there may
   be free blocks before. */
uint64_t space_take(struct space *s);
void space_rewind(struct space *s);

/* The end of the last block in use; of the last one that a slot written now may refer to. What a
   failed sync has left behind may lie beyond what the disk knows as the file's end. */
uint64_t space_end(const struct space *s);
uint64_t space_reach(const struct space *s);

/* How many blocks are in use, and how many have memory in the file. */
uint64_t space_used(const struct space *s);
uint64_t space_backed(const struct space *s);

/* The file was cut to so many blocks. */
void space_cut(struct space *s, uint64_t blocks);

/* The next run of free blocks that are no holes, from `from` on. False: there is none. */
bool space_next_waste(const struct space *s, uint64_t from, uint64_t *first, uint64_t *n);

#endif
