/* SPDX-License-Identifier: BSD-2-Clause */
/* test-sparse.c - memory that was never touched: reading it must not allocate it. */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <stdatomic.h>

#define PAGES 4096
#define TOUCHED 4
#define SLACK 32 /* pages that the heap's own bookkeeping may come to need */

struct sparse {
	cowarena *arena;
	char *p;
	size_t n;
};

static size_t pages_with_memory(const struct sparse *s)
{
	return os_memory_used(&s->arena->file) / page_size();
}

/* The size of a block that is nearly all holes, with a few pages in it that are not. */
static struct sparse sparse_block(int i)
{
	struct sparse s = {.arena = arena_case(i), .n = PAGES * page_size()};

	s.p = chunk_block(s.arena, s.n / CHUNK);
	for (size_t k = 0; k < TOUCHED; k++)
		s.p[(k * 1000 + 7) * page_size()] = (char)('a' + k);
	return s;
}

static char expected(size_t offset)
{
	size_t page = offset / page_size();

	return offset % page_size() == 0 && page % 1000 == 7 && page / 1000 < TOUCHED
		   ? (char)('a' + page / 1000)
		   : 0;
}

static void assert_past(const char *past, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (past[i] != expected(i))
			ck_abort_msg("byte %zu is %d, not %d", i, past[i], expected(i));
}

/* An engine that copies each page at the snapshot gives it memory then. After a rollback a
   sanitizer is told of each unit of the heap, whose descriptors are looked at. */
static void assert_sparse(const struct sparse *s, int i, size_t before)
{
	if (sanitized())
		before += 2 * SLACK;
	if (i != CASE_EAGER)
		ck_assert_uint_le(pages_with_memory(s), before + SLACK);
}

START_TEST(reading_gives_no_memory)
{
	struct sparse s = sparse_block(_i);
	char *copy = malloc(s.n);
	cowarena_snapshot *snap = take_snapshot(s.arena, 0);
	size_t before = pages_with_memory(&s);

	ck_assert_int_eq(cowarena_snapshot_read(snap, copy, s.p, s.n), 0);
	assert_past(copy, s.n);
	/* Pieces that are no pages. */
	for (size_t at = 1, n; at < s.n; at += n) {
		n = s.n - at < 99991 ? s.n - at : 99991;
		memset(copy + at, 'x', n);
		ck_assert_int_eq(cowarena_snapshot_read(snap, copy + at, s.p + at, n), 0);
	}
	assert_past(copy, s.n);
	assert_sparse(&s, _i, before);
	/* Written since, and still what it was. */
	memset(s.p + 100 * page_size(), 'n', 50 * page_size());
	ck_assert_int_eq(cowarena_snapshot_read(snap, copy, s.p, s.n), 0);
	assert_past(copy, s.n);
	free(copy);
	cowarena_destroy(s.arena);
}
END_TEST

static void walk_view(int i, unsigned flags)
{
	struct sparse s = sparse_block(i);
	cowarena_snapshot *snap = take_snapshot(s.arena, 0);
	memset(s.p + 2500 * page_size(), 'n', 10 * page_size());
	size_t before = pages_with_memory(&s);
	cowarena_view *view = cowarena_view_open(snap, flags);
	ck_assert_msg(view != NULL, "%s", cowarena_errmsg());
	char *past = cowarena_view_at(view, s.p);

	assert_past(past, s.n);
	assert_sparse(&s, i, before);
	memset(s.p + 300 * page_size(), 'm', 500 * page_size());
	assert_past(past, s.n);
	/* A view that may be written to keeps what is written, in memory of its own. */
	before = pages_with_memory(&s);
	if (flags & COWARENA_VIEW_PRIVATE) {
		memset(past + 1500 * page_size(), 'v', 400 * page_size());
		ck_assert_int_eq(s.p[1500 * page_size()], 0);
		ck_assert_int_eq(past[1900 * page_size() - 1], 'v');
		memset(past + 1500 * page_size(), 0, 400 * page_size());
		if (i != CASE_EAGER) /* the store's look at the live page gave it memory */
			ck_assert_uint_le(pages_with_memory(&s), before + SLACK + 1);
	}
	memset(s.p, 'z', s.n);
	assert_past(past, s.n);
	ck_assert_int_eq(cowarena_view_check(view), 0);
	ck_assert_int_eq(cowarena_view_close(view), 0);
	ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	ck_assert_uint_eq(held_at_rest(s.arena), 0);
	cowarena_destroy(s.arena);
}

START_TEST(walking_a_view_gives_no_memory)
{
	walk_view(_i, 0);
	walk_view(_i, COWARENA_VIEW_PRIVATE);
}
END_TEST

START_TEST(memory_that_went_is_not_taken_for_there)
{
	struct sparse s = sparse_block(_i);
	char *q = chunk_block(s.arena, 1), *copy = malloc(CHUNK);

	memset(q, 'q', CHUNK);
	cowarena_snapshot *one = take_snapshot(s.arena, 0);
	ck_assert_int_eq(cowarena_snapshot_read(one, copy, q, CHUNK), 0); /* known from here on */
	ck_assert_int_eq(cowarena_snapshot_release(one), 0);
	cowarena_free(s.arena, q);
	cowarena_trim(s.arena);
	char *again = chunk_block(s.arena, 1);
	ck_assert_ptr_eq(again, q);
	size_t before = pages_with_memory(&s);
	cowarena_snapshot *two = take_snapshot(s.arena, 0);
	ck_assert_int_eq(cowarena_snapshot_read(two, copy, again, CHUNK), 0);
	assert_sparse(&s, _i, before);
	free(copy);
	cowarena_destroy(s.arena);
}
END_TEST

START_TEST(hashes_give_no_memory)
{
	struct cowarena_options o = case_options(_i);
	o.flags |= COWARENA_VERIFY;
	struct sparse s = {.arena = cowarena_create(&o), .n = PAGES * page_size()};

	ck_assert_ptr_nonnull(s.arena);
	s.p = chunk_block(s.arena, s.n / CHUNK);
	size_t before = pages_with_memory(&s);
	cowarena_snapshot *snap = take_snapshot(s.arena, 0);
	s.p[5 * page_size()] = 'x';
	ck_assert_int_eq(cowarena_rollback(s.arena, snap), 0);
	ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	assert_sparse(&s, _i, before);
	cowarena_destroy(s.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sparse");
	TCase *tc = tcase_create("sparse");

	tcase_add_loop_test(tc, reading_gives_no_memory, 0, CASES);
	tcase_add_loop_test(tc, walking_a_view_gives_no_memory, 0, CASES);
	tcase_add_loop_test(tc, memory_that_went_is_not_taken_for_there, 0, CASES);
	tcase_add_loop_test(tc, hashes_give_no_memory, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
