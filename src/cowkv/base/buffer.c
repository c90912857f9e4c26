/* SPDX-License-Identifier: BSD-2-Clause */
/* buffer.c - see buffer.h. */
#include "config.h"

#include "base/buffer.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 1024

char *buffer_reserve(struct buffer *b, size_t n)
{
	if (b->room - b->len >= n)
		return b->data + b->len;
	if (b->at) { /* reuse the space of bytes that were taken */
		memmove(b->data, b->data + b->at, buffer_size(b));
		b->len -= b->at;
		b->at = 0;
	}
	if (b->room - b->len < n) {
		size_t room = b->len + n;
		room += room < ((size_t)1 << 20) ? room : room / 4;
		b->room = room < SMALLEST ? SMALLEST : room;
		b->data = realloc(b->data, b->room);
		if (!b->data) {
			log_line(LOG_WARNING, "Out of memory for a buffer of %zu bytes", b->room);
			abort();
		}
	}
	return b->data + b->len;
}

void buffer_add(struct buffer *b, const void *data, size_t n)
{
	if (!n)
		return;
	memcpy(buffer_reserve(b, n), data, n);
	b->len += n;
}

void buffer_print(struct buffer *b, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	size_t n = (size_t)vsnprintf(NULL, 0, format, args);
	vsnprintf(buffer_reserve(b, n + 1), n + 1, format, again);
	b->len += n;
	va_end(again);
	va_end(args);
}

size_t buffer_head(char *text, char prefix, int64_t n)
{
	char digits[20];
	size_t len = 0, at = 0;
	uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;

	text[at++] = prefix;
	if (n < 0)
		text[at++] = '-';
	do {
		digits[len++] = (char)('0' + rest % 10);
	} while ((rest /= 10) != 0);
	while (len)
		text[at++] = digits[--len];
	text[at++] = '\r';
	text[at++] = '\n';
	return at;
}

void buffer_take(struct buffer *b, size_t n)
{
	b->at += n;
	if (b->at == b->len)
		b->at = b->len = 0;
}

void buffer_trim(struct buffer *b, size_t keep)
{
	if (b->room <= keep || buffer_size(b) > keep / 2)
		return;
	if (!buffer_size(b)) {
		buffer_free(b);
		return;
	}
	memmove(b->data, b->data + b->at, buffer_size(b));
	b->len -= b->at;
	b->at = 0;
	char *smaller = realloc(b->data, keep);
	if (smaller) {
		b->data = smaller;
		b->room = keep;
	}
}

void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}
