/* SPDX-License-Identifier: BSD-2-Clause */
/* test-snapshot.c - taking, reading and releasing snapshots; which pages are shared and which
   copied. */
#include "config.h"

#include "common.h"
#include "track.h"

#include <errno.h>
#include <pthread.h>

START_TEST(reads_what_was)
{
	cowarena *arena = arena_case(_i);
	int *x = cowarena_calloc(arena, 1, sizeof *x);
	cowarena_snapshot *snap[10];
	int seen;

	for (int i = 0; i < 10; i++) {
		*x = i;
		snap[i] = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(snap[i]);
	}
	*x = 100;
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(cowarena_snapshot_read(snap[i], &seen, x, sizeof seen), 0);
		ck_assert_int_eq(seen, i);
	}
	cowarena_destroy(arena);
}
END_TEST

START_TEST(ids_grow_and_are_never_used_twice)
{
	cowarena *arena = arena_case(_i);
	uint64_t last = 0;

	ck_assert_uint_eq(cowarena_snapshot_id(NULL), 0);
	for (int i = 0; i < 100; i++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_uint_eq(cowarena_snapshot_id(s), last + 1);
		last = cowarena_snapshot_id(s);
		if (i % 3)
			cowarena_snapshot_release(s);
	}
	cowarena_destroy(arena);
}
END_TEST

/* Two snapshots with no write in between share one frame; it lives as long as either of them. */
START_TEST(a_frame_is_shared_until_its_last_snapshot_goes)
{
	for (int first = 0; first < 2; first++) {
		cowarena *arena = arena_case(CASE_DEFAULT);
		char *p = page_block(arena, 1);
		char seen;
		*p = 'a';
		cowarena_snapshot *s[2];
		s[0] = take_snapshot(arena, 0);
		s[1] = take_snapshot(arena, 0);
		uint64_t held = stats_of(arena).held_bytes;
		*p = 'b';
		ck_assert_uint_eq(stats_of(arena).held_bytes - held, page_size());
		ck_assert_int_eq(cowarena_snapshot_release(s[first]), 0);
		ck_assert_uint_eq(stats_of(arena).held_bytes - held, page_size());
		ck_assert_int_eq(cowarena_snapshot_read(s[!first], &seen, p, 1), 0);
		ck_assert_int_eq(seen, 'a');
		ck_assert_int_eq(cowarena_snapshot_release(s[!first]), 0);
		ck_assert_uint_eq(held_at_rest(arena), 0);
		cowarena_destroy(arena);
	}
}
END_TEST

/* Drop the oldest, the middle, the newest of three that all differ. */
START_TEST(release_in_any_order)
{
	static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					 {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (int o = 0; o < 6; o++) {
		cowarena *arena = arena_case(_i);
		char *p = page_block(arena, 3);
		cowarena_snapshot *s[3];
		for (int i = 0; i < 3; i++) {
			memset(p, 'a' + i, 3 * page_size());
			s[i] = take_snapshot(arena, 0);
		}
		memset(p, 'z', 3 * page_size());
		for (int gone = 0; gone < 3; gone++) {
			for (int i = gone; i < 3; i++) {
				char seen[3];
				for (int j = 0; j < 3; j++)
					ck_assert_int_eq(
					    cowarena_snapshot_read(s[orders[o][i]], &seen[j],
								   p + j * (int)page_size() + 7, 1),
					    0);
				ck_assert_int_eq(seen[0], 'a' + orders[o][i]);
				ck_assert_int_eq(seen[1], seen[0]);
				ck_assert_int_eq(seen[2], seen[0]);
			}
			ck_assert_int_eq(cowarena_snapshot_release(s[orders[o][gone]]), 0);
			/* Between releases the world goes on. */
			p[page_size()] = 'y';
		}
		ck_assert_uint_eq(held_at_rest(arena), 0);
		ck_assert_uint_eq(stats_of(arena).snapshots_live, 0);
		ck_assert_mem_eq(p, "zzz", 3);
		cowarena_destroy(arena);
	}
}
END_TEST

START_TEST(one_fault_one_copy)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	char *p = page_block(arena, 8);
	struct cowarena_stats s0, s1;

	memset(p, 1, 8 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	s0 = stats_of(arena);
	for (int i = 0; i < 100; i++)
		p[3 * page_size() + (size_t)i] = 2;
	s1 = stats_of(arena);
	ck_assert_uint_eq(s1.faults - s0.faults, 1);
	ck_assert_uint_eq(s1.copied - s0.copied, 1);
	ck_assert_uint_eq(s1.held_bytes - s0.held_bytes, page_size());
	/* The snapshot goes: the next writes find nobody who needs the pages. */
	cowarena_snapshot_release(snap);
	p[0] = 2;
	p[page_size()] = 2;
	s1 = stats_of(arena);
	ck_assert_uint_eq(s1.faults - s0.faults, 3);
	ck_assert_uint_eq(s1.copied - s0.copied, 1);
	ck_assert_uint_eq(s1.reused - s0.reused, 2);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(a_store_across_two_pages)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 2);
	uint64_t value = 0x1122334455667788, seen;
	char *at = p + page_size() - 3;

	memset(p, 0, 2 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	memcpy(at, &value, sizeof value);
	ck_assert_mem_eq(at, &value, sizeof value);
	ck_assert_int_eq(cowarena_snapshot_read(snap, &seen, at, sizeof seen), 0);
	ck_assert_uint_eq(seen, 0);
	cowarena_destroy(arena);
}
END_TEST

/* dst in the arena: on the very page that is read, and on another armed one. */
START_TEST(read_into_the_arena)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 2);

	memset(p, 'a', 2 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	memset(p, 'b', 64);
	ck_assert_int_eq(cowarena_snapshot_read(snap, p + 32, p, 32), 0);
	ck_assert_int_eq(p[31], 'b');
	ck_assert_int_eq(p[32], 'a');
	ck_assert_int_eq(p[63], 'a');
	cowarena_snapshot *second = take_snapshot(arena, 0);
	ck_assert_int_eq(cowarena_snapshot_read(second, p + page_size() - 40, p, 80), 0);
	ck_assert_int_eq(p[page_size() - 40], 'b');
	ck_assert_int_eq(p[page_size() + 39], 'a');
	cowarena_destroy(arena);
}
END_TEST

START_TEST(the_root_has_a_past)
{
	cowarena *arena = arena_case(_i);
	int *a = cowarena_alloc(arena, sizeof *a), *b = cowarena_alloc(arena, sizeof *b);
	cowarena_snapshot *none = take_snapshot(arena, 0);

	ck_assert_ptr_null(cowarena_root(arena));
	cowarena_set_root(arena, a);
	cowarena_snapshot *first = take_snapshot(arena, 0);
	cowarena_set_root(arena, b);
	ck_assert_ptr_eq(cowarena_root(arena), b);
	ck_assert_ptr_eq(cowarena_snapshot_root(first), a);
	ck_assert_ptr_null(cowarena_snapshot_root(none));
	ck_assert_int_eq(cowarena_rollback(arena, first), 0);
	ck_assert_ptr_eq(cowarena_root(arena), a);
	cowarena_destroy(arena);
}
END_TEST

/* Snapshots cost what was dirtied: a clean one arms nothing and holds nothing. */
START_TEST(many_clean_snapshots_hold_nothing)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	char *p = page_block(arena, 100);
	cowarena_snapshot *snap[1000];

	memset(p, 1, 100 * page_size());
	for (int i = 0; i < 1000; i++)
		snap[i] = take_snapshot(arena, i % 2 ? COWARENA_QUIESCENT : 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	p[0] = 2; /* one page for all of them */
	ck_assert_uint_eq(stats_of(arena).held_bytes, page_size());
	for (int i = 0; i < 1000; i++) {
		char seen;
		ck_assert_int_eq(cowarena_snapshot_read(snap[i], &seen, p, 1), 0);
		ck_assert_int_eq(seen, 1);
		cowarena_snapshot_release(snap[i]);
	}
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* Frames are recycled: the same work again takes no more memory. */
START_TEST(frames_are_recycled)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 64);
	uint64_t mappings = 0, peak = 0;

	for (int round = 0; round < 300; round++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		memset(p, round, 64 * page_size());
		cowarena_snapshot_release(s);
		if (round == 10) {
			mappings = stats_of(arena).mappings;
			peak = stats_of(arena).held_bytes_peak;
		}
	}
	ck_assert_uint_le(stats_of(arena).mappings, mappings);
	ck_assert_uint_le(stats_of(arena).held_bytes_peak, peak);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* The heap grows after a snapshot: what is new is not in it. */
START_TEST(growth_after_a_snapshot)
{
	cowarena *arena = arena_case(_i);
	char *old = page_block(arena, 4);
	char seen;

	memset(old, 'o', 4 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	char *big = page_block(arena, 5000);
	memset(big, 'n', 5000 * page_size());
	memset(old, 'x', 4 * page_size());
	ck_assert_int_eq(cowarena_snapshot_read(snap, &seen, old, 1), 0);
	ck_assert_int_eq(seen, 'o');
	ck_assert_int_eq(cowarena_snapshot_read(snap, &seen, big + 4999 * page_size(), 1), -1);
	ck_assert_int_eq(errno, EFAULT);
	cowarena_snapshot *next = take_snapshot(arena, 0);
	memset(big, 'm', 5000 * page_size());
	ck_assert_int_eq(cowarena_snapshot_read(next, &seen, big + 4999 * page_size(), 1), 0);
	ck_assert_int_eq(seen, 'n');
	cowarena_destroy(arena);
}
END_TEST

/* Pages that were in use and never touched are zeros in the past, whatever their frames held
   before. */
START_TEST(untouched_pages_are_zeros)
{
	enum { N = 16 };
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, N), *zeros = calloc(N, page_size()), *seen;

	memset(p, 'x', N * page_size());
	cowarena_snapshot *before = take_snapshot(arena, 0);
	memset(p, 'y', N * page_size());
	cowarena_snapshot_release(before); /* the frames are free, and full of x */
	char *fresh = page_block(arena, N);
	track_defined(fresh, N * page_size()); /* to read what was never written is meant */
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	memset(fresh, 'z', N * page_size());
	seen = malloc(N * page_size());
	ck_assert_int_eq(cowarena_snapshot_read(snap, seen, fresh, N * page_size()), 0);
	ck_assert(memcmp(seen, zeros, N * page_size()) == 0);
	cowarena_view *view = cowarena_view_open(snap, 0);
	ck_assert(memcmp(cowarena_view_at(view, fresh), zeros, N * page_size()) == 0);
	cowarena_view_close(view);
	ck_assert_int_eq(cowarena_rollback(arena, snap), 0);
	ck_assert(memcmp(fresh, zeros, N * page_size()) == 0);
	free(seen);
	free(zeros);
	cowarena_destroy(arena);
}
END_TEST

/* A writer that walks on is met ahead; one that jumps about is not. */
START_TEST(streams_are_copied_ahead)
{
	static const unsigned engines[] = {COWARENA_ENGINE_SIGSEGV, COWARENA_ENGINE_UFFD};
	enum { PAGES = 2000 };

	for (size_t most = 0; most <= 16; most += most ? 15 : 1) {
		struct cowarena_options o = case_options(CASE_DEFAULT);
		o.engine = engines[_i];
		o.copy_ahead = most;
		cowarena *arena = cowarena_create(&o);
		char *p = page_block(arena, PAGES);
		memset(p, 'a', PAGES * page_size());

		cowarena_snapshot *s = take_snapshot(arena, 0);
		struct cowarena_stats before = stats_of(arena), after;
		memset(p, 'b', PAGES * page_size());
		after = stats_of(arena);
		uint64_t faults = after.faults - before.faults;
		uint64_t copies =
		    after.copied + after.copied_ahead - before.copied - before.copied_ahead;
		ck_assert_uint_eq(after.copied - before.copied, faults);
		ck_assert_uint_ge(copies, PAGES);
		ck_assert_uint_lt(copies, PAGES + (most ? most : 64));
		ck_assert_uint_le(faults, PAGES / (most ? most : 64) + 8);
		ck_assert_uint_ge(faults, PAGES / (most ? most : 64));
		for (size_t i = 0; i < PAGES; i++) {
			char seen;
			if (cowarena_snapshot_read(s, &seen, p + i * page_size() + 9, 1) ||
			    seen != 'a')
				ck_abort_msg("page %zu", i);
		}
		cowarena_snapshot_release(s);

		s = take_snapshot(arena, 0);
		before = stats_of(arena);
		for (size_t i = 0; i < PAGES; i++)
			p[i * 7 % PAGES * page_size()] = 'c';
		after = stats_of(arena);
		ck_assert_uint_eq(after.copied_ahead, before.copied_ahead);
		ck_assert_uint_eq(after.copied - before.copied, PAGES);
		cowarena_destroy(arena);
	}
}
END_TEST

/* Two streams at once, by turns. */
START_TEST(streams_do_not_disturb_each_other)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	char *p = page_block(arena, 3000);

	memset(p, 'a', 3000 * page_size());
	take_snapshot(arena, 0);
	struct cowarena_stats before = stats_of(arena), after;
	for (size_t i = 0; i < 1000; i++) {
		p[i * page_size()] = 'b';
		p[(2000 + i) * page_size()] = 'b';
	}
	after = stats_of(arena);
	ck_assert_uint_le(after.faults - before.faults, 2 * (1000 / 64 + 8));
	ck_assert_uint_le(after.copied_ahead + after.copied - before.copied_ahead - before.copied,
			  2 * (1000 + 64));
	cowarena_destroy(arena);
}
END_TEST

/* The byte that is written of a hot page: the first one, or the last. */
static char *hot_byte(char *p, size_t i)
{
	return p + 5 * i * page_size() + (i % 2 ? page_size() - 1 : 0);
}

/* Pages written in every epoch are copied at the snapshot, and cost no fault; until they cool
   down. */
START_TEST(hot_pages_are_shadowed)
{
	enum { HOT = 20, ROUNDS = 12 };
	static const int kinds[] = {CASE_DEFAULT, CASE_UFFD, CASE_HYBRID};
	struct cowarena_options o = case_options(kinds[_i]);
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, 100);
	cowarena_snapshot *s[ROUNDS];
	struct cowarena_stats before, after;

	memset(p, 0, 100 * page_size());
	for (int round = 0; round < ROUNDS; round++) {
		s[round] = take_snapshot(arena, COWARENA_QUIESCENT);
		before = stats_of(arena);
		for (size_t i = 0; i < HOT; i++)
			(*hot_byte(p, i))++;
		/* And two that are not hot, with a hot one between them. */
		p[(size_t)(5 * round + 1) * page_size()]++;
		p[(size_t)(5 * round + 8) * page_size()]++;
		after = stats_of(arena);
		if (round >= 3) {
			ck_assert_uint_eq(after.faults - before.faults, 2);
			ck_assert_uint_ge(after.shadowed, (uint64_t)HOT * (uint64_t)(round - 2));
		}
	}
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < HOT; i++) {
			char seen;
			ck_assert_int_eq(cowarena_snapshot_read(s[round], &seen, hot_byte(p, i), 1),
					 0);
			ck_assert_int_eq(seen, round);
		}
	/* Nobody writes: at the second snapshot from now they are found unchanged, and armed. */
	cowarena_snapshot *quiet[3];
	for (int i = 0; i < 3; i++)
		quiet[i] = take_snapshot(arena, COWARENA_QUIESCENT);
	before = stats_of(arena);
	(*hot_byte(p, 0))++;
	(*hot_byte(p, 1))++;
	after = stats_of(arena);
	ck_assert_uint_ge(after.faults - before.faults, 1); /* the second may be copied ahead */
	for (int i = 0; i < 3; i++) {
		char seen[2];
		cowarena_snapshot_read(quiet[i], &seen[0], hot_byte(p, 0), 1);
		cowarena_snapshot_read(quiet[i], &seen[1], hot_byte(p, 1), 1);
		ck_assert_int_eq(seen[0], ROUNDS);
		ck_assert_int_eq(seen[1], ROUNDS);
		cowarena_snapshot_release(quiet[i]);
	}
	ck_assert_int_eq(cowarena_rollback(arena, s[4]), 0);
	ck_assert_int_eq(*hot_byte(p, 1), 4);
	for (int i = 0; i < ROUNDS; i++)
		cowarena_snapshot_release(s[i]);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* At the limit of held memory a snapshot is given up; the heap and the other snapshots are not. */
START_TEST(the_limit_costs_a_snapshot)
{
	for (unsigned policy = 0; policy < 2; policy++) {
		struct cowarena_options o = case_options(CASE_DEFAULT);
		o.held_limit = 16 * page_size();
		o.copy_ahead = 1;
		o.limit_policy = policy;
		cowarena *arena = cowarena_create(&o);
		char *p = page_block(arena, 64);
		memset(p, 'a', 64 * page_size());
		cowarena_snapshot *s[3];
		for (int i = 0; i < 3; i++) {
			s[i] = take_snapshot(arena, 0);
			memset(p + (size_t)i * 4 * page_size(), 'b', 4 * page_size());
		}
		int victim = policy == COWARENA_LIMIT_DROP_OLDEST ? 0 : 2;
		for (size_t i = 0; i < 8; i++) /* 12 pages are held, these are 8 more */
			p[(20 + i) * page_size()] = 'c';
		for (size_t i = 0; i < 64; i++)
			ck_assert_int_eq(p[i * page_size()], i < 12   ? 'b'
							     : i < 20 ? 'a'
							     : i < 28 ? 'c'
								      : 'a');
		char seen;
		ck_assert_int_eq(cowarena_snapshot_read(s[victim], &seen, p, 1), -1);
		ck_assert_int_eq(errno, ESTALE);
		ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "held_limit"));
		ck_assert_int_eq(cowarena_rollback(arena, s[victim]), -1);
		ck_assert_int_eq(errno, ESTALE);
		ck_assert_ptr_null(cowarena_view_open(s[victim], 0));
		ck_assert_int_eq(errno, ESTALE);
		ck_assert_uint_le(stats_of(arena).held_bytes, o.held_limit);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(cowarena_snapshot_release(s[i]), 0);
		ck_assert_uint_eq(held_at_rest(arena), 0);
		cowarena_destroy(arena);
	}
}
END_TEST

/* Writers that reach the limit together cost one snapshot. */
struct limited {
	pthread_t thread;
	char *p;
	pthread_barrier_t *start;
};

static void *write_one(void *arg)
{
	struct limited *l = arg;

	pthread_barrier_wait(l->start);
	*(volatile char *)l->p = 'c';
	return NULL;
}

START_TEST(together_they_cost_one)
{
	enum { WRITERS = 4 };

	for (size_t round = 0; round < scaled(100, 1000, 5); round++) {
		struct cowarena_options o = case_options(CASE_DEFAULT);
		o.held_limit = 40 * page_size();
		o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
		o.copy_ahead = 1;
		cowarena *arena = cowarena_create(&o);
		char *p = page_block(arena, 100);
		cowarena_snapshot *s[5];
		memset(p, 'a', 100 * page_size());
		s[0] = take_snapshot(arena, 0);
		for (int i = 0; i < 4; i++) { /* ten pages each; then the limit is reached */
			memset(p, 'b', 10 * page_size());
			s[i + 1] = take_snapshot(arena, 0);
		}
		while (stats_of(arena).held_bytes < o.held_limit)
			p[(99 - stats_of(arena).held_bytes / page_size() % 40) * page_size()] = 'x';
		struct limited l[WRITERS];
		pthread_barrier_t start;
		pthread_barrier_init(&start, NULL, WRITERS);
		for (size_t i = 0; i < WRITERS; i++) {
			l[i] =
			    (struct limited){.p = p + (20 + 9 * i) * page_size(), .start = &start};
			pthread_create(&l[i].thread, NULL, write_one, &l[i]);
		}
		for (size_t i = 0; i < WRITERS; i++)
			pthread_join(l[i].thread, NULL);
		int spoiled = 0;
		for (int i = 0; i < 5; i++) {
			char seen;
			spoiled += cowarena_snapshot_read(s[i], &seen, p, 1) != 0;
		}
		ck_assert_int_eq(spoiled, 1);
		pthread_barrier_destroy(&start);
		cowarena_destroy(arena);
	}
}
END_TEST

/* The frames of a snapshot that was given up serve again; those of others stay right. */
START_TEST(the_oldest_is_dropped_the_others_stay_right)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	o.held_limit = 40 * page_size();
	o.copy_ahead = 1;
	o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, 10);
	cowarena_snapshot *s[50];
	int right = 0;

	for (int i = 0; i < 50; i++) {
		memset(p, i, 10 * page_size());
		s[i] = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(s[i]);
	}
	memset(p, 99, 10 * page_size());
	for (int i = 0; i < 50; i++) {
		unsigned char seen[2];
		if (cowarena_snapshot_read(s[i], &seen[0], p, 1) ||
		    cowarena_snapshot_read(s[i], &seen[1], p + 9 * page_size(), 1)) {
			ck_assert_int_eq(errno, ESTALE);
			ck_assert_int_eq(right, 0); /* the oldest go first */
			continue;
		}
		ck_assert_uint_eq(seen[0], (unsigned)i);
		ck_assert_uint_eq(seen[1], (unsigned)i);
		right++;
	}
	/* 40 pages are three or four generations of ten, beside a page or so of bookkeeping. */
	ck_assert_int_ge(right, 3);
	ck_assert_int_le(right, 4);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *tc = tcase_create("snapshot");

	tcase_add_loop_test(tc, reads_what_was, 0, CASES);
	tcase_add_loop_test(tc, ids_grow_and_are_never_used_twice, 0, CASES);
	tcase_add_test(tc, a_frame_is_shared_until_its_last_snapshot_goes);
	tcase_add_loop_test(tc, release_in_any_order, 0, CASES);
	tcase_add_test(tc, one_fault_one_copy);
	tcase_add_loop_test(tc, a_store_across_two_pages, 0, CASES);
	tcase_add_loop_test(tc, read_into_the_arena, 0, CASES);
	tcase_add_loop_test(tc, the_root_has_a_past, 0, CASES);
	tcase_add_test(tc, many_clean_snapshots_hold_nothing);
	tcase_add_loop_test(tc, frames_are_recycled, 0, CASES);
	tcase_add_loop_test(tc, growth_after_a_snapshot, 0, CASES);
	tcase_add_loop_test(tc, untouched_pages_are_zeros, 0, CASES);
	tcase_add_loop_test(tc, streams_are_copied_ahead, 0, 2);
	tcase_add_loop_test(tc, hot_pages_are_shadowed, 0, 3);
	tcase_add_test(tc, streams_do_not_disturb_each_other);
	tcase_add_test(tc, the_limit_costs_a_snapshot);
	tcase_add_test(tc, together_they_cost_one);
	tcase_add_test(tc, the_oldest_is_dropped_the_others_stay_right);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
