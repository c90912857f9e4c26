/* SPDX-License-Identifier: BSD-2-Clause */
/* value-string.c - see value-string.h. */
#include "config.h"

#include "rdb/rdb-elements.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-walk.h"
#include "types/value-string.h"

#include <string.h>

struct string *string_new(struct slice s)
{
	struct string *string = heap_alloc(sizeof *string + s.len);

	*string = (struct string){
	    .value.type = VALUE_STRING, .len = (uint32_t)s.len, .room = (uint32_t)s.len};
	if (s.len)
		memcpy(string->data, s.data, s.len);
	return string;
}

struct string *string_resize(struct string *s, size_t n)
{
	if (n > s->room) {
		/* A string that was appended to once will be again. */
		size_t room = n < ((size_t)1 << 20) ? 2 * n : n + ((size_t)1 << 20);
		if (room > STRING_MAX)
			room = STRING_MAX;
		s = heap_resize(s, sizeof *s + room);
		s->room = (uint32_t)room;
	}
	if (n > s->len)
		memset(s->data + s->len, 0, n - s->len);
	s->len = (uint32_t)n;
	return s;
}

/* ---- the kind ---- */

static uint64_t length(const void *string)
{
	return ((const struct string *)string)->len;
}

static void write(struct walk *w, const void *string)
{
	const struct string *s = string;

	walk_text(w, s->data, s->len);
}

static void *read(struct rdb_in *in, unsigned rdb_type)
{
	struct slice s;

	(void)rdb_type;
	if (!rdb_in_string(in, &s) || !rdb_in_room(in, s.len + ELEMENT_MEMORY))
		return NULL;
	return string_new(s);
}

const struct value_kind string_kind = {
    .name = "string",
    .size = sizeof(struct string),
    .length = length,
    .rdb_type = RDB_STRING,
    .rdb_types = RDB_BIT(RDB_STRING),
    .write = write,
    .read = read,
};
