/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-packed.c - see rdb-packed.h. */
#include "config.h"

#include "rdb/rdb-packed.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define END 0xff
#define LISTPACK_HEAD 6
#define ZIPLIST_HEAD 10
#define INTSET_HEAD 8
#define COUNT_UNKNOWN 0xffff /* this many elements, or more */

static uint64_t little(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return le64toh(v);
}

static uint64_t big(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static int64_t with_sign(uint64_t v, unsigned bits)
{
	return (int64_t)(v << (64 - bits)) >> (64 - bits);
}

static bool bad(struct packed *p, const char *error)
{
	if (!p->error)
		p->error = error;
	return false;
}

static bool give_number(struct packed *p, int64_t n, struct slice *s)
{
	char *digits = p->digits[p->turn ^= 1];

	*s = (struct slice){digits,
			    (size_t)snprintf(digits, sizeof *p->digits, "%lld", (long long)n)};
	return true;
}

/* The form of the element at p->at: `head` bytes that tell the form, then `n` bytes of text or of a
   number. */
struct shape {
	size_t head, n;
	bool is_number, in_head; /* in_head: the head contains `number` */
	int64_t number;
};

static bool of_text(struct shape *shape, size_t head, uint64_t n)
{
	*shape = (struct shape){.head = head, .n = n};
	return true;
}

static bool of_number(struct shape *shape, size_t n)
{
	*shape = (struct shape){.head = 1, .n = n, .is_number = true};
	return true;
}

static bool of_small(struct shape *shape, size_t head, int64_t number)
{
	*shape = (struct shape){.head = head, .is_number = true, .in_head = true, .number = number};
	return true;
}

/* ---- listpacks ---- */

/* q has `left` bytes, at least one. */
static bool listpack_shape(const unsigned char *q, size_t left, struct shape *shape)
{
	if (*q < 0x80)
		return of_small(shape, 1, *q);
	if (*q < 0xc0)
		return of_text(shape, 1, *q & 0x3f);
	if (*q < 0xf0 && left < 2)
		return false;
	if (*q < 0xe0)
		return of_small(shape, 2, with_sign(big(q, 2) & 0x1fff, 13));
	if (*q < 0xf0)
		return of_text(shape, 2, big(q, 2) & 0xfff);
	switch (*q) {
	case 0xf0:
		return left >= 5 && of_text(shape, 5, little(q + 1, 4));
	case 0xf1:
		return of_number(shape, 2);
	case 0xf2:
		return of_number(shape, 3);
	case 0xf3:
		return of_number(shape, 4);
	case 0xf4:
		return of_number(shape, 8);
	}
	return false;
}

/* Each element of a listpack is followed by its length, for reading backwards. */
static size_t listpack_length(unsigned char to[5], size_t n)
{
	size_t bytes = n <= 127 ? 1 : n < 16383 ? 2 : n < 2097151 ? 3 : n < 268435455 ? 4 : 5;

	for (size_t i = bytes; i--; n >>= 7)
		to[i] = (unsigned char)((n & 127) | (i ? 128 : 0));
	return bytes;
}

static bool listpack_behind(struct packed *p, size_t n)
{
	unsigned char length[5];
	size_t bytes = listpack_length(length, n);

	if (bytes > p->end - p->at || memcmp(p->data + p->at, length, bytes) != 0)
		return bad(p, "a listpack whose element has a wrong length behind it");
	p->at += bytes;
	return true;
}

/* ---- ziplists ---- */

static bool ziplist_shape(const unsigned char *q, size_t left, struct shape *shape)
{
	switch (*q >> 6) {
	case 0:
		return of_text(shape, 1, *q & 0x3f);
	case 1:
		return left >= 2 && of_text(shape, 2, big(q, 2) & 0x3fff);
	case 2:
		return *q == 0x80 && left >= 5 && of_text(shape, 5, big(q + 1, 4));
	}
	switch (*q) {
	case 0xc0:
		return of_number(shape, 2);
	case 0xd0:
		return of_number(shape, 4);
	case 0xe0:
		return of_number(shape, 8);
	case 0xf0:
		return of_number(shape, 3);
	case 0xfe:
		return of_number(shape, 1);
	}
	return *q > 0xf0 && *q < 0xfe && of_small(shape, 1, (*q & 15) - 1);
}

/* Each element of a ziplist is preceded by the length of the previous element. */
static bool ziplist_before(struct packed *p)
{
	const unsigned char *q = p->data + p->at;
	size_t left = p->end - p->at, bytes = *q == 0xfe ? 5 : 1;

	if (bytes > left || *q == END || (bytes == 1 ? *q : little(q + 1, 4)) != p->before)
		return bad(p, "a ziplist whose element has a wrong length before it");
	p->at += bytes;
	return p->at < p->end || bad(p, "a ziplist that ends within an element");
}

/* ---- both ---- */

static bool next_element(struct packed *p, struct slice *s)
{
	bool ziplist = p->kind == PACKED_ZIPLIST;
	size_t begin = p->at;
	struct shape shape;

	if (ziplist && !ziplist_before(p))
		return false;
	const unsigned char *q = p->data + p->at;
	size_t left = p->end - p->at;
	if (!(ziplist ? ziplist_shape(q, left, &shape) : listpack_shape(q, left, &shape)))
		return bad(p, ziplist ? "a ziplist with an element of an unknown form"
				      : "a listpack with an element of an unknown form");
	if (shape.head > left || shape.n > left - shape.head)
		return bad(p, ziplist ? "a ziplist whose element is longer than it is"
				      : "a listpack whose element is longer than it is");
	p->at += shape.head + shape.n;
	if (!ziplist && !listpack_behind(p, shape.head + shape.n))
		return false;
	p->before = p->at - begin;
	p->last_found = p->last == begin;
	p->seen++;
	q += shape.head;
	if (!shape.is_number)
		*s = (struct slice){(const char *)q, shape.n};
	else if (shape.in_head)
		give_number(p, shape.number, s);
	else
		give_number(p, with_sign(little(q, shape.n), (unsigned)shape.n * 8), s);
	return true;
}

/* At the end of the block, check what its head has announced. */
static void check_end(struct packed *p)
{
	if (p->count != COUNT_UNKNOWN && p->seen != p->count)
		bad(p, "a listpack or ziplist with another number of elements than it says");
	else if (p->kind == PACKED_ZIPLIST && !(p->seen ? p->last_found : p->last == ZIPLIST_HEAD))
		bad(p, "a ziplist whose last element is not where it says");
}

static bool next_integer(struct packed *p, struct slice *s)
{
	int64_t n = with_sign(little(p->data + p->at, p->width), (unsigned)p->width * 8);

	if (p->seen && n <= p->previous)
		return bad(p, "a set of integers that is not in order");
	p->at += p->width;
	p->previous = n;
	p->seen++;
	return give_number(p, n, s);
}

bool packed_next(struct packed *p, struct slice *s)
{
	if (p->error)
		return false;
	if (p->at < p->end)
		return p->kind == PACKED_INTSET ? next_integer(p, s) : next_element(p, s);
	if (p->kind != PACKED_INTSET)
		check_end(p);
	return false;
}

void packed_open(struct packed *p, enum packed_kind kind, struct slice block)
{
	static const size_t heads[] = {LISTPACK_HEAD, ZIPLIST_HEAD, INTSET_HEAD};
	const unsigned char *data = (const unsigned char *)block.data;

	*p = (struct packed){.kind = kind, .data = data, .at = heads[kind], .end = block.len};
	if (block.len < heads[kind] + (kind != PACKED_INTSET)) {
		bad(p, "a packed value that is too short");
		return;
	}
	if (kind == PACKED_INTSET) {
		p->width = little(data, 4);
		p->count = little(data + 4, 4);
		if ((p->width != 2 && p->width != 4 && p->width != 8) ||
		    p->count * p->width != block.len - INTSET_HEAD)
			bad(p, "a set of integers whose length is not as it says");
		return;
	}
	if (little(data, 4) != block.len || data[--p->end] != END)
		bad(p, "a listpack or ziplist whose length is not as it says");
	p->count = little(data + heads[kind] - 2, 2);
	if (kind == PACKED_ZIPLIST)
		p->last = little(data + 4, 4);
}
