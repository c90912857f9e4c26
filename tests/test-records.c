/* SPDX-License-Identifier: BSD-2-Clause */
/* test-records.c - the pool of the library's own records. */
#include "config.h"

#include "common.h"
#include "records.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGEST RECORDS_SMALL
#define CYCLES 3000

static void *take(size_t n)
{
	void *p = records_take(n);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % RECORDS_ALIGN, 0);
	return p;
}

static bool is_all(const unsigned char *p, size_t n, unsigned char value)
{
	return n == 0 || (p[0] == value && memcmp(p, p + 1, n - 1) == 0);
}

/* ---- one thread ---- */

/* A record of each size, and on each side of each class's end: none overlaps another. */
START_TEST(apart)
{
	unsigned char *record[3 * 20];
	size_t size[3 * 20], n = 0;

	for (int round = 0; round < 5; round++, n = 0) {
		for (size_t s = 1; s <= 4 * LARGEST; s *= 2)
			for (size_t i = 0; i < 3; i++) {
				size[n] = s + i - 1;
				if (size[n])
					record[n] = take(size[n]), n++;
			}
		for (size_t i = 0; i < n; i++) {
			ck_assert_msg(is_all(record[i], size[i], 0), "%zu bytes: not zero",
				      size[i]);
			memset(record[i], (int)i + 1, size[i]);
		}
		for (size_t i = 0; i < n; i++)
			ck_assert_msg(is_all(record[i], size[i], (unsigned char)(i + 1)),
				      "%zu bytes overlap others", size[i]);
		for (size_t i = 0; i < n; i++)
			records_give(record[i], size[i]);
	}
	records_give(NULL, 100);
}
END_TEST

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;

	return (x > y) - (x < y);
}

/* One after the other: as late as possible, and yet no more memory for ever. */
START_TEST(reused_late)
{
	static void *seen[CYCLES];
	size_t size = (size_t)RECORDS_ALIGN << _i, distinct = 1;
	size_t least = size <= 1024 ? 256 : ((size_t)256 << 10) / size;

	for (size_t i = 0; i < CYCLES; i++) {
		seen[i] = take(size);
		for (size_t back = 1; back <= least && back <= i; back++)
			ck_assert_msg(seen[i - back] != seen[i], "reused after %zu", back);
		records_give(seen[i], size);
	}
	qsort(seen, CYCLES, sizeof *seen, by_address);
	for (size_t i = 1; i < CYCLES; i++)
		distinct += seen[i] != seen[i - 1];
	ck_assert_uint_le(distinct, least + 2);
}
END_TEST

/* What is given back stays readable, as it was, while it rests. */
START_TEST(readable_when_given_back)
{
	unsigned char *p = take(200);

	memset(p, 7, 200);
	ck_assert(records_holds(p));
	records_give(p, 200);
	ck_assert(records_holds(p));
	for (int i = 0; i < 200; i++)
		records_give(take(200), 200);
	ck_assert(is_all(p, 200, 7));
}
END_TEST

START_TEST(holds_its_own)
{
	int local;
	char *large = take(LARGEST + 1), *small = take(1);

	ck_assert(!records_holds(&local));
	ck_assert(!records_holds(NULL));
	ck_assert(!records_holds(large));
	ck_assert(records_holds(small));
	ck_assert(!records_holds(small + 1));
	ck_assert(!records_holds((void *)UINTPTR_MAX));
	records_give(large, LARGEST + 1);
	records_give(small, 1);
}
END_TEST

/* ---- no memory ---- */

START_TEST(nothing_left)
{
	struct rlimit none = {0, RLIM_INFINITY};
	void *p = take(4096);
	void *q = take(4096);

	if (sanitized()) {
		printf("SKIP: a sanitizer needs address space of its own\n");
		return;
	}
	records_give(q, 4096);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &none), 0);
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	/* What was mapped is used up, then what rests; and then it says so. */
	size_t n = 0;
	bool woken = false;
	for (void *r; (r = records_take(4096)) != NULL; n++)
		woken |= r == q;
	int e = errno;
	errno = EXDEV;
	records_give(p, 4096);
	void *again = records_take(4096);
	int kept = errno;
	none.rlim_cur = none.rlim_max;
	setrlimit(RLIMIT_AS, &none);
	ck_assert_int_eq(e, ENOMEM);
	ck_assert_int_eq(kept, EXDEV);
	ck_assert(woken);
	ck_assert_ptr_eq(again, p);
	ck_assert_ptr_nonnull(take(4096));
}
END_TEST

/* ---- threads, and forks in the midst of them ---- */

#define THREADS 4
#define HAND 40

static _Atomic bool stop;

/* Take and give back at random; each record has its own number in it as long as it is in the
   hand. */
static bool juggle(uint64_t seed, size_t rounds)
{
	struct {
		uint64_t *p;
		size_t size;
	} hand[HAND] = {{0}};
	bool right = true;

	for (size_t i = 0; i < rounds && right; i++) {
		uint64_t r = rng(&seed);
		size_t at = r % HAND;
		if (hand[at].p) {
			right = hand[at].p[0] == (uintptr_t)hand[at].p + at &&
				hand[at].p[hand[at].size / 8 - 1] == hand[at].p[0];
			records_give(hand[at].p, hand[at].size);
		}
		hand[at].size = (size_t)64 << (r >> 32) % 8;
		hand[at].p = records_take(hand[at].size);
		right &= hand[at].p && is_all((void *)hand[at].p, hand[at].size, 0);
		if (hand[at].p)
			hand[at].p[0] = hand[at].p[hand[at].size / 8 - 1] =
			    (uintptr_t)hand[at].p + at;
	}
	for (size_t i = 0; i < HAND; i++)
		records_give(hand[i].p, hand[i].size);
	return right;
}

static void *juggler(void *p)
{
	uint64_t seed = (uintptr_t)p + 1;
	bool right = true;

	while (right && !atomic_load(&stop))
		right = juggle(rng(&seed), 500);
	return right ? p : NULL;
}

static void with_jugglers(void (*fn)(void))
{
	pthread_t thread[THREADS];
	void *result;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, juggler, (void *)(i + 1)), 0);
	fn();
	atomic_store(&stop, true);
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(thread[i], &result), 0);
		ck_assert_msg(result != NULL, "two threads have had one record");
	}
}

static void go_along(void)
{
	ck_assert(juggle(seed_of_run(99), scaled(100000, 3000000, 10000)));
}

START_TEST(threads)
{
	with_jugglers(go_along);
}
END_TEST

/* Whatever the others were doing in the pool at that moment, the child can use it. */
static void fork_often(void)
{
	int status;

	for (size_t i = 0; i < scaled(150, 3000, 30); i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(!juggle(i + 1, 2000));
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_msg(status == 0, "status %#x in child %zu", (unsigned)status, i);
	}
}

START_TEST(forks)
{
	with_jugglers(fork_often);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("records");
	TCase *tc = tcase_create("records");

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, apart);
	tcase_add_loop_test(tc, reused_late, 0, 11);
	tcase_add_test(tc, readable_when_given_back);
	tcase_add_test(tc, holds_its_own);
	tcase_add_test(tc, nothing_left);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, forks);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
