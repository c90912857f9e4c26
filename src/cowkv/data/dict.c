/* SPDX-License-Identifier: BSD-2-Clause */
/* dict.c - see dict.h. */
#include "config.h"

#include "data/dict.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

#define SMALLEST 4
#define LOAD_GUARDED 5   /* a guarded dict grows at this many entries per bucket */
#define SPARSE 8         /* a table is too large below one entry per this many buckets */
#define EMPTY_MAX 10     /* empty buckets that count as one step */
#define STEPS_CROWDED 64 /* buckets per step when the new table is too small already */
#define LARGE 4096       /* tables of this many buckets may find no room */
#define TRIES 64         /* attempts to hit a bucket that is not empty */

bool dict_guarded;

static uint64_t seed, random_state;

void dict_seed(void)
{
	uint64_t words[2];

	if (getrandom(words, sizeof words, 0) != sizeof words)
		words[0] = words[1] = (uint64_t)time(NULL);
	seed = words[0];
	random_state = words[1] | 1;
}

static uint32_t hash_of(struct slice key)
{
	return (uint32_t)XXH3_64bits_withSeed(key.data, key.len, seed);
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled",
   2016). */
uint64_t dict_random_number(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

static bool rehashing(const struct dict *d)
{
	return d->next != SIZE_MAX;
}

/* Much was added while the rehash ran, or stood still for a snapshot, and the new table has long
   chains already. Then the rehash goes on in any case, so that the dict can be resized again. */
static bool crowded(const struct dict *d)
{
	return rehashing(d) && d->used / LOAD_GUARDED >= d->size[1];
}

/* Begin to move all entries into a table of this size. */
static void resize(struct dict *d, size_t size)
{
	struct entry **table = heap_zalloc(size * sizeof(struct entry *));

	if (!d->size[0]) {
		d->table[0] = table;
		d->size[0] = size;
		return;
	}
	d->table[1] = table;
	d->size[1] = size;
	d->next = 0;
}

static size_t size_for(size_t n)
{
	size_t size = SMALLEST;

	while (size < n)
		size *= 2;
	return size;
}

bool dict_step(struct dict *d, size_t n)
{
	if (!rehashing(d) || (dict_guarded && !crowded(d)))
		return false;
	for (size_t empty = n * EMPTY_MAX; n--;) {
		while (d->next < d->size[0] && !d->table[0][d->next]) {
			d->next++;
			if (--empty == 0)
				return true;
		}
		for (struct entry *e = d->next < d->size[0] ? d->table[0][d->next] : NULL, *after;
		     e; e = after) {
			struct entry **to = &d->table[1][e->hash & (d->size[1] - 1)];
			after = e->next;
			e->next = *to;
			*to = e;
		}
		if (d->next < d->size[0])
			d->table[0][d->next++] = NULL;
		if (d->next == d->size[0]) {
			heap_free(d->table[0]);
			d->table[0] = d->table[1];
			d->size[0] = d->size[1];
			d->table[1] = NULL;
			d->size[1] = 0;
			d->next = SIZE_MAX;
			return false;
		}
	}
	return true;
}

/* Whether there is memory for a table. Without it the chains get longer, no more. */
static bool room_for(const struct dict *d, size_t size)
{
	return !d->size[0] || size < LARGE || heap_room(size * sizeof(struct entry *));
}

static void grow(struct dict *d)
{
	if (rehashing(d) || d->used < d->size[0] * (dict_guarded && d->size[0] ? LOAD_GUARDED : 1))
		return;
	size_t size = size_for(d->used + 1 > 2 * d->size[0] ? d->used + 1 : 2 * d->size[0]);
	/* For a large table, room is not checked at each entry. */
	if ((size < LARGE || d->used % 1024 == 0) && room_for(d, size))
		resize(d, size);
}

void dict_reserve(struct dict *d, size_t n)
{
	if (!rehashing(d) && size_for(n) > d->size[0] && room_for(d, size_for(n)))
		resize(d, size_for(n));
}

void dict_shrink(struct dict *d)
{
	if (!dict_guarded && !rehashing(d) && d->size[0] > SMALLEST &&
	    d->used < d->size[0] / SPARSE && room_for(d, size_for(d->used)))
		resize(d, size_for(d->used));
}

/* The pointer that points to the key's entry, in either table; NULL if there is none. */
static struct entry **lookup(struct dict *d, struct slice key, uint32_t hash)
{
	for (int t = 0; t < 2 && d->size[t]; t++) {
		struct entry **at = &d->table[t][hash & (d->size[t] - 1)];
		for (; *at; at = &(*at)->next)
			if ((*at)->hash == hash && (*at)->len == key.len &&
			    memcmp((*at)->key, key.data, key.len) == 0)
				return at;
	}
	return NULL;
}

struct entry *dict_find(struct dict *d, struct slice key)
{
	if (!d->used)
		return NULL;
	dict_step(d, 1);
	struct entry **at = lookup(d, key, hash_of(key));
	return at ? *at : NULL;
}

struct entry *dict_add(struct dict *d, struct slice key, bool *added)
{
	uint32_t hash = hash_of(key);

	dict_step(d, crowded(d) ? STEPS_CROWDED : 1);
	struct entry **at = lookup(d, key, hash);
	*added = !at;
	if (at)
		return *at;
	grow(d);
	int t = rehashing(d);
	at = &d->table[t][hash & (d->size[t] - 1)];
	struct entry *e = heap_alloc(sizeof *e + key.len);
	*e = (struct entry){.next = *at, .hash = hash, .len = (uint32_t)key.len};
	memcpy(e->key, key.data, key.len);
	*at = e;
	d->used++;
	return e;
}

struct entry *dict_take(struct dict *d, struct slice key)
{
	if (!d->used)
		return NULL;
	dict_step(d, 1);
	struct entry **at = lookup(d, key, hash_of(key));
	if (!at)
		return NULL;
	struct entry *e = *at;
	*at = e->next;
	d->used--;
	return e;
}

bool dict_remove(struct dict *d, struct slice key)
{
	struct entry *e = dict_take(d, key);

	if (!e)
		return false;
	heap_free(e->value);
	heap_free(e);
	dict_shrink(d);
	return true;
}

void dict_clear(struct dict *d, void (*drop)(void *value))
{
	struct dict_iterator i = DICT_ITERATOR(d);

	for (struct entry *e; (e = dict_next(&i)) != NULL;) {
		if (drop && e->value)
			drop(e->value);
		heap_free(e);
	}
	heap_free(d->table[0]);
	heap_free(d->table[1]);
	*d = DICT_EMPTY;
}

struct entry *dict_next(struct dict_iterator *i)
{
	while (!i->next) {
		while (i->table < 2 && i->bucket == i->d->size[i->table]) {
			i->table++;
			i->bucket = 0;
		}
		if (i->table == 2)
			return NULL;
		struct entry **table = AT(i->d->table[i->table], i->shift);
		i->next = table[i->bucket++];
	}
	struct entry *e = AT(i->next, i->shift);
	i->next = e->next;
	return e;
}

struct entry *dict_random(struct dict *d)
{
	size_t chain = 0;
	struct entry *e = NULL;

	if (!d->used)
		return NULL;
	dict_step(d, 1);
	/* Buckets that have been moved are skipped. In a nearly empty table, the first entry behind
	   a random place must do. */
	size_t first = rehashing(d) ? d->next : 0, buckets = d->size[0] - first + d->size[1];
	size_t at = 0;
	for (int tries = 0; !e; tries++) {
		at = tries < TRIES ? dict_random_number() % buckets : (at + 1) % buckets;
		size_t i = first + at;
		e = i < d->size[0] ? d->table[0][i] : d->table[1][i - d->size[0]];
	}
	for (struct entry *x = e; x; x = x->next)
		chain++;
	for (chain = dict_random_number() % chain; chain; chain--)
		e = e->next;
	return e;
}

/* ---- scanning ---- */

static uint64_t reverse_bits(uint64_t v)
{
	v = __builtin_bswap64(v);
	v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
	v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
	return (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
}

/* The cursor counts in the reversed bits of the bucket number (P. Noordhuis' algorithm, as in
   Redis), so entries seen in a table of one size count as seen in a table of any other size. */
static uint64_t advance(uint64_t cursor, uint64_t mask)
{
	return reverse_bits(reverse_bits(cursor | ~mask) + 1);
}

static void scan_bucket(struct entry *e, void (*fn)(void *, struct entry *), void *ctx)
{
	for (struct entry *next; e; e = next) {
		next = e->next;
		fn(ctx, e);
	}
}

uint64_t dict_scan(struct dict *d, uint64_t cursor, void (*fn)(void *ctx, struct entry *e),
		   void *ctx)
{
	if (!d->used)
		return 0;
	if (!rehashing(d)) {
		scan_bucket(d->table[0][cursor & (d->size[0] - 1)], fn, ctx);
		return advance(cursor, d->size[0] - 1);
	}
	/* Visit the bucket of the smaller table, and all buckets of the larger one that it spreads
	   over. */
	int s = d->size[1] < d->size[0], l = !s;
	uint64_t small = d->size[s] - 1, large = d->size[l] - 1;
	scan_bucket(d->table[s][cursor & small], fn, ctx);
	do {
		scan_bucket(d->table[l][cursor & large], fn, ctx);
		cursor = advance(cursor, large);
	} while (cursor & (small ^ large));
	return cursor;
}
