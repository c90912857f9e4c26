/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-threads.c - one cut across all threads (I4).
 *
 * Reading a snapshot twice does not show that it was torn when it was taken; an order that the
 * writers keep does. Each writer stores a number in x and then in y, far away. A snapshot that
 * holds y without x, or x two ahead of y, is of no instant.
 */
#include "config.h"

#include "common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define WRITERS 4
#define DISTANCE 300 /* pages between x and y */

struct writer {
	pthread_t thread;
	_Atomic uint64_t *x, *y;
	_Atomic bool *stop;
	uint64_t written;
};

static void *write_in_order(void *arg)
{
	struct writer *w = arg;

	while (!*w->stop) {
		w->written++;
		atomic_store(w->x, w->written);
		atomic_store(w->y, w->written);
	}
	return NULL;
}

/* Of all threads together, in seconds of the processors. */
static double duration(void)
{
	return stressing() ? 120 : 10;
}

static void start_writers(struct writer *w, char *block, _Atomic bool *stop)
{
	for (int i = 0; i < WRITERS; i++) {
		/* Some have x below y, some above, so that the order of arming cannot hide a
		   mistake. */
		char *low = block + (size_t)i * 2 * page_size();
		char *high = low + DISTANCE * page_size();
		w[i] = (struct writer){.x = (void *)(i % 2 ? high : low),
				       .y = (void *)(i % 2 ? low : high),
				       .stop = stop};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, write_in_order, &w[i]), 0);
	}
}

static uint64_t past(cowarena_snapshot *s, const void *p)
{
	uint64_t value;

	if (cowarena_snapshot_read(s, &value, p, sizeof value))
		ck_abort_msg("%s", cowarena_errmsg());
	return value;
}

START_TEST(no_snapshot_is_torn)
{
	cowarena *arena = arena_case(_i);
	char *block = page_block(arena, DISTANCE + 20);
	_Atomic bool stop = false;
	struct writer w[WRITERS];
	uint64_t snapshots = 0, last[WRITERS] = {0};
	double end = processor_seconds() + duration();

	memset(block, 0, (DISTANCE + 20) * page_size());
	start_writers(w, block, &stop);
	for (; processor_seconds() < end || !snapshots; snapshots++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		if (!s)
			ck_abort_msg("%s", cowarena_errmsg());
		for (int i = 0; i < WRITERS; i++) {
			uint64_t x = past(s, w[i].x), y = past(s, w[i].y);
			if (x - y > 1 || x < last[i])
				ck_abort_msg("snapshot %llu: x %llu, y %llu, x was %llu",
					     (unsigned long long)snapshots, (unsigned long long)x,
					     (unsigned long long)y, (unsigned long long)last[i]);
			last[i] = x;
		}
		cowarena_snapshot_release(s);
	}
	stop = true;
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		ck_assert_uint_eq(*w[i].x, w[i].written);
		ck_assert_uint_eq(*w[i].y, w[i].written);
		ck_assert_uint_gt(w[i].written, 0);
	}
	printf("%llu snapshots, 0 torn\n", (unsigned long long)snapshots);
	cowarena_destroy(arena);
}
END_TEST

/* Takers, readers through views, and releases at once, while the writers go on. */
struct taker {
	pthread_t thread;
	cowarena *arena;
	struct writer *writers;
	_Atomic bool *stop;
	uint64_t seed;
};

static void *take_and_look(void *arg)
{
	struct taker *t = arg;
	uint64_t state = t->seed;
	cowarena_snapshot *kept[4] = {0};

	while (!*t->stop) {
		cowarena_snapshot **s = &kept[rng(&state) % 4];
		if (!*s) {
			*s = take_snapshot(t->arena, 0);
			if (!*s)
				ck_abort_msg("%s", cowarena_errmsg());
			continue;
		}
		if (rng(&state) % 4 == 0) {
			cowarena_view *v =
			    cowarena_view_open(*s, rng(&state) % 2 ? COWARENA_VIEW_PRIVATE : 0);
			if (!v)
				ck_abort_msg("%s", cowarena_errmsg());
			for (int i = 0; i < WRITERS; i++) {
				uint64_t x = *(uint64_t *)cowarena_view_at(v, t->writers[i].x);
				uint64_t y = *(uint64_t *)cowarena_view_at(v, t->writers[i].y);
				if (x - y > 1 || x != past(*s, t->writers[i].x) ||
				    y != past(*s, t->writers[i].y))
					ck_abort_msg("a torn view");
			}
			cowarena_view_close(v);
		}
		for (int i = 0; i < WRITERS; i++)
			if (past(*s, t->writers[i].x) - past(*s, t->writers[i].y) > 1)
				ck_abort_msg("a torn snapshot");
		if (rng(&state) % 2) {
			cowarena_snapshot_release(*s);
			*s = NULL;
		}
	}
	for (int i = 0; i < 4; i++)
		cowarena_snapshot_release(kept[i]);
	return NULL;
}

/* The heap in use by other threads: blocks keep what was put into them. */
static void *churn(void *arg)
{
	struct taker *t = arg;
	uint64_t state = t->seed;
	unsigned char *block[32] = {0};
	size_t size[32] = {0};

	while (!*t->stop) {
		size_t i = rng(&state) % 32;
		if (block[i]) {
			for (size_t j = 0; j < size[i]; j += 61)
				if (block[i][j] != (unsigned char)(i + j))
					ck_abort_msg("a block has changed");
			cowarena_free(t->arena, block[i]);
			block[i] = NULL;
		} else {
			size[i] = rng(&state) % 20000 + 1;
			block[i] = cowarena_alloc(t->arena, size[i]);
			for (size_t j = 0; j < size[i]; j += 61)
				block[i][j] = (unsigned char)(i + j);
		}
	}
	for (size_t i = 0; i < 32; i++)
		cowarena_free(t->arena, block[i]);
	return NULL;
}

START_TEST(everybody_at_once)
{
	enum { TAKERS = 3, CHURNERS = 2 };
	cowarena *arena = arena_case(_i);
	char *block = page_block(arena, DISTANCE + 20);
	_Atomic bool stop = false;
	struct writer w[WRITERS];
	struct taker t[TAKERS + CHURNERS];

	memset(block, 0, (DISTANCE + 20) * page_size());
	start_writers(w, block, &stop);
	for (int i = 0; i < TAKERS + CHURNERS; i++) {
		t[i] = (struct taker){
		    .arena = arena, .writers = w, .stop = &stop, .seed = (uint64_t)i + 1};
		ck_assert_int_eq(
		    pthread_create(&t[i].thread, NULL, i < TAKERS ? take_and_look : churn, &t[i]),
		    0);
	}
	double end = processor_seconds() + duration() / 2;
	while (processor_seconds() < end)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	for (int i = 0; i < TAKERS + CHURNERS; i++)
		pthread_join(t[i].thread, NULL);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	ck_assert_uint_eq(stats_of(arena).snapshots_live, 0);
	cowarena_free(arena, block);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

/* While one thread takes snapshots back to back each store of another is done. */
static void *take_and_release(void *arg)
{
	struct taker *t = arg;

	while (!*t->stop) {
		cowarena_snapshot *s = take_snapshot(t->arena, 0);
		if (!s)
			ck_abort_msg("%s", cowarena_errmsg());
		cowarena_snapshot_release(s);
	}
	return NULL;
}

/* A store mostly needs one fault or two, also on a busy machine; it took hundreds before the gate
   left it a moment (gate.h). */
#define FAULTS_MAX 200

START_TEST(each_store_has_its_turn)
{
	enum { PAGES = 100 };
	cowarena *arena = arena_case(_i);
	char *block = page_block(arena, PAGES);
	_Atomic bool stop = false;
	struct taker t = {.arena = arena, .stop = &stop};
	size_t stores = 0;

	memset(block, 0, PAGES * page_size());
	ck_assert_int_eq(pthread_create(&t.thread, NULL, take_and_release, &t), 0);
	for (double end = processor_seconds() + duration() / 10; processor_seconds() < end;
	     stores++) {
		uint64_t before = stats_of(arena).faults;
		uint64_t value = stores; /* over the border of two pages, so it needs both */
		char *border = block + (stores * 37 % (PAGES - 1) + 1) * page_size();
		memcpy(border - 4, &value, sizeof value);
		ck_assert_uint_le(stats_of(arena).faults - before, FAULTS_MAX);
	}
	stop = true;
	pthread_join(t.thread, NULL);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("threads");
	TCase *tc = tcase_create("threads");

	tcase_add_loop_test(tc, no_snapshot_is_torn, 0, CASES);
	tcase_add_loop_test(tc, everybody_at_once, 0, CASES);
	tcase_add_loop_test(tc, each_store_has_its_turn, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
