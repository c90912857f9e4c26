/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btree.h - a B-tree from uint64_t to uint64_t with the lazy clone of google/btree.
 *
 * A tree is used by one thread at a time; a tree and its clones may be used by a thread each at
 * once. btree.c has the algorithm, btree-cow.c makes clones cheap, btree-check.c finds mistakes.
 */
#ifndef COWARENA_DEMOS_BTREE_H
#define COWARENA_DEMOS_BTREE_H

#include "cowarena.h"

#include <pthread.h>
#include <stdatomic.h>

#define BTREE_DEGREE 32                  /* least number of children; the root may have fewer */
#define BTREE_MIN (BTREE_DEGREE - 1)     /* least number of items in a node */
#define BTREE_MAX (2 * BTREE_DEGREE - 1) /* ... and the largest */
#define BTREE_FREE_MAX 1024              /* nodes of one kind that a free list keeps */

struct btree_item {
	uint64_t key, value; /* a value is never 0, which stands for no item */
};

struct btree_node {
	uint64_t cow;          /* context that the node was made in */
	_Atomic uint32_t refs; /* pointers to it: from parents, and from trees whose root it is */
	uint16_t n;            /* number of items */
	bool leaf;
	struct btree_item items[BTREE_MAX];
	struct btree_node *children[]; /* n + 1; a leaf ends before them */
};

/* Where nodes come from and go to. take() does not return without a node. */
struct btree_store {
	struct btree_node *(*take)(struct btree_store *store, bool leaf);
	void (*give)(struct btree_store *store, struct btree_node *node);
};

struct btree {
	struct btree_node *root;
	uint64_t length;
	uint64_t cow; /* the context; 0 for a tree that is never cloned by btree_clone() */
	struct btree_store *store;
	const cowarena_view *view;     /* if not NULL, nodes are read through it */
	uint64_t copied, copied_bytes; /* counted by btree_mutable_for() */
};

/* malloc(), and a free list that a tree shares with its clones. */
struct btree_freelist {
	struct btree_store store;
	pthread_mutex_t lock; /* of all fields below */
	struct btree_node *nodes[2][BTREE_FREE_MAX];
	size_t n[2];
	uint64_t taken, reused; /* calls of take(); those served from the list */
};

void btree_freelist_init(struct btree_freelist *list);
void btree_freelist_destroy(struct btree_freelist *list);

size_t btree_node_size(bool leaf);

/* Make an empty tree, which is cloned by contexts or not at all. */
void btree_init(struct btree *tree, struct btree_store *store, bool contexts);
void btree_destroy(struct btree *tree);

/* Make clone a tree of the same items. O(1): it shares all nodes. Called by the thread of tree. */
void btree_clone(struct btree *tree, struct btree *clone);

/* Each returns the key's previous value, or 0. */
uint64_t btree_set(struct btree *tree, uint64_t key, uint64_t value);
uint64_t btree_delete(struct btree *tree, uint64_t key);
uint64_t btree_get(const struct btree *tree, uint64_t key);

/* Call fn for the items with from <= key < to, in ascending order, until it returns false. */
typedef bool btree_item_fn(void *ctx, struct btree_item item);
void btree_ascend(const struct btree *tree, uint64_t from, uint64_t to, btree_item_fn *fn,
		  void *ctx);

/* A planned write: the new value, or 0 to delete; and the value before. */
struct btree_write {
	uint64_t key, value, old;
};

/* Fill a tree and an array with the even keys below 2 * n, in random order. */
void btree_fill(struct btree *tree, uint64_t n, uint64_t *array);

/*
 * Plan writes, and do them to an array: array[key] for the keys below `keys`, 0 where there is
 * none. In turn, `cluster` items are added, as many get another value, and as many are deleted,
 * each time among about as many consecutive keys. With a cluster of 1 the keys are random.
 */
void btree_plan(struct btree_write *list, uint64_t n, uint64_t *array, uint64_t keys,
		uint64_t cluster, uint64_t seed);

/* Do planned writes to a tree. Dies if a previous value differs. */
void btree_apply(struct btree *tree, const struct btree_write *list, uint64_t n);

/* Dies unless the tree is sound, and holds what the array says. */
void btree_verify(const struct btree *tree, const uint64_t *array, uint64_t keys);

/* Where to read a node: at its address, or in the tree's view. */
const struct btree_node *btree_follow(const struct btree *tree, const struct btree_node *node);

/*
 * The interface between the algorithm (btree.c) and copy-on-write (btree-cow.c). Make a node of the
 * tree's own. Get the node at *slot for writing: the node itself, or a copy that takes its place;
 * the slot is the tree's root, or in a node of its own. Leave a node whose contents another node of
 * the tree now has.
 */
struct btree_node *btree_new_node(struct btree *tree, bool leaf);
struct btree_node *btree_mutable_for(struct btree *tree, struct btree_node **slot);
void btree_leave(struct btree *tree, struct btree_node *node);

#endif
