/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-heap-threads.c - local heaps: threads that allocate and free at once, each other's blocks too, that come and
 * go, under snapshots and rollbacks.
 */
#include "config.h"

#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void sound(cowarena *arena, cowarena_snapshot *s)
{
	ck_assert_msg(!cowarena_heap_check(arena, s), "%s", cowarena_errmsg());
}

struct list {
	void **p;
	size_t n, room;
};

static int add(void *ctx, void *p, size_t size)
{
	struct list *l = ctx;

	(void)size;
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->p = realloc(l->p, l->room * sizeof *l->p);
	}
	l->p[l->n++] = p;
	return 0;
}

static struct list blocks(cowarena *arena, cowarena_snapshot *s)
{
	struct list l = {0};

	ck_assert_int_eq(cowarena_heap_walk(arena, s, add, &l), 0);
	return l;
}

/* ---- all at once ---- */

#define THREADS 4
#define OWN 500
#define MAILBOXES 32

struct crowd {
	cowarena *arena;
	_Atomic bool stop;
	_Atomic int stopped;
	pthread_barrier_t gate; /* when the heap is rolled back */
	_Atomic bool rest;
	_Atomic(char *) mailbox[MAILBOXES];
};

struct member {
	pthread_t thread;
	struct crowd *crowd;
	uint64_t seed;
	char *own[OWN];
};

static void swap_one(struct member *m, size_t i)
{
	cowarena *arena = m->crowd->arena;
	size_t n = rng(&m->seed) % 8 ? rng(&m->seed) % 700 : rng(&m->seed) % 40000;

	if (rng(&m->seed) % 4 == 0)
		m->own[i] =
		    atomic_exchange(&m->crowd->mailbox[rng(&m->seed) % MAILBOXES], m->own[i]);
	if (m->own[i] && rng(&m->seed) % 4 == 0) {
		m->own[i] = cowarena_realloc(arena, m->own[i], n + 1);
	} else {
		cowarena_free(arena, m->own[i]);
		m->own[i] = cowarena_alloc(arena, n);
	}
	ck_assert_ptr_nonnull(m->own[i]);
	m->own[i][0] = 1;
}

static void *member_main(void *arg)
{
	struct member *m = arg;

	while (!atomic_load(&m->crowd->stop)) {
		swap_one(m, rng(&m->seed) % OWN);
		if (atomic_load(&m->crowd->rest)) {
			pthread_barrier_wait(&m->crowd->gate);
			/* What it had is not there any more, or is again. */
			memset(m->own, 0, sizeof m->own);
			pthread_barrier_wait(&m->crowd->gate);
		}
	}
	return NULL;
}

static void roll_back_at_rest(struct crowd *crowd, cowarena_snapshot *s)
{
	atomic_store(&crowd->rest, true);
	pthread_barrier_wait(&crowd->gate);
	ck_assert_msg(!cowarena_rollback(crowd->arena, s), "%s", cowarena_errmsg());
	for (size_t i = 0; i < MAILBOXES; i++)
		atomic_store(&crowd->mailbox[i], NULL);
	sound(crowd->arena, NULL);
	atomic_store(&crowd->rest, false);
	pthread_barrier_wait(&crowd->gate);
}

START_TEST(snapshots_of_a_crowd)
{
	struct crowd crowd = {.arena = arena_case(_i)};
	static struct member member[THREADS];
	size_t rounds = scaled(200, 20000, 12);

	pthread_barrier_init(&crowd.gate, NULL, THREADS + 1);
	for (size_t i = 0; i < THREADS; i++) {
		member[i] = (struct member){.crowd = &crowd, .seed = i + 1};
		ck_assert_int_eq(pthread_create(&member[i].thread, NULL, member_main, &member[i]),
				 0);
	}
	cowarena_snapshot *kept = NULL;
	for (size_t i = 0; i < rounds; i++) {
		cowarena_snapshot *s = cowarena_snapshot_take(crowd.arena, 0);
		ck_assert_msg(s != NULL, "%s", cowarena_errmsg());
		sound(crowd.arena, s);
		sound(crowd.arena, NULL);
		if (i % 8 == 7)
			roll_back_at_rest(&crowd, rng(&member[0].seed) % 2 ? s : kept);
		cowarena_snapshot_release(kept);
		kept = s;
	}
	atomic_store(&crowd.stop, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(member[i].thread, NULL);
	/* What was in use is listed, then and now, and may be freed by anybody. */
	struct list then = blocks(crowd.arena, kept);
	ck_assert_int_eq(cowarena_rollback(crowd.arena, kept), 0);
	struct list now = blocks(crowd.arena, NULL);
	ck_assert_uint_eq(now.n, then.n);
	ck_assert_uint_gt(now.n, 0);
	for (size_t i = 0; i < now.n; i++) {
		ck_assert_ptr_eq(now.p[i], then.p[i]);
		cowarena_free(crowd.arena, now.p[i]);
	}
	ck_assert_uint_eq(stats_of(crowd.arena).live_bytes, 0);
	sound(crowd.arena, NULL);
	free(now.p), free(then.p);
	cowarena_destroy(crowd.arena);
	pthread_barrier_destroy(&crowd.gate);
}
END_TEST

/* ---- what another thread frees ---- */

#define MANY 3000 /* more than fit into a box */

struct handover {
	cowarena *arena;
	char *p[MANY];
	pthread_barrier_t step;
	bool goes; /* after the first blocks */
};

static void *gives_away(void *arg)
{
	struct handover *h = arg;

	for (size_t i = 0; i < MANY; i++)
		h->p[i] = cowarena_alloc(h->arena, 16 + i % 300);
	pthread_barrier_wait(&h->step);
	/* It is there, and does nothing. */
	pthread_barrier_wait(&h->step);
	for (size_t i = 0; i < MANY && !h->goes; i++)
		h->p[i] = cowarena_alloc(h->arena, 16 + i % 300);
	return NULL;
}

START_TEST(freed_by_another)
{
	static struct handover h;
	pthread_t other;

	h.arena = arena_case(_i);
	pthread_barrier_init(&h.step, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, gives_away, &h), 0);
	pthread_barrier_wait(&h.step);
	for (size_t i = 0; i < MANY; i++) {
		cowarena_free(h.arena, h.p[i]);
		if (i % 1000 == 99) /* with a box half full */
			cowarena_snapshot_release(cowarena_snapshot_take(h.arena, 0));
	}
	ck_assert_uint_eq(stats_of(h.arena).live_bytes, 0);
	sound(h.arena, NULL);
	uint64_t bytes = stats_of(h.arena).arena_bytes;
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	ck_assert_uint_le(stats_of(h.arena).arena_bytes, bytes + (1 << 20));
	/* Now nobody's: by the lock. */
	for (size_t i = 0; i < MANY; i++)
		cowarena_free(h.arena, h.p[i]);
	ck_assert_uint_eq(stats_of(h.arena).live_bytes, 0);
	sound(h.arena, NULL);
	cowarena_destroy(h.arena);
	pthread_barrier_destroy(&h.step);
}
END_TEST

/* A snapshot that has blocks on their way to their owner has them free, and so has a rollback to it. */
START_TEST(on_their_way)
{
	static struct handover h;
	pthread_t other;

	h.arena = arena_case(_i);
	pthread_barrier_init(&h.step, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, gives_away, &h), 0);
	pthread_barrier_wait(&h.step);
	for (size_t i = 100; i < MANY; i++)
		cowarena_free(h.arena, h.p[i]);
	cowarena_snapshot *s = cowarena_snapshot_take(h.arena, 0);
	struct list then = blocks(h.arena, s);
	ck_assert_uint_eq(then.n, 100);
	for (size_t i = 0; i < 100; i++)
		cowarena_free(h.arena, h.p[i]);
	ck_assert_int_eq(cowarena_rollback(h.arena, s), 0);
	struct list now = blocks(h.arena, NULL);
	ck_assert_uint_eq(now.n, 100);
	sound(h.arena, NULL);
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	sound(h.arena, NULL);
	free(then.p), free(now.p);
	cowarena_destroy(h.arena);
	pthread_barrier_destroy(&h.step);
}
END_TEST

/* ---- threads that come and go ---- */

/* What was on its way to a thread that has ended is freed before its slabs go to another. */
START_TEST(on_their_way_to_nobody)
{
	static struct handover h;
	pthread_t other;
	char *p;

	h = (struct handover){.arena = arena_case(_i), .goes = true};
	ck_assert_ptr_nonnull(cowarena_alloc(h.arena, 16)); /* not in what is left behind */
	pthread_barrier_init(&h.step, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, gives_away, &h), 0);
	pthread_barrier_wait(&h.step);
	for (size_t i = MANY - 200; i < MANY; i++) /* in slabs that have room */
		cowarena_free(h.arena, h.p[i]);
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	for (size_t i = 0; i < MANY; i++) { /* takes all that was left behind */
		p = cowarena_alloc(h.arena, 16 + i % 300);
		ck_assert_ptr_nonnull(p);
		*p = 1;
	}
	sound(h.arena, NULL);
	for (size_t i = 0; i < MANY - 200; i++)
		cowarena_free(h.arena, h.p[i]);
	sound(h.arena, NULL);
	cowarena_destroy(h.arena);
	pthread_barrier_destroy(&h.step);
}
END_TEST

static void *one_block(void *arg)
{
	return cowarena_alloc(arg, 100);
}

/* What a thread has left behind is used by the next. */
START_TEST(one_after_the_other)
{
	cowarena *arena = arena_case(_i);
	size_t n = scaled(300, 3000, 100);
	void **p = calloc(n, sizeof *p);
	pthread_t thread;
	uint64_t early = 0;

	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, one_block, arena), 0);
		pthread_join(thread, &p[i]);
		ck_assert_ptr_nonnull(p[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert_ptr_ne(p[k], p[i]);
		if (i == 2)
			early = stats_of(arena).arena_bytes;
	}
	ck_assert_uint_le(stats_of(arena).arena_bytes, early + n * 128 + 16384);
	sound(arena, NULL);
	for (size_t i = 0; i < n; i++)
		cowarena_free(arena, p[i]);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	free(p);
	cowarena_destroy(arena);
}
END_TEST

#define TOO_MANY 80

struct queue {
	cowarena *arena;
	pthread_barrier_t all;
};

static void *stays(void *arg)
{
	struct queue *q = arg;
	char *p[50];

	for (int i = 0; i < 50; i++)
		*(p[i] = cowarena_alloc(q->arena, 24)) = 1;
	pthread_barrier_wait(&q->all);
	for (int i = 0; i < 50; i += 2)
		cowarena_free(q->arena, p[i]);
	pthread_barrier_wait(&q->all);
	for (int i = 1; i < 50; i += 2)
		cowarena_free(q->arena, p[i]);
	return NULL;
}

/* Some have no local heap of their own. */
START_TEST(more_than_there_are)
{
	struct queue q = {.arena = arena_case(_i)};
	pthread_t thread[TOO_MANY];

	pthread_barrier_init(&q.all, NULL, TOO_MANY + 1);
	for (int i = 0; i < TOO_MANY; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, stays, &q), 0);
	pthread_barrier_wait(&q.all);
	sound(q.arena, NULL);
	pthread_barrier_wait(&q.all);
	for (int i = 0; i < TOO_MANY; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(stats_of(q.arena).live_bytes, 0);
	sound(q.arena, NULL);
	cowarena_destroy(q.arena);
	pthread_barrier_destroy(&q.all);
}
END_TEST

/* ---- rollback ---- */

static void *before_and_after(void *arg)
{
	struct queue *q = arg;
	char *p = cowarena_alloc(q->arena, 1000);

	ck_assert_ptr_nonnull(p);
	pthread_barrier_wait(&q->all);
	pthread_barrier_wait(&q->all); /* to when it had no local heap */
	for (int i = 0; i < 1000; i++) {
		p = cowarena_alloc(q->arena, 1000);
		ck_assert_ptr_nonnull(p);
		*p = 1;
	}
	pthread_barrier_wait(&q->all);
	pthread_barrier_wait(&q->all); /* and once more */
	cowarena_free(q->arena, cowarena_alloc(q->arena, 10));
	return NULL;
}

START_TEST(to_before_the_thread)
{
	struct queue q = {.arena = arena_case(_i)};
	cowarena_snapshot *s = cowarena_snapshot_take(q.arena, 0);
	pthread_t thread;

	pthread_barrier_init(&q.all, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, before_and_after, &q), 0);
	for (int i = 0; i < 2; i++) {
		pthread_barrier_wait(&q.all);
		sound(q.arena, NULL);
		ck_assert_int_eq(cowarena_rollback(q.arena, s), 0);
		ck_assert_uint_eq(stats_of(q.arena).live_bytes, 0);
		sound(q.arena, NULL);
		pthread_barrier_wait(&q.all);
	}
	pthread_join(thread, NULL);
	sound(q.arena, NULL);
	cowarena_destroy(q.arena);
	pthread_barrier_destroy(&q.all);
}
END_TEST

#define CALLS 3000
#define LIVE 200

/* A sequence of calls; what they have returned. */
static void sequence(cowarena *arena, uint64_t seed, void **returned, bool pause)
{
	char *p[LIVE] = {NULL};

	for (size_t i = 0; i < CALLS; i++) {
		char **at = &p[rng(&seed) % LIVE];
		size_t n = rng(&seed) % 20 ? rng(&seed) % 2000 : rng(&seed) % 100000;
		switch (rng(&seed) % 4) {
		case 0:
			*at = cowarena_realloc(arena, *at, n + 1);
			break;
		case 1:
			cowarena_free(arena, *at);
			*at = cowarena_aligned_alloc(arena, (size_t)16 << rng(&seed) % 10, n);
			break;
		default:
			cowarena_free(arena, *at);
			*at = cowarena_alloc(arena, n);
		}
		ck_assert_ptr_nonnull(*at);
		**at = 1;
		returned[i] = *at;
		if (pause && i % 500 == 0)
			cowarena_snapshot_release(cowarena_snapshot_take(arena, 0));
	}
}

/* After a rollback the same calls return the same addresses. */
START_TEST(the_same_again)
{
	cowarena *arena = arena_case(_i);
	static void *first[CALLS], *again[CALLS], *aside[CALLS];

	sequence(arena, 1, aside, true); /* a past, with holes */
	for (int round = 0; round < 4; round++) {
		cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
		bool pause = round % 2;
		sequence(arena, 2, first, pause);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		sequence(arena, 3, aside, pause);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		sequence(arena, 2, again, pause);
		ck_assert(memcmp(first, again, sizeof first) == 0);
		ck_assert(memcmp(first, aside, sizeof first) != 0);
		cowarena_snapshot_release(s);
	}
	sound(arena, NULL);
	cowarena_destroy(arena);
}
END_TEST

/* ---- fork ---- */

static void child_uses(struct handover *h)
{
	/* The other thread is not there; what it has allocated is. */
	for (size_t i = 0; i < MANY; i++)
		cowarena_free(h->arena, h->p[i]);
	if (stats_of(h->arena).live_bytes || cowarena_heap_check(h->arena, NULL))
		_exit(1);
	for (size_t i = 0; i < MANY; i++)
		if (!(h->p[i] = cowarena_alloc(h->arena, 16 + i % 300)))
			_exit(2);
	_exit(cowarena_heap_check(h->arena, NULL) ? 3 : 0);
}

START_TEST(in_a_child)
{
	static struct handover h;
	struct cowarena_options o = case_options(_i);
	pthread_t other;
	int status;

	if (sanitized()) {
		printf("SKIP: sanitizers do not survive a fork() with threads\n");
		return;
	}
	o.flags |= COWARENA_FORK_COPY;
	h.arena = cowarena_create(&o);
	ck_assert_msg(h.arena != NULL, "%s", cowarena_errmsg());
	pthread_barrier_init(&h.step, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, gives_away, &h), 0);
	pthread_barrier_wait(&h.step);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		child_uses(&h);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	pthread_barrier_wait(&h.step);
	pthread_join(other, NULL);
	sound(h.arena, NULL);
	cowarena_destroy(h.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("local heaps");
	TCase *tc = tcase_create("threads"), *again = tcase_create("again");

	tcase_add_loop_test(tc, snapshots_of_a_crowd, 0, CASES);
	tcase_add_loop_test(tc, freed_by_another, 0, CASES);
	tcase_add_loop_test(tc, on_their_way, 0, CASES);
	tcase_add_loop_test(tc, on_their_way_to_nobody, 0, CASES);
	tcase_add_loop_test(tc, one_after_the_other, 0, CASES);
	tcase_add_loop_test(tc, more_than_there_are, 0, CASES);
	tcase_add_loop_test(tc, to_before_the_thread, 0, CASES);
	tcase_add_loop_test(tc, in_a_child, 0, CASES);
	suite_add_tcase(suite, tc);
	tcase_add_loop_test(again, the_same_again, 0, CASES);
	suite_add_tcase(suite, again);
	return run_suite(suite);
}
