/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-fault-stores.c - every kind of store to armed pages: across two pages, over many, locked,
 * masked, failing, by the kernel.
 *
 * Each store is done in an arena and in plain memory. Then both must hold the same bytes, and the
 * snapshot the bytes from before the store.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define PAGES ((size_t)70)

/* Pages that the arming leaves out: none, or one of the two around the place of the store. */
enum armed { BOTH, FIRST, SECOND, HALVES };

/* ---- the stores: a page begins at `at`, with PAGES / 2 of them on either side ---- */

static const char *source; /* PAGES pages of other bytes, not in an arena */

static void across(char *at)
{
	uint64_t value = 0x0123456789abcdef;
#ifdef __x86_64__
	__asm__ volatile("movq %1, %0" : "=m"(*(uint64_t(*)[1])(at - 3)) : "r"(value));
#else
	memcpy(at - 3, &value, sizeof value);
#endif
}

static void copy(char *at)
{
	char *to = at - 11 * page_size() - 5;
	size_t n = 20 * page_size() + 13;
#ifdef __x86_64__
	const char *from = source + 3;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
#else
	memmove(to, source + 3, n);
#endif
}

static void copy_onto_itself(char *at)
{
	memmove(at - 9 * page_size(), at - 10 * page_size() - 7, 20 * page_size());
}

static void no_bytes(char *at)
{
	volatile size_t none = 0;

	memcpy(at, source, none);
	memmove(at - 1, source, none);
	memset(at, 7, none);
}

static void same_value(char *at)
{
	*(volatile char *)at = *(volatile char *)at;
}

static void exchange_fails(char *at)
{
	uint64_t *p = (uint64_t *)at, expected = ~*p, value = 77;

	if (__atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST) ||
	    expected != *p)
		ck_abort_msg("it has exchanged");
}

static void exchange_succeeds(char *at)
{
	uint64_t *p = (uint64_t *)at, expected = *p;

	if (!__atomic_compare_exchange_n(p, &expected, 77, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		ck_abort_msg("it has not exchanged");
}

static void atomics(char *at)
{
	uint64_t *p = (uint64_t *)at, before = *p;

	if (__atomic_fetch_add(p, 3, __ATOMIC_SEQ_CST) != before ||
	    __atomic_exchange_n(p - 1, before, __ATOMIC_SEQ_CST) == before)
		ck_abort_msg("not what was there before");
	__atomic_fetch_or((unsigned char *)at - 9, 0x81, __ATOMIC_SEQ_CST);
}

static void wide_struct(char *at)
{
	struct {
		char bytes[300];
	} s;

	memcpy(&s, source, sizeof s);
	memcpy(at - 150, &s, sizeof s);
}

#ifdef __x86_64__
static void copy_downwards(char *at)
{
	size_t n = 20 * page_size() + 13;
	char *to = at + 10 * page_size() + 5;
	const char *from = source + n;

	__asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void fill(char *at)
{
	char *to = at - 3 * page_size() - 1;
	size_t n = 6 * page_size() / 8;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(0x5566778899aabbcc) : "memory");
}

static void copy_words_across(char *at)
{
	char *to = at - 4 * page_size() - 3;
	const char *from = source + 1;
	size_t n = page_size();

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static bool compare_exchange_16(char *at, uint64_t low, uint64_t high)
{
	bool done;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(done), "+m"(*(uint64_t(*)[2])at), "+a"(low), "+d"(high)
			 : "b"(0x1111111111111111), "c"(0x2222222222222222)
			 : "memory");
	return done;
}

static void exchange_16(char *at)
{
	const uint64_t *p = (const uint64_t *)at;

	if (compare_exchange_16(at, ~p[0], p[1]))
		ck_abort_msg("it has exchanged");
	if (!compare_exchange_16(at, p[0], p[1]))
		ck_abort_msg("it has not exchanged");
}

static void exchange_16_fails(char *at)
{
	const uint64_t *p = (const uint64_t *)at;

	if (compare_exchange_16(at, ~p[0], p[1]))
		ck_abort_msg("it has exchanged");
}

static void test_and_set(char *at)
{
	int64_t bit = 8 * ((int64_t)page_size() + 17) + 3; /* from the page before */
	bool was;
	bool is = *(at + 17) >> 3 & 1;

	__asm__ volatile("lock btsq %2, %1"
			 : "=@ccc"(was), "+m"(*(uint64_t *)(at - page_size()))
			 : "r"(bit)
			 : "memory");
	if (was != is)
		ck_abort_msg("the bit was %d, not %d", was, is);
	__asm__ volatile("lock btcq $5, %0" : "+m"(*(uint64_t *)(at - 8)));
}

static void add_across(char *at)
{
	__asm__ volatile("addq %1, %0"
			 : "+m"(*(uint64_t(*)[1])(at - 5))
			 : "r"(0x0101010101010101)
			 : "cc");
	__asm__ volatile("xchgb %b1, %0" : "+m"(*(at - 6)) : "q"((char)99));
}

/* The red zone is below the stack pointer. */
static void pop(char *at)
{
	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
			 "pushq $0x12345678\n\t"
			 "popq (%0)\n\t"
			 "leaq 128(%%rsp), %%rsp"
			 :
			 : "r"(at - 2)
			 : "memory");
}

static void around_the_cache(char *at)
{
	for (long i = -64; i < 64; i++)
		_mm_stream_si64((long long *)at + i, i * 0x7654321);
	_mm_sfence();
}

static void save_state(char *at)
{
	char plain[512 + 16], *p = (char *)(((uintptr_t)plain + 15) & ~(uintptr_t)15);

	__asm__ volatile("fxsave64 %0" : "=m"(*(char(*)[512])(at - 256)));
	__asm__ volatile("fxsave64 %0" : "=m"(*(char(*)[512])p));
	if (memcmp(at - 256 + 32, p + 32, 128)) /* the x87 registers */
		ck_abort_msg("another state was saved");
	memset(at - 256, 3, 512); /* some of it differs from time to time */
}

__attribute__((target("avx"))) static void avx(char *at)
{
	_mm256_storeu_si256((__m256i *)(at - 13), _mm256_loadu_si256((const __m256i *)source));
}

/* The lanes that are left out are on the second page, and must not be written to. */
__attribute__((target("avx"))) static void avx_masked(char *at)
{
	__m256i mask = _mm256_setr_epi32(-1, 0, -1, 0, 0, 0, 0, 0);

	_mm256_maskstore_ps((float *)(at - 12), mask, _mm256_loadu_ps((const float *)source));
}

__attribute__((target("avx"))) static void avx_masked_out(char *at)
{
	_mm256_maskstore_ps((float *)(at - 12), _mm256_setzero_si256(),
			    _mm256_loadu_ps((const float *)source));
}

static bool has_avx(void)
{
	return __builtin_cpu_supports("avx");
}

static bool has_exchange_16(void)
{
	unsigned a = 1, b, c = 0, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 13 & 1;
}
#endif

static const struct {
	const char *name;
	void (*store)(char *at);
	bool (*possible)(void);
	bool changes; /* whether it is to change any byte */
	bool writes;  /* whether it is to fault; the processor may write what is there already */
} stores[] = {
    {"8 bytes across pages", across, NULL, true, true},
    {"a copy over pages", copy, NULL, true, true},
    {"an overlapping copy", copy_onto_itself, NULL, true, true},
    {"no bytes", no_bytes, NULL, false, false},
    {"what is there", same_value, NULL, false, true},
    {"an exchange that fails", exchange_fails, NULL, false, false},
    {"an exchange", exchange_succeeds, NULL, true, true},
    {"atomics", atomics, NULL, true, true},
    {"a struct across pages", wide_struct, NULL, true, true},
#ifdef __x86_64__
    {"rep movsb downwards", copy_downwards, NULL, true, true},
    {"rep stosq", fill, NULL, true, true},
    {"rep movsq across pages", copy_words_across, NULL, true, true},
    {"16-byte exchanges", exchange_16, has_exchange_16, true, true},
    {"one that fails", exchange_16_fails, has_exchange_16, false, false},
    {"locked bits", test_and_set, NULL, true, true},
    {"add across pages", add_across, NULL, true, true},
    {"pop across pages", pop, NULL, true, true},
    {"around the cache", around_the_cache, NULL, true, true},
    {"fxsave across pages", save_state, NULL, true, true},
    {"AVX across pages", avx, has_avx, true, true},
    {"AVX, some lanes", avx_masked, has_avx, true, true},
    {"AVX, no lane", avx_masked_out, has_avx, false, false},
#endif
};
#define STORES (int)(sizeof stores / sizeof *stores)

/* ---- */

static void fill_random(char *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t value = rng(&seed);
		memcpy(p + i, &value, 8);
	}
}

/* Let some pages be writable again after the snapshot. */
static void disarm(cowarena *arena, char *p, char *at, enum armed armed)
{
	size_t page = page_size();

	if (armed == FIRST)
		ck_assert_int_eq(cowarena_prepare_write(arena, at, page), 0);
	else if (armed == SECOND)
		ck_assert_int_eq(cowarena_prepare_write(arena, at - page, page), 0);
	for (size_t i = 0; armed == HALVES && i < PAGES; i += 2)
		ck_assert_int_eq(cowarena_prepare_write(arena, p + i * page, 1), 0);
}

static void check_store(int i, cowarena *arena, enum armed armed, bool faults)
{
	size_t page = page_size(), n = PAGES * page;
	char *p = page_block(arena, PAGES), *at = p + n / 2, *then = malloc(n);
	char *plain = aligned_alloc(page, n), *was = malloc(n);

	fill_random(p, n, 5 + (uint64_t)i);
	memcpy(plain, p, n);
	memcpy(was, p, n);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	ck_assert_ptr_nonnull(s);
	disarm(arena, p, at, armed);
	uint64_t before = stats_of(arena).faults;
	stores[i].store(at);
	uint64_t after = stats_of(arena).faults;
	stores[i].store(plain + n / 2);
	ck_assert_msg(memcmp(p, plain, n) == 0, "%s: the live bytes", stores[i].name);
	ck_assert_msg((memcmp(p, was, n) != 0) == stores[i].changes, "%s: changes", stores[i].name);
	ck_assert_int_eq(cowarena_snapshot_read(s, then, p, n), 0);
	ck_assert_msg(memcmp(then, was, n) == 0, "%s: the snapshot", stores[i].name);
	if (faults && armed == BOTH && stores[i].writes)
		ck_assert_msg(after > before, "%s: no fault", stores[i].name);
	if (stores[i].store == no_bytes)
		ck_assert_uint_eq(after, before);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_msg(memcmp(p, was, n) == 0, "%s: rolled back", stores[i].name);
	cowarena_snapshot_release(s);
	cowarena_free(arena, p);
	free(plain), free(was), free(then);
}

static const int engines[] = {CASE_DEFAULT, CASE_FAITHFUL, CASE_EAGER, CASE_UFFD,
			      CASE_HYBRID,  CASE_EVENTS,   CASE_HUGE};
#define ENGINES (int)(sizeof engines / sizeof *engines)

START_TEST(each_store)
{
	int i = _i % STORES, engine = engines[_i / STORES];
	char *bytes = malloc(PAGES * page_size());

	if (stores[i].possible && !stores[i].possible()) {
		printf("SKIP: this processor has no '%s'\n", stores[i].name);
		return;
	}
	fill_random(bytes, PAGES * page_size(), 99);
	source = bytes;
	cowarena *arena = arena_case(engine);
	for (int armed = BOTH; armed <= HALVES; armed++)
		check_store(i, arena, (enum armed)armed, engine != CASE_EAGER);
	cowarena_destroy(arena);
	free(bytes);
}
END_TEST

/* By the kernel: EFAULT and no signal, nothing changed; it works once prepared. */
START_TEST(by_the_kernel)
{
	cowarena *arena = arena_case(engines[_i]);
	size_t page = page_size();
	char *p = page_block(arena, 2), seen[8];
	bool refuses = engines[_i] != CASE_EAGER && !cowarena_syscall_safe(arena);
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	memset(p, 'a', 2 * page);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	ck_assert_int_eq(write(fd[1], "12345678", 8), 8);
	uint64_t faults = stats_of(arena).faults;
	if (refuses) {
		ck_assert_int_eq(read(fd[0], p + page - 4, 8), -1);
		ck_assert_int_eq(errno, EFAULT);
		ck_assert_uint_eq(stats_of(arena).faults, faults);
		ck_assert_mem_eq(p + page - 4, "aaaaaaaa", 8);
		ck_assert_int_eq(cowarena_prepare_write(arena, p + page - 4, 8), 0);
		/* What could not be read may be lost with a pipe, or not. */
		close(fd[0]), close(fd[1]);
		ck_assert_int_eq(pipe(fd), 0);
		ck_assert_int_eq(write(fd[1], "12345678", 8), 8);
	}
	ck_assert_int_eq(read(fd[0], p + page - 4, 8), 8);
	ck_assert_mem_eq(p + page - 4, "12345678", 8);
	ck_assert_int_eq(cowarena_snapshot_read(s, seen, p + page - 4, 8), 0);
	ck_assert_mem_eq(seen, "aaaaaaaa", 8);
	close(fd[0]), close(fd[1]);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault-stores");
	TCase *tc = tcase_create("stores");

	tcase_add_loop_test(tc, each_store, 0, STORES * ENGINES);
	tcase_add_loop_test(tc, by_the_kernel, 0, ENGINES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
