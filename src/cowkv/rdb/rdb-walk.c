/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-walk.c - walk_dict() of rdb-walk.h.
 *
 * The entries lie all over the memory. They are visited in groups: the cache lines of a group are
 * prefetched together, instead of waiting for one after the other.
 */
#include "config.h"

#include "rdb/rdb-walk.h"

struct group {
	const struct entry *entry[WALK_GROUP]; /* live addresses */
	size_t n;
};

static void add_to(struct walk *w, struct group *g, const struct entry *e)
{
	__builtin_prefetch(AT(e, w->shift));
	g->entry[g->n++] = e;
}

/* Write a group with fn. The entries that follow in their chains begin the next group. */
static void visit(struct walk *w, struct group *g, void (*fn)(struct walk *, const struct entry *))
{
	const struct entry *here[WALK_GROUP];
	size_t n = 0, all = g->n;

	g->n = 0;
	for (size_t i = 0; i < all; i++) {
		const struct entry *e = WALK_REACH(w, g->entry[i]);
		if (!e)
			return;
		here[n++] = e;
		if (e->value)
			__builtin_prefetch(AT(e->value, w->shift));
		if (e->next)
			add_to(w, g, e->next);
	}
	for (size_t i = 0; i < n && !w->torn; i++)
		fn(w, here[i]);
}

static void walk_table(struct walk *w, struct entry *const *table, size_t size,
		       void (*fn)(struct walk *, const struct entry *))
{
	struct group g = {.n = 0};

	WALK_PIN(size);
	if (size > w->size / sizeof *table || !(table = walk_reach(w, table, size * sizeof *table)))
		w->torn = true;
	for (size_t bucket = 0; !w->torn && (bucket < size || g.n);) {
		for (; bucket < size && g.n < WALK_GROUP; bucket++)
			if (table[bucket])
				add_to(w, &g, table[bucket]);
		visit(w, &g, fn);
		if (!walk_goes_on(w))
			return;
	}
}

void walk_dict(struct walk *w, const struct dict *d,
	       void (*fn)(struct walk *, const struct entry *))
{
	for (int t = 0; t < 2; t++)
		if (d->size[t])
			walk_table(w, d->table[t], d->size[t], fn);
}
