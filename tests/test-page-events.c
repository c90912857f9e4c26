/* SPDX-License-Identifier: BSD-2-Clause */
/* test-page-events.c - cowarena_on_page() reports exactly what the counters count. */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define PAGES 600
#define THREADS 3

/* What was told. Outside the arena; several threads write at once. */
static _Atomic uint64_t told[COWARENA_PAGE_EVENTS];
static _Atomic unsigned char last[PAGES]; /* 1 + the event, of each page of the block */
static _Atomic uint64_t strays;           /* calls with what is no page of the arena's */
static char *block;
static struct cowarena_stats before; /* anybody was told */

static void tell(void *ctx, const void *page, enum cowarena_page_event what)
{
	const char *at = page;
	size_t size = page_size();

	if (what >= COWARENA_PAGE_EVENTS || (uintptr_t)at % size || !cowarena_contains(ctx, at)) {
		atomic_fetch_add(&strays, 1);
		return;
	}
	atomic_fetch_add(&told[what], 1);
	if (at >= block && (size_t)(at - block) / size < PAGES)
		atomic_store(&last[(size_t)(at - block) / size], (unsigned char)(what + 1));
}

static cowarena *watched(int i)
{
	cowarena *arena = arena_case(i);

	before = stats_of(arena);
	if (case_is_kernel(i)) { /* which has nothing to tell */
		ck_assert_int_eq(cowarena_on_page(arena, tell, arena), -1);
		ck_assert(errno == ENOTSUP && strstr(cowarena_errmsg(), "engine hybrid"));
		ck_assert_int_eq(cowarena_on_page(arena, NULL, NULL), 0);
		cowarena_destroy(arena);
		return NULL;
	}
	ck_assert_int_eq(cowarena_on_page(arena, tell, arena), 0);
	block = page_block(arena, PAGES);
	return arena;
}

static void told_as_counted(cowarena *arena)
{
	struct cowarena_stats s = stats_of(arena);

	ck_assert_uint_eq(told[COWARENA_PAGE_COPIED], s.copied - before.copied);
	ck_assert_uint_eq(told[COWARENA_PAGE_AHEAD], s.copied_ahead - before.copied_ahead);
	ck_assert_uint_eq(told[COWARENA_PAGE_SHADOWED], s.shadowed - before.shadowed);
	ck_assert_uint_eq(told[COWARENA_PAGE_REUSED], s.reused - before.reused);
	ck_assert_uint_eq(told[COWARENA_PAGE_ZERO], s.zero - before.zero);
	ck_assert_uint_eq(strays, 0);
}

static void *writes(void *seed)
{
	uint64_t x = (uintptr_t)seed;

	for (int i = 0; i < 20000; i++) {
		size_t page = rng(&x) % PAGES;
		*(_Atomic unsigned char *)(block + page * page_size() + (uintptr_t)seed) += 1;
	}
	return NULL;
}

/* Threads write, walk, and release, with snapshots in between. */
START_TEST(as_the_counters)
{
	cowarena *arena = watched(_i);
	cowarena_snapshot *s[4];
	pthread_t threads[THREADS];

	if (!arena)
		return;
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, writes, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++) {
		s[i] = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(s[i]);
		for (size_t page = 0; page < PAGES / 2; page++) /* copied ahead */
			block[page * page_size() + 100]++;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	told_as_counted(arena);
	ck_assert_uint_gt(told[COWARENA_PAGE_COPIED], 0);
	for (int i = 0; i < 6; i++) { /* hot pages */
		cowarena_snapshot *hot = take_snapshot(arena, COWARENA_QUIESCENT);
		ck_assert_ptr_nonnull(hot);
		block[0]++;
		cowarena_snapshot_release(hot);
	}
	for (int i = 0; i < 4; i++)
		cowarena_snapshot_release(s[i]);
	memset(block, 9, PAGES * page_size());
	told_as_counted(arena);
	cowarena_destroy(arena);
}
END_TEST

/* Page by page, where each has its cause. */
START_TEST(which_page)
{
	cowarena *arena = watched(CASE_FAITHFUL);
	size_t size = page_size();

	block[0] = block[size] = 1;
	ck_assert_int_eq(last[0], 1 + COWARENA_PAGE_ZERO);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	block[0] = 2;
	ck_assert_int_eq(last[0], 1 + COWARENA_PAGE_COPIED);
	ck_assert_int_eq(last[1], 1 + COWARENA_PAGE_ZERO);
	cowarena_snapshot_release(s);
	block[size] = 2;
	ck_assert_int_eq(last[0], 1 + COWARENA_PAGE_COPIED);
	ck_assert_int_eq(last[1], 1 + COWARENA_PAGE_REUSED);
	for (size_t i = 2; i < PAGES; i++)
		ck_assert_int_eq(last[i], 0);
	told_as_counted(arena);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(nobody)
{
	cowarena *arena = watched(_i);

	if (!arena)
		return;
	ck_assert_int_eq(cowarena_on_page(arena, NULL, NULL), 0);
	memset(told, 0, sizeof told);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	memset(block, 1, PAGES * page_size());
	cowarena_snapshot_release(s);
	for (int i = 0; i < COWARENA_PAGE_EVENTS; i++)
		ck_assert_uint_eq(told[i], 0);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("page-events");
	TCase *tc = tcase_create("told");

	tcase_add_loop_test(tc, as_the_counters, 0, CASES);
	tcase_add_test(tc, which_page);
	tcase_add_loop_test(tc, nobody, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
