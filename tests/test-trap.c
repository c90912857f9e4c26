/* SPDX-License-Identifier: BSD-2-Clause */
/* test-trap.c - the registry of spans, and what becomes of an earlier handler. */
#include "config.h"

#include "common.h"
#include "trap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- spans of our own, without arenas ---- */

/* The trap takes it for an arena, and only hands it on. */
struct area {
	char *base;
	size_t n;
	struct trap_span *span;
	_Atomic unsigned hits;
	_Atomic bool blocked; /* were all signals, in the handler */
	const void *_Atomic last;
};

/* Unprotect one page. mprotect is async-signal-safe on Linux. */
static bool on_fault(struct cowarena *cookie, const void *address)
{
	struct area *a = (struct area *)cookie;
	size_t page = page_size();

	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	bool blocked = true;
	for (int signo = 1; signo < 32; signo++)
		if (signo != SIGKILL && signo != SIGSTOP)
			blocked = blocked && sigismember(&mask, signo);
	atomic_store(&a->blocked, blocked);
	atomic_fetch_add(&a->hits, 1);
	atomic_store(&a->last, address);
	bool mended =
	    mprotect((char *)((uintptr_t)address & ~(page - 1)), page, PROT_READ | PROT_WRITE) == 0;
	errno = EDOM; /* as after a call that was refused first */
	return mended;
}

static void area_map(struct area *a, char *base, size_t pages)
{
	a->n = pages * page_size();
	a->base = mmap(base, a->n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | (base ? MAP_FIXED : 0),
		       -1, 0);
	ck_assert(a->base != MAP_FAILED);
	a->span = NULL;
	atomic_store(&a->hits, 0);
}

static void area_add(struct area *a)
{
	a->span = trap_add(a->base, a->n, false, on_fault, (struct cowarena *)a);
	ck_assert_msg(a->span != NULL, "%s", cowarena_errmsg());
}

static void area_remove(struct area *a)
{
	trap_remove(a->span);
	a->span = NULL;
}

/* A write to the byte must reach this area's handler, once, with this address. */
static void poke(struct area *a, size_t at)
{
	unsigned hits = atomic_load(&a->hits);

	mprotect(a->base, a->n, PROT_READ);
	((volatile char *)a->base)[at] = 1;
	if (atomic_load(&a->hits) != hits + 1 || atomic_load(&a->last) != a->base + at)
		ck_abort_msg("%u faults, the last at %p; wanted one, at %p",
			     atomic_load(&a->hits) - hits, atomic_load(&a->last),
			     (void *)(a->base + at));
}

static bool same_action(const struct sigaction *a, const struct sigaction *b)
{
	return a->sa_flags == b->sa_flags && a->sa_handler == b->sa_handler &&
	       memcmp(&a->sa_mask, &b->sa_mask, _NSIG / 8) == 0;
}

#define MANY 200

/* More spans than one block of the registry holds, neighbours without a gap between them. */
START_TEST(many_spans)
{
	struct area *a = calloc(MANY, sizeof *a);
	uint64_t seed = seed_of_run(71);
	size_t pages = 3, bytes = pages * page_size();
	char *base = mmap(NULL, MANY * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(base != MAP_FAILED);
	ck_assert_uint_eq(trap_spans(), 1); /* it is divided by: never 0 */
	for (size_t i = 0; i < MANY; i++) {
		area_map(&a[i], base + i * bytes, pages);
		area_add(&a[i]);
		ck_assert_uint_eq(trap_spans(), i + 1);
		ck_assert(!trap_inherited(a[i].span));
	}
	for (size_t i = 0; i < MANY; i++) {
		poke(&a[i], 0);
		poke(&a[i], bytes - 1);
	}
	/* Some go, some come, the others do not notice. */
	size_t n = MANY;
	for (int round = 0; round < (int)scaled(20000, 200000, 2000); round++) {
		struct area *some = &a[rng(&seed) % MANY];
		if (!some->span) {
			area_add(some);
			n++;
		} else if (rng(&seed) % 3 == 0 && n > 1) {
			area_remove(some);
			n--;
		} else {
			poke(some, rng(&seed) % bytes);
		}
		if (trap_spans() != n)
			ck_abort_msg("%zu spans, not %zu", trap_spans(), n);
	}
	for (size_t i = 0; i < MANY; i++)
		if (a[i].span)
			area_remove(&a[i]);
	ck_assert_uint_eq(trap_spans(), 1);
	munmap(base, MANY * bytes);
	free(a);
}
END_TEST

/* ---- the handler before ours ---- */

static _Atomic unsigned foreign_hits;
static void *_Atomic foreign_address;

static void foreign(int signo, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~(page_size() - 1));

	(void)context;
	atomic_fetch_add(&foreign_hits, signo == SIGSEGV);
	atomic_store(&foreign_address, info->si_addr);
	mprotect(page, page_size(), PROT_READ | PROT_WRITE);
}

static void plain(int signo)
{
	(void)signo;
}

/* A few ways in which the signal can have been taken before. */
static void take_signal(int way, struct sigaction *action)
{
	memset(action, 0, sizeof *action);
	sigemptyset(&action->sa_mask);
	action->sa_handler = way == 1 ? SIG_IGN : way == 2 ? plain : SIG_DFL;
	if (way >= 3) {
		action->sa_sigaction = foreign;
		action->sa_flags = SA_SIGINFO | (way == 4 ? SA_NODEFER | SA_ONSTACK : 0);
		sigaddset(&action->sa_mask, SIGUSR2);
	}
	ck_assert_int_eq(sigaction(SIGSEGV, action, NULL), 0);
	ck_assert_int_eq(sigaction(SIGSEGV, NULL, action), 0); /* as the system tells it */
}

START_TEST(previous_handler_is_restored)
{
	struct sigaction before, now;
	struct area a, b;

	area_map(&a, NULL, 2), area_map(&b, NULL, 2);
	take_signal(_i, &before);
	for (int round = 0; round < 3; round++) {
		area_add(&a);
		sigaction(SIGSEGV, NULL, &now);
		ck_assert(now.sa_sigaction != before.sa_sigaction);
		struct sigaction ours = now;
		area_add(&b);
		poke(&a, 5), poke(&b, 6);
		round % 2 ? area_remove(&a) : area_remove(&b);
		/* Not before the last one goes. */
		sigaction(SIGSEGV, NULL, &now);
		ck_assert(same_action(&now, &ours));
		poke(round % 2 ? &b : &a, 7);
		round % 2 ? area_remove(&b) : area_remove(&a);
		sigaction(SIGSEGV, NULL, &now);
		ck_assert(same_action(&now, &before));
	}
}
END_TEST

/* By way of the public functions; and when an arena cannot be made, nothing is left either. */
START_TEST(previous_handler_is_restored_by_arenas)
{
	struct sigaction before, now;
	struct cowarena_options o = case_options(_i);

	take_signal(3, &before);
	cowarena *a = arena_case(_i), *b = arena_case(_i);
	cowarena_destroy(a);
	char *p = page_block(b, 1);
	ck_assert_ptr_nonnull(take_snapshot(b, 0));
	*p = 1;
	ck_assert_uint_eq(atomic_load(&foreign_hits), 0);
	cowarena_destroy(b);
	sigaction(SIGSEGV, NULL, &now);
	ck_assert(same_action(&now, &before));
	o.capacity = 1 << 20;
	char *taken = mmap(NULL, (size_t)4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	o.base = (void *)(((uintptr_t)taken | 0x1fffff) + 1);
	ck_assert_ptr_null(cowarena_create(&o));
	ck_assert_int_eq(errno, EEXIST);
	sigaction(SIGSEGV, NULL, &now);
	ck_assert(same_action(&now, &before));
}
END_TEST

/* Faults beside a span, reads, and spans that are gone are the previous handler's. */
START_TEST(others_get_theirs)
{
	struct sigaction before;
	struct area a;
	size_t page = page_size();

	take_signal(3, &before);
	char *base = mmap(NULL, 5 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(base != MAP_FAILED);
	area_map(&a, base + page, 2);
	area_add(&a);
	unsigned hits = 0;
	char *const beside[] = {base, base + page - 1, base + 3 * page, base + 4 * page};
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
		mprotect(base, 5 * page, PROT_READ);
		*(volatile char *)beside[i] = 1;
		ck_assert_uint_eq(atomic_load(&foreign_hits), ++hits);
		ck_assert_ptr_eq(atomic_load(&foreign_address), beside[i]);
	}
	ck_assert_uint_eq(atomic_load(&a.hits), 0);
	/* A read fault in the span. */
	mprotect(a.base, a.n, PROT_NONE);
	ck_assert_int_eq(((volatile char *)a.base)[3], 0);
	ck_assert_uint_eq(atomic_load(&foreign_hits), ++hits);
	ck_assert_uint_eq(atomic_load(&a.hits), 0);
	/* A signal that somebody sent. */
	raise(SIGSEGV);
	ck_assert_uint_eq(atomic_load(&foreign_hits), ++hits);
	poke(&a, 0), poke(&a, a.n - 1);
	ck_assert_uint_eq(atomic_load(&foreign_hits), hits);
	struct area other;
	area_map(&other, NULL, 1);
	area_add(&other);
	area_remove(&a);
	mprotect(a.base, a.n, PROT_READ);
	*(volatile char *)a.base = 1;
	ck_assert_uint_eq(atomic_load(&foreign_hits), ++hits);
	area_remove(&other);
}
END_TEST

static bool decline(struct cowarena *cookie, const void *address)
{
	struct area *a = (struct area *)cookie;

	atomic_fetch_add(&a->hits, 1);
	(void)address;
	return false;
}

START_TEST(declined_faults_go_on)
{
	struct sigaction before;
	struct area a;

	take_signal(3, &before);
	area_map(&a, NULL, 1);
	a.span = trap_add(a.base, a.n, false, decline, (struct cowarena *)&a);
	ck_assert_ptr_nonnull(a.span);
	for (unsigned i = 1; i <= 3; i++) {
		mprotect(a.base, a.n, PROT_READ);
		((volatile char *)a.base)[9] = 1;
		ck_assert_uint_eq(atomic_load(&a.hits), i);
		ck_assert_uint_eq(atomic_load(&foreign_hits), i);
		ck_assert_ptr_eq(atomic_load(&foreign_address), a.base + 9);
	}
	area_remove(&a);
}
END_TEST

/* errno and the mask of signals are the interrupted thread's. */
START_TEST(faults_leave_no_trace)
{
	struct area a;
	sigset_t mask, after;

	area_map(&a, NULL, 1);
	area_add(&a);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	errno = 77;
	mprotect(a.base, a.n, PROT_READ);
	((volatile char *)a.base)[1] = 1;
	ck_assert_int_eq(errno, 77);
	/* A signal handler could write to the arena, and would wait for the page below it. */
	ck_assert(atomic_load(&a.blocked));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert_int_eq(memcmp(&mask, &after, _NSIG / 8), 0);
	area_remove(&a);
}
END_TEST

/* ---- arenas ---- */

START_TEST(many_arenas)
{
	struct cowarena_options o = case_options(_i);
	size_t n = scaled(200, 1000, 70);
	cowarena **arena = calloc(n, sizeof *arena);
	cowarena_snapshot **s = calloc(n, sizeof *s);
	char **p = calloc(n, sizeof *p);

	o.capacity = (size_t)1 << 20;
	for (size_t i = 0; i < n; i++) {
		arena[i] = cowarena_create(&o);
		ck_assert_msg(arena[i] != NULL, "number %zu: %s", i, cowarena_errmsg());
		p[i] = page_block(arena[i], 4);
		p[i][0] = 1;
		s[i] = take_snapshot(arena[i], 0);
		ck_assert_msg(s[i] != NULL, "number %zu: %s", i, cowarena_errmsg());
	}
	for (size_t i = 0; i < n; i += 3)
		cowarena_destroy(arena[i]);
	for (size_t i = 0; i < n; i++) {
		char then = 7;
		if (i % 3 == 0)
			continue;
		struct cowarena_stats before = stats_of(arena[i]);
		p[i][0] = 2;
		p[i][2 * page_size()] = 2;
		struct cowarena_stats after = stats_of(arena[i]);
		if (case_traps(_i) ||
		    _i == CASE_EVENTS) /* each takes its own faults, and no others */
			ck_assert_uint_eq(after.faults - before.faults, 2);
		ck_assert_int_eq(cowarena_snapshot_read(s[i], &then, p[i], 1), 0);
		ck_assert_int_eq(then, 1);
		cowarena_destroy(arena[i]);
	}
	free(arena), free(s), free(p);
}
END_TEST

#define THREADS 3

struct churn {
	int kind; /* arena_case() */
	size_t rounds;
	_Atomic unsigned running, errors;
};

/* Make an arena, fault in it, throw it away. */
static void *come_and_go(void *arg)
{
	struct churn *c = arg;
	struct cowarena_options o = case_options(c->kind);

	o.capacity = (size_t)1 << 20;
	for (size_t i = 0; i < c->rounds; i++) {
		cowarena *arena = cowarena_create(&o);
		int *p = cowarena_calloc(arena, 1, sizeof *p), then = 7;
		cowarena_snapshot *s = take_snapshot(arena, 0);
		if (p)
			*p = 1;
		if (!p || !s || cowarena_snapshot_read(s, &then, p, sizeof then) || then)
			atomic_fetch_add(&c->errors, 1);
		cowarena_destroy(arena);
	}
	atomic_fetch_sub(&c->running, 1);
	return NULL;
}

/* Stay, and fault all the time. */
static void *stay(void *arg)
{
	struct churn *c = arg;
	cowarena *arena = arena_case(c->kind);
	uint64_t *p = (uint64_t *)page_block(arena, 8), then;

	for (uint64_t i = 1; atomic_load(&c->running); i++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		for (size_t k = 0; k < 8; k++)
			p[k * page_size() / 8] = i;
		if (!s || cowarena_snapshot_read(s, &then, p, sizeof then) || then != i - 1 ||
		    cowarena_snapshot_release(s))
			atomic_fetch_add(&c->errors, 1);
	}
	cowarena_destroy(arena);
	return NULL;
}

/* The registry changes all the time while handlers read it. */
START_TEST(arenas_come_and_go)
{
	struct churn c = {.kind = _i, .rounds = scaled(400, 10000, 60)};
	pthread_t going[THREADS], staying[2];
	struct sigaction before, now;

	take_signal(3, &before);
	atomic_store(&c.running, THREADS);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&staying[i], NULL, stay, &c), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&going[i], NULL, come_and_go, &c), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(going[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(staying[i], NULL);
	ck_assert_uint_eq(atomic_load(&c.errors), 0);
	ck_assert_uint_eq(atomic_load(&foreign_hits), 0);
	ck_assert_uint_eq(trap_spans(), 1);
	sigaction(SIGSEGV, NULL, &now);
	ck_assert(same_action(&now, &before));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trap");
	TCase *spans = tcase_create("spans"), *arenas = tcase_create("arenas");

	tcase_add_test(spans, many_spans);
	tcase_add_loop_test(spans, previous_handler_is_restored, 0, 5);
	tcase_add_test(spans, others_get_theirs);
	tcase_add_test(spans, declined_faults_go_on);
	tcase_add_test(spans, faults_leave_no_trace);
	suite_add_tcase(suite, spans);
	tcase_add_loop_test(arenas, previous_handler_is_restored_by_arenas, 0, CASES);
	tcase_add_loop_test(arenas, many_arenas, 0, CASES);
	tcase_add_loop_test(arenas, arenas_come_and_go, 0, CASES);
	suite_add_tcase(suite, arenas);
	return run_suite(suite);
}
