/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-array-list.h - the copy-on-write list: readers never wait for a lock, writers copy all of it.
 *
 * An array that readers can see is never changed. A writer copies the whole array, changes the
 * copy, and publishes it by one atomic store of a pointer. A reader loads the pointer; what it
 * reads is never torn, though it may grow old. Old arrays are freed by means of hazard pointers:
 * see cow-array-list.c.
 */
#ifndef COWARENA_DEMOS_COW_ARRAY_LIST_H
#define COWARENA_DEMOS_COW_ARRAY_LIST_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READERS_MAX 16

/* One state of the list. Once it is published, only `replaced` changes. */
struct version {
	uint64_t number;           /* 1, 2, 3, ... */
	uint64_t checksum;         /* of the items and the number, if the list is sealed */
	_Atomic uint64_t replaced; /* when the next version came, in ns; 0 for the newest */
	struct version *next;      /* in the list of retired versions */
	uint64_t items[];
};

/* What a reader reads. Each has a cache line of its own, since its reader writes to it all the
   time. */
struct slot {
	alignas(64) struct version *_Atomic hazard;
};

struct list {
	struct slot slots[READERS_MAX];
	alignas(64) struct version *_Atomic current;
	_Atomic uint64_t newest; /* the number of the current version, stored a moment later */
	size_t length;
	bool sealed; /* with checksums and times; must not change while there are writers */

	pthread_mutex_t writing; /* for all fields below: one writer at a time */
	struct version *retired; /* replaced, but perhaps read */
	uint64_t made, freed, alive_most;
};

/* Make a list of zeros; free it when no reader is left. */
struct list *list_new(size_t length, bool sealed);
void list_free(struct list *list);

uint64_t version_checksum(const struct list *list, const struct version *v);

/* Get the current version for reader 0, 1, 2, ..., valid until the reader drops it. Adds to
   *repeats how often it had to look again because a newer version was published at that moment. */
const struct version *list_take(struct list *list, size_t reader, uint64_t *repeats);
void list_drop(struct list *list, size_t reader);

/* Add to an item, which replaces the whole array. */
void list_add(struct list *list, size_t i, uint64_t delta);

/* Free the replaced versions that nobody reads. list_add() does so too. */
void list_reclaim(struct list *list);

#endif
