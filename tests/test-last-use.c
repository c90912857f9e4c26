/* SPDX-License-Identifier: BSD-2-Clause */
/* test-last-use.c - saves after which a snapshot is of no use (COWARENA_SAVE_LAST_USE). */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "image-chain.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define PAGES 400
#define BYTES_MAX ((size_t)PAGES << 16)

static char folder[] = "/tmp/cowarena-last-use.XXXXXX";
static char path[sizeof folder + 8];
static char then[BYTES_MAX], seen[BYTES_MAX];

static void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/image", folder);
}

static void remove_folder(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

static size_t bytes(void)
{
	return PAGES * page_size();
}

static int save(cowarena_snapshot *s, cowarena_progress_fn *progress, void *ctx)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;

	o.flags = COWARENA_SAVE_LAST_USE | COWARENA_SAVE_NO_SYNC;
	o.progress = progress;
	o.ctx = ctx;
	return cowarena_snapshot_save(s, path, &o);
}

/* The image has `then` in the block. */
static void check_image(cowarena *arena, char *p)
{
	static char group[IMAGE_GROUP << 16];
	struct image_file newest;
	struct image_chain chain;
	uint64_t first = 0, present;
	size_t size = page_size(), block = arena_page(arena, p), found = 0;

	ck_assert_int_eq(image_open(&newest, path), 0);
	ck_assert_int_eq(image_chain_open(&chain, &newest, NULL), 0);
	for (; image_chain_next(&chain, first, &first); first += IMAGE_GROUP) {
		memset(group, 0, IMAGE_GROUP * size);
		ck_assert_int_eq(image_chain_fetch(&chain, first, group, &present), 0);
		for (size_t i = 0; i < IMAGE_GROUP; i++) {
			size_t at = (size_t)first + i - block;
			if (at >= PAGES)
				continue;
			found++;
			if (memcmp(group + i * size, then + at * size, size))
				ck_abort_msg("page %zu of the block is wrong", at);
		}
	}
	ck_assert_uint_eq(found, PAGES);
	image_chain_close(&chain);
}

struct work {
	cowarena *arena;
	char *p;
	cowarena_snapshot *older, *newer;
	size_t written, ahead; /* pages of the block: passed ones; others, from the end */
	unsigned calls;
};

/* Write to all pages of the block that have been saved, and to one that has not. */
static int write_passed(void *ctx, uint64_t done, uint64_t all)
{
	struct work *w = ctx;
	size_t block = arena_page(w->arena, w->p), size = page_size();

	(void)all;
	w->calls++;
	for (; block + w->written < done && w->written < PAGES - w->ahead; w->written++)
		w->p[w->written * size + 5] = 88;
	if (w->written + w->ahead < PAGES - 80)
		w->p[(PAGES - ++w->ahead) * size + 5] = 77;
	return 0;
}

static struct work begin(int kind)
{
	struct work w = {.arena = arena_case(kind)};

	make_folder();
	w.p = page_block(w.arena, PAGES);
	for (size_t i = 0; i < bytes(); i++)
		w.p[i] = (char)(i % 251 + 1);
	return w;
}

static bool is_faithful(int kind)
{
	return case_options(kind).flags & COWARENA_FAITHFUL;
}

START_TEST(passed_pages_are_not_copied)
{
	struct work w = begin(_i);
	cowarena_snapshot *s = take_snapshot(w.arena, 0);

	memcpy(then, w.p, bytes());
	struct cowarena_stats before = stats_of(w.arena);
	ck_assert_msg(save(s, write_passed, &w) == 0, "%s", cowarena_errmsg());
	struct cowarena_stats after = stats_of(w.arena);
	ck_assert(w.written > 200 && w.ahead > 1);
	check_image(w.arena, w.p);
	uint64_t freed = after.saved_free - before.saved_free;
	if (is_faithful(_i)) {
		ck_assert_uint_eq(freed, w.written);
		ck_assert_uint_eq(after.held_bytes_peak - before.held_bytes, w.ahead * page_size());
	} else if (_i != CASE_EAGER) { /* which has copied all before */
		/* Pages that were copied ahead of a walk were not saved then. */
		ck_assert_uint_ge(freed, w.written / 4);
	}
	/* Nothing is kept for it. */
	if (_i != CASE_KERNEL && _i != CASE_UNWATCHED)
		ck_assert_uint_eq(after.held_bytes, 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	for (size_t i = 0; i < w.written; i++)
		if (w.p[i * page_size() + 5] != 88)
			ck_abort_msg("a store to page %zu is lost", i);
	/* It goes on like any other heap. */
	memcpy(then, w.p, bytes());
	s = take_snapshot(w.arena, 0);
	memset(w.p, 3, bytes());
	ck_assert_int_eq(cowarena_rollback(w.arena, s), 0);
	ck_assert_int_eq(memcmp(then, w.p, bytes()), 0);
	cowarena_destroy(w.arena);
	remove_folder();
}
END_TEST

static void holds(cowarena_snapshot *s, const char *p, const char *what)
{
	ck_assert_int_eq(cowarena_snapshot_read(s, seen, p, bytes()), 0);
	ck_assert_int_eq(memcmp(seen, what, bytes()), 0);
}

/* An older snapshot holds what it held. */
START_TEST(older_snapshots)
{
	static char old[BYTES_MAX];
	struct work w = begin(_i);

	memcpy(old, w.p, bytes());
	w.older = take_snapshot(w.arena, 0);
	for (size_t i = 0; i < PAGES; i += 2)
		w.p[i * page_size()] = 66;
	memcpy(then, w.p, bytes());
	cowarena_snapshot *s = take_snapshot(w.arena, 0);
	ck_assert_int_eq(save(s, write_passed, &w), 0);
	check_image(w.arena, w.p);
	holds(w.older, w.p, old);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	holds(w.older, w.p, old);
	cowarena_destroy(w.arena);
	remove_folder();
}
END_TEST

static int release_older(void *ctx, uint64_t done, uint64_t all)
{
	struct work *w = ctx;

	write_passed(ctx, done, all);
	if (w->calls == 2)
		ck_assert_int_eq(cowarena_snapshot_release(w->older), 0);
	return 0;
}

START_TEST(older_one_released_meanwhile)
{
	struct work w = begin(_i);

	w.older = take_snapshot(w.arena, 0);
	for (size_t i = 0; i < PAGES; i += 2)
		w.p[i * page_size()] = 66;
	memcpy(then, w.p, bytes());
	cowarena_snapshot *s = take_snapshot(w.arena, 0);
	ck_assert_int_eq(save(s, release_older, &w), 0);
	check_image(w.arena, w.p);
	cowarena_destroy(w.arena);
	remove_folder();
}
END_TEST

static int take_newer(void *ctx, uint64_t done, uint64_t all)
{
	struct work *w = ctx;

	if (w->calls == 2) {
		memcpy(seen, w->p, bytes());
		w->newer = take_snapshot(w->arena, 0);
	}
	return write_passed(ctx, done, all);
}

/* A newer snapshot needs the pages that the save has passed. */
START_TEST(newer_snapshots)
{
	static char new[BYTES_MAX];
	struct work w = begin(_i);

	memcpy(then, w.p, bytes());
	cowarena_snapshot *s = take_snapshot(w.arena, 0);
	ck_assert_int_eq(save(s, take_newer, &w), 0);
	check_image(w.arena, w.p);
	memcpy(new, seen, bytes());
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	memset(w.p, 9, bytes());
	holds(w.newer, w.p, new);
	ck_assert_int_eq(cowarena_rollback(w.arena, w.newer), 0);
	ck_assert_int_eq(memcmp(w.p, new, bytes()), 0);
	cowarena_destroy(w.arena);
	remove_folder();
}
END_TEST

struct storm {
	char *p;
	_Atomic bool stop;
};

static void *write_on(void *arg)
{
	struct storm *storm = arg;
	uint64_t state = 5;

	while (!atomic_load(&storm->stop)) {
		uint64_t x = rng(&state);
		storm->p[x % bytes()] = (char)(x >> 40);
	}
	return NULL;
}

START_TEST(saved_in_a_storm)
{
	struct work w = begin(_i);
	struct storm storm = {.p = w.p};
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &storm), 0);
	for (size_t i = 0; i < scaled(8, 300, 2); i++) {
		cowarena_snapshot *s = take_snapshot(w.arena, 0);
		ck_assert_int_eq(cowarena_snapshot_read(s, then, w.p, bytes()), 0);
		ck_assert_msg(save(s, NULL, NULL) == 0, "%s", cowarena_errmsg());
		check_image(w.arena, w.p);
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	}
	atomic_store(&storm.stop, true);
	pthread_join(thread, NULL);
	ck_assert_int_eq(cowarena_heap_check(w.arena, NULL), 0);
	cowarena_destroy(w.arena);
	remove_folder();
}
END_TEST

/* ---- what is refused ---- */

static void fails(bool failed, int errnum, const char *words)
{
	ck_assert_msg(failed, "no failure, in spite of: %s", words);
	ck_assert_msg(errno == errnum, "errno %d: %s", errno, cowarena_errmsg());
	ck_assert_msg(strstr(cowarena_errmsg(), words) != NULL, "%s", cowarena_errmsg());
}

static int ignore(void *ctx, void *p, size_t n)
{
	(void)ctx, (void)p, (void)n;
	return 0;
}

static int ignore_run(void *ctx, const void *p, size_t n)
{
	(void)ctx, (void)p, (void)n;
	return 0;
}

static void is_of_no_use(cowarena *arena, cowarena_snapshot *s, char *p)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	cowarena_snapshot *t = take_snapshot(arena, 0);

	fails(cowarena_snapshot_read(s, seen, p, 1) != 0, ESTALE, "LAST_USE");
	fails(!cowarena_view_open(s, 0), ESTALE, "LAST_USE");
	fails(cowarena_rollback(arena, s) != 0, ESTALE, "LAST_USE");
	fails(cowarena_diff(s, t, ignore_run, NULL) != 0, ESTALE, "LAST_USE");
	fails(cowarena_heap_walk(arena, s, ignore, NULL) != 0, ESTALE, "LAST_USE");
	fails(cowarena_snapshot_check(s) != 0, ESTALE, "LAST_USE");
	fails(cowarena_snapshot_save(s, path, NULL) != 0, ESTALE, "LAST_USE");
	o.parent = s;
	fails(cowarena_snapshot_save(t, path, &o) != 0, ESTALE, "LAST_USE");
	ck_assert_int_eq(cowarena_snapshot_release(t), 0);
}

static int use_meanwhile(void *ctx, uint64_t done, uint64_t all)
{
	struct work *w = ctx;

	(void)done, (void)all;
	is_of_no_use(w->arena, w->newer, w->p);
	return w->calls++ > 1; /* and end the save */
}

START_TEST(of_no_other_use)
{
	struct work w = begin(_i);

	cowarena_snapshot *s = take_snapshot(w.arena, 0);
	cowarena_view *view = cowarena_view_open(s, 0);
	ck_assert_ptr_nonnull(view);
	fails(save(s, NULL, NULL) != 0, EBUSY, "open views");
	ck_assert_int_eq(cowarena_view_close(view), 0);
	w.newer = s;
	fails(save(s, use_meanwhile, &w) != 0, ECANCELED, "progress");
	is_of_no_use(w.arena, s, w.p);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	ck_assert_uint_eq(stats_of(w.arena).spoiled, 0);
	cowarena_destroy(w.arena);
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("last use");
	TCase *tc = tcase_create("last use");

	tcase_add_loop_test(tc, passed_pages_are_not_copied, 0, CASES);
	tcase_add_loop_test(tc, older_snapshots, 0, CASES);
	tcase_add_loop_test(tc, older_one_released_meanwhile, 0, CASES);
	tcase_add_loop_test(tc, newer_snapshots, 0, CASES);
	tcase_add_loop_test(tc, saved_in_a_storm, 0, CASES);
	tcase_add_loop_test(tc, of_no_other_use, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
