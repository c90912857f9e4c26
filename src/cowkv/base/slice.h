/* SPDX-License-Identifier: BSD-2-Clause */
/* slice.h - bytes that lie somewhere, and what they say: numbers, words, patterns. */
#ifndef COWKV_SLICE_H
#define COWKV_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A command works with these: the bytes stay where they are for as long as the command runs. */
struct slice {
	const char *data;
	size_t len;
};
#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

/* The number that a slice is; false if it is no number. As strict as Redis: no spaces, no NaN,
   integers without leading zeros or plus. */
bool slice_integer(struct slice s, int64_t *n);
bool slice_double(struct slice s, double *d);

/* The text up to its first zero byte, with a zero byte at its end: Redis reads some numbers so,
   with strtod(3) and its kin. NULL if the text is too long. */
#define NUMBER_TEXT 5120
const char *slice_text(struct slice s, char text[NUMBER_TEXT]);

/* Whether a slice is this word, in capitals or not. */
bool slice_is(struct slice s, const char *word);

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && __builtin_memcmp(a.data, b.data, a.len) == 0;
}

/* Glob patterns as of KEYS: * ? [a-z] [^x] and \ before one of them. */
bool slice_matches(struct slice pattern, struct slice s, bool any_case);

#endif
