/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-in.h - what rdb-read.c uses: a buffer, the checksum, the format's lengths and strings; and
 * the values. No input is trusted. The first failure is reported, with its place; from then on
 * every call fails.
 */
#ifndef COWKV_RDB_IN_H
#define COWKV_RDB_IN_H

#include "base/buffer.h"
#include "rdb/rdb.h"

struct rdb_in {
	const struct rdb_source *source;
	char *data;
	size_t at, len;  /* data[at .. len - 1] has not been read yet */
	size_t summed;   /* data[0 .. summed - 1] is in the checksum already */
	uint64_t offset; /* of data[0] in the stream */
	uint64_t crc;
	bool failed;
	char *error;
	size_t error_size;
	struct buffer large, unpacked; /* strings that had to be joined or unpacked */
	struct buffer key;             /* the key whose value is being read, or empty */
	struct buffer kept;            /* a member of a sorted set, while its score is read */
	char digits[24];
};

bool rdb_in_open(struct rdb_in *in, const struct rdb_source *source, char *error, size_t size);
void rdb_in_close(struct rdb_in *in);

/* Report what is wrong, and at what place. Returns false. */
__attribute__((format(printf, 2, 3))) bool rdb_in_fail(struct rdb_in *in, const char *format, ...);

static inline uint64_t rdb_in_offset(const struct rdb_in *in)
{
	return in->offset + in->at;
}

/* The next n bytes; n is small. They are valid until the next call of a function of this file.
   Returns NULL if there are fewer. */
const void *rdb_in_bytes(struct rdb_in *in, size_t n);
bool rdb_in_byte(struct rdb_in *in, unsigned *byte);
bool rdb_in_length(struct rdb_in *in, uint64_t *n);

/* The next string, in any form. It is valid as long as rdb_in_bytes()'s result. */
bool rdb_in_string(struct rdb_in *in, struct slice *s);
/* A number that is stored as a string. */
bool rdb_in_double(struct rdb_in *in, double *d);

/* Find the bytes that come next, without taking them. Returns how many are at *data: at least one,
   or 0 at the end or after a failure. */
size_t rdb_in_rest(struct rdb_in *in, const char **data);

/* The checksum of all bytes so far. */
uint64_t rdb_in_sum(struct rdb_in *in);

/* Whether n more bytes fit into the arena. If not, that is reported. */
bool rdb_in_room(struct rdb_in *in, size_t n);

/* A value of this type (rdb-format.h). NULL without a failure means an empty collection. */
void *rdb_in_value(struct rdb_in *in, unsigned type);

/* Skip data of modules, and a library of functions, with a line in the log. */
bool rdb_in_skip_module(struct rdb_in *in);
bool rdb_in_skip_function(struct rdb_in *in);

#endif
