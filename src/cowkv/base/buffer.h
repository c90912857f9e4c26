/* SPDX-License-Identifier: BSD-2-Clause */
/* buffer.h - bytes on their way in or out. Outside the arena: system calls write into them. */
#ifndef COWKV_BUFFER_H
#define COWKV_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* data[at .. len - 1] is what is in it. */
struct buffer {
	char *data;
	size_t at, len, room;
};

static inline size_t buffer_size(const struct buffer *b)
{
	return b->len - b->at;
}

/* Make room for n more bytes at data + len, and return that place. Ends the process if there is no
   memory. */
char *buffer_reserve(struct buffer *b, size_t n);

void buffer_add(struct buffer *b, const void *data, size_t n);
__attribute__((format(printf, 2, 3))) void buffer_print(struct buffer *b, const char *format, ...);

/* PREFIX n CR LF, with which numbers, arrays and bulk strings begin in the protocol. `text` has
   room for BUFFER_HEAD bytes. Returns the length. */
#define BUFFER_HEAD 24
size_t buffer_head(char *text, char prefix, int64_t n);

/* Take n bytes off the front. */
void buffer_take(struct buffer *b, size_t n);

/* Give memory back: of a buffer that is empty, what is above `keep` bytes. */
void buffer_trim(struct buffer *b, size_t keep);
void buffer_free(struct buffer *b);

#endif
