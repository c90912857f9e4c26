/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-hybrid.c - engine hybrid: which chunks are cold and which warm, and that every page is armed
 * in either.
 *
 * (test-hybrid-compact.c has what compaction may not change, test-hybrid-threads.c the races.)
 */
#include "config.h"

#include "common.h"

#include <stdio.h>
#include <time.h>

#define CHUNKS 6

struct scene {
	cowarena *arena;
	cowarena_snapshot *snap; /* all holds 'a' */
	char *p;                 /* CHUNKS chunks */
};

/* Everything armed, and cold. False, and it says so, where engine hybrid is not to be had. */
static bool open_scene(struct scene *s, unsigned flags)
{
	if (chunk_pages() < 512) {
		printf("SKIP: with pages of %zu bytes a chunk has too few\n", page_size());
		return false;
	}
	s->arena = hybrid_arena(flags);
	if (!s->arena)
		return false;
	ck_assert_str_eq(cowarena_engine_name(s->arena), "hybrid");
	s->p = chunk_block(s->arena, CHUNKS);
	memset(s->p, 'a', CHUNKS * CHUNK);
	s->snap = take_snapshot(s->arena, 0);
	ck_assert_ptr_nonnull(s->snap);
	return true;
}

static char *page_at(const struct scene *s, size_t chunk, size_t page)
{
	return s->p + chunk * CHUNK + page * page_size();
}

static size_t warm(const struct scene *s)
{
	return stats_of(s->arena).warm_bytes / CHUNK;
}

/* The block as the snapshot has it is all `value`. */
static void check_past(cowarena_snapshot *snap, const char *p, size_t n, char value)
{
	for (size_t i = 0; i < n; i += page_size()) {
		char seen[2];
		if (cowarena_snapshot_read(snap, &seen[0], p + i, 1) ||
		    cowarena_snapshot_read(snap, &seen[1], p + i + page_size() - 1, 1))
			ck_abort_msg("%s", cowarena_errmsg());
		if (seen[0] != value || seen[1] != value)
			ck_abort_msg("page %zu: '%c' '%c', not '%c'", i / page_size(), seen[0],
				     seen[1], value);
	}
}

/* Every page is armed at a snapshot: the next write to any is preserved, whoever has it open
   now. */
static void check_all_are_armed(struct scene *s)
{
	memset(s->p, 'x', CHUNKS * CHUNK);
	cowarena_snapshot *snap = take_snapshot(s->arena, 0);
	ck_assert_ptr_nonnull(snap);
	for (size_t i = CHUNKS * chunk_pages(); i-- > 0;)
		memset(s->p + i * page_size(), 'y', page_size());
	check_past(snap, s->p, CHUNKS * CHUNK, 'x');
	check_past(s->snap, s->p, CHUNKS * CHUNK, 'a');
	ck_assert_int_eq(cowarena_rollback(s->arena, snap), 0);
	for (size_t i = 0; i < CHUNKS * CHUNK; i += page_size())
		ck_assert_int_eq(s->p[i], 'x');
}

static void close_scene(struct scene *s)
{
	check_all_are_armed(s);
	cowarena_destroy(s->arena);
}

START_TEST(a_scattered_write_makes_its_chunk_warm)
{
	struct scene s;

	if (!open_scene(&s, COWARENA_NO_HELPER))
		return;
	cowarena_compact(s.arena);
	uint64_t huge = stats_of(s.arena).huge_bytes;
	ck_assert_uint_eq(warm(&s), 0);
	*page_at(&s, 2, 100) = 'b';
	ck_assert_uint_eq(warm(&s), 1);
	ck_assert_uint_eq(stats_of(s.arena).huge_bytes, huge ? huge - CHUNK : 0);
	*page_at(&s, 2, 7) = 'b';
	ck_assert_uint_eq(warm(&s), 1);
	*page_at(&s, 4, 0) = 'b';
	ck_assert_uint_eq(warm(&s), 2);
	ck_assert_uint_eq(stats_of(s.arena).copied_ahead, 0);
	check_past(s.snap, s.p, CHUNKS * CHUNK, 'a');
	close_scene(&s);
}
END_TEST

START_TEST(compaction_makes_it_cold)
{
	struct scene s;

	if (!can_collapse() || !open_scene(&s, COWARENA_NO_HELPER))
		return;
	*page_at(&s, 1, 3) = 'b';
	cowarena_compact(s.arena);
	ck_assert_uint_eq(warm(&s), 1); /* one page is dirty, the others are not */
	cowarena_snapshot *second = take_snapshot(s.arena, 0);
	ck_assert_uint_eq(warm(&s), 1);
	cowarena_compact(s.arena);
	ck_assert_uint_eq(warm(&s), 0);
	ck_assert_uint_ge(stats_of(s.arena).huge_bytes, CHUNKS * CHUNK);

	/* All dirty: that is cold too, and open. */
	for (size_t i = 0; i < chunk_pages(); i++)
		*page_at(&s, 1, i * 7 % chunk_pages()) = 'c';
	ck_assert_uint_eq(warm(&s), 1);
	cowarena_compact(s.arena);
	ck_assert_uint_eq(warm(&s), 0);
	uint64_t faults = stats_of(s.arena).faults;
	for (size_t i = 0; i < chunk_pages(); i++)
		*page_at(&s, 1, i) = 'd';
	ck_assert_uint_eq(stats_of(s.arena).faults, faults);
	char seen;
	ck_assert_int_eq(cowarena_snapshot_read(second, &seen, page_at(&s, 1, 3), 1), 0);
	ck_assert_int_eq(seen, 'b');
	check_past(s.snap, s.p, CHUNKS * CHUNK, 'a');
	close_scene(&s);
}
END_TEST

static void some_epochs(cowarena *arena, int n)
{
	while (n--)
		cowarena_snapshot_release(take_snapshot(arena, 0));
}

START_TEST(the_helper_makes_it_cold_when_it_has_been_quiet)
{
	struct scene s;

	if (!can_collapse() || !open_scene(&s, 0))
		return;
	*page_at(&s, 1, 3) = 'b';
	ck_assert_uint_eq(warm(&s), 1);
	AWAIT((some_epochs(s.arena, 1), warm(&s) == 0));
	ck_assert_uint_eq(warm(&s), 0);
	check_past(s.snap, s.p, CHUNKS * CHUNK, 'a');
	close_scene(&s);
}
END_TEST

START_TEST(nobody_does_without_the_helper)
{
	struct scene s;

	if (!open_scene(&s, COWARENA_NO_HELPER))
		return;
	*page_at(&s, 1, 3) = 'b';
	some_epochs(s.arena, 100);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	ck_assert_uint_eq(warm(&s), 1);
	ck_assert_uint_eq(stats_of(s.arena).huge_bytes, 0);
	close_scene(&s);
}
END_TEST

/* Memory that is written in order is armed by one call a chunk: but for the first pages, before the
   stream is noticed, nothing becomes warm. */
START_TEST(a_walk_leaves_chunks_cold)
{
	static const size_t starts[] = {0, 1, 7, 40, 100};
	struct scene s;

	if (!open_scene(&s, COWARENA_NO_HELPER))
		return;
	for (int round = 0; round < 2; round++) {
		for (size_t i = starts[_i]; i < CHUNKS * chunk_pages(); i++)
			*page_at(&s, 0, i) = 'b';
		ck_assert_uint_le(warm(&s), 2); /* the first, and where it ends */
		ck_assert_uint_lt(stats_of(s.arena).mappings, 30);
		check_past(s.snap, s.p, CHUNKS * CHUNK, 'a');
		take_snapshot(s.arena, 0);
	}
	close_scene(&s);
}
END_TEST

/* Hot pages can be left writable in a cold chunk as long as nothing else in it has to be armed. */
START_TEST(hot_pages_in_a_cold_chunk)
{
	enum { HOT = 32, OTHER = 100 };
	struct scene s;

	if (!open_scene(&s, COWARENA_NO_HELPER))
		return;
	for (char epoch = 'b'; epoch < 'f'; epoch++) {
		if (epoch == 'e') {
			cowarena_prepare_write(s.arena, page_at(&s, 1, OTHER), HOT * page_size());
			memset(page_at(&s, 1, OTHER), 'o', HOT * page_size());
		}
		if (epoch < 'd')
			cowarena_prepare_write(s.arena, page_at(&s, 1, 0), HOT * page_size());
		uint64_t faults = stats_of(s.arena).faults;
		memset(page_at(&s, 1, 0), epoch, HOT * page_size());
		ck_assert_uint_eq(stats_of(s.arena).faults, faults);
		ck_assert_uint_eq(warm(&s), 0);
		cowarena_snapshot *snap = take_snapshot(s.arena, COWARENA_QUIESCENT);
		check_past(snap, page_at(&s, 1, 0), HOT * page_size(), epoch);
		check_past(snap, page_at(&s, 1, HOT), page_size(), 'a');
	}
	ck_assert_uint_ge(stats_of(s.arena).shadowed, 2 * HOT);
	/* Now there was something else. */
	ck_assert_uint_eq(warm(&s), 1);
	uint64_t faults = stats_of(s.arena).faults;
	memset(page_at(&s, 1, 0), 'z', HOT * page_size());
	ck_assert_uint_eq(stats_of(s.arena).faults, faults);
	cowarena_snapshot *last = take_snapshot(s.arena, 0);
	for (size_t i = 0; i < chunk_pages(); i += 2) {
		faults = stats_of(s.arena).faults;
		*page_at(&s, 1, i) = 'y';
		ck_assert_uint_eq(stats_of(s.arena).faults, faults + 1);
	}
	check_past(last, page_at(&s, 1, 0), HOT * page_size(), 'z');
	check_past(last, page_at(&s, 1, OTHER), HOT * page_size(), 'o');
	check_past(s.snap, s.p, CHUNKS * CHUNK, 'a');
	close_scene(&s);
}
END_TEST

/* A fault may copy ahead over the border of two chunks in different states. */
START_TEST(a_walk_over_a_border)
{
	bool from_warm = _i & 1, to_warm = _i & 2;
	struct scene s;

	if (!open_scene(&s, COWARENA_NO_HELPER))
		return;
	for (size_t before = 1; before < 70; before += 4) {
		memset(s.p, 'a', CHUNKS * CHUNK);
		cowarena_snapshot *snap = take_snapshot(s.arena, 0);
		cowarena_compact(s.arena);
		if (from_warm)
			*page_at(&s, 1, 3) = 'w';
		if (to_warm)
			*page_at(&s, 2, 300) = 'w';
		for (size_t i = 0; i < 200; i++)
			*page_at(&s, 2, i - before) = 'b';
		check_past(snap, s.p, CHUNKS * CHUNK, 'a');
		ck_assert_int_eq(cowarena_rollback(s.arena, snap), 0);
		for (size_t i = 0; i < CHUNKS * CHUNK; i += page_size())
			ck_assert_int_eq(s.p[i], 'a');
		cowarena_snapshot_release(snap);
	}
	close_scene(&s);
}
END_TEST

/* Cold and armed, warm, warm and half dirty, cold and open, all by one call; back by another. */
static void mix_states(struct scene *s)
{
	for (size_t i = 0; i < chunk_pages(); i++)
		*page_at(s, 3, i * 7 % chunk_pages()) = 'm';
	cowarena_compact(s->arena);
	*page_at(s, 1, 100) = 'm';
	for (size_t i = 0; i < chunk_pages(); i += 2)
		*page_at(s, 2, i) = 'm';
}

START_TEST(prepare_and_roll_back_over_mixed_states)
{
	struct scene s;

	if (!open_scene(&s, COWARENA_NO_HELPER))
		return;
	for (int round = 0; round < 3; round++) {
		mix_states(&s);
		char *from = page_at(&s, 0, 77) + 5;
		size_t n = (size_t)(page_at(&s, 4, 33) - from);
		ck_assert_int_eq(cowarena_prepare_write(s.arena, from, n), 0);
		uint64_t faults = stats_of(s.arena).faults;
		memset(from, 'b', n);
		ck_assert_uint_eq(stats_of(s.arena).faults, faults);
		*page_at(&s, 5, 1) = 'b';
		check_past(s.snap, s.p, CHUNKS * CHUNK, 'a');
		if (round == 1)
			take_snapshot(s.arena, 0);
		ck_assert_int_eq(cowarena_rollback(s.arena, s.snap), 0);
		for (size_t i = 0; i < CHUNKS * CHUNK; i++)
			if (s.p[i] != 'a')
				ck_abort_msg("byte %zu after rollback", i);
		take_snapshot(s.arena, 0);
	}
	close_scene(&s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hybrid");
	TCase *tc = tcase_create("hybrid");

	tcase_add_test(tc, a_scattered_write_makes_its_chunk_warm);
	tcase_add_test(tc, compaction_makes_it_cold);
	tcase_add_test(tc, the_helper_makes_it_cold_when_it_has_been_quiet);
	tcase_add_test(tc, nobody_does_without_the_helper);
	tcase_add_loop_test(tc, a_walk_leaves_chunks_cold, 0, 5);
	tcase_add_test(tc, hot_pages_in_a_cold_chunk);
	tcase_add_loop_test(tc, a_walk_over_a_border, 0, 4);
	tcase_add_test(tc, prepare_and_roll_back_over_mixed_states);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
