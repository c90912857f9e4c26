/* SPDX-License-Identifier: BSD-2-Clause */
/* image.c - see image.h. */
#include "config.h"

#include "image.h"

#include <endian.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(struct image_header) == 12 * 8 && sizeof(struct image_group) == 6 * 8 &&
		   sizeof(struct image_trailer) == 6 * 8,
	       "no gaps");

void image_swap(void *words, size_t bytes)
{
	uint64_t *w = words;

	for (size_t i = 0; i < bytes / sizeof *w; i++)
		w[i] = htole64(w[i]);
}

uint64_t image_checksum(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

bool image_same_checksum(uint64_t is, uint64_t should_be)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	(void)is, (void)should_be;
	return true;
#else
	return is == should_be;
#endif
}

/* Of numbers as they are in the file. */
static uint64_t checksum_of_words(const void *words, size_t n, uint64_t seed)
{
	uint64_t copy[sizeof(struct image_header) / sizeof(uint64_t)];

	memcpy(copy, words, n);
	image_swap(copy, n);
	return image_checksum(copy, n, seed);
}

uint64_t image_header_checksum(const struct image_header *h)
{
	return checksum_of_words(h, offsetof(struct image_header, checksum), 0);
}

uint64_t image_trailer_checksum(const struct image_trailer *t)
{
	return checksum_of_words(t, offsetof(struct image_trailer, checksum), t->index_checksum);
}

uint64_t image_group_seed(const struct image_header *h, uint64_t first)
{
	return h->number + first * UINT64_C(0x9e3779b185ebca87); /* XXH64's first prime */
}
