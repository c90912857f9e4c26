/* SPDX-License-Identifier: BSD-2-Clause */
/* test-pagetable.c - bitmaps against arrays of bool, and the states of pages. */
#include "config.h"

#include "bitmap.h"
#include "common.h"
#include "pagetable.h"

#include <pthread.h>
#include <unistd.h>

/* ---- the bitmap ---- */

/* Around the words of bits (64), the words of the summary (4096), and the next such border. */
static const size_t sizes[] = {1,    2,    63,   64,   65,     127,    128,    129,
			       4095, 4096, 4097, 4160, 262143, 262144, 262145, 300001};
#define SIZES ((int)(sizeof sizes / sizeof *sizes))

struct both {
	struct bitmap map;
	bool *naive;
	void *memory;
};

static void both_init(struct both *b, size_t bits)
{
	size_t bytes = bitmap_bytes(bits);

	ck_assert_uint_eq(bytes % 8, 0);
	/* A canary behind it. */
	b->memory = calloc(1, bytes + 8);
	memset((char *)b->memory + bytes, 0x5a, 8);
	bitmap_init(&b->map, b->memory, bits);
	b->naive = calloc(bits + 1, sizeof *b->naive);
	b->naive[bits] = true; /* where searches end */
}

static void both_free(struct both *b)
{
	const unsigned char *canary = (unsigned char *)b->memory + bitmap_bytes(b->map.bits);

	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(canary[i], 0x5a);
	free(b->memory);
	free(b->naive);
}

static void both_set(struct both *b, size_t i)
{
	bool was = bitmap_set(&b->map, i);

	if (was != b->naive[i])
		ck_abort_msg("bit %zu of %zu was %d", i, b->map.bits, was);
	b->naive[i] = true;
}

static void compare(const struct both *b)
{
	size_t bits = b->map.bits, set = bits, clear = bits;

	for (size_t i = bits; i-- > 0;) {
		if (b->naive[i])
			set = i;
		else
			clear = i;
		if (bitmap_test(&b->map, i) != b->naive[i])
			ck_abort_msg("bit %zu of %zu is wrong", i, bits);
		/* Of long ones, the borders of the words only: each search may be long too. */
		if (bits > 5000 && i + 70 < bits && i % 64 != 63 && i % 64 > 1)
			continue;
		size_t next = bitmap_next(&b->map, i);
		if (next != set)
			ck_abort_msg("%zu bits: the next after %zu is %zu, not %zu", bits, i, next,
				     set);
		next = bitmap_next_clear(&b->map, i);
		if (next != clear)
			ck_abort_msg("%zu bits: the next clear after %zu is %zu, not %zu", bits, i,
				     next, clear);
	}
	for (size_t i = bits; i < bits + 5000; i += 63) {
		ck_assert_uint_eq(bitmap_next(&b->map, i), bits);
		ck_assert_uint_eq(bitmap_next_clear(&b->map, i), bits);
	}
}

static void clear_both(struct both *b)
{
	bitmap_clear(&b->map);
	memset(b->naive, 0, b->map.bits);
	/* The summary too, or the next walk looks at all the words. */
	const uint64_t *word = b->memory;
	for (size_t i = 0; i < bitmap_bytes(b->map.bits) / 8; i++)
		if (word[i])
			ck_abort_msg("word %zu is %#llx", i, (unsigned long long)word[i]);
}

START_TEST(word_borders)
{
	static const size_t at[] = {0,    1,      62,     63,     64,     65,     127,   128,
				    4032, 4094,   4095,   4096,   4097,   4159,   4160,  8191,
				    8192, 262079, 262080, 262143, 262144, 262145, 300000};
	size_t bits = sizes[_i];
	struct both b;

	both_init(&b, bits);
	compare(&b);
	/* One alone; two neighbours; the first and the last together. */
	for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
		if (at[k] >= bits)
			continue;
		both_set(&b, at[k]);
		both_set(&b, at[k]);
		if (bits < 5000 || k % 11 == 0)
			compare(&b);
		if (at[k] + 1 < bits)
			both_set(&b, at[k] + 1);
		both_set(&b, bits - 1);
		ck_assert_uint_eq(bitmap_next(&b.map, 0), at[k]);
		ck_assert_uint_eq(bitmap_next(&b.map, at[k] + 2 < bits ? at[k] + 2 : bits - 1),
				  bits - 1);
		clear_both(&b);
		ck_assert_uint_eq(bitmap_next(&b.map, 0), bits);
		ck_assert_uint_eq(bitmap_next_clear(&b.map, 0), 0);
	}
	/* All of them. */
	for (size_t i = 0; i < bits; i++)
		both_set(&b, i);
	compare(&b);
	clear_both(&b);
	compare(&b);
	both_free(&b);
}
END_TEST

START_TEST(random_bits)
{
	size_t bits = sizes[_i];
	uint64_t seed = seed_of_run(1000 + (uint64_t)_i);
	struct both b;

	both_init(&b, bits);
	for (int round = 0; round < (int)scaled(12, 60, 3); round++) {
		/* Nearly none, some, nearly all; and runs, as heaps have them. */
		size_t n = bits >> (round % 6 * 3);
		for (size_t i = 0; i <= n; i++) {
			size_t first = rng(&seed) % bits, run = 1 + rng(&seed) % 3 * (round % 2);
			for (size_t k = first; k < first + run && k < bits; k++)
				both_set(&b, k);
		}
		compare(&b);
		if (round % 2)
			clear_both(&b);
	}
	both_free(&b);
}
END_TEST

#define THREADS 4

struct setter {
	struct bitmap *map;
	unsigned id;
	size_t first; /* bits that were clear before */
	pthread_t thread;
};

/* Every thread sets its share of each word, and all of them every eighth bit. */
static void *set_bits(void *arg)
{
	struct setter *s = arg;

	for (size_t i = 0; i < s->map->bits; i++)
		if (i % 8 == 0 || i % THREADS == s->id)
			s->first += !bitmap_set(s->map, i);
	return NULL;
}

/* Sets added to each other, less a third, and searched so. */
START_TEST(sets_of_sets)
{
	size_t bits = sizes[_i];
	uint64_t state = seed_of_run(5);
	struct both to, from, but;

	both_init(&to, bits);
	both_init(&from, bits);
	both_init(&but, bits);
	for (int round = 0; round < 20; round++) {
		struct both *all[] = {&to, &from, &but};
		for (int k = 0; k < 3; k++)
			for (size_t n = rng(&state) % 200; n; n--) {
				size_t i = rng(&state) % bits;
				bitmap_set(&all[k]->map, i);
				all[k]->naive[i] = true;
			}
		size_t end = rng(&state) % (bits + 1), i = rng(&state) % bits, found = i;
		while (found < bits && !(from.naive[found] && !but.naive[found]))
			found++;
		ck_assert_uint_eq(bitmap_next_but(&from.map, &but.map, i), found);
		bitmap_add(&to.map, &from.map, round % 2 ? &but.map : NULL, end);
		for (size_t k = 0; k < end; k++)
			to.naive[k] |= from.naive[k] && !(round % 2 && but.naive[k]);
		for (size_t k = 0, next = 0; k < bits; k++) {
			if (!to.naive[k])
				continue;
			ck_assert_uint_eq(bitmap_next(&to.map, next), k);
			next = k + 1;
		}
		size_t first = rng(&state) % (bits + 1),
		       last = first + rng(&state) % (bits + 1 - first);
		bitmap_fill(&but.map, first, last);
		for (size_t k = 0; k < bits; k++) {
			but.naive[k] |= k >= first && k < last;
			ck_assert(bitmap_test(&but.map, k) == but.naive[k]);
		}
		bitmap_clear(&from.map);
		memset(from.naive, 0, bits);
		memset((char *)but.map.words, 0, bitmap_bytes(bits));
		memset(but.naive, 0, bits);
	}
	both_free(&to);
	both_free(&from);
	both_free(&but);
}
END_TEST

START_TEST(many_setters)
{
	size_t bits = 300001;
	void *memory = malloc(bitmap_bytes(bits));
	struct setter s[THREADS];
	struct bitmap map;

	for (int round = 0; round < (int)scaled(10, 100, 3); round++) {
		size_t set = 0, seen = 0;
		memset(memory, 0, bitmap_bytes(bits));
		bitmap_init(&map, memory, bits);
		for (unsigned i = 0; i < THREADS; i++) {
			s[i] = (struct setter){.map = &map, .id = i};
			ck_assert_int_eq(pthread_create(&s[i].thread, NULL, set_bits, &s[i]), 0);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(s[i].thread, NULL);
			set += s[i].first;
		}
		ck_assert_uint_eq(set, bits); /* each was set first by one of them */
		for (size_t i = bitmap_next(&map, 0); i < bits; i = bitmap_next(&map, i + 1))
			seen++;
		ck_assert_uint_eq(seen, bits);
		bitmap_clear(&map);
		ck_assert_uint_eq(bitmap_next(&map, 0), bits);
	}
	free(memory);
}
END_TEST

/* ---- pages ---- */

static void table_init(struct pagetable *t, size_t n, size_t committed)
{
	memset(t, 0, sizeof *t);
	ck_assert_int_eq(pagetable_init(t, n), 0);
	ck_assert_int_eq(pagetable_commit(t, committed), 0);
}

START_TEST(entering)
{
	struct pagetable t;

	table_init(&t, 100000, 10);
	ck_assert_uint_eq(bitmap_next(&t.dirty, 0), 100000);
	for (int i = 0; i < 10; i++)
		ck_assert(!atomic_load(&t.pages[i].state) && !t.pages[i].versions);
	pagetable_enter(&t, 0, 4, 7, false);
	pagetable_enter(&t, 4, 10, 8, true);
	for (size_t i = 0; i < 10; i++) {
		uint64_t state = page_peek(&t.pages[i]);
		ck_assert_uint_eq(page_stamp(state), i < 4 ? 7 : 8);
		ck_assert(!!(state & PAGE_FRESH) == (i >= 4) && !(state & PAGE_LOCKED));
		ck_assert(bitmap_test(&t.dirty, i) == (i < 4));
	}
	/* More; what is there stays. A call that asks for less takes nothing away. */
	ck_assert_int_eq(pagetable_commit(&t, 100000), 0);
	ck_assert_int_eq(pagetable_commit(&t, 5), 0);
	ck_assert_uint_eq(t.committed, 100000);
	pagetable_enter(&t, 99999, 100000, UINT64_MAX >> PAGE_STAMP_SHIFT, false);
	ck_assert_uint_eq(page_stamp(page_peek(&t.pages[99999])), UINT64_MAX >> PAGE_STAMP_SHIFT);
	ck_assert_uint_eq(page_stamp(page_peek(&t.pages[3])), 7);
	ck_assert_uint_eq(atomic_load(&t.pages[99998].state), 0);
	ck_assert_uint_eq(bitmap_next(&t.dirty, 4), 99999);
	pagetable_destroy(&t);
}
END_TEST

/* A heap's worth of entries costs only what is committed: the rest cannot be touched. */
static void touch_uncommitted(void *arg)
{
	struct pagetable t = {0};
	size_t per_page = page_size() / sizeof(struct page);

	if (pagetable_init(&t, (size_t)1 << 24) || pagetable_commit(&t, per_page + 1))
		_exit(1);
	atomic_store(&t.pages[2 * per_page - 1].state, 1); /* committed is rounded up */
	atomic_store(&t.pages[2 * per_page - 1 + (arg != NULL)].state, 1);
}

START_TEST(uncommitted)
{
	ck_assert_int_eq(in_child(touch_uncommitted, NULL, NULL), 0);
	ck_assert(died_of_segv(in_child(touch_uncommitted, "", NULL)));
}
END_TEST

/* ---- the lock of a page ---- */

struct contenders {
	struct page page;
	size_t rounds;
	uint64_t count; /* not atomic: the lock protects it */
	_Atomic unsigned inside, errors;
};

static void *contend(void *arg)
{
	struct contenders *c = arg;

	for (size_t i = 0; i < c->rounds; i++) {
		uint64_t state = page_lock(&c->page);
		if (atomic_fetch_add(&c->inside, 1) || state & PAGE_LOCKED)
			atomic_fetch_add(&c->errors, 1);
		/* The stamp counts the rounds, as seen by whoever has the lock. */
		if (page_stamp(state) != c->count)
			atomic_fetch_add(&c->errors, 1);
		c->count++;
		atomic_fetch_sub(&c->inside, 1);
		page_unlock(&c->page, state + ((uint64_t)1 << PAGE_STAMP_SHIFT));
		state = page_peek(&c->page);
		if (state & PAGE_LOCKED || !page_stamp(state))
			atomic_fetch_add(&c->errors, 1);
	}
	return NULL;
}

START_TEST(lock_excludes)
{
	struct contenders c = {.rounds = scaled(100000, 3000000, 5000)};
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, contend, &c), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(atomic_load(&c.errors), 0);
	ck_assert_uint_eq(c.count, THREADS * c.rounds);
	ck_assert_uint_eq(page_stamp(page_peek(&c.page)), THREADS * c.rounds);
}
END_TEST

START_TEST(lock_keeps_state)
{
	struct page page = {0};
	uint64_t state = (uint64_t)0x123456789 << PAGE_STAMP_SHIFT | PAGE_FRESH;

	page_unlock(&page, state);
	ck_assert_uint_eq(page_peek(&page), state);
	ck_assert_uint_eq(page_lock(&page), state);
	ck_assert_uint_eq(atomic_load(&page.state), state | PAGE_LOCKED);
	page_unlock(&page, state);
	ck_assert_uint_eq(page_peek(&page), state);
}
END_TEST

struct waiter {
	struct page *page;
	bool peek;
	_Atomic uint64_t got; /* a state; 0 = still waiting */
};

static void *wait_for_page(void *arg)
{
	struct waiter *w = arg;

	atomic_store(&w->got, w->peek ? page_peek(w->page) : page_lock(w->page));
	return NULL;
}

/* Whoever locks or peeks waits until the page is unlocked, and sees the new state. */
START_TEST(locked_pages_are_waited_for)
{
	struct page page = {0};
	struct waiter w = {.page = &page, .peek = _i};
	uint64_t new = (uint64_t)5 << PAGE_STAMP_SHIFT;
	pthread_t thread;

	page_lock(&page);
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_page, &w), 0);
	usleep(20000); /* the more time it has, the likelier it does what it must not */
	ck_assert_uint_eq(atomic_load(&w.got), 0);
	page_unlock(&page, new);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(atomic_load(&w.got), new);
}
END_TEST

/* ---- the count of borders ---- */

static long count_borders(const struct pagetable *t, size_t pages)
{
	long n = 0;

	for (size_t i = 1; i < pages; i++)
		n += bitmap_test(&t->dirty, i) != bitmap_test(&t->dirty, i - 1);
	return n;
}

START_TEST(mark_dirty_counts_borders)
{
	uint64_t seed = seed_of_run(31);
	struct pagetable t;

	table_init(&t, 5000, 5000);
	for (int round = 0; round < (int)scaled(60, 600, 10); round++) {
		size_t pages = round < 20 ? (size_t)round % 10 + 1 : 1 + rng(&seed) % 5000;
		long borders = 0;
		bitmap_clear(&t.dirty);
		for (int i = 0; i < 200; i++) {
			size_t first = rng(&seed) % pages;
			size_t n = 1 + rng(&seed) % (i % 9 == 0 ? pages : 4);
			if (n > pages - first)
				n = pages - first;
			long grown = pagetable_mark_dirty(&t, first, n, pages);
			borders += grown;
			if (borders != count_borders(&t, pages))
				ck_abort_msg("marking [%zu, +%zu) of %zu: %+ld, but %ld in all",
					     first, n, pages, grown, count_borders(&t, pages));
			for (size_t k = first; k < first + n; k++)
				if (!bitmap_test(&t.dirty, k))
					ck_abort_msg("page %zu is not marked", k);
		}
		/* And nothing beyond the heap. */
		ck_assert_uint_eq(bitmap_next(&t.dirty, pages), t.dirty.bits);
		ck_assert_int_eq(borders + pagetable_mark_dirty(&t, 0, pages, pages), 0);
	}
	pagetable_destroy(&t);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pagetable");
	TCase *bitmap = tcase_create("bitmap"), *pages = tcase_create("pages");

	tcase_add_loop_test(bitmap, word_borders, 0, SIZES);
	tcase_add_loop_test(bitmap, random_bits, 0, SIZES);
	tcase_add_loop_test(bitmap, sets_of_sets, 0, SIZES);
	tcase_add_test(bitmap, many_setters);
	suite_add_tcase(suite, bitmap);
	tcase_add_test(pages, entering);
	tcase_add_test(pages, uncommitted);
	tcase_add_test(pages, lock_excludes);
	tcase_add_test(pages, lock_keeps_state);
	tcase_add_loop_test(pages, locked_pages_are_waited_for, 0, 2);
	tcase_add_test(pages, mark_dirty_counts_borders);
	suite_add_tcase(suite, pages);
	return run_suite(suite);
}
