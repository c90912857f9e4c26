/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-in.h - what rdb-read.c reads by: a buffer, the checksum, the format's lengths and strings;
 * and the values. Nothing that comes is trusted. What fails says so once, with the place; from then
 * on all fails.
 */
#ifndef COWKV_RDB_IN_H
#define COWKV_RDB_IN_H

#include "base/buffer.h"
#include "rdb/rdb.h"

struct rdb_in {
	const struct rdb_source *source;
	char *data;
	size_t at, len;  /* data[at .. len - 1] is still to be read */
	size_t summed;   /* data[0 .. summed - 1] is in the checksum */
	uint64_t offset; /* of data[0] */
	uint64_t crc;
	bool failed;
	char *error;
	size_t error_size;
	struct buffer large, unpacked; /* strings that are not in `data` as they are */
	struct buffer key;             /* whose value is being read; none if empty */
	struct buffer kept;            /* a member of a sorted set, while its score is read */
	char digits[24];
};

bool rdb_in_open(struct rdb_in *in, const struct rdb_source *source, char *error, size_t size);
void rdb_in_close(struct rdb_in *in);

/* What is wrong; where: at what is read next. Returns false. */
__attribute__((format(printf, 2, 3))) bool rdb_in_fail(struct rdb_in *in, const char *format, ...);

static inline uint64_t rdb_in_offset(const struct rdb_in *in)
{
	return in->offset + in->at;
}

/* The next n bytes, n being small. They are there until the next call of a function of this file.
   NULL if there are not so many. */
const void *rdb_in_bytes(struct rdb_in *in, size_t n);
bool rdb_in_byte(struct rdb_in *in, unsigned *byte);
bool rdb_in_length(struct rdb_in *in, uint64_t *n);

/* A string of any form, for as long as rdb_in_bytes(). */
bool rdb_in_string(struct rdb_in *in, struct slice *s);
/* A number that is written as a string. */
bool rdb_in_double(struct rdb_in *in, double *d);

/* Up to n bytes that are still to be read, at least one, or 0 at the end. */
size_t rdb_in_rest(struct rdb_in *in, const char **data);

/* The checksum of all bytes so far. */
uint64_t rdb_in_sum(struct rdb_in *in);

/* Whether n more bytes fit into the arena. */
bool rdb_in_room(struct rdb_in *in, size_t n);

/* A value of this type (rdb-format.h). NULL and not failed: it is a collection without elements. */
void *rdb_in_value(struct rdb_in *in, unsigned type);

/* What modules have saved besides keys, and a library of functions: they go unread, with a line in
   the log. */
bool rdb_in_skip_module(struct rdb_in *in);
bool rdb_in_skip_function(struct rdb_in *in);

#endif
