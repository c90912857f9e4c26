/* SPDX-License-Identifier: BSD-2-Clause */
/* value-list.h - lists, with quick access at both ends. */
#ifndef COWKV_VALUE_LIST_H
#define COWKV_VALUE_LIST_H

#include "data/value.h"

/* A list is a chain of blocks of elements, so an element costs little more than its text. */
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

void list_push(struct list *l, struct slice s, bool at_tail);

/* Remove the first or the last element; the caller frees it. NULL if the list is empty. */
struct text *list_pop(struct list *l, bool at_tail);

/* The place of element i; i < count. */
struct text **list_at(struct list *l, uint64_t i);

/* Call fn for n elements, from element i on. */
void list_range(struct list *l, uint64_t i, uint64_t n, void (*fn)(void *ctx, struct slice s),
		void *ctx);

extern const struct value_kind list_kind;

#endif
