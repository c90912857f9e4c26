/* SPDX-License-Identifier: BSD-2-Clause */
/* resp.c - see resp.h. The limits and error messages are those of Redis 7.0 (networking.c). */
#include "config.h"

#include "net/resp.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP 64 /* arguments for which room is kept */

void resp_next(struct resp *r)
{
	r->at = 0;
	r->left = 0;
	r->bulk = -1;
	r->argc = 0;
	if (r->room > KEEP) {
		free(r->args);
		r->args = NULL;
		r->room = 0;
	}
}

void resp_free(struct resp *r)
{
	free(r->args);
	*r = (struct resp){0};
}

static bool add(struct resp *r, size_t at, size_t len)
{
	if (r->argc == r->room) {
		/* Grow as arguments come, not as announced: an announcement costs the client
		   nothing. */
		size_t room = r->room ? 2 * r->room : 8;
		void *args = realloc(r->args, room * sizeof *r->args);
		if (!args)
			return false;
		r->args = args;
		r->room = room;
	}
	r->args[r->argc++] = (struct resp_arg){at, len};
	return true;
}

/* Parse data[0 .. n - 1] as an integer, in Redis' strict form: no plus, no leading zeros. */
static bool parse_integer(const char *data, size_t n, int64_t *value)
{
	bool minus = n && *data == '-';
	int64_t v = 0;

	if (n == minus || n > 19 || (data[minus] == '0' && n > 1))
		return false;
	for (size_t i = minus; i < n; i++) {
		if (data[i] < '0' || data[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, data[i] - '0', &v))
			return false;
	}
	*value = minus ? -v : v;
	return true;
}

/* A line of the protocol, from `at` to its CR LF. NULL if it is not complete yet. */
static const char *line(const struct resp *r, const char *data, size_t n, size_t *len)
{
	const char *start = data + r->at, *cr = memchr(start, '\r', n - r->at);

	if (!cr || cr + 1 == data + n)
		return NULL;
	*len = (size_t)(cr - start);
	return start;
}

static enum resp_result too_long(const struct resp *r, size_t n, const char *what,
				 const char **error)
{
	if (n - r->at <= RESP_INLINE_MAX)
		return RESP_MORE;
	*error = what;
	return RESP_ERROR;
}

/* ---- inline commands ---- */

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Take one argument from a line that ends at `end`: a word, "quoted" with escapes, or 'quoted'. It
   is unquoted in place. Returns where the next one begins, or NULL if quotes are not balanced. */
static char *split(struct resp *r, char *data, char *p, char *end)
{
	char *start = p, *out = p;
	char quote = 0;

	for (; p < end && (quote || !memchr(" \t\r\n", *p, 4)); p++) {
		if (!quote && (*p == '"' || *p == '\'')) {
			quote = *p;
		} else if (quote && *p == quote) {
			if (p + 1 < end && !isspace((unsigned char)p[1]))
				return NULL;
			quote = 0;
			p++;
			break;
		} else if (quote == '"' && *p == '\\' && p + 3 < end && p[1] == 'x' &&
			   isxdigit((unsigned char)p[2]) && isxdigit((unsigned char)p[3])) {
			*out++ = (char)(hex(p[2]) * 16 + hex(p[3]));
			p += 3;
		} else if (quote == '"' && *p == '\\' && p + 1 < end) {
			static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
			const char *at = strchr(from, *++p);
			*out++ = at && *at ? to[at - from] : *p;
		} else if (quote == '\'' && *p == '\\' && p + 1 < end && p[1] == '\'') {
			*out++ = *++p;
		} else {
			*out++ = *p;
		}
	}
	return !quote && add(r, (size_t)(start - data), (size_t)(out - start)) ? p : NULL;
}

static enum resp_result parse_inline(struct resp *r, char *data, size_t n, const char **error)
{
	char *newline = memchr(data, '\n', n);

	if (!newline)
		return too_long(r, n, "too big inline request", error);
	char *end = newline > data && newline[-1] == '\r' ? newline - 1 : newline;
	for (char *p = data; p < end;) {
		if (isspace((unsigned char)*p)) {
			p++;
			continue;
		}
		p = split(r, data, p, end);
		if (!p) {
			*error = "unbalanced quotes in request";
			return RESP_ERROR;
		}
	}
	r->at = (size_t)(newline + 1 - data);
	return RESP_REQUEST;
}

/* ---- arrays ---- */

static enum resp_result parse_bulk_length(struct resp *r, const char *data, size_t n, bool stranger,
					  const char **error)
{
	static _Thread_local char expected[48];
	size_t len;
	const char *start = line(r, data, n, &len);

	if (!start)
		return too_long(r, n, "too big bulk count string", error);
	if (*start != '$') {
		snprintf(expected, sizeof expected, "expected '$', got '%c'",
			 *start == '\r' || !*start ? ' ' : *start);
		*error = expected;
		return RESP_ERROR;
	}
	if (!parse_integer(start + 1, len - 1, &r->bulk) || r->bulk < 0 ||
	    r->bulk > RESP_BULK_MAX) {
		*error = "invalid bulk length";
		return RESP_ERROR;
	}
	if (stranger && r->bulk > RESP_BULK_STRANGER) {
		*error = "unauthenticated bulk length";
		return RESP_ERROR;
	}
	r->at += len + 2;
	return RESP_MORE;
}

static enum resp_result parse_array_length(struct resp *r, const char *data, size_t n,
					   bool stranger, const char **error)
{
	size_t len;
	const char *start = line(r, data, n, &len);

	if (!start)
		return too_long(r, n, "too big mbulk count string", error);
	if (!parse_integer(start + 1, len - 1, &r->left) || r->left > RESP_ARGS_MAX) {
		*error = "invalid multibulk length";
		return RESP_ERROR;
	}
	if (stranger && r->left > RESP_ARGS_STRANGER) {
		*error = "unauthenticated multibulk length";
		return RESP_ERROR;
	}
	r->at += len + 2;
	r->bulk = -1;
	return r->left > 0 ? RESP_MORE : RESP_REQUEST;
}

enum resp_result resp_parse(struct resp *r, char *data, size_t n, bool stranger, const char **error)
{
	if (!n)
		return RESP_MORE;
	if (!r->left && *data != '*')
		return parse_inline(r, data, n, error);
	if (r->left <= 0) {
		enum resp_result result = parse_array_length(r, data, n, stranger, error);
		if (result != RESP_MORE || r->left <= 0)
			return result;
	}
	while (r->left) {
		if (r->bulk < 0) {
			if (r->at == n)
				return RESP_MORE;
			enum resp_result result = parse_bulk_length(r, data, n, stranger, error);
			if (result != RESP_MORE || r->bulk < 0)
				return result;
		}
		if (n - r->at < (size_t)r->bulk + 2)
			return RESP_MORE;
		if (!add(r, r->at, (size_t)r->bulk)) {
			*error = "out of memory";
			return RESP_ERROR;
		}
		r->at += (size_t)r->bulk + 2;
		r->bulk = -1;
		r->left--;
	}
	return RESP_REQUEST;
}
