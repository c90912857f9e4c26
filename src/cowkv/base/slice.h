/* SPDX-License-Identifier: BSD-2-Clause */
/* slice.h - a run of bytes, and its meaning as a number, a word or a pattern. */
#ifndef COWKV_SLICE_H
#define COWKV_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Commands work with slices: the bytes stay where they are while the command runs. */
struct slice {
	const char *data;
	size_t len;
};
#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

/* Parse a number. Returns false if the slice is none. As strict as Redis: no spaces, no NaN, no
   integer with a plus or leading zeros. */
bool slice_integer(struct slice s, int64_t *n);
bool slice_double(struct slice s, double *d);

/* Copy the bytes before the first zero byte, and add a zero byte: Redis reads some numbers that
   way, with strtod(3) and its kin. Returns NULL if they do not fit. */
#define NUMBER_TEXT 5120
const char *slice_text(struct slice s, char text[NUMBER_TEXT]);

/* Whether a slice is this word, regardless of case. */
bool slice_is(struct slice s, const char *word);

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && __builtin_memcmp(a.data, b.data, a.len) == 0;
}

/* Match a glob pattern, as KEYS does: * ? [a-z] [^x], and \ before a character taken literally. */
bool slice_matches(struct slice pattern, struct slice s, bool any_case);

#endif
