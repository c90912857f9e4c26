/* SPDX-License-Identifier: BSD-2-Clause */
/* test-dict.c - cowkv's dicts (part of test-values): rehashing both ways, scans meanwhile, and the
   guard. */
#include "config.h"

#include "../common.h"
#include "test-values.h"

#include "../../src/cowkv/data/dict.h"
#include "../../src/cowkv/types/kinds.h"

#include <stdio.h>

#define NAMES 20000

void open_heap(void)
{
	ck_assert(heap_open((size_t)1 << 30, 0));
	kinds_init();
	dict_seed();
}

void close_heap(void)
{
	heap_close();
}

bool name_is(struct slice s, const char *name)
{
	return s.len == strlen(name) && memcmp(s.data, name, s.len) == 0;
}

/* Which names are in the dict, and how often a scan has come by them. */
static struct {
	bool in[NAMES];
	bool stays[NAMES]; /* from the first step of the scan on */
	unsigned seen[NAMES];
	size_t n;
} model;

static struct slice name_of(char text[16], size_t i)
{
	return (struct slice){text, (size_t)snprintf(text, 16, "n%zu", i)};
}

static size_t number_of(const struct entry *e)
{
	char text[16] = "";

	memcpy(text, e->key, e->len < 15 ? e->len : 15);
	return (size_t)atoi(text + 1);
}

static bool add(struct dict *d, size_t i)
{
	char text[16];
	bool added;
	struct entry *e = dict_add(d, name_of(text, i), &added);

	if (added == model.in[i] || !e || number_of(e) != i)
		ck_abort_msg("n%zu was added, and was %s there", i, model.in[i] ? "" : "not");
	model.n += added;
	model.in[i] = true;
	return added;
}

static bool take(struct dict *d, size_t i)
{
	char text[16];
	struct entry *e = dict_take(d, name_of(text, i));

	if ((e != NULL) != model.in[i])
		ck_abort_msg("n%zu was taken, and was %s there", i, model.in[i] ? "" : "not");
	heap_free(e);
	dict_shrink(d);
	model.n -= model.in[i];
	model.in[i] = model.stays[i] = false;
	return e;
}

static bool rehashing(const struct dict *d)
{
	return d->next != SIZE_MAX;
}

static void check(struct dict *d)
{
	struct dict_iterator i = DICT_ITERATOR(d);
	static bool found[NAMES];
	size_t n = 0;

	if (d->used != model.n)
		ck_abort_msg("%zu entries instead of %zu", d->used, model.n);
	memset(found, 0, sizeof found);
	for (struct entry *e; (e = dict_next(&i)) != NULL; n++) {
		size_t k = number_of(e);
		if (found[k] || !model.in[k])
			ck_abort_msg("n%zu is there %s", k, found[k] ? "twice" : "and was taken");
		found[k] = true;
	}
	ck_assert_uint_eq(n, model.n);
	for (size_t k = 0; k < NAMES; k += 7) {
		char text[16];
		if ((dict_find(d, name_of(text, k)) != NULL) != model.in[k])
			ck_abort_msg("n%zu is not found, or is", k);
	}
}

START_TEST(test_rehash)
{
	struct dict d = DICT_EMPTY;
	uint64_t state = seed_of_run(0xd1c7);
	size_t most = 0, rehashes = 0;
	bool was = false;

	open_heap();
	for (int wave = 0; wave < 4; wave++) {
		for (size_t i = 0; i < NAMES; i++) {
			if (rng(&state) % 8)
				model.in[i] ? (void)0 : (void)add(&d, i);
			rehashes += rehashing(&d) && !was;
			was = rehashing(&d);
			if (i % 1000 == 0)
				check(&d);
		}
		most = d.size[0] > most ? d.size[0] : most;
		for (size_t i = 0; i < NAMES; i++) {
			size_t k = (i * 7919) % NAMES;
			if (wave == 3 || rng(&state) % 64)
				take(&d, k);
			rehashes += rehashing(&d) && !was;
			was = rehashing(&d);
			if (i % 1000 == 0)
				check(&d);
		}
		while (dict_step(&d, 100))
			;
		ck_assert(!rehashing(&d));
	}
	ck_assert_uint_ge(most, NAMES / 2);
	ck_assert_uint_le(d.size[0], 64); /* it has shrunk with what is in it */
	ck_assert_uint_gt(rehashes, 20);
	ck_assert_uint_eq(d.used, 0);
	dict_clear(&d, NULL);
	close_heap();
}
END_TEST

static void see(void *ctx, struct entry *e)
{
	(void)ctx;
	model.seen[number_of(e)]++;
}

/* Between the steps of a scan much is added, or taken, and tables are rehashed part of the way. */
static void scan_while(struct dict *d, uint64_t *state, int kind)
{
	uint64_t cursor = 0;
	size_t steps = 0;

	memset(model.seen, 0, sizeof model.seen);
	memcpy(model.stays, model.in, sizeof model.in);
	do {
		cursor = dict_scan(d, cursor, see, NULL);
		size_t some = rng(state) % 40;
		dict_guarded = rng(state) % 8 == 0;
		for (size_t i = 0; i < some; i++) {
			size_t k = rng(state) % NAMES;
			bool grow = kind == 0 || (kind == 2 && steps / 100 % 2);
			if (grow && !model.in[k])
				add(d, k);
			else if (!grow && model.in[k])
				take(d, k);
		}
		dict_step(d, rng(state) % 4);
		if (++steps > 100 * NAMES)
			ck_abort_msg("the scan does not end");
	} while (cursor);
	dict_guarded = false;
	for (size_t k = 0; k < NAMES; k++)
		if (model.stays[k] && !model.seen[k])
			ck_abort_msg("n%zu was there all the time, and was not seen", k);
}

START_TEST(test_scan)
{
	struct dict d = DICT_EMPTY;
	uint64_t state = seed_of_run(0x5ca4);
	size_t rounds = scaled(30, 1000, 8);

	open_heap();
	for (size_t r = 0; r < rounds; r++) {
		size_t n = (size_t)1 << (rng(&state) % 14);
		for (size_t i = 0; i < n; i++) {
			size_t k = rng(&state) % NAMES;
			if (!model.in[k])
				add(&d, k);
		}
		scan_while(&d, &state, (int)(rng(&state) % 3));
		check(&d);
		for (size_t k = 0; k < NAMES; k++)
			if (model.in[k] && rng(&state) % 4)
				take(&d, k);
	}
	dict_clear(&d, NULL);
	close_heap();
}
END_TEST

static size_t longest_chain(const struct dict *d)
{
	size_t longest = 0;

	for (int t = 0; t < 2; t++) {
		for (size_t i = 0; i < d->size[t]; i++) {
			size_t n = 0;
			for (const struct entry *e = d->table[t][i]; e; e = e->next)
				n++;
			longest = n > longest ? n : longest;
		}
	}
	return longest;
}

/* With the guard on nothing moves, up to five entries a bucket; then it must, even if a rehash had
   begun before. */
START_TEST(test_guard)
{
	for (int begun = 0; begun < 2; begun++) {
		struct dict d = DICT_EMPTY;
		memset(&model, 0, sizeof model);
		open_heap();
		for (size_t i = 0; i < (begun ? 65 : 64); i++)
			add(&d, i);
		while (!begun && dict_step(&d, 100))
			;
		ck_assert(rehashing(&d) == (begun == 1));
		dict_guarded = true;
		struct dict before = d;
		for (size_t i = 65; i < 300; i++) {
			if (!model.in[i])
				add(&d, i);
			ck_assert_ptr_eq(d.table[0], before.table[0]);
			ck_assert_uint_eq(d.next, before.next);
		}
		for (size_t i = 64; i < 300; i++)
			if (model.in[i])
				take(&d, i);
		ck_assert(!dict_step(&d, 100));
		ck_assert_ptr_eq(d.table[0], before.table[0]);
		ck_assert_uint_eq(d.next, before.next);
		for (size_t i = 0; i < NAMES; i++)
			if (!model.in[i])
				add(&d, i);
		check(&d);
		ck_assert_uint_ge(d.size[0] + d.size[1], NAMES / 8);
		ck_assert_uint_lt(longest_chain(&d), 40);
		dict_guarded = false;
		while (dict_step(&d, 1000))
			;
		check(&d);
		dict_clear(&d, NULL);
		close_heap();
	}
}
END_TEST

/* A table that is nearly empty, as nothing is moved: what is drawn is there, and is found without
   end. */
START_TEST(test_random)
{
	struct dict d = DICT_EMPTY;
	unsigned drawn[10] = {0};

	open_heap();
	for (size_t i = 0; i < NAMES; i++)
		add(&d, i);
	while (dict_step(&d, 1000))
		;
	dict_guarded = true;
	for (size_t i = 10; i < NAMES; i++)
		take(&d, i);
	for (int i = 0; i < 5000; i++)
		drawn[number_of(dict_random(&d))]++;
	dict_guarded = false;
	for (int i = 0; i < 5000; i++) /* while it is moved */
		drawn[number_of(dict_random(&d))]++;
	for (int i = 0; i < 10; i++)
		ck_assert_uint_gt(drawn[i], 0);
	dict_clear(&d, NULL);
	ck_assert_ptr_null(dict_random(&d));
	close_heap();
}
END_TEST

TCase *dict_tests(void)
{
	TCase *tc = tcase_create("dict");

	tcase_add_test(tc, test_rehash);
	tcase_add_test(tc, test_scan);
	tcase_add_test(tc, test_guard);
	tcase_add_test(tc, test_random);
	return tc;
}
