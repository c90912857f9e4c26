/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-chunks.c - the size of a huge page, and arenas with chunks of other sizes than this
 * machine's.
 *
 * A chunk has 512 pages where pages have 4 KiB, 2048 where they have 16 KiB, 32 where they have 64
 * KiB. The library asks os_huge_page_size(), which this program replaces: so it tries each number
 * of pages with the page size of this machine.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define THP "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

size_t __real_os_huge_page_size(void);
size_t __wrap_os_huge_page_size(void);

static size_t huge; /* what is answered; 0: the truth */

size_t __wrap_os_huge_page_size(void)
{
	return huge ? huge : __real_os_huge_page_size();
}

/* Pages in a huge page, and in a chunk. */
static const struct {
	size_t huge, chunk;
} sizes[] = {{2, 2}, {16, 16}, {128, 128}, {2048, 2048}, {8192, 8192}, {131072, 32}};
#define SIZES ((int)(sizeof sizes / sizeof *sizes))

START_TEST(what_the_kernel_says)
{
	FILE *file = fopen(THP, "re");
	size_t said = 0, page = page_size();

	if (file && fscanf(file, "%zu", &said) != 1)
		said = 0;
	if (file)
		fclose(file);
	errno = 4711;
	ck_assert_uint_eq(os_huge_page_size(), said ? said : page / 8 * page);
	ck_assert_int_eq(errno, 4711);
	ck_assert_uint_eq(os_huge_page_size() & (os_huge_page_size() - 1), 0);
	ck_assert_uint_gt(os_huge_page_size(), page);
}
END_TEST

START_TEST(size_of_a_chunk)
{
	huge = sizes[_i].huge * page_size();
	ck_assert_uint_eq(chunks_size(), sizes[_i].chunk * page_size());
}
END_TEST

/* However many pages the range has. */
START_TEST(resident)
{
	size_t page = page_size(), n = sizes[_i].chunk * page;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert(!os_is_resident(p, n));
	memset(p, 1, n);
	ck_assert(os_is_resident(p, n));
	/* The last quarter goes. */
	if (n >= 4 * page) {
		ck_assert_int_eq(madvise(p + n - n / 4, n / 4, MADV_REMOVE), 0);
		ck_assert(!os_is_resident(p, n));
	}
	munmap(p, n);
}
END_TEST

START_TEST(base)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	cowarena *arena;

	huge = sizes[_i].huge * page_size();
	o.capacity = (size_t)1 << 20;
	arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	ck_assert_uint_eq((uintptr_t)arena->base % chunks_size(), 0);
	o.base = arena->base;
	cowarena_destroy(arena);

	arena = cowarena_create(&o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	ck_assert_ptr_eq(arena->base, o.base);
	cowarena_destroy(arena);

	o.base = (char *)o.base + page_size();
	ck_assert_ptr_null(cowarena_create(&o));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- snapshots, whose pages are compared with copies ---- */

#define CHUNKS 3
#define EPOCHS 24 /* so that chunks cool down again */
#define WRITES 40

struct scene {
	cowarena *arena;
	char *p, *copy;
	size_t pages, bytes;
	uint64_t rng;
	cowarena_snapshot *first, *last;
	char *old; /* what the first snapshot has */
	uint64_t warm_most;
};

/* Scattered, but for a walk through some pages; in some epochs in the first chunk alone. */
static void write_some(struct scene *s, size_t epoch)
{
	size_t range = epoch % 3 ? s->pages : s->pages / CHUNKS;
	size_t walk = rng(&s->rng) % s->pages;

	for (size_t i = 0; i < WRITES; i++) {
		size_t page = i < WRITES / 2 ? rng(&s->rng) % range : (walk + i) % s->pages;
		size_t at = page * page_size() + rng(&s->rng) % page_size();
		s->p[at] = s->copy[at] = (char)rng(&s->rng);
	}
}

static void compare_first(struct scene *s)
{
	char *got = malloc(s->bytes);

	ck_assert_int_eq(cowarena_snapshot_read(s->first, got, s->p, s->bytes), 0);
	ck_assert_mem_eq(got, s->old, s->bytes);
	free(got);
}

static void one_epoch(struct scene *s, size_t epoch)
{
	struct cowarena_stats before = stats_of(s->arena);
	s->last = take_snapshot(s->arena, 0);
	ck_assert_ptr_nonnull(s->last);
	s->copy[0] = *(volatile char *)s->p = (char)epoch; /* once at least */
	write_some(s, epoch);
	struct cowarena_stats after = stats_of(s->arena);
	ck_assert_uint_gt(after.copied, before.copied);
	ck_assert_uint_eq(after.warm_bytes % CHUNK, 0);
	ck_assert_uint_eq(after.huge_bytes % CHUNK, 0);
	if (after.warm_bytes > s->warm_most)
		s->warm_most = after.warm_bytes;
	if (epoch % 8 == 7)
		ck_assert_int_eq(cowarena_compact(s->arena), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s->last), 0);
}

static void roll_back(struct scene *s)
{
	ck_assert_int_eq(cowarena_rollback(s->arena, s->first), 0);
	ck_assert_mem_eq(s->p, s->old, s->bytes);
	write_some(s, 1);
	compare_first(s);
	ck_assert_int_eq(cowarena_rollback(s->arena, s->first), 0);
	ck_assert_mem_eq(s->p, s->old, s->bytes);
}

START_TEST(snapshots)
{
	static const int kinds[] = {CASE_DEFAULT, CASE_EAGER, CASE_UFFD, CASE_HYBRID};
	struct scene s = {.rng = seed_of_run(1)};

	setenv("COWARENA_DEBUG", "1", 1); /* the library asserts its own invariants */
	huge = sizes[_i].huge * page_size();
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		s.arena = arena_case(kinds[k]);
		s.pages = CHUNKS * chunk_pages();
		s.bytes = CHUNKS * CHUNK;
		s.p = chunk_block(s.arena, CHUNKS);
		s.copy = malloc(s.bytes);
		s.old = malloc(s.bytes);
		for (size_t i = 0; i < s.bytes; i++)
			s.p[i] = s.copy[i] = s.old[i] = (char)(i / page_size() + i);
		s.first = take_snapshot(s.arena, 0);
		ck_assert_ptr_nonnull(s.first);
		for (size_t epoch = 1; epoch < EPOCHS; epoch++)
			one_epoch(&s, epoch);
		ck_assert_mem_eq(s.p, s.copy, s.bytes);
		if (strcmp(cowarena_engine_name(s.arena), "hybrid") == 0)
			ck_assert_uint_ge(s.warm_most, CHUNK);
		compare_first(&s);
		roll_back(&s);
		ck_assert_int_eq(cowarena_snapshot_release(s.first), 0);
		cowarena_destroy(s.arena);
		free(s.copy);
		free(s.old);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chunks");
	TCase *tc = tcase_create("chunks");

	tcase_add_test(tc, what_the_kernel_says);
	tcase_add_loop_test(tc, size_of_a_chunk, 0, SIZES);
	tcase_add_loop_test(tc, resident, 0, SIZES);
	tcase_add_loop_test(tc, base, 0, SIZES);
	tcase_add_loop_test(tc, snapshots, 0, SIZES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
