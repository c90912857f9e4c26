/* SPDX-License-Identifier: BSD-2-Clause */
/* value-list.c - lists. */
#include "config.h"

#include "value-parts.h"

/* A block next to `near`, or the first of all. It begins where elements are added to it. */
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

/* The block that has element *i, and its number there. */
static struct list_block *find(struct list *l, uint64_t *i)
{
	struct list_block *b;

	if (*i < l->count / 2) {
		for (b = l->head; *i >= b->n; b = b->after)
			*i -= b->n;
		return b;
	}
	uint64_t back = l->count - *i; /* from the end, 1 for the last */
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

void list_clear(struct list *l)
{
	for (struct list_block *b = l->head, *after; b; b = after) {
		after = b->after;
		for (uint32_t i = 0; i < b->n; i++)
			heap_free(b->item[b->first + i]);
		heap_free(b);
	}
	l->head = l->tail = NULL;
	l->count = 0;
}
