/* SPDX-License-Identifier: BSD-2-Clause */
/* bgsave-table.c - see bgsave-table.h. */
#include "config.h"

#include "common.h"
#include "bgsave-table.h"

#define EMPTY_MAX 10 /* empty buckets that one step may pass */

static void *in_arena(void *p)
{
	if (!p)
		die("the arena is full: %s", cowarena_errmsg());
	return p;
}

static struct buckets new_buckets(cowarena *arena, size_t size)
{
	return (struct buckets){in_arena(cowarena_calloc(arena, size, sizeof(struct entry *))),
				size, 0};
}

struct table *table_new(cowarena *arena, size_t size)
{
	struct table *t = in_arena(cowarena_calloc(arena, 1, sizeof *t));

	t->now = new_buckets(arena, size);
	return t;
}

bool table_grows(const struct table *t)
{
	return t->next.heads;
}

static struct entry **chain(const struct buckets *b, uint64_t key)
{
	return &b->heads[mix(key + 1) & (b->size - 1)];
}

static void push(struct buckets *b, struct entry *e)
{
	struct entry **head = chain(b, e->record.key);

	e->next = *head;
	*head = e;
	b->used++;
}

/* Whether buckets may be moved and added now. */
static bool may_grow(const struct table *t)
{
	return !t->postpone || t->now.used + t->next.used >= FORCED_AT * t->now.size;
}

/* Move the entries of one bucket. This is what dirties page after page. */
static void rehash_step(cowarena *arena, struct table *t)
{
	int empty = 0;

	if (!table_grows(t) || !may_grow(t))
		return;
	while (!t->now.heads[t->moved]) {
		t->moved++;
		if (t->moved == t->now.size || ++empty == EMPTY_MAX)
			break;
	}
	if (t->moved < t->now.size && t->now.heads[t->moved]) {
		for (struct entry *e = t->now.heads[t->moved], *next; e; e = next) {
			next = e->next;
			push(&t->next, e);
			t->now.used--;
			t->entries_moved++;
		}
		t->now.heads[t->moved++] = NULL;
	}
	if (t->moved == t->now.size) {
		cowarena_free(arena, t->now.heads);
		t->now = t->next;
		t->next = (struct buckets){0};
		t->moved = 0;
	}
}

struct record *table_peek(const struct table *t, uint64_t key)
{
	const struct buckets *both[] = {&t->now, &t->next};

	for (int i = 0; i < 1 + table_grows(t); i++)
		for (struct entry *e = *chain(both[i], key); e; e = e->next)
			if (e->record.key == key)
				return &e->record;
	return NULL;
}

struct record *table_get(cowarena *arena, struct table *t, uint64_t key)
{
	rehash_step(arena, t);
	return table_peek(t, key);
}

static struct record *insert(cowarena *arena, struct table *t, uint64_t key)
{
	size_t size = t->now.size;

	if (!table_grows(t) && t->now.used >= size && may_grow(t)) {
		while (size <= t->now.used)
			size *= 2;
		t->next = new_buckets(arena, size);
	}
	struct entry *e = in_arena(cowarena_alloc(arena, sizeof *e));
	e->record.key = key;
	push(table_grows(t) ? &t->next : &t->now, e);
	return &e->record;
}

void table_set(cowarena *arena, struct table *t, uint64_t key, const char *value)
{
	struct record *r = table_get(arena, t, key);

	if (!r)
		r = insert(arena, t, key);
	memcpy(r->value, value, VALUE_SIZE);
}

void table_check_rule(cowarena *arena)
{
	static const char value[VALUE_SIZE] = "";
	struct table *t = table_new(arena, 4);

	t->postpone = true;
	for (uint64_t key = 0; key < 4 * FORCED_AT; key++)
		table_set(arena, t, key, value);
	if (table_grows(t))
		die("a table grows that was to put it off");
	table_set(arena, t, 4 * FORCED_AT, value);
	if (!table_grows(t))
		die("a table does not grow at %d entries a bucket", FORCED_AT);
}

/* A snapshot's pointers are live addresses: each is translated before it is followed. */
void table_walk(const cowarena_view *view, const struct table *live, size_t part, size_t parts,
		table_walk_fn *fn, void *ctx)
{
	const struct table *t = cowarena_view_at(view, live);
	struct entry *const *now = cowarena_view_at(view, t->now.heads);
	struct entry *const *next = cowarena_view_at(view, t->next.heads);
	size_t n = t->now.size + t->next.size; /* while it grows, both arrays have entries */

	for (size_t i = n * part / parts; i < n * (part + 1) / parts; i++) {
		const struct entry *e = i < t->now.size ? now[i] : next[i - t->now.size];
		for (e = cowarena_view_at(view, e); e; e = cowarena_view_at(view, e->next))
			fn(ctx, &e->record);
	}
}
