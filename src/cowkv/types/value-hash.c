/* SPDX-License-Identifier: BSD-2-Clause */
/* value-hash.c - see value-hash.h. */
#include "config.h"

#include "rdb/rdb-elements.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-walk.h"
#include "types/value-hash.h"

#include <string.h>

bool hash_set(struct hash *h, struct slice field, struct slice text)
{
	bool added;
	struct entry *e = dict_add(&h->fields, field, &added);
	struct text *old = e->value;

	/* A text of equal size is overwritten in place: no other page is dirtied. */
	if (old && old->len == text.len) {
		if (text.len)
			memmove(old->data, text.data, text.len);
		return false;
	}
	e->value = text_new(text);
	heap_free(old);
	return added;
}

bool hash_remove(void *hash, struct slice field)
{
	return dict_remove(&((struct hash *)hash)->fields, field);
}

/* ---- the kind ---- */

static void init(void *hash)
{
	((struct hash *)hash)->fields = DICT_EMPTY;
}

static void clear(void *hash)
{
	dict_clear(&((struct hash *)hash)->fields, heap_free);
}

static uint64_t length(const void *hash)
{
	return ((const struct hash *)hash)->fields.used;
}

static void write_field(struct walk *w, const struct entry *e)
{
	walk_text(w, e->key, e->len);
	walk_struct_text(w, e->value);
}

static void write(struct walk *w, const void *hash)
{
	const struct hash *h = hash;

	rdb_out_length(&w->out, h->fields.used);
	walk_dict(w, &h->fields, write_field);
}

static bool fill(void *hash, struct elements *e, unsigned rdb_type)
{
	struct hash *h = hash;
	struct slice s;

	(void)rdb_type;
	if (!elements_reserve(e, &h->fields, elements_announced(e) / 2))
		return false;
	while (elements_next(e, &s)) {
		struct entry *field = elements_add(e, &h->fields, s);
		if (!field || !elements_next_of_pair(e, &s) ||
		    !rdb_in_room(e->in, s.len + ELEMENT_MEMORY))
			return false;
		field->value = text_new(s);
	}
	return !e->in->failed;
}

static void *read(struct rdb_in *in, unsigned rdb_type)
{
	return elements_collection(in, rdb_type, VALUE_HASH, fill);
}

const struct value_kind hash_kind = {
    .name = "hash",
    .size = sizeof(struct hash),
    .init = init,
    .clear = clear,
    .length = length,
    .rdb_type = RDB_HASH,
    .rdb_types = RDB_BIT(RDB_HASH) | RDB_BIT(RDB_HASH_ZIPLIST) | RDB_BIT(RDB_HASH_LISTPACK),
    .write = write,
    .read = read,
};
