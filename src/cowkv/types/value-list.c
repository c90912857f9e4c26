/* SPDX-License-Identifier: BSD-2-Clause */
/* value-list.c - see value-list.h. */
#include "config.h"

#include "rdb/rdb-elements.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-walk.h"
#include "types/value-list.h"

#include <inttypes.h>

/* Add a block at one end. It is filled from the end where elements are added. */
static struct list_block *add_block(struct list *l, bool at_tail)
{
	struct list_block *b = heap_alloc(sizeof *b), *near = at_tail ? l->tail : l->head;

	*b = (struct list_block){.before = at_tail ? near : NULL,
				 .after = at_tail ? NULL : near,
				 .first = at_tail ? 0 : LIST_BLOCK};
	if (near && at_tail)
		near->after = b;
	else if (near)
		near->before = b;
	if (at_tail || !near)
		l->tail = b;
	if (!at_tail || !near)
		l->head = b;
	return b;
}

void list_push(struct list *l, struct slice s, bool at_tail)
{
	struct list_block *b = at_tail ? l->tail : l->head;

	if (!b || (at_tail ? b->first + b->n == LIST_BLOCK : b->first == 0))
		b = add_block(l, at_tail);
	if (!at_tail)
		b->first--;
	b->item[at_tail ? b->first + b->n : b->first] = text_new(s);
	b->n++;
	l->count++;
}

struct text *list_pop(struct list *l, bool at_tail)
{
	struct list_block *b = at_tail ? l->tail : l->head;

	if (!b)
		return NULL;
	struct text *t = b->item[at_tail ? b->first + b->n - 1 : b->first];
	b->first += !at_tail;
	l->count--;
	if (--b->n == 0) {
		struct list_block *next = at_tail ? b->before : b->after;
		*(at_tail ? &l->tail : &l->head) = next;
		if (!next)
			l->head = l->tail = NULL;
		else if (at_tail)
			next->after = NULL;
		else
			next->before = NULL;
		heap_free(b);
	}
	return t;
}

/* The block that has element *i; *i becomes the element's index in it. */
static struct list_block *find(struct list *l, uint64_t *i)
{
	struct list_block *b;

	if (*i < l->count / 2) {
		for (b = l->head; *i >= b->n; b = b->after)
			*i -= b->n;
		return b;
	}
	uint64_t back = l->count - *i; /* counted from the end, 1 for the last */
	for (b = l->tail; back > b->n; b = b->before)
		back -= b->n;
	*i = b->n - back;
	return b;
}

struct text **list_at(struct list *l, uint64_t i)
{
	struct list_block *b = find(l, &i);

	return &b->item[b->first + i];
}

void list_range(struct list *l, uint64_t i, uint64_t n, void (*fn)(void *ctx, struct slice s),
		void *ctx)
{
	struct list_block *b = n ? find(l, &i) : NULL;

	for (; n; b = b->after, i = 0)
		for (; i < b->n && n; i++, n--)
			fn(ctx, text_slice(b->item[b->first + i]));
}

/* ---- the kind ---- */

static void clear(void *list)
{
	struct list *l = list;

	for (struct list_block *b = l->head, *after; b; b = after) {
		after = b->after;
		for (uint32_t i = 0; i < b->n; i++)
			heap_free(b->item[b->first + i]);
		heap_free(b);
	}
	l->head = l->tail = NULL;
	l->count = 0;
}

static uint64_t length(const void *list)
{
	return ((const struct list *)list)->count;
}

static void write(struct walk *w, const void *list)
{
	const struct list *l = list;

	rdb_out_length(&w->out, l->count);
	for (const struct list_block *b = l->head; b && walk_goes_on(w);) {
		if (!(b = WALK_REACH(w, b)))
			return;
		uint32_t first = b->first, n = b->n;
		WALK_PIN(first);
		WALK_PIN(n);
		if (first > LIST_BLOCK || n > LIST_BLOCK - first) {
			w->torn = true;
			return;
		}
		for (uint32_t i = 0; i < n; i++)
			__builtin_prefetch(AT(b->item[first + i], w->shift));
		for (uint32_t i = 0; i < n && !w->torn; i++)
			walk_struct_text(w, b->item[first + i]);
		b = b->after;
	}
}

enum quicklist_node { NODE_PLAIN = 1, NODE_PACKED = 2 };

static bool read_elements(struct list *l, struct elements *e)
{
	for (struct slice s; elements_next(e, &s);) {
		if (!rdb_in_room(e->in, s.len + ELEMENT_MEMORY))
			return false;
		list_push(l, s, true);
	}
	return !e->in->failed;
}

/* A list stored as a list of packed lists. */
static bool read_quicklist(struct rdb_in *in, struct list *l, unsigned type)
{
	uint64_t nodes, form = NODE_PACKED;
	struct elements e;

	if (!rdb_in_length(in, &nodes))
		return false;
	while (nodes--) {
		struct slice block;
		if (type == RDB_LIST_QUICKLIST_2 && !rdb_in_length(in, &form))
			return false;
		if (form != NODE_PLAIN && form != NODE_PACKED)
			return rdb_in_fail(in, "a list node of an unknown form, %" PRIu64, form);
		if (!rdb_in_string(in, &block))
			return false;
		if (form == NODE_PLAIN) {
			if (!rdb_in_room(in, block.len + ELEMENT_MEMORY))
				return false;
			list_push(l, block, true);
			continue;
		}
		if (!elements_block(&e, in,
				    type == RDB_LIST_QUICKLIST ? PACKED_ZIPLIST : PACKED_LISTPACK,
				    block) ||
		    !read_elements(l, &e))
			return false;
	}
	return true;
}

static bool fill(void *list, struct elements *e, unsigned rdb_type)
{
	if (rdb_type == RDB_LIST_QUICKLIST || rdb_type == RDB_LIST_QUICKLIST_2)
		return read_quicklist(e->in, list, rdb_type);
	return read_elements(list, e);
}

static void *read(struct rdb_in *in, unsigned rdb_type)
{
	return elements_collection(in, rdb_type, VALUE_LIST, fill);
}

const struct value_kind list_kind = {
    .name = "list",
    .size = sizeof(struct list),
    .clear = clear,
    .length = length,
    .rdb_type = RDB_LIST,
    .rdb_types = RDB_BIT(RDB_LIST) | RDB_BIT(RDB_LIST_ZIPLIST) | RDB_BIT(RDB_LIST_QUICKLIST) |
		 RDB_BIT(RDB_LIST_QUICKLIST_2),
    .write = write,
    .read = read,
};
