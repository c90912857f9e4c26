/* SPDX-License-Identifier: BSD-2-Clause */
/* value.c - see value.h; sorted sets are in value-zset.c, lists in value-list.c. */
#include "config.h"

#include "value-parts.h"

#include <string.h>

struct text *text_new(struct slice s)
{
	struct text *t = heap_alloc(sizeof *t + s.len);

	t->len = (uint32_t)s.len;
	if (s.len)
		memcpy(t->data, s.data, s.len);
	return t;
}

struct value *value_new(enum value_type type)
{
	static const size_t sizes[] = {
	    [VALUE_LIST] = sizeof(struct list),
	    [VALUE_HASH] = sizeof(struct hash),
	    [VALUE_SET] = sizeof(struct set),
	    [VALUE_ZSET] = sizeof(struct zset),
	};
	struct value *v = heap_zalloc(sizes[type]);

	v->type = (uint8_t)type;
	if (type == VALUE_HASH)
		((struct hash *)v)->fields = DICT_EMPTY;
	if (type == VALUE_SET)
		((struct set *)v)->members = DICT_EMPTY;
	if (type == VALUE_ZSET)
		zset_init((struct zset *)v);
	return v;
}

void value_free(void *value)
{
	struct value *v = value;

	switch ((enum value_type)v->type) {
	case VALUE_STRING:
		break;
	case VALUE_LIST:
		list_clear(value);
		break;
	case VALUE_HASH:
		dict_clear(&((struct hash *)value)->fields, heap_free);
		break;
	case VALUE_SET:
		dict_clear(&((struct set *)value)->members, NULL);
		break;
	case VALUE_ZSET:
		zset_clear(value);
		break;
	}
	heap_free(v);
}

const char *value_type_name(const struct value *v)
{
	static const char *const names[] = {"string", "list", "hash", "set", "zset"};

	return names[v->type];
}

uint64_t value_length(const struct value *v)
{
	switch ((enum value_type)v->type) {
	case VALUE_STRING:
		return ((const struct string *)v)->len;
	case VALUE_LIST:
		return ((const struct list *)v)->count;
	case VALUE_HASH:
		return ((const struct hash *)v)->fields.used;
	case VALUE_SET:
		return ((const struct set *)v)->members.used;
	case VALUE_ZSET:
		return ((const struct zset *)v)->by_name.used;
	}
	return 0;
}

/* ---- strings ---- */

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
		/* Who appends once does so again. */
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

/* ---- hashes and sets ---- */

bool hash_set(struct hash *h, struct slice field, struct slice text)
{
	bool added;
	struct entry *e = dict_add(&h->fields, field, &added);
	struct text *old = e->value;

	/* A text of the same size is written over: no other page is dirtied. */
	if (old && old->len == text.len) {
		if (text.len)
			memmove(old->data, text.data, text.len);
		return false;
	}
	e->value = text_new(text);
	heap_free(old);
	return added;
}

static bool dict_remove(struct dict *d, struct slice key)
{
	struct entry *e = dict_take(d, key);

	if (!e)
		return false;
	heap_free(e->value);
	heap_free(e);
	dict_shrink(d);
	return true;
}

bool hash_remove(struct hash *h, struct slice field)
{
	return dict_remove(&h->fields, field);
}

bool set_add(struct set *s, struct slice member)
{
	bool added;

	dict_add(&s->members, member, &added);
	return added;
}

bool set_remove(struct set *s, struct slice member)
{
	return dict_remove(&s->members, member);
}
