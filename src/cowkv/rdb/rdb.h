/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb.h - the data as a stream of bytes: the format of Redis' RDB files, version 10, that
 * redis-server 7.0 writes.
 *
 * Streams go to files and to sockets, and come from there: what writes and reads them knows
 * neither, but a function. Writing keeps nothing between calls, and several threads may write at
 * once. Reading changes the db, which only the main thread may.
 */
#ifndef COWKV_RDB_H
#define COWKV_RDB_H

#include "data/db.h"

#include <sys/types.h>

#define RDB_VERSION 10
#define RDB_REPL_ID 40

/* ---- a cut: the data as they were at one instant ---- */

/* What is written: at the addresses of the live heap plus `shift`. */
struct rdb_data {
	const struct db *root; /* a live address */
	ptrdiff_t shift;
	uintptr_t low; /* live addresses from there on, `size` bytes of them, are to be had */
	size_t size;
	cowarena_view *view; /* NULL for the live heap */
	uint64_t used;       /* bytes in live blocks */
};

struct rdb_cut {
	cowarena_snapshot *snapshot; /* NULL once it is released */
	struct rdb_data data;
	uint64_t usec; /* how long it took to take: the only pause */
	bool spoiled;  /* by the time it was released */
};

/* Take a snapshot and open a view of it. While there is a cut, tables are not rehashed
   (config.rehash_guard). Main thread. Returns false with a message. */
bool rdb_cut_take(struct rdb_cut *cut, char *error, size_t size);

/* Whether the snapshot was given up since, for more memory than --cow-limit. Any thread. */
bool rdb_cut_spoiled(const struct rdb_cut *cut);

/* Close the view, release the snapshot. Any thread: it may take some milliseconds. */
void rdb_cut_release(struct rdb_cut *cut);

/* After that, in the main thread: tables may be rehashed again, if there is no other cut. */
void rdb_cut_done(struct rdb_cut *cut);

/* The heap as it is, for as long as nobody changes it. */
struct rdb_data rdb_live(void);

/* ---- writing ---- */

/* Where it goes. Returns false, with errno, if it cannot: then nothing more is written. */
struct rdb_sink {
	bool (*write)(void *ctx, const void *data, size_t n);
	void *ctx;
};

struct rdb_write_options {
	bool compress;
	const char *repl_id; /* NULL: without. 40 characters */
	int64_t repl_offset;
};

enum rdb_written {
	RDB_WRITTEN,
	RDB_NOT_TAKEN, /* the sink has failed: errno */
	RDB_SPOILED    /* the view has not shown what it should, and what was written is wrong */
};

/* Write all of it, the checksum included. *keys, unless NULL, is how many there were. */
enum rdb_written rdb_write(const struct rdb_sink *sink, const struct rdb_data *data,
			   const struct rdb_write_options *options, uint64_t *keys);

/* ---- reading ---- */

/* Where it comes from: up to n bytes, at least one. 0 at the end, -1 with errno. */
struct rdb_source {
	ssize_t (*read)(void *ctx, void *data, size_t n);
	void *ctx;
};

struct rdb_read_options {
	bool keep_expired;    /* keys that have expired too, as a replica does */
	bool replace;         /* keys that are there already; else they are an error */
	bool ignore_checksum; /* for fuzzing */
	uint64_t size;        /* bytes that will come, as far as known; 0 if not */
	/* A key has expired and is dropped. What the file said before is in the result. */
	void (*expired)(struct slice key);
	/* What was read beyond the end; if NULL, nothing may come there. */
	void (*rest)(void *ctx, const char *data, size_t n);
};

struct rdb_read_result {
	uint64_t keys, expired, skipped; /* loaded; dropped; without elements */
	uint64_t bytes;
	/* Where the data stand in a stream of replication: */
	char repl_id[RDB_REPL_ID + 1]; /* "" if it does not say */
	int64_t repl_offset, repl_db;  /* -1 */
	char error[256];               /* where, and what is wrong */
};

/* Read all of it into the db, which should be empty. Returns false, with result->error, if it is
   damaged, or does not fit; the db then holds what came before that. */
bool rdb_read(const struct rdb_source *source, const struct rdb_read_options *options,
	      struct rdb_read_result *result);

/* Read a file into the db, as rdb_read() does. If there is no such file: false, with errno ENOENT;
   else errno means nothing. */
bool rdb_read_file(const char *path, const struct rdb_read_options *options,
		   struct rdb_read_result *result);

#endif
