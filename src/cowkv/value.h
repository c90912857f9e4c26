/* SPDX-License-Identifier: BSD-2-Clause */
/* value.h - what a key can hold: a string, a list, a hash, a set or a sorted set. All in the arena. */
#ifndef COWKV_VALUE_H
#define COWKV_VALUE_H

#include "dict.h"

/* A string inside another value. */
struct text {
	uint32_t len;
	char data[];
};

enum value_type { VALUE_STRING, VALUE_LIST, VALUE_HASH, VALUE_SET, VALUE_ZSET };

/* What each kind begins with. */
struct value {
	uint8_t type;
	uint32_t expiry; /* db.h: its place among those that expire, plus 1; 0 if it does not */
};

#define STRING_MAX ((size_t)512 << 20)

struct string {
	struct value value;
	uint32_t len, room;
	char data[];
};

/* A list of blocks of elements: both ends are near, and an element costs little more than its text. */
#define LIST_BLOCK 32
struct list_block {
	struct list_block *before, *after;
	uint32_t first, n; /* item[first .. first + n - 1] are in use */
	struct text *item[LIST_BLOCK];
};
struct list {
	struct value value;
	uint64_t count;
	struct list_block *head, *tail;
};

/* entry->value is a struct text. */
struct hash {
	struct value value;
	struct dict fields;
};

/* entry->value is NULL. */
struct set {
	struct value value;
	struct dict members;
};

/*
 * Members by name, and by score and then name in a skip list (W. Pugh, "Skip lists: a probabilistic alternative to
 * balanced trees", 1990) whose links know how many nodes they pass over, so that it has ranks too.
 */
#define ZSET_LEVELS 32
struct zset_node {
	double score;
	struct entry *member; /* in by_name; its value is this node */
	struct zset_node *before;
	uint32_t levels;
	struct zset_link {
		struct zset_node *after;
		uint64_t span; /* nodes from this one to `after`, that one included */
	} link[];
};
struct zset {
	struct value value;
	struct dict by_name;
	struct zset_node *head; /* of all levels, without a member */
	struct zset_node *tail;
	uint32_t levels;
};

/* ---- all ---- */

struct value *value_new(enum value_type type); /* not strings */
void value_free(void *value);
const char *value_type_name(const struct value *v);

/* Elements; of a string, bytes. */
uint64_t value_length(const struct value *v);

struct text *text_new(struct slice s);
static inline struct slice text_slice(const struct text *t)
{
	return (struct slice){t->data, t->len};
}
static inline struct slice entry_slice(const struct entry *e)
{
	return (struct slice){e->key, e->len};
}

/* ---- strings ---- */

struct string *string_new(struct slice s);

/* Make it n bytes long, new ones being zero. It may move: the new place is returned. */
struct string *string_resize(struct string *s, size_t n);

/* ---- lists ---- */

void list_push(struct list *l, struct slice s, bool at_tail);

/* Take the first or the last element out: the caller frees it. NULL if the list is empty. */
struct text *list_pop(struct list *l, bool at_tail);

/* Where element i is; i < count. */
struct text **list_at(struct list *l, uint64_t i);

/* Call fn for n elements from the i-th on. */
void list_range(struct list *l, uint64_t i, uint64_t n, void (*fn)(void *ctx, struct slice s),
		void *ctx);

/* ---- hashes and sets: as in dict.h, and ---- */

/* Set a field. Returns whether it is new. */
bool hash_set(struct hash *h, struct slice field, struct slice text);
/* Remove one. Returns whether there was one. */
bool hash_remove(struct hash *h, struct slice field);
bool set_add(struct set *s, struct slice member);
bool set_remove(struct set *s, struct slice member);

/* ---- sorted sets ---- */

/* Add a member, or change its score. Returns whether it is new. */
bool zset_set(struct zset *z, struct slice member, double score);
/* In the order of members with the same score. */
int zset_compare_names(struct slice a, struct slice b);
bool zset_remove(struct zset *z, struct slice member);
struct zset_node *zset_find(struct zset *z, struct slice member);

/* The node of a rank, counted from 0; NULL if there are not so many. */
struct zset_node *zset_at(struct zset *z, uint64_t rank);

/* The first node with a score above min, or of min itself unless that is excluded; NULL if there is none. */
struct zset_node *zset_from(struct zset *z, double min, bool exclusive);

static inline struct zset_node *zset_after(const struct zset_node *n)
{
	return n->link[0].after;
}

#endif
