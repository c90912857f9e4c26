/* SPDX-License-Identifier: BSD-2-Clause */
/* store-tree.c - see store-tree.h. */
#include "config.h"

#include "store-tree.h"

#include "records.h"

#include <errno.h>
#include <string.h>

static void destroy_level(struct tree_level *l, size_t fan)
{
	records_give(l->next, l->capacity * sizeof *l->next);
	records_give(l->last, l->capacity * sizeof *l->last);
	if (l->capacity)
		records_give(l->changed_memory, bitmap_bytes(l->capacity / fan));
	*l = (struct tree_level){0};
}

/* Nothing may be marked as changed. */
static int grow_level(struct tree_level *l, size_t fan, uint64_t entries)
{
	struct tree_level new = {.capacity = l->capacity ? l->capacity : fan};

	while (new.capacity < entries)
		new.capacity *= 2;
	if (new.capacity == l->capacity)
		return 0;
	new.next = records_take(new.capacity * sizeof *new.next);
	new.last = records_take(new.capacity * sizeof *new.last);
	new.changed_memory = records_take(bitmap_bytes(new.capacity / fan));
	if (!new.next || !new.last || !new.changed_memory) {
		destroy_level(&new, fan);
		errno = ENOMEM;
		return -1;
	}
	bitmap_init(&new.changed, new.changed_memory, new.capacity / fan);
	if (l->capacity) {
		memcpy(new.next, l->next, l->capacity * sizeof *l->next);
		memcpy(new.last, l->last, l->capacity * sizeof *l->last);
	}
	destroy_level(l, fan);
	*l = new;
	return 0;
}

int tree_grow(struct tree *t, const struct store_file *f, uint64_t pages)
{
	unsigned levels = store_levels(f, pages);

	t->fan = store_fan(f);
	uint64_t entries = pages;
	for (unsigned k = 0; k <= levels; k++) {
		if (grow_level(&t->level[k], t->fan, entries))
			return -1;
		entries = (entries + t->fan - 1) / t->fan;
	}
	t->levels = levels;
	t->pages = pages;
	return 0;
}

void tree_destroy(struct tree *t)
{
	for (unsigned k = 0; k <= STORE_LEVELS; k++)
		destroy_level(&t->level[k], t->fan);
}

void tree_set(struct tree *t, unsigned level, uint64_t index, struct store_entry e)
{
	t->level[level].next[index] = e;
	tree_touch(t, level, index);
}

static void accept_node(struct tree_level *l, size_t first, size_t n, struct space *space)
{
	for (size_t i = first; i < first + n; i++) {
		uint64_t block = l->last[i].block;
		if (block && block != l->next[i].block)
			space_remove(space, SPACE_LAST, block);
	}
	memcpy(&l->last[first], &l->next[first], n * sizeof *l->next);
}

/* Of all levels: after a failure the tree may be lower again. */
void tree_accept(struct tree *t, struct space *space)
{
	for (unsigned k = 0; k <= STORE_LEVELS; k++) {
		struct tree_level *l = &t->level[k];
		if (!l->capacity)
			continue;
		for (size_t i = bitmap_next(&l->changed, 0); i < l->changed.bits;
		     i = bitmap_next(&l->changed, i + 1))
			accept_node(l, i * t->fan, t->fan, space);
		bitmap_clear(&l->changed);
	}
}

void tree_reject(struct tree *t)
{
	for (unsigned k = 0; k <= STORE_LEVELS; k++) {
		struct tree_level *l = &t->level[k];
		if (!l->capacity)
			continue;
		for (size_t i = bitmap_next(&l->changed, 0); i < l->changed.bits;
		     i = bitmap_next(&l->changed, i + 1))
			memcpy(&l->next[i * t->fan], &l->last[i * t->fan],
			       t->fan * sizeof *l->next);
		bitmap_clear(&l->changed);
	}
}
