/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btree-check.c - plans writes for a tree, and checks that it is sound and agrees with a sorted
 * array.
 *
 * The array has gaps: array[key] for all possible keys, and 0 where there is no item.
 */
#include "config.h"

#include "common.h"
#include "btree.h"

#define GETS 1000

/* Writes --------------------------------------------------------------------------------------- */

void btree_fill(struct btree *tree, uint64_t n, uint64_t *array)
{
	uint64_t *order = allocate(n, sizeof *order);
	struct progress progress = {.on = isatty(STDOUT_FILENO)};

	memset(array, 0, 2 * n * sizeof *array);
	for (uint64_t i = 0; i < n; i++) { /* shuffled as it grows */
		uint64_t j = mix(~i) % (i + 1);
		order[i] = order[j];
		order[j] = 2 * i;
	}
	for (uint64_t i = 0; i < n; i++) {
		array[order[i]] = mix(i) | 1;
		btree_set(tree, order[i], array[order[i]]);
		if (i % 4096 == 0)
			progress_show(&progress, "fill", i, n);
	}
	progress_clear(&progress);
	free(order);
}

void btree_plan(struct btree_write *list, uint64_t n, uint64_t *array, uint64_t keys,
		uint64_t cluster, uint64_t seed)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t run = i / cluster + (seed << 32), r = mix(mix(i + (seed << 32)));
		uint64_t key = (mix(~run) % keys + r % cluster) % keys;
		enum { ADD, REPLACE, DELETE } kind = run % 3;
		for (uint64_t tries = keys; tries && (kind == ADD) == (array[key] != 0); tries--)
			key = (key + 1) % keys;
		list[i] = (struct btree_write){key, kind == DELETE ? 0 : mix(r) | 1, array[key]};
		array[key] = list[i].value;
	}
}

void btree_apply(struct btree *tree, const struct btree_write *list, uint64_t n)
{
	for (const struct btree_write *w = list; w < list + n; w++) {
		uint64_t old =
		    w->value ? btree_set(tree, w->key, w->value) : btree_delete(tree, w->key);
		if (old != w->old)
			die("key %" PRIu64 " had the value %" PRIu64 ", not %" PRIu64, w->key, old,
			    w->old);
	}
}

/* The tree by itself --------------------------------------------------------------------------- */

struct check {
	const struct btree *tree;
	const char *wrong;
	uint64_t items, past; /* the last key seen, plus one */
	int depth;            /* of the leaves; 0 until one is seen */
};

static void check_node(struct check *c, const struct btree_node *n, int depth, bool own)
{
	bool root = depth == 1;

	if (n->n > BTREE_MAX || (!root && n->n < BTREE_MIN) || (root && !n->leaf && n->n == 0))
		c->wrong = "a node has too many items, or too few";
	if (n->cow == c->tree->cow && !own)
		c->wrong = "a shared node points to one that the tree would write to";
	own &= n->cow == c->tree->cow;
	if (own && atomic_load(&n->refs) != 1)
		c->wrong = "a node that the tree would write to is shared";
	if (n->leaf && c->depth && c->depth != depth)
		c->wrong = "leaves are not of the same depth";
	if (n->leaf)
		c->depth = depth;
	for (size_t i = 0; !c->wrong && i <= n->n; i++) {
		if (!n->leaf)
			check_node(c, btree_follow(c->tree, n->children[i]), depth + 1, own);
		if (i == n->n)
			break;
		if (n->items[i].key < c->past || !n->items[i].value)
			c->wrong = "items are out of order, or empty";
		c->past = n->items[i].key + 1;
		c->items++;
	}
}

static const char *check(const struct btree *t)
{
	struct check c = {.tree = t};

	check_node(&c, btree_follow(t, t->root), 1, true);
	if (!c.wrong && c.items != t->length)
		c.wrong = "the tree's length is not the number of its items";
	return c.wrong;
}

/* Against an array ----------------------------------------------------------------------------- */

struct scan {
	const uint64_t *array;
	uint64_t next, to;
};

static uint64_t present(const struct scan *s)
{
	uint64_t key = s->next;

	while (key < s->to && !s->array[key])
		key++;
	return key;
}

static bool compare(void *ctx, struct btree_item item)
{
	struct scan *s = ctx;
	uint64_t key = present(s);

	if (item.key != key || item.value != s->array[key])
		die("a scan meets key %" PRIu64 " with the value %" PRIu64 "; key %" PRIu64
		    " is due, with the array's",
		    item.key, item.value, key);
	s->next = key + 1;
	return true;
}

static void scan(const struct btree *tree, const uint64_t *array, uint64_t from, uint64_t to)
{
	struct scan s = {array, from, to};

	btree_ascend(tree, from, to, compare, &s);
	if (present(&s) < to)
		die("a scan misses key %" PRIu64, present(&s));
}

/* Compare all of a tree, some ranges of it, and some keys, present or not. */
void btree_verify(const struct btree *tree, const uint64_t *array, uint64_t keys)
{
	const char *wrong = check(tree);

	if (wrong)
		die("%s", wrong);
	scan(tree, array, 0, keys);
	for (uint64_t i = 0; i < GETS; i++) {
		uint64_t key = mix(i + 1) % keys, to = key + i < keys ? key + i : keys;
		if (btree_get(tree, key) != array[key])
			die("key %" PRIu64 " has another value than it should", key);
		scan(tree, array, key, to);
	}
}
