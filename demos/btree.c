/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btree.c - see btree.h: the algorithm, and the names, of google/btree.
 *
 * A write goes down from the root once. It splits a full node before it enters it, and so finds
 * room in the parent of the next node that it splits; likewise a delete makes sure that the node
 * that it enters can spare an item. Each node passes through btree_mutable_for() before it is
 * written to, and no other code writes to it: copy-on-write asks no more of a tree.
 */
#include "config.h"

#include "common.h"
#include "btree.h"

/* Items and children of a node of our own ------------------------------------------------------ */

/* The first item with at least this key. */
static size_t find(const struct btree_node *n, uint64_t key, bool *found)
{
	size_t low = 0, high = n->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (n->items[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < n->n && n->items[low].key == key;
	return low;
}

/* Insert item i, and unless n is a leaf, child c: the one to its left (c == i) or right (c == i +
   1). */
static void put_in(struct btree_node *n, size_t i, struct btree_item item, size_t c,
		   struct btree_node *child)
{
	memmove(&n->items[i + 1], &n->items[i], (n->n - i) * sizeof *n->items);
	n->items[i] = item;
	if (!n->leaf) {
		memmove(&n->children[c + 1], &n->children[c], (n->n + 1 - c) * sizeof child);
		n->children[c] = child;
	}
	n->n++;
}

static void take_out(struct btree_node *n, size_t i, size_t c)
{
	n->n--;
	memmove(&n->items[i], &n->items[i + 1], (n->n - i) * sizeof *n->items);
	if (!n->leaf)
		memmove(&n->children[c], &n->children[c + 1], (n->n + 1 - c) * sizeof *n->children);
}

/* Append a part of another node: its items from `first` on, and the children between and around. */
static void append(struct btree_node *n, const struct btree_node *from, size_t first)
{
	size_t count = from->n - first;

	memcpy(&n->items[n->n], &from->items[first], count * sizeof *n->items);
	if (!n->leaf)
		memcpy(&n->children[n->n], &from->children[first],
		       (count + 1) * sizeof *n->children);
	n->n += (uint16_t)count;
}

/* Writing -------------------------------------------------------------------------------------- */

/* Child i is full: its middle item moves up into n, the items above it into a new child to its
   right. */
static void split_child(struct btree *t, struct btree_node *n, size_t i)
{
	struct btree_node *left = btree_mutable_for(t, &n->children[i]);
	struct btree_node *right = btree_new_node(t, left->leaf);

	append(right, left, BTREE_MAX / 2 + 1);
	left->n = BTREE_MAX / 2;
	put_in(n, i, left->items[BTREE_MAX / 2], i + 1, right);
}

uint64_t btree_set(struct btree *t, uint64_t key, uint64_t value)
{
	struct btree_node *n = btree_mutable_for(t, &t->root);
	bool found;

	if (n->n == BTREE_MAX) {
		struct btree_node *root = btree_new_node(t, false);
		root->children[0] = n;
		split_child(t, root, 0);
		t->root = n = root;
	}
	for (;;) {
		size_t i = find(n, key, &found);
		if (found) {
			uint64_t old = n->items[i].value;
			n->items[i].value = value;
			return old;
		}
		if (n->leaf) {
			put_in(n, i, (struct btree_item){key, value}, 0, NULL);
			t->length++;
			return 0;
		}
		if (n->children[i]->n == BTREE_MAX)
			split_child(t, n, i); /* and look again */
		else
			n = btree_mutable_for(t, &n->children[i]);
	}
}

/* Child i has the least number of items: it gets one of a sibling, through n, or is merged with
   it. */
static void grow_child(struct btree *t, struct btree_node *n, size_t i)
{
	if (i > 0 && n->children[i - 1]->n > BTREE_MIN) { /* steal from the left */
		struct btree_node *child = btree_mutable_for(t, &n->children[i]);
		struct btree_node *left = btree_mutable_for(t, &n->children[i - 1]);
		size_t last = left->n - 1u;
		put_in(child, 0, n->items[i - 1], 0, left->leaf ? NULL : left->children[last + 1]);
		n->items[i - 1] = left->items[last];
		take_out(left, last, last + 1);
	} else if (i < n->n && n->children[i + 1]->n > BTREE_MIN) { /* from the right */
		struct btree_node *child = btree_mutable_for(t, &n->children[i]);
		struct btree_node *right = btree_mutable_for(t, &n->children[i + 1]);
		put_in(child, child->n, n->items[i], child->n + 1u,
		       right->leaf ? NULL : right->children[0]);
		n->items[i] = right->items[0];
		take_out(right, 0, 0);
	} else { /* merge with the right sibling, or the last child with its left one */
		i -= i == n->n;
		struct btree_node *child = btree_mutable_for(t, &n->children[i]);
		struct btree_node *right = n->children[i + 1];
		child->items[child->n++] = n->items[i];
		append(child, right, 0);
		take_out(n, i, i + 1);
		btree_leave(t, right);
	}
}

/* Remove from the subtree of n, which is ours, the item of the key, or the last one. */
static bool remove_from(struct btree *t, struct btree_node *n, const uint64_t *key,
			struct btree_item *out)
{
	for (;;) {
		bool found = false;
		size_t i = key ? find(n, *key, &found) : n->n;
		if (n->leaf) {
			if (key && !found)
				return false;
			i -= !key;
			*out = n->items[i];
			take_out(n, i, 0);
			return true;
		}
		if (n->children[i]->n <= BTREE_MIN) {
			grow_child(t, n, i); /* and look again */
			continue;
		}
		struct btree_node *child = btree_mutable_for(t, &n->children[i]);
		if (found) { /* the last item of the child's subtree takes its place */
			*out = n->items[i];
			return remove_from(t, child, NULL, &n->items[i]);
		}
		n = child;
	}
}

uint64_t btree_delete(struct btree *t, uint64_t key)
{
	struct btree_node *n = btree_mutable_for(t, &t->root);
	struct btree_item item = {0};

	if (remove_from(t, n, &key, &item))
		t->length--;
	if (n->n == 0 && !n->leaf) {
		t->root = n->children[0];
		btree_leave(t, n);
	}
	return item.value;
}

/* Reading: of a tree, or of its past through a view of the arena ------------------------------- */

const struct btree_node *btree_follow(const struct btree *t, const struct btree_node *n)
{
	if (t->view && !(n = cowarena_view_at(t->view, n)))
		die("a pointer of the clone leads out of it: %s", cowarena_errmsg());
	return n;
}

uint64_t btree_get(const struct btree *t, uint64_t key)
{
	const struct btree_node *n = btree_follow(t, t->root);

	for (;;) {
		bool found;
		size_t i = find(n, key, &found);
		if (found || n->leaf)
			return found ? n->items[i].value : 0;
		n = btree_follow(t, n->children[i]);
	}
}

struct range {
	const struct btree *tree;
	uint64_t from, to;
	btree_item_fn *fn;
	void *ctx;
};

static bool ascend(const struct range *r, const struct btree_node *n)
{
	bool found;

	for (size_t i = find(n, r->from, &found);; i++) {
		if (!n->leaf && !ascend(r, btree_follow(r->tree, n->children[i])))
			return false;
		if (i == n->n)
			return true;
		if (n->items[i].key >= r->to || !r->fn(r->ctx, n->items[i]))
			return false;
	}
}

void btree_ascend(const struct btree *t, uint64_t from, uint64_t to, btree_item_fn *fn, void *ctx)
{
	struct range r = {t, from, to, fn, ctx};

	ascend(&r, btree_follow(t, t->root));
}
