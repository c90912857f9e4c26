/* SPDX-License-Identifier: BSD-2-Clause */
/* test-gate.c - no handler is inside while the gate is closed, and none sleeps for ever. */
#include "config.h"

#include "common.h"
#include "gate.h"
#include "os.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* Give the other thread time to do what it must not do. Too little of it hides a fault of the gate,
   it never makes one up. */
static void wait_a_little(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* ---- a clock of our own (the linker wraps these two) ---- */

static struct {
	bool used;
	uint64_t now;
	unsigned sleeps;
	uint64_t slept; /* the last time */
} clock_of_ours;

uint64_t __real_os_now(void);
uint64_t __wrap_os_now(void);
void __real_os_sleep(uint64_t ns);
void __wrap_os_sleep(uint64_t ns);

uint64_t __wrap_os_now(void)
{
	return clock_of_ours.used ? clock_of_ours.now : __real_os_now();
}

void __wrap_os_sleep(uint64_t ns)
{
	if (!clock_of_ours.used) {
		__real_os_sleep(ns);
		return;
	}
	clock_of_ours.sleeps++;
	clock_of_ours.slept = ns;
	clock_of_ours.now += ns;
}

/* ---- one by one ---- */

struct visitor {
	struct gate *gate;
	unsigned hint;
	_Atomic bool done;
	pthread_t thread;
};

static void *visit(void *arg)
{
	struct visitor *v = arg;

	gate_enter(v->gate, v->hint);
	atomic_store(&v->done, true);
	gate_leave(v->gate, v->hint);
	return NULL;
}

static void *shut(void *arg)
{
	struct visitor *v = arg;

	gate_close(v->gate);
	atomic_store(&v->done, true);
	gate_open(v->gate);
	return NULL;
}

static void start(struct visitor *v, struct gate *gate, unsigned hint, void *(*fn)(void *))
{
	v->gate = gate;
	v->hint = hint;
	atomic_store(&v->done, false);
	ck_assert_int_eq(pthread_create(&v->thread, NULL, fn, v), 0);
}

static unsigned inside(struct gate *gate)
{
	unsigned n = 0;

	for (int i = 0; i < GATE_SHARDS; i++)
		n += atomic_load(&gate->shard[i].inside);
	return n;
}

START_TEST(open_gate)
{
	static struct gate gate;

	/* Many may be inside at once, the same thread too; hints of any size. */
	for (unsigned hint = 0; hint < 100; hint++)
		gate_enter(&gate, hint * 1234567);
	ck_assert_uint_eq(inside(&gate), 100);
	for (unsigned hint = 0; hint < 100; hint++)
		gate_leave(&gate, hint * 1234567);
	ck_assert_uint_eq(inside(&gate), 0);
	for (int i = 0; i < 100; i++) {
		gate_close(&gate);
		gate_open(&gate);
	}
	gate_enter(&gate, 3);
	gate_leave(&gate, 3);
	ck_assert_uint_eq(inside(&gate), 0);
}
END_TEST

START_TEST(closed_gate_holds)
{
	static struct gate gate;
	struct visitor v[3];

	gate_close(&gate);
	for (unsigned i = 0; i < 3; i++)
		start(&v[i], &gate, (unsigned)_i + i / 2, visit);
	wait_a_little();
	for (int i = 0; i < 3; i++)
		ck_assert(!atomic_load(&v[i].done));
	gate_open(&gate);
	for (int i = 0; i < 3; i++) {
		pthread_join(v[i].thread, NULL); /* all of them are woken */
		ck_assert(atomic_load(&v[i].done));
	}
	ck_assert_uint_eq(inside(&gate), 0);
}
END_TEST

/* Who has waited is let in before the gate is closed again, however soon that is. */
START_TEST(who_waits_goes_first)
{
	static struct gate gate;
	struct visitor v[3];

	clock_of_ours.used = true; /* no sleep lets them in by chance */
	for (int round = 0; round < 50; round++) {
		gate_close(&gate);
		for (unsigned i = 0; i < 3; i++)
			start(&v[i], &gate, (unsigned)_i + i, visit);
		while (atomic_load(&gate.waiting) < 3)
			usleep(100);
		gate_open(&gate);
		gate_close(&gate);
		for (int i = 0; i < 3; i++)
			ck_assert(atomic_load(&v[i].done));
		ck_assert_uint_eq(atomic_load(&gate.waiting), 0);
		gate_open(&gate);
		for (int i = 0; i < 3; i++)
			pthread_join(v[i].thread, NULL);
	}
}
END_TEST

START_TEST(closing_waits)
{
	static struct gate gate;
	struct visitor closer, late;

	gate_enter(&gate, (unsigned)_i);
	gate_enter(&gate, (unsigned)_i + 5);
	start(&closer, &gate, 0, shut);
	while (!atomic_load(&gate.closed))
		usleep(100);
	wait_a_little();
	ck_assert(!atomic_load(&closer.done));
	start(&late, &gate, (unsigned)_i, visit);
	gate_leave(&gate, (unsigned)_i);
	wait_a_little();
	ck_assert(!atomic_load(&closer.done)); /* one is still inside */
	/* Whoever comes when the gate is closing waits, be the closer done or not. */
	ck_assert(!atomic_load(&late.done));
	gate_leave(&gate, (unsigned)_i + 5);
	pthread_join(closer.thread, NULL);
	pthread_join(late.thread, NULL);
	ck_assert(atomic_load(&closer.done) && atomic_load(&late.done));
	ck_assert_uint_eq(inside(&gate), 0);
}
END_TEST

/* ---- whose stores get no turn ---- */

/* Close and open; how long this slept. */
static uint64_t nap_at_closing(struct gate *gate)
{
	clock_of_ours.slept = 0;
	gate_close(gate);
	gate_open(gate);
	return clock_of_ours.slept;
}

#define WRITER 4711 /* no thread of this process */

START_TEST(who_comes_again_gets_a_moment)
{
	static struct gate gate;

	clock_of_ours.used = true;
	clock_of_ours.now = 1000000000000;
	ck_assert_uint_eq(nap_at_closing(&gate), 0);
	gate_note(&gate, 3, WRITER, 100);
	ck_assert_uint_eq(nap_at_closing(&gate), 0); /* its first fault */
	gate_note(&gate, 3, WRITER, 100);
	ck_assert_uint_gt(nap_at_closing(&gate), 0);
	ck_assert_uint_eq(nap_at_closing(&gate), 0); /* it has not come since */
	gate_note(&gate, 3, WRITER, 101); /* a store over the border of two pages comes so */
	ck_assert_uint_gt(nap_at_closing(&gate), 0);
	gate_note(&gate, 3, WRITER, 100);
	ck_assert_uint_gt(nap_at_closing(&gate), 0);
	gate_note(&gate, 3, WRITER, 102); /* that store was done */
	ck_assert_uint_eq(nap_at_closing(&gate), 0);
	gate_note(&gate, 3, WRITER + 1, 102); /* not for another's fault there */
	ck_assert_uint_eq(nap_at_closing(&gate), 0);

	/* Longer and longer, but never beyond a point in time after the opening. */
	uint64_t least = GATE_RECENT_NS, most = 0;
	for (int i = 0; i < 100; i++) {
		gate_note(&gate, 3, WRITER, 7);
		uint64_t ns = nap_at_closing(&gate);
		ck_assert(i < 2 || ns >= most);
		most = ns > most ? ns : most;
		least = i && ns < least ? ns : least;
		clock_of_ours.now += 1000;
	}
	ck_assert_uint_lt(least, GATE_RECENT_NS / 10);
	ck_assert_uint_eq(most, GATE_RECENT_NS - 1000);
	gate_note(&gate, 3, WRITER, 7);
	clock_of_ours.now += GATE_RECENT_NS;
	ck_assert_uint_eq(nap_at_closing(&gate), 0); /* it had its turn */
}
END_TEST

/* A thread does not wait for stores of its own, nor for more than the others of all shards need. */
START_TEST(nobody_waits_for_oneself)
{
	static struct gate gate;
	uintptr_t self = _i ? (uintptr_t)getpid() : os_this_thread();

	clock_of_ours.used = true;
	clock_of_ours.now = 1000000000000;
	ck_assert_uint_eq(nap_at_closing(&gate), 0);
	for (int i = 0; i < 10; i++) {
		gate_note(&gate, 3, self, 100);
		ck_assert_uint_eq(nap_at_closing(&gate), 0);
	}
	for (int i = 0; i < 2; i++) {
		gate_note(&gate, 3, self, 100);
		for (unsigned hint = 4; hint < 8; hint++)
			gate_note(&gate, hint, WRITER + hint, 100);
	}
	ck_assert_uint_gt(nap_at_closing(&gate), 0);
	ck_assert_uint_eq(clock_of_ours.sleeps, 1);
}
END_TEST

/* ---- all at once ---- */

#define VISITORS 5
#define CLOSERS 2

static struct crowd {
	struct gate gate;
	pthread_mutex_t closing; /* one closer at a time, as gate.h wants it */
	_Atomic unsigned inside; /* by our own count */
	_Atomic unsigned errors;
	_Atomic unsigned closers;
	size_t closings;
	bool slow;
	uint64_t plain; /* written inside with the lock of nobody: only while closed */
} crowd;

static void spin(uint64_t n)
{
	for (volatile uint64_t i = 0; i < n; i++)
		;
}

static void *come_and_go(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1, seen = 0;
	size_t visits = 0;

	/* Until the last closer is gone, and a little longer. */
	for (size_t after = 0; after < 100; visits++) {
		unsigned hint = (unsigned)rng(&seed);
		gate_enter(&crowd.gate, hint);
		atomic_fetch_add(&crowd.inside, 1);
		/* What is written while the gate is closed is complete, and stands still. */
		if (crowd.plain < seen || crowd.plain % 2)
			atomic_fetch_add(&crowd.errors, 1);
		seen = crowd.plain;
		if (crowd.slow)
			spin(rng(&seed) % 300);
		if (crowd.plain != seen)
			atomic_fetch_add(&crowd.errors, 1);
		atomic_fetch_sub(&crowd.inside, 1);
		gate_leave(&crowd.gate, hint);
		if (crowd.slow && visits % 64 == 0)
			usleep(1);
		after += !atomic_load(&crowd.closers);
	}
	return NULL;
}

static void *close_and_open(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1000;

	for (size_t i = 0; i < crowd.closings; i++) {
		pthread_mutex_lock(&crowd.closing);
		gate_close(&crowd.gate);
		if (atomic_load(&crowd.inside))
			atomic_fetch_add(&crowd.errors, 1);
		crowd.plain++;
		if (crowd.slow)
			spin(rng(&seed) % 3000); /* long enough that they go to sleep */
		crowd.plain++;
		if (atomic_load(&crowd.inside))
			atomic_fetch_add(&crowd.errors, 1);
		gate_open(&crowd.gate);
		pthread_mutex_unlock(&crowd.closing);
		spin(rng(&seed) % 500);
	}
	atomic_fetch_sub(&crowd.closers, 1);
	return NULL;
}

static void run_crowd(void)
{
	pthread_t visitor[VISITORS], closer[CLOSERS];

	pthread_mutex_init(&crowd.closing, NULL);
	atomic_store(&crowd.closers, CLOSERS);
	for (uintptr_t i = 0; i < VISITORS; i++)
		ck_assert_int_eq(pthread_create(&visitor[i], NULL, come_and_go, (void *)i), 0);
	for (uintptr_t i = 0; i < CLOSERS; i++)
		ck_assert_int_eq(pthread_create(&closer[i], NULL, close_and_open, (void *)i), 0);
	/* A wake-up that is lost is a thread that never comes back: Check's time limit tells. */
	for (int i = 0; i < CLOSERS; i++)
		pthread_join(closer[i], NULL);
	for (int i = 0; i < VISITORS; i++)
		pthread_join(visitor[i], NULL);
	ck_assert_uint_eq(atomic_load(&crowd.errors), 0);
	ck_assert_uint_eq(crowd.plain, 2 * CLOSERS * crowd.closings);
	ck_assert_uint_eq(inside(&crowd.gate), 0);
}

START_TEST(nobody_inside_while_closed)
{
	crowd.slow = _i;
	crowd.closings = scaled(1500, 100000, 400);
	run_crowd();
}
END_TEST

static void nothing(int signo)
{
	(void)signo;
}

static void *pester(void *arg)
{
	pthread_t *victim = arg;

	for (int i = 0; atomic_load(&crowd.closers); i++) {
		pthread_kill(*victim, SIGUSR1);
		usleep(50);
	}
	return NULL;
}

/* Signals end a futex's sleep early: that is no reason to go in. */
START_TEST(signals_open_nothing)
{
	struct sigaction ignore = {.sa_handler = nothing}; /* no SA_RESTART */
	struct visitor v;
	pthread_t pest;

	sigaction(SIGUSR1, &ignore, NULL);
	atomic_store(&crowd.closers, 1);
	gate_close(&crowd.gate);
	start(&v, &crowd.gate, 1, visit);
	ck_assert_int_eq(pthread_create(&pest, NULL, pester, &v.thread), 0);
	wait_a_little();
	ck_assert(!atomic_load(&v.done));
	atomic_store(&crowd.closers, 0);
	pthread_join(pest, NULL);
	gate_open(&crowd.gate);
	pthread_join(v.thread, NULL);

	atomic_store(&crowd.closers, 1);
	gate_enter(&crowd.gate, 1);
	start(&v, &crowd.gate, 1, shut);
	ck_assert_int_eq(pthread_create(&pest, NULL, pester, &v.thread), 0);
	wait_a_little();
	ck_assert(!atomic_load(&v.done));
	atomic_store(&crowd.closers, 0);
	pthread_join(pest, NULL);
	gate_leave(&crowd.gate, 1);
	pthread_join(v.thread, NULL);
	ck_assert(atomic_load(&v.done));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gate");
	TCase *one = tcase_create("one by one"), *all = tcase_create("all at once");

	tcase_add_test(one, open_gate);
	tcase_add_loop_test(one, closed_gate_holds, 0, 3);
	tcase_add_loop_test(one, who_waits_goes_first, 0, 3);
	tcase_add_loop_test(one, closing_waits, 0, GATE_SHARDS);
	tcase_add_test(one, signals_open_nothing);
	tcase_add_test(one, who_comes_again_gets_a_moment);
	tcase_add_loop_test(one, nobody_waits_for_oneself, 0, 2);
	suite_add_tcase(suite, one);
	tcase_add_loop_test(all, nobody_inside_while_closed, 0, 2);
	suite_add_tcase(suite, all);
	return run_suite(suite);
}
