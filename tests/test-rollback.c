/* SPDX-License-Identifier: BSD-2-Clause */
/* test-rollback.c - rollbacks, repeated and in any order. */
#include "config.h"

#include "common.h"
#include "rearm.h"

#include <errno.h>
#include <unistd.h>

#define STATES 6
#define PAGES 40

/* A different pattern for each state; some pages are the same in neighbouring states. */
static void paint(char *p, int state)
{
	for (size_t i = 0; i < PAGES; i++)
		if ((i + (size_t)state) % 3)
			memset(p + i * page_size(), 'A' + state, page_size());
}

START_TEST(to_any_state_in_any_order)
{
	cowarena *arena = arena_case(_i);
	size_t n = PAGES * page_size();
	char *p = page_block(arena, PAGES);
	char *copy[STATES];
	cowarena_snapshot *snap[STATES];
	uint64_t state = seed_of_run(7);

	memset(p, 0, n);
	for (int i = 0; i < STATES; i++) {
		paint(p, i);
		copy[i] = malloc(n);
		memcpy(copy[i], p, n);
		snap[i] = take_snapshot(arena, 0);
	}
	for (size_t round = 0; round < scaled(300, 3000, 60); round++) {
		int to = (int)(rng(&state) % STATES);
		ck_assert_int_eq(cowarena_rollback(arena, snap[to]), 0);
		ck_assert_mem_eq(p, copy[to], n);
		for (size_t i = rng(&state) % 8; i; i--)
			p[rng(&state) % n] = (char)rng(&state);
		for (int i = 0; i < STATES; i++) { /* none is harmed */
			char *then = malloc(n);
			ck_assert_int_eq(cowarena_snapshot_read(snap[i], then, p, n), 0);
			ck_assert_mem_eq(then, copy[i], n);
			free(then);
		}
	}
	for (int i = 0; i < STATES; i++) {
		cowarena_snapshot_release(snap[i]);
		free(copy[i]);
	}
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(a_rollback_is_a_write_for_younger_snapshots_and_views)
{
	cowarena *arena = arena_case(_i);
	int *x = (int *)page_block(arena, 1);

	*x = 1;
	cowarena_snapshot *one = take_snapshot(arena, 0);
	*x = 2;
	cowarena_snapshot *two = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(two, 0);
	const int *seen = cowarena_view_at(view, x);
	ck_assert_int_eq(cowarena_rollback(arena, one), 0);
	ck_assert_int_eq(*x, 1);
	ck_assert_int_eq(*seen, 2);
	*x = 3;
	ck_assert_int_eq(*seen, 2);
	ck_assert_int_eq(cowarena_rollback(arena, two), 0);
	ck_assert_int_eq(*x, 2);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(snapshots_after_a_rollback_are_right)
{
	cowarena *arena = arena_case(_i);
	int *x = (int *)page_block(arena, 1), seen;

	*x = 1;
	cowarena_snapshot *one = take_snapshot(arena, 0);
	*x = 2;
	ck_assert_int_eq(cowarena_rollback(arena, one), 0);
	cowarena_snapshot *again = take_snapshot(arena, 0);
	*x = 3;
	ck_assert_int_eq(cowarena_snapshot_read(again, &seen, x, sizeof seen), 0);
	ck_assert_int_eq(seen, 1);
	cowarena_snapshot_release(one);
	ck_assert_int_eq(cowarena_snapshot_read(again, &seen, x, sizeof seen), 0);
	ck_assert_int_eq(seen, 1);
	ck_assert_int_eq(cowarena_rollback(arena, again), 0);
	ck_assert_int_eq(*x, 1);
	cowarena_destroy(arena);
}
END_TEST

/* Pages that are what they were at the snapshot, and have been something else in between: a younger
   snapshot needs them. */
START_TEST(as_it_was_in_between)
{
	cowarena *arena = arena_case(_i);
	size_t n = PAGES * page_size();
	char *p = page_block(arena, PAGES), *then = malloc(n);
	cowarena_snapshot *s[3];

	for (int i = 0; i < 3; i++) {
		memset(p, i % 2, n);
		s[i] = take_snapshot(arena, 0);
	}
	cowarena_snapshot_release(take_snapshot(arena, 0)); /* pages come to rest */
	ck_assert_int_eq(cowarena_rollback(arena, s[0]), 0);
	memset(p, 7, n);
	for (int i = 0; i < 3; i++) {
		memset(then, 9, n);
		ck_assert_int_eq(cowarena_snapshot_read(s[i], then, p, n), 0);
		for (size_t at = 0; at < n; at += 100)
			ck_assert_int_eq(then[at], i % 2);
	}
	ck_assert_int_eq(cowarena_rollback(arena, s[2]), 0);
	for (size_t at = 0; at < n; at += 100)
		ck_assert_int_eq(p[at], 0);
	free(then);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(nothing_changed_nothing_done)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	struct cowarena_stats before = stats_of(arena), after;

	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	after = stats_of(arena);
	ck_assert_uint_eq(after.copied, before.copied);
	ck_assert_uint_eq(after.faults, before.faults);
	cowarena_destroy(arena);
}
END_TEST

/* Cost in the pages that differ: pages that did not change are neither copied nor disarmed. */
START_TEST(only_what_differs_is_touched)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	char *p = page_block(arena, 1000);

	memset(p, 1, 1000 * page_size());
	cowarena_snapshot *one = take_snapshot(arena, 0);
	for (size_t i = 0; i < 10; i++)
		p[i * 100 * page_size()] = 2;
	cowarena_snapshot *two = take_snapshot(arena, 0);
	struct cowarena_stats before = stats_of(arena);
	ck_assert_int_eq(cowarena_rollback(arena, one), 0);
	struct cowarena_stats after = stats_of(arena);
	/* Ten pages preserved for the younger snapshot, at most two of bookkeeping. */
	ck_assert_uint_ge(after.copied - before.copied, 10);
	ck_assert_uint_le(after.copied - before.copied, 12);
	ck_assert_int_eq(p[0], 1);
	ck_assert_int_eq(cowarena_rollback(arena, two), 0);
	ck_assert_int_eq(p[0], 2);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(the_heap_rolls_back)
{
	cowarena *arena = arena_case(_i);
	void *before[100], *after[100];

	for (int i = 0; i < 100; i++)
		before[i] = cowarena_alloc(arena, (size_t)i * 37 + 1);
	uint64_t live = stats_of(arena).live_bytes;
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 100; i++) {
			void *p = cowarena_alloc(arena, (size_t)i * 1000 + 5);
			memset(p, round, (size_t)i * 1000 + 5);
			if (round == 0)
				after[i] = p;
			else
				ck_assert_ptr_eq(p,
						 after[i]); /* the same calls, the same addresses */
			cowarena_free(arena, before[i]);
		}
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		ck_assert_uint_eq(stats_of(arena).live_bytes, live);
	}
	for (int i = 0; i < 100; i++)
		cowarena_free(arena, before[i]); /* they are there, once */
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

/* As netcode does it: a ring of snapshots, roll back some steps, play them again. */
START_TEST(a_ring_of_states)
{
	enum { RING = 8, STEPS = 400 };
	cowarena *arena = arena_case(_i);
	uint32_t *world = (uint32_t *)page_block(arena, 64);
	size_t words = 64 * page_size() / sizeof *world;
	cowarena_snapshot *ring[RING] = {0};
	uint64_t state = seed_of_run(3);

	memset(world, 0, 64 * page_size());
	for (uint32_t step = 0; step < STEPS; step++) {
		cowarena_snapshot_release(ring[step % RING]);
		ring[step % RING] = take_snapshot(arena, 0);
		world[step * 977 % words] += step;
		world[0] = step + 1;
		if (step > RING && rng(&state) % 4 == 0) {
			uint32_t back = (uint32_t)(rng(&state) % RING), from = step - back;
			ck_assert_int_eq(cowarena_rollback(arena, ring[from % RING]), 0);
			ck_assert_uint_eq(world[0], from);
			for (uint32_t again = from; again <= step; again++) {
				world[again * 977 % words] += again;
				world[0] = again + 1;
			}
		}
	}
	uint32_t *expected = calloc(words, sizeof *expected);
	for (uint32_t step = 0; step < STEPS; step++) {
		expected[step * 977 % words] += step;
		expected[0] = step + 1;
	}
	ck_assert_mem_eq(world, expected, 64 * page_size());
	free(expected);
	cowarena_destroy(arena);
}
END_TEST

/* The limit is reached by the rollback itself: it fails and has changed nothing, or succeeds. */
START_TEST(at_the_limit)
{
	for (unsigned policy = 0; policy < 2; policy++) {
		struct cowarena_options o = case_options(CASE_DEFAULT);
		o.held_limit = 24 * page_size();
		o.limit_policy = policy;
		cowarena *arena = cowarena_create(&o);
		char *p = page_block(arena, 32);
		memset(p, 'a', 32 * page_size());
		cowarena_snapshot *one = take_snapshot(arena, 0);
		memset(p, 'b', 16 * page_size());
		cowarena_snapshot *two = take_snapshot(arena, 0);
		int result = cowarena_rollback(arena, one); /* wants 16 more */
		if (policy == COWARENA_LIMIT_DROP_OLDEST) {
			ck_assert_int_eq(result, -1);
			ck_assert_int_eq(errno, ESTALE);
			ck_assert_int_eq(p[0], 'b');
			ck_assert_int_eq(p[15 * page_size()], 'b');
			ck_assert_int_eq(cowarena_rollback(arena, two), 0);
			ck_assert_int_eq(p[0], 'b');
		} else {
			ck_assert_int_eq(result, 0);
			ck_assert_int_eq(p[0], 'a');
			ck_assert_int_eq(p[15 * page_size()], 'a');
			ck_assert_int_eq(cowarena_rollback(arena, two), -1);
			ck_assert_int_eq(errno, ESTALE);
		}
		cowarena_destroy(arena);
	}
}
END_TEST

/* ---- what a rollback arms again ---- */

/* Faults that `n` stores take, to every `step`th page. */
static uint64_t faults_of(cowarena *arena, char *p, size_t n, size_t step, char value)
{
	uint64_t before = stats_of(arena).faults;

	for (size_t i = 0; i < n; i++)
		p[i * step * page_size()] = value;
	return stats_of(arena).faults - before;
}

static bool has_faults(int i)
{
	return i != CASE_EAGER && !case_is_kernel(i);
}

/* Going back to one snapshot costs what was written since the last time, not all that ever was. */
START_TEST(pages_at_rest_are_armed_again)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 400);

	memset(p, 'a', 400 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	if (has_faults(_i))
		ck_assert_uint_eq(faults_of(arena, p, 20, 20, 'b'), 20);
	/* Put back; found as they were put back; armed. */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	struct cowarena_stats before = stats_of(arena), after;
	if (has_faults(_i))
		ck_assert_uint_eq(faults_of(arena, p, 20, 20, 'c'), 20);
	after = stats_of(arena);
	/* The snapshot has its copies already. */
	ck_assert_uint_eq(after.copied, before.copied);
	ck_assert_uint_eq(after.held_bytes, before.held_bytes);
	if (has_faults(_i))
		ck_assert_uint_eq(after.reused, before.reused + 20);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t i = 0; i < 400 * page_size(); i++)
		ck_assert_int_eq(p[i], 'a');
	cowarena_destroy(arena);
}
END_TEST

/* A page that is written in every round is not worth a fault in every round. */
START_TEST(pages_in_use_stay_writable)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 400);
	uint64_t faults = 0;

	memset(p, 'a', 400 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (int round = 0; round < 100; round++) {
		faults += faults_of(arena, p, 10, 40, 'b');
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		ck_assert_int_eq(p[0], 'a');
	}
	ck_assert_uint_le(faults, 20);
	/* They come to rest some time. */
	for (int round = 0; round < REARM_NEAR + 2; round++)
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	if (has_faults(_i))
		ck_assert_uint_eq(faults_of(arena, p, 10, 40, 'c'), 10);
	cowarena_destroy(arena);
}
END_TEST

/* Where a look at each takes memory bandwidth, they come to rest sooner. */
START_TEST(many_pages_in_use_come_to_rest_sooner)
{
	cowarena *arena = arena_case(_i);
	size_t pages = REARM_LARGE / page_size() + 1;
	char *p = page_block(arena, pages);

	memset(p, 'a', pages * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (int round = 0; round < 3; round++) {
		faults_of(arena, p, pages, 1, 'b');
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	}
	/* Writable until so many rollbacks have found no write, and armed by the next. */
	for (int round = 0; round < REARM_NEAR_LARGE; round++)
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_uint_eq(faults_of(arena, p, 1, 1, 'c'), 0);
	for (int round = 0; round < 3; round++)
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t i = 1; i < pages && has_faults(_i); i += 200)
		ck_assert_uint_eq(faults_of(arena, p + i * page_size(), 1, 1, 'c'), 1);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t i = 0; i < pages; i++)
		ck_assert_int_eq(p[i * page_size()], 'a');
	cowarena_destroy(arena);
}
END_TEST

/* System calls: what is armed has to be prepared, and then is not armed. */
START_TEST(what_is_armed_again_can_be_prepared)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 4);
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	memset(p, 'a', 4 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	p[page_size()] = 'b';
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(write(fd[1], "xyz", 3), 3);
	ck_assert_int_eq(cowarena_prepare_write(arena, p + page_size(), 3), 0);
	ck_assert_int_eq(read(fd[0], p + page_size(), 3), 3);
	ck_assert_int_eq(p[page_size()], 'x');
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(p[page_size()], 'a');
	close(fd[0]);
	close(fd[1]);
	cowarena_destroy(arena);
}
END_TEST

/* Snapshots in between arm pages too: the next rollback must not forget those. */
START_TEST(snapshots_between_rollbacks)
{
	cowarena *arena = arena_case(_i);
	enum { N = 64 };
	char *p = page_block(arena, N), then;
	cowarena_snapshot *kept[4] = {0};
	uint64_t state = seed_of_run(11);

	memset(p, 'a', N * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (size_t round = 0; round < scaled(400, 4000, 60); round++) {
		for (size_t i = rng(&state) % 6; i; i--) {
			p[rng(&state) % N * page_size()] = (char)('b' + round % 20);
			if (rng(&state) % 3)
				continue;
			size_t k = rng(&state) % 4;
			cowarena_snapshot_release(kept[k]);
			kept[k] = take_snapshot(arena, rng(&state) % 2 ? 0 : COWARENA_QUIESCENT);
			ck_assert_ptr_nonnull(kept[k]);
		}
		if (kept[0] && rng(&state) % 8 == 0)
			ck_assert_int_eq(cowarena_rollback(arena, kept[0]), 0);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		for (size_t i = 0; i < N; i++) {
			ck_assert_int_eq(p[i * page_size()], 'a');
			ck_assert_int_eq(cowarena_snapshot_read(s, &then, p + i * page_size(), 1),
					 0);
			ck_assert_int_eq(then, 'a');
		}
	}
	cowarena_destroy(arena);
}
END_TEST

/* Among ten thousand snapshots that all changed the pages, each is found. */
START_TEST(among_very_many)
{
	cowarena *arena = arena_case(_i);
	uint32_t *x = (uint32_t *)page_block(arena, 3);
	size_t step = page_size() / sizeof *x, n = scaled(2000, 10000, 100);
	cowarena_snapshot **all = calloc(n, sizeof(cowarena_snapshot *));
	uint64_t state = seed_of_run(13);

	for (uint32_t i = 0; i < n; i++) {
		x[0] = x[step] = x[2 * step] = i;
		all[i] = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(all[i]);
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t which = (uint32_t)(rng(&state) % n), then;
		ck_assert_int_eq(cowarena_snapshot_read(all[which], &then, &x[step], sizeof then),
				 0);
		ck_assert_uint_eq(then, which);
		if (i % 16 == 0) {
			ck_assert_int_eq(cowarena_rollback(arena, all[which]), 0);
			ck_assert_uint_eq(x[2 * step], which);
		}
	}
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(cowarena_snapshot_release(all[i]), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	free(all);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rollback");
	TCase *tc = tcase_create("rollback");

	tcase_add_loop_test(tc, to_any_state_in_any_order, 0, CASES);
	tcase_add_loop_test(tc, a_rollback_is_a_write_for_younger_snapshots_and_views, 0, CASES);
	tcase_add_loop_test(tc, snapshots_after_a_rollback_are_right, 0, CASES);
	tcase_add_loop_test(tc, as_it_was_in_between, 0, CASES);
	tcase_add_test(tc, nothing_changed_nothing_done);
	tcase_add_test(tc, only_what_differs_is_touched);
	tcase_add_loop_test(tc, the_heap_rolls_back, 0, CASES);
	tcase_add_loop_test(tc, a_ring_of_states, 0, CASES);
	tcase_add_test(tc, at_the_limit);
	tcase_add_loop_test(tc, pages_at_rest_are_armed_again, 0, CASES);
	tcase_add_loop_test(tc, pages_in_use_stay_writable, 0, CASES);
	tcase_add_loop_test(tc, many_pages_in_use_come_to_rest_sooner, 0, CASES);
	tcase_add_loop_test(tc, what_is_armed_again_can_be_prepared, 0, CASES);
	tcase_add_loop_test(tc, snapshots_between_rollbacks, 0, CASES);
	tcase_add_loop_test(tc, among_very_many, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
