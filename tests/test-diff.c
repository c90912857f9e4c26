/* SPDX-License-Identifier: BSD-2-Clause */
/* test-diff.c - cowarena_diff(): what has changed. */
#include "config.h"

#include "common.h"

#include <errno.h>

struct runs {
	struct {
		const char *start;
		size_t len;
	} run[5000];
	size_t n;
	const char *block; /* only runs within are kept: bookkeeping changes too */
	size_t len;
};

static int note(void *ctx, const void *start, size_t len)
{
	struct runs *r = ctx;
	const char *p = start;

	if (!len)
		ck_abort_msg("an empty run");
	/* Clip to the block: a run may go on into its neighbours. */
	if (p < r->block) {
		size_t before = (size_t)(r->block - p);
		if (before >= len)
			return 0;
		p = r->block;
		len -= before;
	}
	if (p >= r->block + r->len)
		return 0;
	if (len > (size_t)(r->block + r->len - p))
		len = (size_t)(r->block + r->len - p);
	if (r->n && p <= r->run[r->n - 1].start + r->run[r->n - 1].len)
		ck_abort_msg("runs are not ascending, or touch");
	r->run[r->n].start = p;
	r->run[r->n++].len = len;
	return 0;
}

static struct runs runs_in(cowarena_snapshot *older, cowarena_snapshot *newer, unsigned flags,
			   const char *block, size_t pages)
{
	struct runs r = {.block = block, .len = pages * page_size()};
	int result = flags ? cowarena_diff_with(older, newer, flags, note, &r)
			   : cowarena_diff(older, newer, note, &r);

	ck_assert_msg(result == 0, "%s", cowarena_errmsg());
	return r;
}

START_TEST(runs_of_pages)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 20);

	memset(p, 'a', 20 * page_size());
	cowarena_snapshot *one = take_snapshot(arena, 0);
	ck_assert_uint_eq(runs_in(one, NULL, 0, p, 20).n, 0);
	p[2 * page_size() + 5] = 'b';
	p[3 * page_size() + 5] = 'b';
	p[9 * page_size()] = 'b';
	cowarena_snapshot *two = take_snapshot(arena, 0);
	p[3 * page_size() + 5] = 'c'; /* dirtied again */
	p[19 * page_size()] = 'c';

	struct runs r = runs_in(one, two, 0, p, 20);
	ck_assert_uint_eq(r.n, 2);
	ck_assert_ptr_eq(r.run[0].start, p + 2 * page_size());
	ck_assert_uint_eq(r.run[0].len, 2 * page_size());
	ck_assert_ptr_eq(r.run[1].start, p + 9 * page_size());
	r = runs_in(two, NULL, 0, p, 20);
	ck_assert_uint_eq(r.n, 2);
	ck_assert_ptr_eq(r.run[0].start, p + 3 * page_size());
	ck_assert_uint_eq(r.run[0].len, page_size());
	ck_assert_ptr_eq(r.run[1].start, p + 19 * page_size());
	ck_assert_uint_eq(runs_in(one, NULL, 0, p, 20).n, 3);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(written_is_not_changed)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 4);

	memset(p, 'a', 4 * page_size());
	cowarena_snapshot *one = take_snapshot(arena, 0);
	memset(p, 'b', 4 * page_size());
	memset(p, 'a', 3 * page_size());
	cowarena_snapshot *two = take_snapshot(arena, 0);
	struct runs r = runs_in(one, two, 0, p, 4);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_ptr_eq(r.run[0].start, p + 3 * page_size());
	ck_assert_int_eq(cowarena_rollback(arena, one), 0);
	ck_assert_uint_eq(runs_in(one, NULL, 0, p, 4).n, 0);
	ck_assert_uint_eq(runs_in(two, NULL, 0, p, 4).n, 1);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(exact_bytes)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 4);

	memset(p, 0, 4 * page_size());
	cowarena_snapshot *one = take_snapshot(arena, 0);
	p[0] = 1;
	memset(p + page_size() - 10, 1, 20); /* over the border of a page: one run */
	p[page_size() + 100] = 1;
	p[page_size() + 102] = 1;
	p[4 * page_size() - 1] = 1;
	struct runs r = runs_in(one, NULL, COWARENA_DIFF_BYTES, p, 4);
	ck_assert_uint_eq(r.n, 5);
	ck_assert_ptr_eq(r.run[0].start, p);
	ck_assert_uint_eq(r.run[0].len, 1);
	ck_assert_ptr_eq(r.run[1].start, p + page_size() - 10);
	ck_assert_uint_eq(r.run[1].len, 20);
	ck_assert_ptr_eq(r.run[2].start, p + page_size() + 100);
	ck_assert_ptr_eq(r.run[3].start, p + page_size() + 102);
	ck_assert_ptr_eq(r.run[4].start, p + 4 * page_size() - 1);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(pages_that_are_new)
{
	cowarena *arena = arena_case(_i);
	cowarena_snapshot *one = take_snapshot(arena, 0);
	char *p = page_block(arena, 3000);

	memset(p, 1, 3000 * page_size());
	struct runs r = runs_in(one, NULL, 0, p, 3000);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_ptr_eq(r.run[0].start, p);
	ck_assert_uint_eq(r.run[0].len, 3000 * page_size());
	cowarena_destroy(arena);
}
END_TEST

static int stop_at_second(void *ctx, const void *start, size_t len)
{
	(void)start, (void)len;
	return ++*(int *)ctx == 2 ? 77 : 0;
}

struct busy {
	cowarena *arena;
	cowarena_snapshot *snap;
	char *p;
};

static int call_back_into_the_library(void *ctx, const void *start, size_t len)
{
	struct busy *b = ctx;

	(void)start, (void)len;
	cowarena_free(b->arena, cowarena_alloc(b->arena, 100));
	b->p[0]++;
	cowarena_snapshot_release(take_snapshot(b->arena, 0));
	return 0;
}

START_TEST(the_callback_is_free)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 20);
	int calls = 0;

	memset(p, 0, 20 * page_size());
	cowarena_snapshot *one = take_snapshot(arena, 0);
	for (size_t i = 0; i < 20; i += 2)
		p[i * page_size()] = 1;
	ck_assert_int_eq(cowarena_diff(one, NULL, stop_at_second, &calls), 77);
	ck_assert_int_eq(calls, 2);
	struct busy busy = {arena, one, p};
	ck_assert_int_eq(cowarena_diff(one, NULL, call_back_into_the_library, &busy), 0);
	cowarena_destroy(arena);
}
END_TEST

/* Every pair of many snapshots, against plain copies. */
START_TEST(any_pair)
{
	enum { SNAPS = 12, PAGES = 50 };
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);
	size_t n = PAGES * page_size();
	char *copy[SNAPS];
	cowarena_snapshot *snap[SNAPS];
	uint64_t state = seed_of_run(11);

	memset(p, 0, n);
	for (int i = 0; i < SNAPS; i++) {
		for (size_t w = rng(&state) % 30; w; w--)
			p[rng(&state) % n] = (char)(rng(&state) % 3);
		copy[i] = malloc(n);
		memcpy(copy[i], p, n);
		snap[i] = take_snapshot(arena, 0);
	}
	for (int a = 0; a < SNAPS; a++)
		for (int b = a + 1; b < SNAPS; b++)
			for (unsigned flags = 0; flags < 2; flags++) {
				struct runs r = runs_in(snap[a], snap[b], flags, p, PAGES);
				size_t unit = flags ? 1 : page_size(), at = 0;
				for (size_t i = 0; i < n; i += unit) {
					while (at < r.n && r.run[at].start + r.run[at].len <= p + i)
						at++;
					bool reported = at < r.n && r.run[at].start <= p + i;
					bool differs = memcmp(copy[a] + i, copy[b] + i, unit) != 0;
					if (reported != differs)
						ck_abort_msg("%d to %d at %zu", a, b, i);
				}
			}
	for (int i = 0; i < SNAPS; i++)
		free(copy[i]);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("diff");
	TCase *tc = tcase_create("diff");

	tcase_add_loop_test(tc, runs_of_pages, 0, CASES);
	tcase_add_loop_test(tc, written_is_not_changed, 0, CASES);
	tcase_add_loop_test(tc, exact_bytes, 0, CASES);
	tcase_add_loop_test(tc, pages_that_are_new, 0, CASES);
	tcase_add_loop_test(tc, the_callback_is_free, 0, CASES);
	tcase_add_loop_test(tc, any_pair, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
