/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-rdb.c - loads any bytes as an RDB file. Nothing may crash, and what can be loaded must be
 * the same after it is written and loaded again. The checksum is ignored, since fuzzers do not
 * guess it.
 *
 * With COWKV_FLIPS=1 in the environment, the file is loaded with its checksum, then with each
 * single bit flipped, and then cut off at each length. None of the damaged files may be taken for
 * sound.
 */
#include "config.h"

#include "base/log.h"
#include "rdb/crc64.h"
#include "rdb/rdb.h"
#include "types/kinds.h"

#include "fuzz.h"

#include <string.h>

struct bytes {
	char *data;
	size_t at, n, room, piece;
};

static ssize_t give(void *ctx, void *to, size_t n)
{
	struct bytes *b = ctx;

	if (n > b->piece)
		n = b->piece;
	if (n > b->n - b->at)
		n = b->n - b->at;
	memcpy(to, b->data + b->at, n);
	b->at += n;
	return (ssize_t)n;
}

static bool take(void *ctx, const void *data, size_t n)
{
	struct bytes *b = ctx;

	if (b->n + n > b->room) {
		b->room = 2 * (b->n + n);
		b->data = realloc(b->data, b->room);
		if (!b->data)
			abort();
	}
	memcpy(b->data + b->n, data, n);
	b->n += n;
	return true;
}

static bool fuzz_begin(void)
{
	if (log_open("/dev/null") || !heap_open((size_t)256 << 20, 0) || !crc64_init())
		return false;
	kinds_init();
	dict_seed();
	db_open();
	return true;
}

static void written(struct bytes *to)
{
	const struct rdb_data data = {.root = db, .size = SIZE_MAX};
	const struct rdb_sink sink = {take, to};
	const struct rdb_write_options options = {.compress = true};

	if (rdb_write(&sink, &data, &options, NULL) != RDB_WRITTEN)
		abort();
	to->piece = to->n;
}

/* Whether the file loads, its checksum included. */
static bool is_sound(char *data, size_t n, struct rdb_read_result *result)
{
	struct bytes in = {.data = data, .n = n, .piece = n};
	const struct rdb_source source = {give, &in};
	const struct rdb_read_options options = {.keep_expired = true, .size = n};
	bool sound = rdb_read(&source, &options, result);

	db_flush();
	return sound;
}

static void damage(char *data, size_t n)
{
	struct rdb_read_result result;

	if (!is_sound(data, n, &result)) {
		fprintf(stderr, "not sound from the start: %s\n", result.error);
		abort();
	}
	for (size_t bit = 0; bit < 8 * n; bit++) {
		data[bit / 8] ^= (char)(1 << bit % 8);
		if (is_sound(data, n, &result)) {
			fprintf(stderr, "bit %zu flipped, and nobody sees it\n", bit);
			abort();
		}
		data[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t less = 0; less < n; less++) {
		if (is_sound(data, less, &result)) {
			fprintf(stderr, "cut off at byte %zu, and nobody sees it\n", less);
			abort();
		}
	}
}

static void fuzz_one(const char *data, size_t n)
{
	if (getenv("COWKV_FLIPS")) {
		damage(fuzz_data, n);
		return;
	}
	/* A copy of exactly n bytes, given in pieces, so that a sanitizer sees each read beyond
	   it. */
	struct bytes in = {.n = n, .piece = 4093}, out = {.n = 0}, again = {.n = 0};
	const struct rdb_source source = {give, &in}, from_out = {give, &out};
	struct rdb_read_options options = {
	    .keep_expired = true, .ignore_checksum = true, .size = n};
	struct rdb_read_result result;

	in.data = malloc(n + 1);
	if (!in.data)
		abort();
	memcpy(in.data, data, n);
	heap_stale();
	if (rdb_read(&source, &options, &result)) {
		uint64_t keys = result.keys;
		written(&out);
		db_flush();
		options.ignore_checksum = false;
		if (!rdb_read(&from_out, &options, &result) || result.keys != keys ||
		    db->keys.used != keys) {
			fprintf(stderr, "what was written is not loaded: %s\n", result.error);
			abort();
		}
		written(&again);
		if (again.n != out.n) {
			fprintf(stderr, "what was loaded is not what was written\n");
			abort();
		}
	} else if (!*result.error) {
		abort();
	}
	db_flush();
	free(in.data);
	free(out.data);
	free(again.data);
}
