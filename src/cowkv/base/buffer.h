/* SPDX-License-Identifier: BSD-2-Clause */
/* buffer.h - bytes that have come in or are to go out. Buffers lie outside the arena, since system
   calls write into them. */
#ifndef COWKV_BUFFER_H
#define COWKV_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* The contents are data[at .. len - 1]. */
struct buffer {
	char *data;
	size_t at, len, room;
};

static inline size_t buffer_size(const struct buffer *b)
{
	return b->len - b->at;
}

/* Make room for n more bytes at data + len. Returns data + len. Ends the process if there is no
   memory. */
char *buffer_reserve(struct buffer *b, size_t n);

void buffer_add(struct buffer *b, const void *data, size_t n);
__attribute__((format(printf, 2, 3))) void buffer_print(struct buffer *b, const char *format, ...);

/* Write PREFIX n CR LF to `text`: the start of a number, an array or a bulk string in the protocol.
   `text` has room for BUFFER_HEAD bytes. Returns the length. */
#define BUFFER_HEAD 24
size_t buffer_head(char *text, char prefix, int64_t n);

/* Take n bytes off the front. */
void buffer_take(struct buffer *b, size_t n);

/* If a buffer has room for more than `keep` bytes: free it if it is empty, or shrink it to `keep`
   bytes if these are at least twice its contents. */
void buffer_trim(struct buffer *b, size_t keep);
void buffer_free(struct buffer *b);

#endif
