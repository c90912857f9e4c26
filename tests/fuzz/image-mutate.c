/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-mutate.c - how libFuzzer changes an image: mostly a number that readers look at, which are
 * few bytes among many.
 */
#include "config.h"

#include "image-fuzz.h"

#include "image.h"

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);

static uint64_t next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

static uint64_t word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof word);
	image_swap(&word, sizeof word);
	return word;
}

static void change(uint8_t *p, uint64_t *state)
{
	static const uint64_t magic[] = {0,
					 1,
					 63,
					 64,
					 512,
					 4096,
					 65536,
					 UINT32_MAX,
					 UINT64_MAX,
					 (uint64_t)1 << 32,
					 (uint64_t)1 << 63};
	uint64_t word = word_at(p), r = next(state);

	switch (next(state) % 4) {
	case 0:
		word = magic[r % (sizeof magic / sizeof *magic)];
		break;
	case 1:
		word ^= (uint64_t)1 << r % 64;
		break;
	case 2:
		word += r % 2 ? 1 + r % 128 : -(1 + r % 128);
		break;
	default:
		word = r << 33 ^ next(state);
	}
	image_swap(&word, sizeof word);
	memcpy(p, &word, sizeof word);
}

/* The numbers of the header, of the index and the trailer, or of the heap's first pages. */
static size_t place(const uint8_t *data, size_t n, uint64_t *state)
{
	const size_t header = sizeof(struct image_header), trailer = sizeof(struct image_trailer);
	uint64_t index = word_at(data + n - trailer), r = next(state);

	switch (next(state) % 4) {
	case 0:
		return r % (header / 8) * 8;
	case 1:
		return n - trailer + r % (trailer / 8) * 8;
	case 2:
		return index < n - 8 ? index + r % ((n - index) / 8) * 8 : 0;
	default:
		return r % (n / 8) * 8;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
	uint64_t state = seed;

	if (n < sizeof(struct image_header) + sizeof(struct image_trailer) || next(&state) % 4 == 0)
		return LLVMFuzzerMutate(data, n, most);
	for (uint64_t times = 1 + next(&state) % 3; times--;) {
		size_t at = place(data, n, &state);
		if (at <= n - 8)
			change(data + at, &state);
	}
	return n;
}
