/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-write-value.c - values, for rdb_write() (rdb-walk.h). */
#include "config.h"

#include "rdb-format.h"
#include "rdb-walk.h"

#include <endian.h>

static void write_text(struct walk *w, const struct text *live)
{
	const struct text *t = WALK_REACH(w, live);

	if (t)
		walk_text(w, t->data, t->len);
}

static void write_name(struct walk *w, const struct entry *e)
{
	walk_text(w, e->key, e->len);
}

static void write_field(struct walk *w, const struct entry *e)
{
	walk_text(w, e->key, e->len);
	write_text(w, e->value);
}

static void write_list(struct walk *w, const struct list *l)
{
	rdb_out_length(&w->out, l->count);
	for (const struct list_block *b = l->head; b && walk_goes_on(w);) {
		if (!(b = WALK_REACH(w, b)))
			return;
		uint32_t first = b->first, n = b->n;
		WALK_PIN(first);
		WALK_PIN(n);
		if (first > LIST_BLOCK || n > LIST_BLOCK - first) {
			w->torn = true;
			return;
		}
		for (uint32_t i = 0; i < n; i++)
			__builtin_prefetch(AT(b->item[first + i], w->shift));
		for (uint32_t i = 0; i < n && !w->torn; i++)
			write_text(w, b->item[first + i]);
		b = b->after;
	}
}

/* From the highest down: who reads it puts each in front of the others. */
static void write_zset(struct walk *w, const struct zset *z)
{
	uint64_t count = 0;

	rdb_out_length(&w->out, z->by_name.used);
	for (const struct zset_node *n = z->tail; n;) {
		if (count++ % WALK_GROUP == 0 && !walk_goes_on(w))
			return;
		n = WALK_REACH(w, n);
		const struct entry *e = n ? WALK_REACH(w, n->member) : NULL;
		if (!e)
			return;
		uint64_t bits;
		memcpy(&bits, &n->score, sizeof bits);
		bits = htole64(bits);
		walk_text(w, e->key, e->len);
		rdb_out_bytes(&w->out, &bits, sizeof bits);
		n = n->before;
		if (n)
			__builtin_prefetch(AT(n, w->shift));
	}
}

const void *walk_whole(struct walk *w, const struct value *live, unsigned *type)
{
	static const struct {
		unsigned type;
		size_t size;
	} kinds[] = {
	    [VALUE_STRING] = {RDB_STRING, sizeof(struct string)},
	    [VALUE_LIST] = {RDB_LIST, sizeof(struct list)},
	    [VALUE_HASH] = {RDB_HASH, sizeof(struct hash)},
	    [VALUE_SET] = {RDB_SET, sizeof(struct set)},
	    [VALUE_ZSET] = {RDB_ZSET_2, sizeof(struct zset)},
	};

	const struct value *v = WALK_REACH(w, live);
	if (!v)
		return NULL;
	unsigned value_type = v->type;
	WALK_PIN(value_type);
	if (value_type >= sizeof kinds / sizeof *kinds) {
		w->torn = true;
		return NULL;
	}
	*type = kinds[value_type].type;
	return walk_reach(w, live, kinds[value_type].size);
}

void walk_value(struct walk *w, const void *v, unsigned type)
{
	const struct string *string = v;
	const struct hash *h = v;
	const struct set *s = v;

	switch (type) {
	case RDB_STRING:
		walk_text(w, string->data, string->len);
		break;
	case RDB_LIST:
		write_list(w, v);
		break;
	case RDB_HASH:
		rdb_out_length(&w->out, h->fields.used);
		walk_dict(w, &h->fields, write_field);
		break;
	case RDB_SET:
		rdb_out_length(&w->out, s->members.used);
		walk_dict(w, &s->members, write_name);
		break;
	default:
		write_zset(w, v);
		break;
	}
}
