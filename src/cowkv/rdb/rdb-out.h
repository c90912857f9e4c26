/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-out.h - what rdb-write.c uses: a buffer, the checksum, and the format's lengths and
   strings. */
#ifndef COWKV_RDB_OUT_H
#define COWKV_RDB_OUT_H

#include "rdb/rdb.h"

#include <string.h>

#define RDB_OUT_ROOM ((size_t)32 << 10)

struct rdb_out {
	const struct rdb_sink *sink;
	unsigned char *data;
	size_t n;
	uint64_t crc;
	bool compress;
	int failed; /* an errno: nothing is written any more */
	char *packed;
	size_t packed_room;
};

/* Returns false, with errno, if there is no memory. */
bool rdb_out_open(struct rdb_out *out, const struct rdb_sink *sink, bool compress);
void rdb_out_close(struct rdb_out *out);

/* Write out what is in the buffer. */
void rdb_out_flush(struct rdb_out *out);

void rdb_out_long(struct rdb_out *out, const void *data, size_t n);
void rdb_out_length(struct rdb_out *out, uint64_t n);

/* Write a string in its shortest form. */
void rdb_out_string(struct rdb_out *out, const char *data, size_t n);

static inline void rdb_out_bytes(struct rdb_out *out, const void *data, size_t n)
{
	if (n > RDB_OUT_ROOM - out->n) {
		rdb_out_long(out, data, n);
		return;
	}
	memcpy(out->data + out->n, data, n);
	out->n += n;
}

static inline void rdb_out_byte(struct rdb_out *out, unsigned byte)
{
	unsigned char b = (unsigned char)byte;

	rdb_out_bytes(out, &b, 1);
}

#endif
