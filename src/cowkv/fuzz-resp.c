/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-resp.c - gives any bytes to the parser of requests. Nothing may crash, all arguments must
 * lie within the input, and they must be the same whether it comes at once or in pieces. The first
 * byte chooses the limits and the size of the pieces.
 */
#include "config.h"

#include "net/resp.h"

#include "fuzz.h"

#include <string.h>

/* A digest (FNV-1a) of all that was parsed. */
struct digest {
	uint64_t h;
	size_t requests;
	bool error;
};

static void add(struct digest *d, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (d->h ^= n * 31; n--; p++)
		d->h = (d->h ^ *p) * 0x100000001b3;
}

static bool fuzz_begin(void)
{
	return true;
}

/* Add bytes to those that have come, in a block of exactly that size. */
static char *come(char *before, size_t n, const char *data, size_t had)
{
	char *p = malloc(n ? n : 1);

	if (!p)
		abort();
	if (had)
		memcpy(p, before, had); /* keeps what the parser has changed */
	memcpy(p + had, data + had, n - had);
	free(before);
	return p;
}

/* Parse the input in pieces of this size. */
static struct digest parse(const char *data, size_t n, size_t piece, bool stranger)
{
	struct digest d = {.h = 0xcbf29ce484222325};
	struct resp r = {0};
	size_t begin = 0, had = 0;
	const char *error = NULL;
	char *now = NULL;

	resp_next(&r);
	while (!d.error && begin + had < n) {
		size_t more = n - begin - had < piece ? n - begin - had : piece;
		now = come(now, had + more, data + begin, had);
		had += more;
		while (had) {
			enum resp_result result = resp_parse(&r, now, had, stranger, &error);
			if (result == RESP_MORE)
				break;
			if (result == RESP_ERROR) {
				add(&d, error, strlen(error));
				d.error = true;
				break;
			}
			if (!r.at || r.at > had)
				abort();
			for (size_t i = 0; i < r.argc; i++) {
				if (r.args[i].at > had || r.args[i].len > had - r.args[i].at)
					abort();
				add(&d, now + r.args[i].at, r.args[i].len);
			}
			d.requests++;
			begin += r.at;
			had -= r.at;
			memmove(now, now + r.at, had);
			resp_next(&r);
		}
	}
	free(now);
	resp_free(&r);
	return d;
}

static void fuzz_one(const char *data, size_t n)
{
	if (!n)
		return;
	bool stranger = data[0] & 1;
	size_t piece = (unsigned char)data[0] / 2 % 64 + 1;
	struct digest whole = parse(data + 1, n - 1, n, stranger),
		      parts = parse(data + 1, n - 1, piece, stranger);
	if (whole.requests != parts.requests || whole.error != parts.error || whole.h != parts.h) {
		fprintf(stderr, "in pieces of %zu bytes it means something else\n", piece);
		abort();
	}
}
