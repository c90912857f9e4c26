/* SPDX-License-Identifier: BSD-2-Clause */
/* wordcount-index.c - a hash table of words in an arena, and how to walk it in a view of the
   past. */
#include "config.h"

#include "wordcount.h"

static void *in_arena(void *p)
{
	if (!p)
		die("the arena is full: %s", cowarena_errmsg());
	return p;
}

static void grow(cowarena *arena, struct index *index)
{
	size_t buckets = index->buckets ? 2 * index->buckets : 1024;
	struct item **table = in_arena(cowarena_calloc(arena, buckets, sizeof(struct item *)));

	for (size_t i = 0; i < index->buckets; i++) {
		for (struct item *e = index->table[i], *next; e; e = next) {
			next = e->next;
			e->next = table[e->hash & (buckets - 1)];
			table[e->hash & (buckets - 1)] = e;
		}
	}
	cowarena_free(arena, index->table);
	index->table = table;
	index->buckets = buckets;
}

struct index *make_index(cowarena *arena)
{
	struct index *index = in_arena(cowarena_calloc(arena, 1, sizeof *index));

	grow(arena, index);
	cowarena_set_root(arena, index);
	return index;
}

void count_word(cowarena *arena, struct index *index, const unsigned char *word, size_t length)
{
	uint64_t hash = word_hash(word, length);
	struct item **bucket = &index->table[hash & (index->buckets - 1)], *e;

	index->words++;
	for (e = *bucket; e; e = e->next) {
		if (e->hash == hash && e->length == length && memcmp(e->word, word, length) == 0) {
			e->count++;
			return;
		}
	}
	e = in_arena(cowarena_alloc(arena, sizeof *e + length));
	*e = (struct item){.next = *bucket, .hash = hash, .count = 1, .length = length};
	memcpy(e->word, word, length);
	*bucket = e;
	if (++index->distinct > index->buckets)
		grow(arena, index);
}

/* Insert by count, the highest first. */
static void rank(const struct item **top, const struct item *e)
{
	for (size_t i = 0; i < TOP; i++) {
		if (!top[i] || e->count > top[i]->count) {
			const struct item *lower = top[i];
			top[i] = e;
			if (!lower)
				return;
			e = lower;
		}
	}
}

/* A pointer found in the view is a live address: cowarena_view_at() translates it. */
struct totals walk_index(const cowarena_view *view, const struct index *live,
			 const struct item **top)
{
	const struct index *index = cowarena_view_at(view, live);
	struct item *const *table = cowarena_view_at(view, index->table);
	struct totals t = {0};

	for (size_t i = 0; i < index->buckets; i++) {
		const struct item *e = cowarena_view_at(view, table[i]);
		for (; e; e = cowarena_view_at(view, e->next)) {
			t.words += e->count;
			t.distinct++;
			t.sum += pair_sum(word_hash(e->word, e->length), e->count);
			rank(top, e);
		}
	}
	return t;
}
