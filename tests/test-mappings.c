/* SPDX-License-Identifier: BSD-2-Clause */
/* test-mappings.c - no pattern of writes reaches the kernel's limit of mappings. */
#include "config.h"

#include "common.h"
#include "os.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB ((size_t)1 << 30)

static size_t mapping_limit(void)
{
	size_t limit = 65530;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");

	if (f) {
		if (fscanf(f, "%zu", &limit) != 1)
			limit = 65530;
		fclose(f);
	}
	return limit;
}

static size_t mappings_of_process(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	size_t n = 0;

	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

/* The block, what it should hold, and the snapshot's content: one byte a page says it all. */
static void write_all(cowarena *arena, char *p, const uint32_t *order, size_t n)
{
	size_t limit = mapping_limit(), most = 0;

	for (size_t i = 0; i < n; i++) {
		((volatile char *)p)[order[i] * page_size()]++;
		if (i % 4096 == 0) {
			uint64_t now = stats_of(arena).mappings;
			most = now > most ? now : most;
		}
	}
	struct cowarena_stats s = stats_of(arena);
	printf("%zu pages written: %zu mappings at most, %llu now, %llu faults, %llu copied, %llu "
	       "ahead\n",
	       n, most, (unsigned long long)s.mappings, (unsigned long long)s.faults,
	       (unsigned long long)s.copied, (unsigned long long)s.copied_ahead);
	ck_assert_uint_lt(most, limit / 2);
	ck_assert_uint_lt(mappings_of_process(), limit / 2 + 200);
	/* The library's own count is what the kernel says, but for the process's other mappings. */
	ck_assert_uint_lt(s.mappings, mappings_of_process() + 1);
	ck_assert_uint_gt(s.mappings + 200, mappings_of_process());
}

static bool enough_memory(size_t bytes)
{
	size_t have = (size_t)sysconf(_SC_AVPHYS_PAGES) * page_size();

	if (have < bytes)
		printf("SKIP: %zu MiB of free memory are wanted, %zu are there\n", bytes >> 20,
		       have >> 20);
	return have >= bytes;
}

static void run(bool shuffled, size_t stride)
{
	size_t bytes = scaled(GIB, GIB, GIB / 8);
	size_t pages = bytes / page_size(), n = pages / stride;
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	uint64_t state = seed_of_run(5);

	if (!enough_memory(3 * bytes))
		return;
	o.capacity = 2 * GIB;
	o.flags = COWARENA_FAITHFUL; /* one page a fault, as long as the budget lasts */
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	char *p = page_block(arena, pages);
	cowarena_prepare_write(arena, p, bytes);
	for (size_t i = 0; i < pages; i++)
		p[i * page_size()] = 1;
	uint32_t *order = malloc(n * sizeof *order);
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)(i * stride);
	for (size_t i = n - 1; shuffled && i > 0; i--) {
		size_t j = rng(&state) % (i + 1);
		uint32_t swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}

	for (int round = 0; round < 2;
	     round++) { /* the second starts from what the first has left */
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		ck_assert_msg(snap != NULL, "%s", cowarena_errmsg());
		write_all(arena, p, order, n);
		for (size_t i = 0; i < pages; i++) {
			char seen, before = (char)(1 + (i % stride == 0 ? round : 0));
			if (cowarena_snapshot_read(snap, &seen, p + i * page_size(), 1) ||
			    seen != before)
				ck_abort_msg("page %zu of the snapshot", i);
			if (p[i * page_size()] != before + (i % stride == 0))
				ck_abort_msg("live page %zu", i);
		}
		ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	}
	free(order);
	cowarena_destroy(arena);
}

START_TEST(every_second_page)
{
	run(false, 2);
}
END_TEST

START_TEST(random_order)
{
	run(true, 1);
}
END_TEST

/* Several arenas share the limit. */
START_TEST(four_arenas)
{
	enum { ARENAS = 4 };
	size_t pages = 40000;
	cowarena *arena[ARENAS];
	char *p[ARENAS];

	if (!enough_memory(ARENAS * 2 * pages * page_size()))
		return;
	for (int i = 0; i < ARENAS; i++) {
		arena[i] = arena_case(CASE_DEFAULT);
		p[i] = page_block(arena[i], pages);
		take_snapshot(arena[i], 0);
	}
	for (size_t page = 0; page < pages; page += 2)
		for (int i = 0; i < ARENAS; i++)
			p[i][page * page_size()] = 1;
	ck_assert_uint_lt(mappings_of_process(), mapping_limit() / 2 + 200);
	for (int i = 0; i < ARENAS; i++)
		cowarena_destroy(arena[i]);
}
END_TEST

/* Others have taken all mappings: writers go on, at the price of pages copied ahead (I7). */
START_TEST(none_left)
{
	enum { PAGES = 3000 };

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer needs mappings itself\n");
		return;
	}
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);
	size_t room = 2 * mapping_limit() * page_size();
	char *hog = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t taken = 0;

	ck_assert(hog != MAP_FAILED);
	memset(p, 'a', PAGES * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	while (taken < room && mprotect(hog + taken, page_size(), PROT_READ) == 0)
		taken += 2 * page_size();
	bool full = taken < room;
	for (size_t i = 0; i < PAGES; i++)
		p[i * 7 % PAGES * page_size()] = 'b';
	munmap(hog, room);
	ck_assert(full);
	for (size_t i = 0; i < PAGES; i++) {
		char seen;
		if (p[i * page_size()] != 'b' ||
		    cowarena_snapshot_read(s, &seen, p + i * page_size(), 1) || seen != 'a')
			ck_abort_msg("page %zu", i);
	}
	cowarena_destroy(arena);
}
END_TEST

/* A hole in what the kernel has merged takes a mapping more. What cannot be unmapped goes when
   there are mappings again. */
START_TEST(unmapped_when_there_are_mappings_again)
{
	enum { PAGES = 1000 };
	size_t room = 2 * mapping_limit() * page_size(), taken = 0;
	char *hog = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *p = os_map_anonymous(3 * PAGES * page_size());

	ck_assert(hog != MAP_FAILED && p);
	memset(p, 'a', 3 * PAGES * page_size());
	char *middle = p + PAGES * page_size();
	while (taken < room && mprotect(hog + taken, page_size(), PROT_READ) == 0)
		taken += 2 * page_size();
	ck_assert_uint_lt(taken, room);
	os_unmap(middle, PAGES * page_size());
	ck_assert_uint_eq(os_unmap_left(), 1);
	ck_assert_int_eq(*middle, 0); /* without its memory */
	ck_assert(middle[-1] == 'a' && middle[PAGES * page_size()] == 'a');
	munmap(hog, room);
	os_unmap(p, PAGES * page_size());
	ck_assert_uint_eq(os_unmap_left(), 0);
	ck_assert_int_eq(msync(middle, PAGES * page_size(), MS_ASYNC), -1);
	ck_assert_int_eq(middle[PAGES * page_size()], 'a');
	os_unmap(middle + PAGES * page_size(), PAGES * page_size());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mappings");
	TCase *tc = tcase_create("mappings");

	tcase_add_test(tc, every_second_page);
	tcase_add_test(tc, random_order);
	tcase_add_test(tc, four_arenas);
	tcase_add_loop_test(tc, none_left, 0, CASES);
	tcase_add_test(tc, unmapped_when_there_are_mappings_again);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
