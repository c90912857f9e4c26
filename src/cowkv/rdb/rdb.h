/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb.h - the data as a stream of bytes, in the format of Redis' RDB files: version 10, which
 * redis-server 7.0 writes.
 *
 * Streams go to files and sockets, and come from there; the code that writes and reads them knows
 * only a function. Writing keeps no state between calls, and several threads may write at once.
 * Reading changes the db, which only the main thread may do.
 */
#ifndef COWKV_RDB_H
#define COWKV_RDB_H

#include "data/db.h"

#include <sys/types.h>

#define RDB_VERSION 10
#define RDB_REPL_ID 40

/* ---- a cut: the data as they were at one instant ---- */

/* What to write. Addresses are those of the live heap; adding `shift` tells where to read. */
struct rdb_data {
	const struct db *root; /* a live address */
	ptrdiff_t shift;
	uintptr_t low; /* valid live addresses: `size` bytes from here */
	size_t size;
	cowarena_view *view; /* NULL for the live heap */
	uint64_t used;       /* bytes in live blocks */
};

struct rdb_cut {
	cowarena_snapshot *snapshot; /* NULL after its release */
	struct rdb_data data;
	uint64_t usec; /* time that it took to take the snapshot: the only pause */
	bool spoiled;  /* given up before its release */
};

/* Take a snapshot and open a view of it. While there is a cut, tables are not rehashed
   (config.rehash_guard). Main thread only. Returns false, with a message, on failure. */
bool rdb_cut_take(struct rdb_cut *cut, char *error, size_t size);

/* Whether the snapshot has been given up because it needed more memory than --cow-limit. Any
   thread. */
bool rdb_cut_spoiled(const struct rdb_cut *cut);

/* Close the view and release the snapshot, which may take some milliseconds. Any thread. */
void rdb_cut_release(struct rdb_cut *cut);

/* Called afterwards, in the main thread: tables may be rehashed again if there is no other cut. */
void rdb_cut_done(struct rdb_cut *cut);

/* The live heap as the data, valid while nobody changes it. */
struct rdb_data rdb_live(void);

/* ---- writing ---- */

/* Where the stream goes. `write` returns false, with errno, if it fails; nothing more is written
   then. */
struct rdb_sink {
	bool (*write)(void *ctx, const void *data, size_t n);
	void *ctx;
};

struct rdb_write_options {
	bool compress;
	const char *repl_id; /* 40 characters, or NULL to write no position */
	int64_t repl_offset;
};

enum rdb_written {
	RDB_WRITTEN,
	RDB_NOT_TAKEN, /* the sink has failed, with errno */
	RDB_SPOILED    /* the view showed wrong data, and what was written is wrong */
};

/* Write the whole stream, with its checksum. *keys, unless NULL, becomes the number of keys. */
enum rdb_written rdb_write(const struct rdb_sink *sink, const struct rdb_data *data,
			   const struct rdb_write_options *options, uint64_t *keys);

/* ---- reading ---- */

/* Where the stream comes from. `read` gets up to n bytes, at least one; returns 0 at the end, -1
   with errno. */
struct rdb_source {
	ssize_t (*read)(void *ctx, void *data, size_t n);
	void *ctx;
};

struct rdb_read_options {
	bool keep_expired;    /* keep expired keys, as a replica does */
	bool replace;         /* replace existing keys, which otherwise are an error */
	bool ignore_checksum; /* for fuzzing */
	uint64_t size;        /* expected size of the stream; 0 if unknown */
	/* Called when an expired key is dropped. The result has what was read before the key. */
	void (*expired)(struct slice key);
	/* Gets what was read beyond the end; if NULL, nothing may follow the end. */
	void (*rest)(void *ctx, const char *data, size_t n);
};

struct rdb_read_result {
	uint64_t keys, expired, skipped; /* keys loaded; dropped; skipped as empty */
	uint64_t bytes;
	/* The position in a replication stream: */
	char repl_id[RDB_REPL_ID + 1]; /* "" if the file has none */
	int64_t repl_offset, repl_db;  /* -1 if the file has none */
	char error[256];               /* where, and what is wrong */
};

/* Read the whole stream into the db, which should be empty. Returns false, with result->error, if
   the stream is damaged or does not fit; the db then holds what came before the error. */
bool rdb_read(const struct rdb_source *source, const struct rdb_read_options *options,
	      struct rdb_read_result *result);

/* Read a file into the db, as rdb_read() does. If there is no such file, returns false with errno
   ENOENT; any other errno means nothing. */
bool rdb_read_file(const char *path, const struct rdb_read_options *options,
		   struct rdb_read_result *result);

#endif
