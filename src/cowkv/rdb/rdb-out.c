/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-out.c - see rdb-out.h. */
#include "config.h"

#include "base/slice.h"
#include "rdb/crc64.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-out.h"

#include <endian.h>
#include <errno.h>
#include <lzf.h>
#include <sched.h>
#include <stdlib.h>

#define PACKED_ROOM ((size_t)64 << 10)
#define GAIN 4        /* least number of bytes that compression must save */
#define DIGITS_MAX 11 /* digits of a 32-bit number, with the sign */

bool rdb_out_open(struct rdb_out *out, const struct rdb_sink *sink, bool compress)
{
	*out = (struct rdb_out){.sink = sink, .compress = compress, .packed_room = PACKED_ROOM};
	out->data = malloc(RDB_OUT_ROOM);
	out->packed = malloc(PACKED_ROOM);
	if (out->data && out->packed)
		return true;
	rdb_out_close(out);
	errno = ENOMEM;
	return false;
}

void rdb_out_close(struct rdb_out *out)
{
	free(out->data);
	free(out->packed);
	out->data = NULL;
	out->packed = NULL;
}

/*
 * Bytes are added to the checksum here, while they are in the cache. The thread also yields here:
 * nice or not, the scheduler would make a client wait some milliseconds for a thread that writes.
 */
static void send(struct rdb_out *out, const void *data, size_t n)
{
	out->crc = crc64(out->crc, data, n);
	if (!out->failed && n && !out->sink->write(out->sink->ctx, data, n))
		out->failed = errno ? errno : EIO;
	sched_yield();
}

void rdb_out_flush(struct rdb_out *out)
{
	send(out, out->data, out->n);
	out->n = 0;
}

void rdb_out_long(struct rdb_out *out, const void *data, size_t n)
{
	const char *p = data;

	rdb_out_flush(out);
	for (; n > RDB_OUT_ROOM; p += RDB_OUT_ROOM, n -= RDB_OUT_ROOM)
		send(out, p, RDB_OUT_ROOM);
	memcpy(out->data, p, n);
	out->n = n;
}

void rdb_out_length(struct rdb_out *out, uint64_t n)
{
	unsigned char bytes[9];

	if (n < 1 << 6) {
		rdb_out_byte(out, (unsigned)n | RDB_LENGTH_6);
	} else if (n < 1 << 14) {
		bytes[0] = (unsigned char)(n >> 8 | RDB_LENGTH_14);
		bytes[1] = (unsigned char)n;
		rdb_out_bytes(out, bytes, 2);
	} else if (n <= UINT32_MAX) {
		uint32_t be = htobe32((uint32_t)n);
		bytes[0] = RDB_LENGTH_32;
		memcpy(bytes + 1, &be, sizeof be);
		rdb_out_bytes(out, bytes, 1 + sizeof be);
	} else {
		uint64_t be = htobe64(n);
		bytes[0] = RDB_LENGTH_64;
		memcpy(bytes + 1, &be, sizeof be);
		rdb_out_bytes(out, bytes, 1 + sizeof be);
	}
}

/* Write a text as a number of 1, 2 or 4 bytes, if the number prints as this text. */
static bool as_integer(struct rdb_out *out, const char *data, size_t n)
{
	unsigned char bytes[5];
	int64_t v;

	/* The first character rules out most texts. */
	if (!n || n > DIGITS_MAX || (*data != '-' && (*data < '0' || *data > '9')) ||
	    !slice_integer((struct slice){data, n}, &v) || v != (int32_t)v)
		return false;
	unsigned size = v == (int8_t)v ? 0 : v == (int16_t)v ? 1 : 2;
	uint32_t le = htole32((uint32_t)v);
	bytes[0] = (unsigned char)(RDB_ENCODED | (RDB_INT8 + size));
	memcpy(bytes + 1, &le, sizeof le);
	rdb_out_bytes(out, bytes, 1 + ((size_t)1 << size));
	return true;
}

/* Make room for n compressed bytes. Without memory for it, the string goes out uncompressed. */
static bool make_room(struct rdb_out *out, size_t n)
{
	if (n <= out->packed_room)
		return true;
	char *more = realloc(out->packed, n);
	if (!more)
		return false;
	out->packed = more;
	out->packed_room = n;
	return true;
}

static bool as_compressed(struct rdb_out *out, const char *data, size_t n)
{
	if (!make_room(out, n - GAIN))
		return false;
	unsigned packed = lzf_compress(data, (unsigned)n, out->packed, (unsigned)(n - GAIN));
	if (!packed)
		return false;
	rdb_out_byte(out, RDB_ENCODED | RDB_LZF);
	rdb_out_length(out, packed);
	rdb_out_length(out, n);
	rdb_out_bytes(out, out->packed, packed);
	return true;
}

void rdb_out_string(struct rdb_out *out, const char *data, size_t n)
{
	if (as_integer(out, data, n))
		return;
	if (out->compress && n > RDB_LZF_MIN && as_compressed(out, data, n))
		return;
	rdb_out_length(out, n);
	rdb_out_bytes(out, data, n);
}
