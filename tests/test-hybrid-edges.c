/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-hybrid-edges.c - engine hybrid at the end of the heap, while the heap grows, and with chunks
 * in alternating states.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <stdio.h>
#include <sys/stat.h>

/* Of the arena's range, as the kernel has them. */
static size_t mappings_of(cowarena *arena)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long from;
	size_t n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		n += sscanf(line, "%lx", &from) == 1 &&
		     from - (uintptr_t)arena->base < arena->reserved;
	fclose(f);
	return n;
}

static char past(cowarena_snapshot *s, const char *p)
{
	char seen;

	if (cowarena_snapshot_read(s, &seen, p, 1))
		ck_abort_msg("%s", cowarena_errmsg());
	return seen;
}

/* ---- growth ---- */

#define GROW_WARM 1
#define GROW_FAITHFUL 2
#define GROW_COMPACTED 4
#define GROW_OPEN 8
#define GROW_CASES 16

/* The heap ends within a chunk that is armed, cold or warm, or open; it grows in it, and beyond. */
START_TEST(growth_in_an_armed_chunk)
{
	enum { BLOCKS = 40 };
	cowarena *arena =
	    hybrid_arena(COWARENA_NO_HELPER | (_i & GROW_FAITHFUL ? COWARENA_FAITHFUL : 0));
	size_t n = CHUNK / 8;
	char *block[BLOCKS];

	if (!arena)
		return;
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = page_block(arena, n / page_size());
		if (!(_i & GROW_OPEN))
			take_snapshot(arena, 0);
		memset(block[i], 'a' + i % 20, n);
		cowarena_snapshot *before = take_snapshot(arena, 0);
		if (_i & GROW_COMPACTED)
			cowarena_compact(arena);
		if (_i & GROW_WARM)
			block[i][n / 2] = '!';
		if (_i & GROW_OPEN)
			cowarena_prepare_write(arena, block[i], n);
		char *next = cowarena_alloc(arena, n);
		memset(next, '?', n);
		cowarena_snapshot *after = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(after);
		memset(next, '#', n);
		block[i][n / 2] = '%';
		for (size_t at = 0; at < n; at += page_size() / 2) {
			ck_assert_int_eq(past(after, next + at), '?');
			ck_assert_int_eq(past(before, block[i] + at), 'a' + i % 20);
		}
		ck_assert_int_eq(past(after, block[i] + n / 2),
				 _i & GROW_WARM ? '!' : 'a' + i % 20);
		cowarena_free(arena, next);
		cowarena_snapshot_release(i % 2 ? before : after);
	}
	for (int i = 0; i < BLOCKS; i++)
		for (size_t at = 0; at < n; at++)
			if (block[i][at] != (at == n / 2 ? '%' : 'a' + i % 20))
				ck_abort_msg("block %d, byte %zu", i, at);
	cowarena_destroy(arena);
}
END_TEST

/* What is not in use of the last chunk is nobody's: writable, never armed, never collapsed. */
START_TEST(the_last_chunk_is_partly_in_use)
{
	cowarena *arena = hybrid_arena(COWARENA_NO_HELPER);

	if (!arena)
		return;
	char *p = chunk_block(arena, 1), *last = page_block(arena, chunk_pages() / 2);
	memset(last, 'a', CHUNK / 2);
	memset(p, 'a', CHUNK);
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	uint64_t huge = stats_of(arena).huge_bytes;
	cowarena_compact(arena);
	ck_assert_uint_le(stats_of(arena).huge_bytes - huge, CHUNK);
	last[CHUNK / 2 - 1] = 'b';
	last[0] = 'b';
	p[CHUNK - 1] = 'b';
	cowarena_compact(arena);
	cowarena_snapshot *second = take_snapshot(arena, 0);
	memset(last, 'c', CHUNK / 2);
	for (size_t i = 0; i < CHUNK / 2; i += page_size())
		ck_assert_int_eq(past(snap, last + i), 'a');
	ck_assert_int_eq(past(second, last + CHUNK / 2 - 1), 'b');
	ck_assert_int_eq(past(second, last + 1), 'a');
	ck_assert_int_eq(past(second, p + CHUNK - 1), 'b');
	ck_assert_int_eq(cowarena_rollback(arena, second), 0);
	ck_assert_int_eq(last[0], 'b');
	ck_assert_int_eq(last[1], 'a');
	ck_assert_int_eq(cowarena_rollback(arena, snap), 0);
	ck_assert_int_eq(last[0], 'a');
	cowarena_destroy(arena);
}
END_TEST

START_TEST(an_arena_smaller_than_a_chunk)
{
	struct cowarena_options o = case_options(CASE_HYBRID);
	cowarena_snapshot *snap[20];

	o.capacity = 8 * page_size();
	if (_i)
		o.flags = COWARENA_NO_HELPER;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	char *p = page_block(arena, 4);
	for (int i = 0; i < 20; i++) {
		for (size_t page = 0; page < 4; page++)
			p[page * page_size()] = (char)i;
		snap[i] = take_snapshot(arena, i % 3 ? COWARENA_QUIESCENT : 0);
		ck_assert_ptr_nonnull(snap[i]);
		ck_assert_int_eq(cowarena_compact(arena), 0);
	}
	memset(p, 99, 4 * page_size());
	for (int i = 0; i < 20; i++)
		for (size_t page = 0; page < 4; page++)
			ck_assert_int_eq(past(snap[i], p + page * page_size()), i);
	ck_assert_uint_eq(stats_of(arena).huge_bytes, 0);
	ck_assert_int_eq(cowarena_rollback(arena, snap[7]), 0);
	ck_assert_int_eq(p[0], 7);
	cowarena_destroy(arena);
}
END_TEST

/* ---- kernel mappings ---- */

#define STRIPES 64 /* chunks; every second one is treated otherwise */

static void check_mappings(cowarena *arena, const char *when)
{
	size_t real = mappings_of(arena), counted = arena->engine->mappings(arena);

	if (counted + 4 < real || counted > real + 4)
		ck_abort_msg("%s: %zu mappings, %zu counted", when, real, counted);
	ck_assert_uint_lt(real, 3 * STRIPES);
}

/* In each epoch of every second chunk: nothing, one page, all pages (and compacted), hot pages. */
enum stripes { ONE_PAGE, OPEN, OPEN_AND_COMPACTED, HOT, STRIPES_CASES };

static void write_stripe(char *p, enum stripes how, char value)
{
	size_t step = how == ONE_PAGE ? chunk_pages() : how == HOT ? 9 : 1;

	for (size_t i = 5; i < 5 + chunk_pages(); i += step)
		p[i * 7 % chunk_pages() * page_size()] = value;
}

START_TEST(chunks_alternate)
{
	enum stripes how = (enum stripes)_i;
	cowarena *arena = hybrid_arena(COWARENA_NO_HELPER);

	if (!arena)
		return;
	char *p = chunk_block(arena, STRIPES);
	memset(p, 'a', STRIPES * CHUNK);
	cowarena_snapshot *first = take_snapshot(arena, 0), *snap = NULL;
	check_mappings(arena, "all armed");
	for (char epoch = 'b'; epoch < 'f'; epoch++) {
		for (size_t c = 0; c < STRIPES; c += 2)
			write_stripe(p + c * CHUNK, how, epoch);
		check_mappings(arena, "written");
		if (how == OPEN_AND_COMPACTED)
			cowarena_compact(arena);
		check_mappings(arena, "compacted");
		cowarena_snapshot_release(snap);
		snap = take_snapshot(arena, how == HOT ? COWARENA_QUIESCENT : 0);
		check_mappings(arena, "taken");
		for (size_t c = 0; c < STRIPES; c += 2) {
			size_t page = 5 * 7 % chunk_pages();
			ck_assert_int_eq(past(snap, p + c * CHUNK + page * page_size()), epoch);
			ck_assert_int_eq(past(first, p + c * CHUNK + page * page_size()), 'a');
			ck_assert_int_eq(past(snap, p + (c + 1) * CHUNK), 'a');
		}
	}
	cowarena_destroy(arena);
}
END_TEST

/* A chunk is huge, or armed page by page, or neither, never both. */
START_TEST(no_chunk_is_warm_and_huge)
{
	enum { CHUNKS = 8 };

	if (!can_collapse())
		return;
	cowarena *arena = hybrid_arena(COWARENA_NO_HELPER);
	if (!arena)
		return;
	char *p = chunk_block(arena, CHUNKS);
	for (char epoch = 'b'; epoch < 'h'; epoch++) {
		/* All hot, and then some of them no longer. */
		size_t n = epoch < 'e' ? chunk_pages() : 100;
		for (size_t c = 0; c < CHUNKS; c++)
			for (size_t i = 0; i < n; i++)
				p[c * CHUNK + i * 7 % chunk_pages() * page_size()] = epoch;
		cowarena_compact(arena);
		take_snapshot(arena, COWARENA_QUIESCENT);
		struct cowarena_stats s = stats_of(arena);
		ck_assert_uint_le(s.huge_bytes + s.warm_bytes, (CHUNKS + 1) * CHUNK);
	}
	/* When it is over, all come back. */
	for (int i = 0; i < 3; i++)
		take_snapshot(arena, COWARENA_QUIESCENT);
	cowarena_compact(arena);
	ck_assert_uint_eq(stats_of(arena).warm_bytes, 0);
	ck_assert_uint_ge(stats_of(arena).huge_bytes, CHUNKS * CHUNK);
	cowarena_destroy(arena);
}
END_TEST

/* ---- memory ---- */

static size_t memory_of(cowarena *arena)
{
	struct stat s;

	ck_assert_int_eq(fstat(arena->file.fd, &s), 0);
	return (size_t)s.st_blocks * 512;
}

/* Compaction gives no memory to pages in use that were never touched: but for an eighth of a
   chunk. */
START_TEST(sparse_chunks_stay_sparse)
{
	enum { CHUNKS = 8 };

	for (int engine = 0; engine < 2; engine++) {
		struct cowarena_options o = case_options(engine ? CASE_HYBRID : CASE_DEFAULT);
		o.flags |= COWARENA_NO_HELPER;
		cowarena *arena = cowarena_create(&o);
		ck_assert_ptr_nonnull(arena);
		char *p = chunk_block(arena, CHUNKS);
		/* Of chunk c, c eighths but the last: none, some, in a row or scattered. */
		for (size_t c = 0; c < CHUNKS - 1; c++)
			for (size_t i = 0; i < chunk_pages(); i++)
				if (i * 5 % 8 < c)
					p[c * CHUNK + i * page_size()] = 'a';
		memset(p + (CHUNKS - 1) * CHUNK, 'a', CHUNK);
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		size_t before = memory_of(arena);
		cowarena_compact(arena);
		ck_assert_uint_le(memory_of(arena) - before, CHUNK / 8);
		for (size_t c = 0; c < CHUNKS - 1; c++)
			p[c * CHUNK + (c + 9) * page_size()] = 'b';
		cowarena_compact(arena);
		ck_assert_uint_le(memory_of(arena) - before, CHUNK / 8 + CHUNKS * page_size());
		/* To read a page that was never touched gives it memory. */
		for (size_t c = 0; c < CHUNKS - 1; c++)
			for (size_t i = 0; i < chunk_pages(); i++)
				ck_assert_int_eq(past(snap, p + c * CHUNK + i * page_size()),
						 i * 5 % 8 < c ? 'a' : 0);
		cowarena_destroy(arena);
	}
}
END_TEST

/* When the budget of mappings fills, chunks become warm with their neighbours; and in the end
   all of them. */
START_TEST(neighbours_become_warm)
{
	enum { CHUNKS = 80 };
	cowarena *arena = hybrid_arena(COWARENA_NO_HELPER);

	if (!arena)
		return;
	arena->mapping_limit = 80; /* half of it is the budget: that of 20 islands */
	char *p = chunk_block(arena, CHUNKS);
	for (size_t c = 0; c < CHUNKS; c++)
		memset(p + c * CHUNK, 'a', 2 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	size_t alone = 0, most = 0;
	for (size_t i = 0; i < CHUNKS / 2; i++) {
		size_t c = i * 2 * 27 % CHUNKS; /* every other one */
		p[c * CHUNK] = 'b';
		size_t warm = stats_of(arena).warm_bytes / CHUNK;
		alone += warm == i + 1;
		if (mappings_of(arena) > most)
			most = mappings_of(arena);
	}
	ck_assert_uint_gt(alone, 0);
	ck_assert_uint_lt(alone, CHUNKS / 2);
	ck_assert_uint_gt(stats_of(arena).warm_bytes / CHUNK, CHUNKS / 2);
	ck_assert_uint_le(most, 40);
	for (size_t c = 0; c < CHUNKS; c++) {
		ck_assert_int_eq(p[c * CHUNK], c % 2 ? 'a' : 'b');
		ck_assert_int_eq(past(s, p + c * CHUNK), 'a');
		ck_assert_int_eq(past(s, p + c * CHUNK + page_size()), 'a');
	}
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t c = 0; c < CHUNKS; c++)
		ck_assert_int_eq(p[c * CHUNK], 'a');
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hybrid-edges");
	TCase *tc = tcase_create("hybrid-edges");

	tcase_add_loop_test(tc, growth_in_an_armed_chunk, 0, GROW_CASES);
	tcase_add_test(tc, the_last_chunk_is_partly_in_use);
	tcase_add_loop_test(tc, an_arena_smaller_than_a_chunk, 0, 2);
	tcase_add_loop_test(tc, chunks_alternate, 0, STRIPES_CASES);
	tcase_add_test(tc, no_chunk_is_warm_and_huge);
	tcase_add_test(tc, sparse_chunks_stay_sparse);
	tcase_add_test(tc, neighbours_become_warm);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
