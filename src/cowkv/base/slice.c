/* SPDX-License-Identifier: BSD-2-Clause */
/* slice.c - see slice.h. */
#include "config.h"

#include "base/slice.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool slice_integer(struct slice s, int64_t *n)
{
	bool minus = s.len && *s.data == '-';
	uint64_t v = 0, most = (uint64_t)INT64_MAX + minus;
	size_t i = minus;

	if (s.len == minus || s.len > 20 || (s.data[i] == '0' && (minus || s.len > 1)))
		return false;
	for (; i < s.len; i++) {
		unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';
		if (digit > 9 || v > (most - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*n = minus ? (int64_t)-v : (int64_t)v;
	return true;
}

const char *slice_text(struct slice s, char text[NUMBER_TEXT])
{
	size_t len = s.len ? strnlen(s.data, s.len) : 0;

	if (len >= NUMBER_TEXT)
		return NULL;
	if (len)
		memcpy(text, s.data, len);
	text[len] = 0;
	return text;
}

bool slice_double(struct slice s, double *d)
{
	char text[NUMBER_TEXT], *end;

	if (!s.len || isspace((unsigned char)*s.data) || !slice_text(s, text))
		return false;
	errno = 0;
	*d = strtod(text, &end);
	/* A number too small to be told from 0 is an error too; a denormal number is not. */
	return end == text + s.len && !isnan(*d) && !(errno == ERANGE && (isinf(*d) || *d == 0));
}

bool slice_is(struct slice s, const char *word)
{
	return strlen(word) == s.len && strncasecmp(s.data, word, s.len) == 0;
}

static bool same(char a, char b, bool any_case)
{
	return a == b || (any_case && tolower((unsigned char)a) == tolower((unsigned char)b));
}

/* Whether c is in the set of a pattern. *p points behind the '[', and is moved to the ']', or to
   the end if there is none. */
static bool in_set(const char **p, const char *end, char c, bool any_case)
{
	bool not = *p < end && **p == '^', found = false;

	*p += not ;
	for (; *p < end && **p != ']'; ++*p) {
		if (**p == '\\' && *p + 1 < end) {
			found |= same(*++*p, c, any_case);
		} else if (*p + 2 < end && (*p)[1] == '-') {
			unsigned char from = (unsigned char)**p, to = (unsigned char)(*p)[2],
				      x = (unsigned char)c;
			if (from > to) {
				unsigned char other = from;
				from = to;
				to = other;
			}
			if (any_case) {
				from = (unsigned char)tolower(from);
				to = (unsigned char)tolower(to);
				x = (unsigned char)tolower(x);
			}
			found |= x >= from && x <= to;
			*p += 2;
		} else {
			found |= same(**p, c, any_case);
		}
	}
	return found != not ;
}

/* No recursion: only the last star ever has to match more, so no pattern takes exponential time. */
bool slice_matches(struct slice pattern, struct slice s, bool any_case)
{
	const char *p = pattern.data, *end = p + pattern.len, *star = NULL;
	size_t i = 0, back = 0;

	/* In Redis only "*" and the empty pattern match an empty text; "**" does not. */
	if (!s.len)
		return !pattern.len || slice_equal(pattern, SLICE("*"));
	while (i < s.len) {
		const char *next = p;
		bool fits = false;
		if (p < end && *p == '*') {
			star = ++p;
			back = i;
			continue;
		}
		if (p < end && *p == '?') {
			fits = true;
			next++;
		} else if (p < end && *p == '[') {
			next++;
			fits = in_set(&next, end, s.data[i], any_case);
			next += next < end;
		} else if (p < end) {
			next += *p == '\\' && p + 1 < end;
			fits = same(*next++, s.data[i], any_case);
		}
		if (fits) {
			p = next;
			i++;
		} else if (star) {
			p = star;
			i = ++back;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}
