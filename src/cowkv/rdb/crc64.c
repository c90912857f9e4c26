/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc64.c - see crc64.h.
 *
 * With tables of 256, 8 bytes at a time; or, if the processor multiplies polynomials, by folding
 * (V. Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ", Intel, 2009):
 * 64 bytes are replaced by 64 bytes further on with the same remainder. The tables process the last
 * 16 bytes.
 */
#include "config.h"

#include "rdb/crc64.h"

#include <immintrin.h>
#include <string.h>

#define POLYNOMIAL 0x95ac9329ac4bc9b5 /* reflected: its lowest bit is that of x^63 */
#define LANE ((size_t)16)
#define BLOCK (4 * LANE)

static uint64_t tables[8][256];
static bool by_folding;
/* Powers of x, by the distance in bytes: a block plus 8, a block; a lane plus 8, a lane. */
static uint64_t block_high, block_low, lane_high, lane_low;

/* x^n modulo the polynomial. */
static uint64_t power(size_t n)
{
	uint64_t r = (uint64_t)1 << 63;

	while (n--)
		r = r >> 1 ^ (r & 1 ? POLYNOMIAL : 0);
	return r;
}

static uint64_t by_tables(uint64_t crc, const unsigned char *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t word;
		memcpy(&word, p, sizeof word);
		word ^= crc;
		crc = tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^
		      tables[5][word >> 16 & 255] ^ tables[4][word >> 24 & 255] ^
		      tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255] ^
		      tables[1][word >> 48 & 255] ^ tables[0][word >> 56];
	}
	while (n--)
		crc = tables[0][(crc ^ *p++) & 255] ^ crc >> 8;
	return crc;
}

/* Move x forward by the distance that k stands for, keeping the remainder, and add what is
   there. */
__attribute__((target("pclmul,sse2"))) static inline __m128i fold(__m128i x, __m128i k,
								  __m128i there)
{
	return _mm_xor_si128(
	    _mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)),
	    there);
}

__attribute__((target("pclmul,sse2"))) static uint64_t folded(uint64_t crc, const unsigned char *p,
							      size_t n)
{
	const __m128i block = _mm_set_epi64x((long long)block_low, (long long)block_high),
		      lane = _mm_set_epi64x((long long)lane_low, (long long)lane_high);
	__m128i x[4];
	unsigned char last[LANE];

	for (int i = 0; i < 4; i++)
		x[i] = _mm_loadu_si128((const __m128i *)(p + (size_t)i * LANE));
	x[0] = _mm_xor_si128(x[0], _mm_cvtsi64_si128((long long)crc));
	for (p += BLOCK, n -= BLOCK; n >= BLOCK; p += BLOCK, n -= BLOCK)
		for (int i = 0; i < 4; i++)
			x[i] = fold(x[i], block,
				    _mm_loadu_si128((const __m128i *)(p + (size_t)i * LANE)));
	for (int i = 1; i < 4; i++)
		x[0] = fold(x[0], lane, x[i]);
	_mm_storeu_si128((__m128i *)last, x[0]);
	return by_tables(by_tables(0, last, sizeof last), p, n);
}

uint64_t crc64(uint64_t crc, const void *data, size_t n)
{
	return by_folding && n >= 2 * BLOCK ? folded(crc, data, n) : by_tables(crc, data, n);
}

/* Bit by bit, as the definition has it. */
static uint64_t plainly(const unsigned char *p, size_t n)
{
	uint64_t crc = 0;

	while (n--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
	}
	return crc;
}

bool crc64_init(void)
{
	unsigned char text[5 * BLOCK + 13];

	for (unsigned i = 0; i < 256; i++) {
		unsigned char byte = (unsigned char)i;
		tables[0][i] = plainly(&byte, 1);
	}
	for (int t = 1; t < 8; t++)
		for (unsigned i = 0; i < 256; i++)
			tables[t][i] = tables[0][tables[t - 1][i] & 255] ^ tables[t - 1][i] >> 8;
	/* One less each, since the product of two reflected factors is multiplied by x. */
	block_high = power(8 * BLOCK + 63);
	block_low = power(8 * BLOCK - 1);
	lane_high = power(8 * LANE + 63);
	lane_low = power(8 * LANE - 1);
	by_folding = __builtin_cpu_supports("pclmul");
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (unsigned char)(i * i + 7 * i);
	return crc64(0, "123456789", 9) == 0xe9c6d914c4b8d9ca &&
	       crc64(crc64(0, text, 11), text + 11, sizeof text - 11) == plainly(text, sizeof text);
}
