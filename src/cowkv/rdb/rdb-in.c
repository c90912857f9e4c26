/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-in.c - see rdb-in.h; the values are in rdb-in-value.c. */
#include "config.h"

#include "base/slice.h"
#include "rdb/crc64.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-in.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <lzf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM ((size_t)256 << 10)
#define PIECE ((size_t)1 << 20) /* room made at once for more of a long string */
#define KEEP ((size_t)1 << 20)  /* most room that a buffer keeps between strings */
#define UNPACKED_MAX 89         /* most bytes that one compressed byte yields: 264 from 3 */

bool rdb_in_open(struct rdb_in *in, const struct rdb_source *source, char *error, size_t size)
{
	*in = (struct rdb_in){.source = source, .error = error, .error_size = size};
	*error = 0;
	in->data = malloc(ROOM);
	return in->data || rdb_in_fail(in, "no memory to read it");
}

void rdb_in_close(struct rdb_in *in)
{
	free(in->data);
	buffer_free(&in->large);
	buffer_free(&in->unpacked);
	buffer_free(&in->kept);
	buffer_free(&in->key);
}

/* Write the key as text, with a question mark for each unprintable byte. */
static int print_key(struct rdb_in *in, char *to, size_t size)
{
	size_t n = buffer_size(&in->key), most = size / 3;
	char name[64];

	if (!n)
		return 0;
	if (most > sizeof name - 1)
		most = sizeof name - 1;
	for (size_t i = 0; i < n && i < most; i++)
		name[i] = in->key.data[i] > ' ' && in->key.data[i] < 127 ? in->key.data[i] : '?';
	name[n < most ? n : most] = 0;
	return snprintf(to, size, "key '%s'%s: ", name, n > most ? "..." : "");
}

bool rdb_in_fail(struct rdb_in *in, const char *format, ...)
{
	va_list args;

	if (in->failed)
		return false;
	in->failed = true;
	int n = snprintf(in->error, in->error_size, "at byte %" PRIu64 ": ", rdb_in_offset(in));
	n += print_key(in, in->error + n, in->error_size - (size_t)n);
	va_start(args, format);
	vsnprintf(in->error + n, in->error_size - (size_t)n, format, args);
	va_end(args);
	return false;
}

uint64_t rdb_in_sum(struct rdb_in *in)
{
	in->crc = crc64(in->crc, in->data + in->summed, in->at - in->summed);
	in->summed = in->at;
	return in->crc;
}

/* Get n bytes into the buffer, or all that are left. Returns how many there are. */
static size_t fill(struct rdb_in *in, size_t n)
{
	if (in->len - in->at >= n || in->failed)
		return in->len - in->at;
	rdb_in_sum(in);
	memmove(in->data, in->data + in->at, in->len - in->at);
	in->offset += in->at;
	in->len -= in->at;
	in->at = in->summed = 0;
	while (in->len < n) {
		ssize_t got = in->source->read(in->source->ctx, in->data + in->len, ROOM - in->len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rdb_in_fail(in, "cannot read on: %s", strerror(errno));
		if (got <= 0)
			break;
		in->len += (size_t)got;
	}
	return in->len;
}

size_t rdb_in_rest(struct rdb_in *in, const char **data)
{
	size_t n = fill(in, 1);

	*data = in->data + in->at;
	return n;
}

const void *rdb_in_bytes(struct rdb_in *in, size_t n)
{
	if (in->len - in->at < n && fill(in, n) < n) {
		rdb_in_fail(in, "it ends here, within a value");
		return NULL;
	}
	if (in->failed)
		return NULL;
	in->at += n;
	return in->data + in->at - n;
}

bool rdb_in_byte(struct rdb_in *in, unsigned *byte)
{
	const unsigned char *p = rdb_in_bytes(in, 1);

	if (!p)
		return false;
	*byte = *p;
	return true;
}

/* A length; or the encoding of a string, if *encoded is set. */
static bool length(struct rdb_in *in, uint64_t *n, bool *encoded)
{
	const unsigned char *p = rdb_in_bytes(in, 1);
	uint64_t wide;
	uint32_t narrow;

	if (!p)
		return false;
	unsigned first = *p;
	*encoded = false;
	switch (first & 0xc0) {
	case RDB_LENGTH_6:
		*n = first;
		return true;
	case RDB_LENGTH_14:
		if (!(p = rdb_in_bytes(in, 1)))
			return false;
		*n = (uint64_t)(first & 0x3f) << 8 | *p;
		return true;
	case RDB_ENCODED:
		*n = first & 0x3f;
		*encoded = true;
		return true;
	}
	if (first == RDB_LENGTH_32) {
		if (!(p = rdb_in_bytes(in, sizeof narrow)))
			return false;
		memcpy(&narrow, p, sizeof narrow);
		*n = be32toh(narrow);
		return true;
	}
	if (first != RDB_LENGTH_64)
		return rdb_in_fail(in, "no length begins with %#x", first);
	if (!(p = rdb_in_bytes(in, sizeof wide)))
		return false;
	memcpy(&wide, p, sizeof wide);
	*n = be64toh(wide);
	return true;
}

bool rdb_in_length(struct rdb_in *in, uint64_t *n)
{
	bool encoded;

	if (!length(in, n, &encoded))
		return false;
	return !encoded || rdb_in_fail(in, "a length is wanted, and this is a string");
}

/* n bytes without an encoding. For a long string, memory is allocated as the bytes come. */
static const char *raw(struct rdb_in *in, uint64_t n)
{
	if (n > STRING_MAX) {
		rdb_in_fail(in, "a string of %" PRIu64 " bytes, more than %zu", n, STRING_MAX);
		return NULL;
	}
	if (n <= ROOM)
		return rdb_in_bytes(in, n);
	struct buffer *b = &in->large;
	b->at = b->len = 0;
	while (b->len < n) {
		size_t left = n - b->len, got = fill(in, 1);
		if (!got) {
			rdb_in_fail(in, "it ends here, within a string of %" PRIu64 " bytes", n);
			return NULL;
		}
		if (got > left)
			got = left;
		if (b->room - b->len < got)
			buffer_reserve(b, left < PIECE ? left : PIECE);
		memcpy(b->data + b->len, in->data + in->at, got);
		b->len += got;
		in->at += got;
	}
	return b->data;
}

static bool unpack(struct rdb_in *in, struct slice *s)
{
	uint64_t packed, n;

	if (!rdb_in_length(in, &packed) || !rdb_in_length(in, &n))
		return false;
	if (n > STRING_MAX || !n || packed >= STRING_MAX || n / UNPACKED_MAX > packed)
		return rdb_in_fail(
		    in, "a string of %" PRIu64 " bytes in %" PRIu64 " compressed ones", n, packed);
	const char *p = raw(in, packed);
	if (!p)
		return false;
	in->unpacked.at = in->unpacked.len = 0;
	char *to = buffer_reserve(&in->unpacked, n);
	if (!packed || lzf_decompress(p, (unsigned)packed, to, (unsigned)n) != n)
		return rdb_in_fail(in, "the compressed string before is damaged");
	*s = (struct slice){to, n};
	return true;
}

static bool integer(struct rdb_in *in, unsigned size, struct slice *s)
{
	const unsigned char *p = rdb_in_bytes(in, size);
	uint32_t bits = 0;

	if (!p)
		return false;
	memcpy(&bits, p, size);
	unsigned unused = 32 - 8 * size;
	int32_t n = (int32_t)(le32toh(bits) << unused) >> unused;
	*s = (struct slice){in->digits, (size_t)snprintf(in->digits, sizeof in->digits, "%d", n)};
	return true;
}

bool rdb_in_string(struct rdb_in *in, struct slice *s)
{
	uint64_t n;
	bool encoded;

	buffer_trim(&in->large, KEEP);
	buffer_trim(&in->unpacked, KEEP);
	if (!length(in, &n, &encoded))
		return false;
	if (encoded && n == RDB_LZF)
		return unpack(in, s);
	if (encoded && n <= RDB_INT32)
		return integer(in, 1u << n, s);
	if (encoded)
		return rdb_in_fail(in, "a string of an unknown form, %u", (unsigned)n);
	*s = (struct slice){raw(in, n), n};
	return s->data;
}

bool rdb_in_double(struct rdb_in *in, double *d)
{
	unsigned n;

	if (!rdb_in_byte(in, &n))
		return false;
	switch (n) {
	case 253:
		return rdb_in_fail(in, "a score that is not a number");
	case 254:
		*d = __builtin_inf();
		return true;
	case 255:
		*d = -__builtin_inf();
		return true;
	}
	struct slice s = {rdb_in_bytes(in, n), n};
	if (!s.data)
		return false;
	return slice_double(s, d) || rdb_in_fail(in, "a score that is not a number");
}

bool rdb_in_room(struct rdb_in *in, size_t n)
{
	return heap_room_to_load(n) ||
	       rdb_in_fail(in, "the data do not fit into the memory: raise --capacity");
}
