/* SPDX-License-Identifier: BSD-2-Clause */
/* test-values.c - cowkv's data structures against simple models: lists, sorted sets, and the heap
   of expiries; test-dict.c has the dicts. */
#include "config.h"

#include "../common.h"
#include "test-values.h"

#include "../../src/cowkv/data/db.h"
#include "../../src/cowkv/types/kinds.h"
#include "../../src/cowkv/types/value-list.h"
#include "../../src/cowkv/types/value-string.h"
#include "../../src/cowkv/types/value-zset.h"

#include <math.h>
#include <stdio.h>

/* ---- lists: against an array ---- */

struct model {
	unsigned item[4096];
	size_t first, n; /* item[first .. first + n - 1] */
};

static struct slice number(char text[16], unsigned n)
{
	return (struct slice){text, (size_t)snprintf(text, 16, "%u", n)};
}

static void is_number(struct slice s, unsigned n)
{
	char text[16];
	struct slice wanted = number(text, n);

	if (s.len != wanted.len || memcmp(s.data, text, s.len) != 0)
		ck_abort_msg("%.*s instead of %s", (int)s.len, s.data, text);
}

struct walk {
	const struct model *m;
	size_t at;
};

static void visit(void *ctx, struct slice s)
{
	struct walk *w = ctx;

	is_number(s, w->m->item[w->m->first + w->at++]);
}

static void check_list(struct list *l, const struct model *m, uint64_t *state)
{
	if (l->count != m->n)
		ck_abort_msg("%zu elements instead of %zu", (size_t)l->count, m->n);
	if (!m->n)
		return;
	size_t i = rng(state) % m->n, n = rng(state) % (m->n - i + 1);
	is_number(text_slice(*list_at(l, i)), m->item[m->first + i]);
	struct walk w = {m, i};
	list_range(l, i, n, visit, &w);
	if (w.at != i + n)
		ck_abort_msg("a range of %zu elements instead of %zu", w.at - i, n);
}

START_TEST(test_list)
{
	uint64_t state = seed_of_run(0x115);
	size_t rounds = scaled(40, 2000, 10);

	open_heap();
	for (size_t r = 0; r < rounds; r++) {
		static struct model m;
		struct list *l = (struct list *)value_new(VALUE_LIST);
		unsigned next = 0;
		int pushes = 2 + (int)(rng(&state) % 5); /* of 8: it grows, or shrinks */
		m.first = 2048;
		m.n = 0;
		for (int i = 0; i < 2000; i++) {
			bool at_tail = rng(&state) % 2;
			char text[16];
			if ((int)(rng(&state) % 8) < pushes && m.n < 2000 && m.first > 1 &&
			    m.first + m.n < 4095) {
				list_push(l, number(text, next), at_tail);
				m.first -= !at_tail;
				m.item[at_tail ? m.first + m.n : m.first] = next++;
				m.n++;
			} else {
				struct text *t = list_pop(l, at_tail);
				ck_assert((t == NULL) == (m.n == 0));
				if (t) {
					is_number(text_slice(t),
						  m.item[at_tail ? m.first + m.n - 1 : m.first]);
					m.first += !at_tail;
					m.n--;
					heap_free(t);
				}
			}
			check_list(l, &m, &state);
		}
		value_free(l);
	}
	close_heap();
}
END_TEST

/* ---- sorted sets: against an array that is sorted by insertion ---- */

struct pair {
	double score;
	char name[16];
};

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* From both ends, by rank, and the first of each score. */
static void check_zset(struct zset *z, struct pair *pairs, size_t n)
{
	struct zset_node *at = z->head->link[0].after, *before = NULL;

	qsort(pairs, n, sizeof *pairs, compare_pairs);
	if (z->by_name.used != n)
		ck_abort_msg("%zu members instead of %zu", z->by_name.used, n);
	for (size_t i = 0; i < n; i++, before = at, at = zset_after(at)) {
		if (!at || at->score != pairs[i].score || at->before != before ||
		    !name_is(entry_slice(at->member), pairs[i].name) || zset_at(z, i) != at)
			ck_abort_msg("rank %zu is not %s", i, pairs[i].name);
		if (i == 0 || pairs[i - 1].score < pairs[i].score) {
			if (zset_from(z, pairs[i].score, false) != at)
				ck_abort_msg("not the first of score %g", pairs[i].score);
			struct zset_node *last = zset_from(z, pairs[i].score, true);
			if (last && (last->score <= pairs[i].score ||
				     last->before->score != pairs[i].score))
				ck_abort_msg("not the first above score %g", pairs[i].score);
		}
	}
	ck_assert(!at && z->tail == before);
	ck_assert_ptr_null(zset_at(z, n));
	ck_assert_ptr_null(zset_at(z, n + 1000));
	ck_assert_ptr_null(zset_from(z, INFINITY, true));
	ck_assert_ptr_eq(zset_from(z, -INFINITY, false), z->head->link[0].after);
}

static size_t find_pair(const struct pair *pairs, size_t n, const char *name)
{
	size_t i = 0;

	while (i < n && strcmp(pairs[i].name, name) != 0)
		i++;
	return i;
}

START_TEST(test_zset)
{
	uint64_t state = seed_of_run(0x25e7);
	size_t rounds = scaled(60, 3000, 15);

	open_heap();
	for (size_t r = 0; r < rounds; r++) {
		static struct pair pairs[300];
		struct zset *z = (struct zset *)value_new(VALUE_ZSET);
		size_t n = 0, names = 1 + rng(&state) % 300, scores = 1 + rng(&state) % 50;
		for (int i = 0; i < 1500; i++) {
			char name[16];
			double score = (double)(rng(&state) % scores) / 4;
			snprintf(name, sizeof name, "m%d", (int)(rng(&state) % names));
			struct slice s = {name, strlen(name)};
			size_t at = find_pair(pairs, n, name);
			if (rng(&state) % 3) {
				ck_assert(zset_set(z, s, score) == (at == n));
				n += at == n;
				snprintf(pairs[at].name, sizeof pairs[at].name, "%s", name);
				pairs[at].score = score;
			} else {
				ck_assert(zset_remove(z, s) == (at < n));
				if (at < n)
					pairs[at] = pairs[--n];
			}
			if (i % 50 == 0)
				check_zset(z, pairs, n);
		}
		check_zset(z, pairs, n);
		value_free(z);
	}
	close_heap();
}
END_TEST

/* ---- expiry: against an array of times ---- */

#define KEYS 300

static void check_expiries(const int64_t *when, const bool *there)
{
	size_t expiring = 0, n = 0;

	for (size_t i = 0; i < KEYS; i++) {
		char text[16];
		struct entry *e = dict_find(&db->keys, number(text, (unsigned)i));
		if ((e != NULL) != there[i] || (e && db_expiry(e) != when[i]))
			ck_abort_msg("key %zu expires at another time", i);
		expiring += there[i] && when[i];
		n += there[i];
	}
	ck_assert_uint_eq(db->expiring, expiring);
	ck_assert_uint_eq(db->keys.used, n);
	for (size_t i = 0; i < db->expiring; i++) {
		if (db_value(db->expiries[i].entry)->expiry != i + 1 ||
		    (i && db->expiries[(i - 1) / 2].when > db->expiries[i].when))
			ck_abort_msg("no heap");
	}
}

START_TEST(test_expiry)
{
	uint64_t state = seed_of_run(0xe);
	size_t steps = scaled(40000, 2000000, 10000);
	static int64_t when[KEYS];
	static bool there[KEYS];

	open_heap();
	db_open();
	db_expiring = DB_KEEPS;
	for (size_t i = 0; i < steps; i++) {
		unsigned k = (unsigned)(rng(&state) % KEYS);
		char text[16];
		struct slice key = number(text, k);
		struct entry *e = db_find(key);
		int64_t time = (int64_t)(rng(&state) % 8 ? 1 + rng(&state) % 100 : 0);
		switch (rng(&state) % 6) {
		case 0: /* the same key anew: it does not expire then */
			db_set(key, string_new(key));
			when[k] = 0;
			there[k] = true;
			break;
		case 1:
			ck_assert(db_delete(key) == there[k]);
			there[k] = false;
			break;
		case 2:
			if (e) { /* another value, that expires as the one before */
				struct value *old = e->value;
				db_put(e, string_new(key), old->expiry);
				value_free(old);
			}
			break;
		default:
			if (e) {
				db_expire(e, time);
				when[k] = time;
			}
		}
		if (i % 64 == 0)
			check_expiries(when, there);
	}
	/* In the order of their times, all of which are long ago. */
	db_tick();
	size_t left = db->keys.used - db->expiring;
	while (db->expiring) {
		int64_t first = db->expiries[0].when;
		for (size_t i = 0; i < KEYS; i++)
			if (there[i] && when[i] && when[i] < first)
				ck_abort_msg("one that expires before was left");
		char text[16] = "";
		memcpy(text, db->expiries[0].entry->key, db->expiries[0].entry->len);
		unsigned k = (unsigned)atoi(text);
		ck_assert(db_expire_some(1) == (db->expiring > 0));
		there[k] = false;
	}
	ck_assert_uint_eq(db->keys.used, left);
	check_expiries(when, there);
	db_flush();
	ck_assert_uint_eq(db->keys.used, 0);
	close_heap();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv's values");
	TCase *tc = tcase_create("values");

	tcase_add_test(tc, test_list);
	tcase_add_test(tc, test_zset);
	tcase_add_test(tc, test_expiry);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, dict_tests());
	return run_suite(suite);
}
