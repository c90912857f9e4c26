/* SPDX-License-Identifier: BSD-2-Clause */
/* digest.h - a digest of the contents and the addresses of all live blocks of an arena. */
#ifndef COWARENA_DEMOS_DIGEST_H
#define COWARENA_DEMOS_DIGEST_H

#include "common.h"

#include <xxhash.h>

#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)(p), (void)(n))
#endif

struct digest {
	uint64_t hash;
	size_t blocks, bytes;
};

static inline uint64_t hash_block(const unsigned char *p, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, size, seed);
}

static inline int digest_block(void *ctx, void *p, size_t size)
{
	struct digest *d = ctx;

	/* All of a block counts, even what was never written. */
	VALGRIND_DISABLE_ERROR_REPORTING;
	d->hash = hash_block(p, size, mix(d->hash ^ (uintptr_t)p));
	VALGRIND_ENABLE_ERROR_REPORTING;
	VALGRIND_MAKE_MEM_DEFINED(&d->hash, sizeof d->hash);
	d->bytes += size;
	d->blocks++;
	return 0;
}

static inline struct digest digest_arena(cowarena *arena)
{
	struct digest d = {0};

	if (cowarena_heap_walk(arena, NULL, digest_block, &d))
		die("the heap cannot be listed: %s", cowarena_errmsg());
	return d;
}

static inline bool same_digest(struct digest a, struct digest b)
{
	return a.hash == b.hash && a.blocks == b.blocks && a.bytes == b.bytes;
}

static inline void print_digest(const char *when, struct digest d)
{
	printf("%-16s %s blocks, %s, digest %s\n", when, human_count(d.blocks).text,
	       human_bytes(d.bytes).text, human_hex(d.hash).text);
}

#endif
