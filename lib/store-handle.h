/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-handle.h - an open store, and what its files share.
 *
 * Locks: `order` before the heap lock, so that snapshots wait in the order in which they were
 * taken; `writer`, of whoever writes to the file, before `state`. None is taken by a handler.
 */
#ifndef COWARENA_STORE_HANDLE_H
#define COWARENA_STORE_HANDLE_H

#include "cowarena.h"
#include "lock.h"
#include "store-file.h"
#include "store-space.h"
#include "store-tree.h"

#include <pthread.h>
#include <stdatomic.h>

#define STORE_RUN 64 /* blocks that are written or read together */

struct cowarena_store {
	_Atomic uint32_t mark;       /* objects.h */
	_Atomic bool inherited;      /* in a child of fork(): it is the parent's */
	struct cowarena_store *next; /* in the list of all stores */
	struct cowarena *arena;
	struct store_file file;
	char *path;
	size_t path_bytes;
	bool read_only;

	/* Protected by `writer`. */
	struct lock writer;
	struct store_slot last; /* the newest that is durable */
	unsigned which;         /* the slot that it is in */
	uint64_t sequence;      /* that was used last */
	struct tree tree;
	struct space space;
	struct store_name *names; /* of the last slot */
	size_t names_count, names_bytes;
	struct cowarena_snapshot *base; /* what is durable; NULL: then all is written */
	char *blocks;                   /* STORE_RUN of them */
	bool cannot_punch;
	bool is_ready; /* store_ready() */

	/* Held while a snapshot is taken that will be written. */
	struct lock order;

	/* Protected by `state`. Checkpoints have numbers in the order in which they were asked
	   for. */
	struct lock state;
	struct cowarena_snapshot *waiting; /* to be written next, for all numbers up to `asked` */
	uint64_t asked, ended, durable;    /* the last number, and what is known of it */
	int failure;                       /* errno of the last one that has failed */
	char failure_message[320];
	_Atomic uint32_t endings; /* futex: how often something has ended */

	/* The thread that writes. */
	pthread_t thread;
	bool has_thread;
	_Atomic uint32_t rung; /* futex */
	_Atomic uint32_t stop;
};

/* ---- store-write.c ---- */

/* Write what has changed since the last durable checkpoint, and a slot. Takes the snapshot over,
   which becomes the base, or is released. -1 with errno and message. `writer` held. */
int store_write(struct cowarena_store *store, struct cowarena_snapshot *snapshot);

/* Make a slot durable that has the same heap and these names. `writer` held. -1 with errno and
   message. */
int store_write_names(struct cowarena_store *store, const struct store_name *names, size_t n);

/* Give back the file's memory that is free. Best effort. `writer` held. */
void store_tidy(struct cowarena_store *store);

/* Write n blocks from `block` on. -1 with errno and message. */
int store_put(struct cowarena_store *store, const void *p, size_t n, uint64_t block);

/* Make the slot that was read durable once more: who has written it may have been killed before it
   was. */
int store_write_again(struct cowarena_store *store);

/* ---- store-lazy.c ---- */

/* Have the heap of that slot come in as it is touched (lazy.h), and the index with the heap. False
   where that is not possible, and nothing was done. *result: 0, or -1 with errno and message. */
bool store_begin_lazily(struct cowarena_store *store, const struct store_slot *slot, int *result);

/* ---- store-load.c ---- */

/* Read the newest checkpoint into an arena that this makes. flags: of cowarena_store_open(). -1
   with errno and message. */
int store_load(struct cowarena_store *store, const struct cowarena_options *options,
	       unsigned flags);

/* Wait until all of a heap has come in that does so as it is touched, and know names and free
   blocks: before that nothing is written, but the slot that was read. -1 with errno and message;
   then nothing is known. `writer` held. */
int store_ready(struct cowarena_store *store);

/* Mark the blocks of named checkpoints. -1 with errno and message. */
int store_mark_kept(struct cowarena_store *store, const struct store_name *names, size_t n);

/*
 * Replace the arena's memory by a named checkpoint. The heap is stopped. write: false to read and
 * check only. -1 with errno and message.
 */
int store_fill(struct cowarena_store *store, const struct store_root *root, bool write);

/* ---- store-open.c ---- */

/* Whether a call may use the store: -1 with errno and message if it is NULL or a parent's. Ends the
   process if it is none. */
int store_usable(const struct cowarena_store *store, bool writes, const char *function);

#endif
