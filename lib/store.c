/* SPDX-License-Identifier: BSD-2-Clause */
/* store.c - see store.h. */
#include "config.h"

#include "store.h"

#include <endian.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(struct store_header) == 9 * 8 && sizeof(struct store_slot) == 12 * 8 &&
		   sizeof(struct store_table) == 3 * 8 &&
		   sizeof(struct store_name) == STORE_NAME_MAX + 6 * 8,
	       "no gaps");

void store_swap(void *words, size_t bytes)
{
	uint64_t *w = words;

	for (size_t i = 0; i < bytes / sizeof *w; i++)
		w[i] = htole64(w[i]);
}

uint64_t store_checksum(const struct store_header *h, const void *p, size_t n, unsigned level,
			uint64_t index)
{
	uint64_t place = ((uint64_t)level << 56) + index;

	return XXH3_64bits_withSeed(p, n, h->number[0] ^ (h->number[1] + place));
}

uint64_t store_header_checksum(const struct store_header *h)
{
	struct store_header copy = *h;

	store_swap(&copy, sizeof copy);
	return XXH3_64bits(&copy, offsetof(struct store_header, checksum));
}

uint64_t store_slot_checksum(const struct store_header *h, const struct store_slot *s,
			     unsigned which)
{
	struct store_slot copy = *s;

	store_swap(&copy, sizeof copy);
	return store_checksum(h, &copy, offsetof(struct store_slot, checksum), STORE_AT_SLOT,
			      which);
}

unsigned store_levels(const struct store_file *f, uint64_t pages)
{
	unsigned levels = 1;

	for (uint64_t below = store_fan(f); below < pages; below *= store_fan(f))
		levels++;
	return levels;
}
