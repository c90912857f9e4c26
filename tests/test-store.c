/* SPDX-License-Identifier: BSD-2-Clause */
/* test-store.c - arenas in files: checkpoints, one after the other, at once, and failed ones. (For
   power cuts see test-store-cuts.c.) */
#include "config.h"

#include "arena.h"
#include "stores.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

/* ---- what is checkpointed is there again ---- */

START_TEST(round_trip)
{
	make_folder();
	cowarena_store *store = open_case(_i);
	cowarena *arena = cowarena_store_arena(store);
	errno = 77;
	make_list(arena, 1);
	works(cowarena_store_checkpoint(store, 0));
	check_index(store);
	void *root = cowarena_root(arena);
	/* What comes later goes. */
	free_list(arena);
	make_list(arena, 2);
	store = reopen(store, _i);
	arena = cowarena_store_arena(store);
	ck_assert_ptr_eq(cowarena_root(arena), root);
	check_list(arena, 1);
	check_index(store);
	for (unsigned salt = 3; salt < 7; salt++) {
		free_list(arena);
		make_list(arena, salt);
		works(cowarena_store_checkpoint(store, 0));
		check_index(store);
		ck_assert_int_eq(errno, 77);
		if (salt % 2)
			store = reopen(store, _i);
		arena = cowarena_store_arena(store);
		check_list(arena, salt);
	}
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* A store without a checkpoint is an empty one. */
START_TEST(never_checkpointed)
{
	make_folder();
	cowarena_store *store = open_default();
	void *base = cowarena_store_arena(store)->base;
	make_list(cowarena_store_arena(store), 1);
	store = reopen(store, CASE_HYBRID);
	ck_assert_ptr_null(cowarena_root(cowarena_store_arena(store)));
	ck_assert_ptr_eq(cowarena_store_arena(store)->base, base);
	fails(cowarena_store_keep(store, "first"), ENOENT, "no checkpoint yet");
	make_list(cowarena_store_arena(store), 1);
	works(cowarena_store_wait(store));
	works(cowarena_store_close(store));
	works(cowarena_store_close(NULL));
	remove_folder();
}
END_TEST

/* The next blocks are where they would have been: the allocator's state is the same. */
START_TEST(allocator_goes_on)
{
	void *next[200];

	make_folder();
	cowarena_store *store = open_default();
	make_list(cowarena_store_arena(store), 1);
	works(cowarena_store_checkpoint(store, 0));
	cowarena *arena = cowarena_store_arena(store);
	for (size_t i = 0; i < 200; i++)
		next[i] = cowarena_alloc(arena, 3000 + i * 150);
	store = reopen(store, CASE_HYBRID);
	/* (Opening has taken a snapshot too, as the checkpoint had.) */
	arena = cowarena_store_arena(store);
	for (size_t i = 0; i < 200; i++)
		ck_assert_ptr_eq(cowarena_alloc(arena, 3000 + i * 150), next[i]);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* Only what has changed is written. */
static uint64_t bytes_written;

static int count_bytes(const struct os_store_call *call)
{
	if (call->kind == OS_STORE_WRITE)
		bytes_written += call->n;
	return 0;
}

START_TEST(changes_only)
{
	enum { PAGES = 2000 };

	make_folder();
	cowarena_store *store = open_case(_i);
	char *p = page_block(cowarena_store_arena(store), PAGES);
	memset(p, 1, PAGES * page_size());
	works(cowarena_store_checkpoint(store, 0));
	store = reopen(store, _i);
	for (int round = 0; round < 3 && _i % CASES != CASE_EAGER; round++) {
		for (size_t i = 0; i < 10; i++)
			p[i * 150 * page_size()]++;
		os_store_hook = count_bytes;
		bytes_written = 0;
		works(cowarena_store_checkpoint(store, 0));
		os_store_hook = NULL;
		/* Ten pages, some nodes, the heap's header; a fault copies its neighbours. */
		ck_assert_uint_le(bytes_written, 60 * page_size());
		check_index(store);
	}
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* The index gets higher. */
START_TEST(grows)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	char *block[12];
	size_t pages = 20;

	for (int i = 0; i < 12; i++, pages = pages * 2) {
		block[i] = page_block(arena, pages);
		memset(block[i], i + 1, pages * page_size());
		works(cowarena_store_checkpoint(store, 0));
		check_index(store);
		if (i % 4 == 3) {
			store = reopen(store, CASE_HYBRID);
			arena = cowarena_store_arena(store);
			check_index(store);
		}
	}
	for (int i = 0; i < 12; i++)
		ck_assert(block[i][0] == i + 1 && block[i][page_size() - 1] == i + 1);
	ck_assert_uint_ge(store->tree.levels, page_size() == 4096 ? 2 : 1);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- one instant ---- */

struct storm {
	_Atomic uint64_t *p;
	size_t pages;
	_Atomic bool stop;
};

/* The first word of each page in turn: no page may be ahead of one before it. */
static void *write_on(void *arg)
{
	struct storm *storm = arg;
	size_t step = page_size() / sizeof *storm->p;

	for (uint64_t round = 1; !atomic_load(&storm->stop); round++)
		for (size_t i = 0; i < storm->pages; i++)
			atomic_store(&storm->p[i * step], round);
	return NULL;
}

static void check_instant(const struct storm *storm)
{
	size_t step = page_size() / sizeof *storm->p, falls = 0;

	for (size_t i = 1; i < storm->pages; i++) {
		uint64_t before = storm->p[(i - 1) * step], here = storm->p[i * step];
		ck_assert_msg(before == here || before == here + 1, "page %zu: %llu after %llu", i,
			      (unsigned long long)here, (unsigned long long)before);
		falls += before != here;
	}
	ck_assert_uint_le(falls, 1);
}

START_TEST(while_all_is_written)
{
	make_folder();
	cowarena_store *store = open_case(_i);
	cowarena *arena = cowarena_store_arena(store);
	struct storm storm = {.pages = 500};
	pthread_t thread;

	storm.p = (void *)page_block(arena, storm.pages);
	memset((void *)storm.p, 0, storm.pages * page_size());
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &storm), 0);
	for (int round = 0; round < 10; round++)
		works(cowarena_store_checkpoint(store, round % 2 ? COWARENA_STORE_ASYNC : 0));
	works(cowarena_store_wait(store));
	atomic_store(&storm.stop, true);
	pthread_join(thread, NULL);
	check_index(store);
	store = reopen(store, _i);
	check_instant(&storm);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- asynchronous ones ---- */

static _Atomic bool held;
static _Atomic unsigned slots_written;

static int hold_syncs(const struct os_store_call *call)
{
	if (call->kind == OS_STORE_WRITE && call->offset && call->offset < 3 * page_size())
		atomic_fetch_add(&slots_written, 1);
	if (call->kind == OS_STORE_SYNC)
		AWAIT(!atomic_load(&held));
	return 0;
}

START_TEST(merged)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	unsigned *counter = cowarena_calloc(arena, 1, sizeof *counter);
	cowarena_set_root(arena, counter);
	os_store_hook = hold_syncs;
	atomic_store(&held, true);
	for (unsigned i = 1; i <= 50; i++) {
		*counter = i;
		works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC));
	}
	/* One is being written, one waits, one is the base. */
	ck_assert_uint_le(stats_of(arena).snapshots_live, 3);
	*counter = 77;
	atomic_store(&held, false);
	works(cowarena_store_wait(store));
	ck_assert_uint_le(atomic_load(&slots_written), 3);
	works(cowarena_store_wait(store));
	os_store_hook = NULL;
	store = reopen(store, CASE_HYBRID);
	ck_assert_uint_eq(*(unsigned *)cowarena_root(cowarena_store_arena(store)), 50);
	/* What waits at the end is written. */
	*counter = 51;
	works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC | COWARENA_QUIESCENT));
	store = reopen(store, CASE_HYBRID);
	ck_assert_uint_eq(*counter, 51);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

static void *take_many(void *arg)
{
	for (int i = 0; i < 30; i++)
		works(cowarena_store_checkpoint(arg, i % 3 ? COWARENA_STORE_ASYNC : 0));
	return NULL;
}

START_TEST(asked_by_threads)
{
	pthread_t thread[4];

	make_folder();
	cowarena_store *store = open_default();
	make_list(cowarena_store_arena(store), 9);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, take_many, store), 0);
	for (int i = 0; i < 10; i++) {
		char name[8];
		snprintf(name, sizeof name, "n%d", i);
		if (cowarena_store_keep(store, name))
			ck_assert_int_eq(errno, ENOENT);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	works(cowarena_store_wait(store));
	check_index(store);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 9);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- failures ---- */

static unsigned fail_at;
static int fail_with;
static enum os_store_kind fail_kind;

static int fail_one(const struct os_store_call *call)
{
	return call->kind == fail_kind && fail_at && --fail_at == 0 ? fail_with : 0;
}

START_TEST(failed_ones)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	make_list(arena, 1);
	works(cowarena_store_checkpoint(store, 0));
	free_list(arena);
	make_list(arena, 2);
	os_store_hook = fail_one;
	fail_kind = OS_STORE_WRITE;
	fail_with = ENOSPC;
	fail_at = 2;
	fails(cowarena_store_checkpoint(store, 0), ENOSPC, "make room");
	fails(cowarena_store_wait(store), ENOSPC, "make room");
	fail_at = 1;
	works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC));
	fails(cowarena_store_wait(store), ENOSPC, "the last one is as it was");
	fail_kind = OS_STORE_SYNC;
	fail_with = EIO;
	fail_at = 1;
	fails(cowarena_store_checkpoint(store, 0), EIO, "disk");
	fail_at = 1;
	works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC));
	fails(cowarena_store_close(store), EIO, "disk");
	store = open_default();
	arena = cowarena_store_arena(store);
	check_list(arena, 1);
	free_list(arena);
	make_list(arena, 3);
	fail_at = 2; /* the slot's */
	fails(cowarena_store_checkpoint(store, 0), EIO, "disk");
	fail_at = 1;
	fails(cowarena_store_keep(store, "kept"), EIO, "disk");
	works(cowarena_store_checkpoint(store, 0));
	os_store_hook = NULL;
	check_index(store);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 3);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* The base was given up: all is written. */
START_TEST(base_given_up)
{
	struct cowarena_options a = case_options(CASE_DEFAULT);
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	make_folder();
	a.held_limit = 16 * page_size();
	a.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	o.arena = &a;
	cowarena_store *store = cowarena_store_open(path, &o);
	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
	cowarena *arena = cowarena_store_arena(store);
	for (unsigned salt = 1; salt < 4; salt++) {
		make_list(arena, salt);
		works(cowarena_store_checkpoint(store, 0));
	}
	ck_assert_uint_ge(stats_of(arena).spoiled, 1);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 3);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store");

	tcase_add_loop_test(tc, round_trip, 0, STORE_CASES);
	tcase_add_test(tc, never_checkpointed);
	tcase_add_test(tc, allocator_goes_on);
	tcase_add_loop_test(tc, changes_only, 0, STORE_CASES);
	tcase_add_test(tc, grows);
	tcase_add_loop_test(tc, while_all_is_written, 0, STORE_CASES);
	tcase_add_test(tc, merged);
	tcase_add_test(tc, asked_by_threads);
	tcase_add_test(tc, failed_ones);
	tcase_add_test(tc, base_given_up);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
