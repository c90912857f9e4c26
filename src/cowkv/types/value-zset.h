/* SPDX-License-Identifier: BSD-2-Clause */
/* value-zset.h - sorted sets. */
#ifndef COWKV_VALUE_ZSET_H
#define COWKV_VALUE_ZSET_H

#include "data/value.h"

/*
 * Members by name in a dict, and by score and then name in a skip list (W. Pugh, "Skip lists: a
 * probabilistic alternative to balanced trees", 1990). Each link knows how many nodes it passes,
 * which gives ranks.
 */
#define ZSET_LEVELS 32
struct zset_node {
	double score;
	struct entry *member; /* entry in by_name; its value is this node */
	struct zset_node *before;
	uint32_t levels;
	struct zset_link {
		struct zset_node *after;
		uint64_t span; /* nodes from this one to `after`, including `after` */
	} link[];
};
struct zset {
	struct value value;
	struct dict by_name;
	struct zset_node *head; /* has all levels, and no member */
	struct zset_node *tail;
	uint32_t levels;
};

/* Add a member, or change its score. Returns whether it is new. */
bool zset_set(struct zset *z, struct slice member, double score);
/* Compare two names. Members of equal score are in this order. */
int zset_compare_names(struct slice a, struct slice b);
bool zset_remove(void *zset, struct slice member);
struct zset_node *zset_find(struct zset *z, struct slice member);

/* The node with this rank, counted from 0; NULL if there is none. */
struct zset_node *zset_at(struct zset *z, uint64_t rank);

/* The first node with a score above min, or equal to min unless that is excluded; NULL if there is
   none. */
struct zset_node *zset_from(struct zset *z, double min, bool exclusive);

static inline struct zset_node *zset_after(const struct zset_node *n)
{
	return n->link[0].after;
}

extern const struct value_kind zset_kind;

#endif
