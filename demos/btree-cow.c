/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btree-cow.c - how google/btree clones a tree in O(1): the copy-on-write contexts of btree.h.
 *
 * A context is what google/btree calls a copyOnWriteContext: each tree has one, and each node
 * carries the context of the tree that made it. A tree may write to a node only if the two are
 * equal; else it makes a copy in its own context and puts the copy into the parent, which is its
 * own by then. So a write copies those nodes on the path from the root to the item that are not the
 * tree's own yet. A clone shares the root and gives BOTH trees new contexts: from then on all their
 * common nodes are foreign to both, nobody writes to them, and two threads may read them.
 *
 * Who frees a node? In Go the garbage collector does, when no tree sees it any more. Here each node
 * counts the pointers to it. Contexts alone would not do: one could count the trees that descend
 * from a context, and free its nodes together with the last; but a tree that is cloned again and
 * again descends from all contexts that it ever had, and would keep each node that it ever
 * replaced. So the contexts say who may write, and the counts say who frees. Their price: to copy
 * an inner node is to increment the counts of all of its children. The count is the only thing that
 * changes in a shared node, so it is atomic.
 *
 * In Go a context is an object, which lives as long as a node points to it. Here it is a number,
 * which is never given twice: there is nothing to keep alive, and no new context is taken for an
 * old one.
 */
#include "config.h"

#include "common.h"
#include "btree.h"

/* Nodes from malloc(), and the free list ------------------------------------------------------- */

size_t btree_node_size(bool leaf)
{
	return sizeof(struct btree_node) +
	       (leaf ? 0 : (BTREE_MAX + 1) * sizeof(struct btree_node *));
}

static struct btree_node *freelist_take(struct btree_store *store, bool leaf)
{
	struct btree_freelist *list = (struct btree_freelist *)store;
	struct btree_node *n = NULL;

	pthread_mutex_lock(&list->lock);
	list->taken++;
	if (list->n[leaf]) {
		n = list->nodes[leaf][--list->n[leaf]];
		list->reused++;
	}
	pthread_mutex_unlock(&list->lock);
	return n ? n : allocate(1, btree_node_size(leaf));
}

static void freelist_give(struct btree_store *store, struct btree_node *n)
{
	struct btree_freelist *list = (struct btree_freelist *)store;

	pthread_mutex_lock(&list->lock);
	if (list->n[n->leaf] < BTREE_FREE_MAX) {
		list->nodes[n->leaf][list->n[n->leaf]++] = n;
		n = NULL;
	}
	pthread_mutex_unlock(&list->lock);
	free(n);
}

void btree_freelist_init(struct btree_freelist *list)
{
	*list = (struct btree_freelist){.store = {freelist_take, freelist_give}};
	pthread_mutex_init(&list->lock, NULL);
}

void btree_freelist_destroy(struct btree_freelist *list)
{
	for (int leaf = 0; leaf < 2; leaf++)
		while (list->n[leaf])
			free(list->nodes[leaf][--list->n[leaf]]);
	pthread_mutex_destroy(&list->lock);
}

/* Contexts, and counts ------------------------------------------------------------------------- */

static uint64_t new_context(void)
{
	static _Atomic uint64_t last;

	return atomic_fetch_add(&last, 1) + 1;
}

struct btree_node *btree_new_node(struct btree *t, bool leaf)
{
	struct btree_node *n = t->store->take(t->store, leaf);

	n->cow = t->cow;
	atomic_init(&n->refs, 1);
	n->n = 0;
	n->leaf = leaf;
	return n;
}

static void retain(struct btree_node *n)
{
	atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
}

/*
 * Drop a pointer to a node; the last one frees it. Release: our reads of the node come before.
 * Acquire, by the last: so do the reads of all others.
 */
static void drop(struct btree *t, struct btree_node *n)
{
	if (atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; !n->leaf && i <= n->n; i++)
		drop(t, n->children[i]);
	t->store->give(t->store, n);
}

void btree_leave(struct btree *t, struct btree_node *n)
{
	if (n->cow == t->cow) { /* only t sees it, and its pointers have moved */
		t->store->give(t->store, n);
		return;
	}
	for (size_t i = 0; !n->leaf && i <= n->n; i++)
		retain(n->children[i]);
	drop(t, n);
}

/* In a tree that is never cloned, the tree and all nodes have context 0: they are its own. */
struct btree_node *btree_mutable_for(struct btree *t, struct btree_node **slot)
{
	struct btree_node *n = *slot;

	if (n->cow == t->cow)
		return n;
	struct btree_node *copy = btree_new_node(t, n->leaf);
	copy->n = n->n;
	memcpy(copy->items, n->items, n->n * sizeof *n->items);
	if (!n->leaf)
		memcpy(copy->children, n->children, (n->n + 1u) * sizeof *n->children);
	t->copied++;
	t->copied_bytes += btree_node_size(n->leaf);
	btree_leave(t, n);
	return *slot = copy;
}

void btree_clone(struct btree *t, struct btree *clone)
{
	retain(t->root);
	*clone = (struct btree){.root = t->root, .length = t->length, .store = t->store};
	t->cow = new_context();
	clone->cow = new_context();
}

void btree_init(struct btree *t, struct btree_store *store, bool contexts)
{
	*t = (struct btree){.store = store, .cow = contexts ? new_context() : 0};
	t->root = btree_new_node(t, true);
}

void btree_destroy(struct btree *t)
{
	drop(t, t->root);
	*t = (struct btree){0};
}
