/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bitmap.h - sets of page numbers that are cheap to walk when nearly empty.
 *
 * Three levels: one bit for each page; one summary bit for each word of those, set when the word
 * may be non-zero; one top bit for each word of the summary. 256 GiB of 4 KiB pages have 4 top
 * words, so finding nothing costs next to nothing, and a walk yields ascending runs for free.
 *
 * Setting is atomic, and many threads may set at once. Walking and clearing need the setters
 * excluded (by a closed gate, or because the bitmap is private).
 */
#ifndef COWARENA_BITMAP_H
#define COWARENA_BITMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitmap {
	_Atomic uint64_t *words;
	_Atomic uint64_t *summary, *top;
	size_t bits;
};

/* Bytes that a bitmap of so many bits needs, zeroed, aligned to 8. */
static inline size_t bitmap_bytes(size_t bits)
{
	size_t words = (bits + 63) / 64, summary = (words + 63) / 64;

	return (words + summary + (summary + 63) / 64) * sizeof(uint64_t);
}

static inline void bitmap_init(struct bitmap *b, void *memory, size_t bits)
{
	b->bits = bits;
	b->words = memory;
	b->summary = b->words + (bits + 63) / 64;
	b->top = b->summary + ((bits + 63) / 64 + 63) / 64;
}

static inline bool bitmap_test(const struct bitmap *b, size_t i)
{
	return atomic_load_explicit(&b->words[i / 64], memory_order_relaxed) >> (i % 64) & 1;
}

/* Returns whether the bit was set already. */
static inline bool bitmap_set(struct bitmap *b, size_t i)
{
	uint64_t bit = (uint64_t)1 << (i % 64);
	uint64_t old = atomic_fetch_or_explicit(&b->words[i / 64], bit, memory_order_relaxed);

	if (!old) {
		size_t s = i / (64 * 64);
		if (!atomic_fetch_or_explicit(&b->summary[s], (uint64_t)1 << (i / 64 % 64),
					      memory_order_relaxed))
			atomic_fetch_or_explicit(&b->top[s / 64], (uint64_t)1 << (s % 64),
						 memory_order_relaxed);
	}
	return old & bit;
}

/* Set [first, end); whole words by one store. Only for a bitmap that is never walked: the summaries
   stay as they are. */
static inline void bitmap_fill(struct bitmap *b, size_t first, size_t end)
{
	for (size_t i = first, n; i < end; i += n) {
		n = 64 - i % 64 < end - i ? 64 - i % 64 : end - i;
		atomic_fetch_or_explicit(&b->words[i / 64], UINT64_MAX >> (64 - n) << (i % 64),
					 memory_order_relaxed);
	}
}

/* The setters must be excluded. */
static inline void bitmap_unset(struct bitmap *b, size_t i)
{
	uint64_t word = atomic_load_explicit(&b->words[i / 64], memory_order_relaxed);

	atomic_store_explicit(&b->words[i / 64], word & ~((uint64_t)1 << (i % 64)),
			      memory_order_relaxed);
}

/* The first set bit of a level of so many words, at or after i; beyond them when there is none. */
static inline size_t bitmap_next_in(_Atomic uint64_t *level, size_t words, size_t i)
{
	for (size_t w = i / 64; w < words; w++, i = 0) {
		uint64_t word = atomic_load_explicit(&level[w], memory_order_relaxed) >> (i % 64);
		if (word)
			return w * 64 + i % 64 + (size_t)__builtin_ctzll(word);
	}
	return words * 64;
}

/* The first set bit at or after i; b->bits when there is none. */
static inline size_t bitmap_next(const struct bitmap *b, size_t i)
{
	size_t words = (b->bits + 63) / 64, sums = (words + 63) / 64, tops = (sums + 63) / 64;

	while (i < b->bits) {
		/* Look in the word of i, then in the summary of the words after it. */
		size_t w = i / 64;
		uint64_t word =
		    atomic_load_explicit(&b->words[w], memory_order_relaxed) >> (i % 64);
		if (word)
			return i + (size_t)__builtin_ctzll(word);
		if (++w >= words)
			break;
		size_t s = w / 64;
		uint64_t sum =
		    atomic_load_explicit(&b->summary[s], memory_order_relaxed) >> (w % 64);
		if (sum) {
			i = (w + (size_t)__builtin_ctzll(sum)) * 64;
			continue;
		}
		s = bitmap_next_in(b->top, tops, s + 1);
		if (s >= sums)
			break;
		sum = atomic_load_explicit(&b->summary[s], memory_order_relaxed);
		if (!sum) /* a top bit may be stale, never missing */
			i = (s * 64 + 63) * 64;
		else
			i = (s * 64 + (size_t)__builtin_ctzll(sum)) * 64;
	}
	return b->bits;
}

/* The first clear bit at or after i; b->bits when there is none. */
static inline size_t bitmap_next_clear(const struct bitmap *b, size_t i)
{
	while (i < b->bits) {
		uint64_t word = ~atomic_load_explicit(&b->words[i / 64], memory_order_relaxed);
		word >>= i % 64;
		if (word) {
			i += (size_t)__builtin_ctzll(word);
			return i < b->bits ? i : b->bits;
		}
		i = (i / 64 + 1) * 64;
	}
	return b->bits;
}

/*
 * Add the bits of `from` below `end` that are not in `but` (NULL: all of them) to `b`. The setters
 * of all three must be excluded. Cost: in proportion to the non-zero words of `from`.
 */
static inline void bitmap_add(struct bitmap *b, const struct bitmap *from, const struct bitmap *but,
			      size_t end)
{
	for (size_t i = bitmap_next(from, 0), w; i < end; i = bitmap_next(from, (w + 1) * 64)) {
		w = i / 64;
		uint64_t bits = atomic_load_explicit(&from->words[w], memory_order_relaxed);
		if (but)
			bits &= ~atomic_load_explicit(&but->words[w], memory_order_relaxed);
		if (end - w * 64 < 64)
			bits &= UINT64_MAX >> (64 - (end - w * 64));
		if (!bits)
			continue;
		bitmap_set(b, w * 64 + (size_t)__builtin_ctzll(bits)); /* with the levels above */
		uint64_t old = atomic_load_explicit(&b->words[w], memory_order_relaxed);
		atomic_store_explicit(&b->words[w], old | bits, memory_order_relaxed);
	}
}

/* The first bit of `b`, at or after i, that is not in `but`; b->bits when there is none. */
static inline size_t bitmap_next_but(const struct bitmap *b, const struct bitmap *but, size_t i)
{
	for (i = bitmap_next(b, i); i < b->bits; i = bitmap_next(b, (i / 64 + 1) * 64)) {
		size_t w = i / 64;
		uint64_t bits = atomic_load_explicit(&b->words[w], memory_order_relaxed) &
				~atomic_load_explicit(&but->words[w], memory_order_relaxed);
		bits = bits >> (i % 64) << (i % 64);
		if (bits)
			return w * 64 + (size_t)__builtin_ctzll(bits);
	}
	return b->bits;
}

/* Clear all bits. Cost: in proportion to the non-zero words. */
static inline void bitmap_clear(struct bitmap *b)
{
	size_t sums = ((b->bits + 63) / 64 + 63) / 64, tops = (sums + 63) / 64;

	for (size_t s = bitmap_next_in(b->top, tops, 0); s < sums;
	     s = bitmap_next_in(b->top, tops, s + 1)) {
		uint64_t sum = atomic_load_explicit(&b->summary[s], memory_order_relaxed);
		for (; sum; sum &= sum - 1)
			atomic_store_explicit(&b->words[s * 64 + (size_t)__builtin_ctzll(sum)], 0,
					      memory_order_relaxed);
		atomic_store_explicit(&b->summary[s], 0, memory_order_relaxed);
	}
	for (size_t t = 0; t < tops; t++)
		atomic_store_explicit(&b->top[t], 0, memory_order_relaxed);
}

#endif
