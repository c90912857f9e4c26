/* SPDX-License-Identifier: BSD-2-Clause */
/* value.c - see value.h. */
#include "config.h"

#include "data/value.h"

#include <string.h>

const struct value_kind *const *value_kinds;

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
	const struct value_kind *kind = value_kinds[type];
	struct value *v = heap_zalloc(kind->size);

	v->type = (uint8_t)type;
	if (kind->init)
		kind->init(v);
	return v;
}

void value_free(void *value)
{
	const struct value_kind *kind = value_kinds[((struct value *)value)->type];

	if (kind->clear)
		kind->clear(value);
	heap_free(value);
}

const char *value_type_name(const struct value *v)
{
	return value_kinds[v->type]->name;
}

uint64_t value_length(const struct value *v)
{
	return value_kinds[v->type]->length(v);
}
