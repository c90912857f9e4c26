/* SPDX-License-Identifier: BSD-2-Clause */
/* value-set.c - see value-set.h. */
#include "config.h"

#include "rdb/rdb-elements.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-walk.h"
#include "types/value-set.h"

bool set_add(struct set *s, struct slice member)
{
	bool added;

	dict_add(&s->members, member, &added);
	return added;
}

bool set_remove(void *set, struct slice member)
{
	return dict_remove(&((struct set *)set)->members, member);
}

/* ---- the kind ---- */

static void init(void *set)
{
	((struct set *)set)->members = DICT_EMPTY;
}

static void clear(void *set)
{
	dict_clear(&((struct set *)set)->members, NULL);
}

static uint64_t length(const void *set)
{
	return ((const struct set *)set)->members.used;
}

static void write_member(struct walk *w, const struct entry *e)
{
	walk_text(w, e->key, e->len);
}

static void write(struct walk *w, const void *set)
{
	const struct set *s = set;

	rdb_out_length(&w->out, s->members.used);
	walk_dict(w, &s->members, write_member);
}

static bool fill(void *set, struct elements *e, unsigned rdb_type)
{
	struct dict *members = &((struct set *)set)->members;
	struct slice s;

	(void)rdb_type;
	if (!elements_reserve(e, members, elements_announced(e)))
		return false;
	while (elements_next(e, &s))
		if (!elements_add(e, members, s))
			return false;
	return !e->in->failed;
}

static void *read(struct rdb_in *in, unsigned rdb_type)
{
	return elements_collection(in, rdb_type, VALUE_SET, fill);
}

const struct value_kind set_kind = {
    .name = "set",
    .size = sizeof(struct set),
    .init = init,
    .clear = clear,
    .length = length,
    .rdb_type = RDB_SET,
    .rdb_types = RDB_BIT(RDB_SET) | RDB_BIT(RDB_SET_INTSET) | RDB_BIT(RDB_SET_LISTPACK),
    .write = write,
    .read = read,
};
