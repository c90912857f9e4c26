/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-faults.c - faults that are not ours (I5), and what the handler must leave alone.
 *
 * Each scene runs in a child process, which makes its own arena; the exit status is the result.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char constant[8192] = {1};

/* Makes an arena with a snapshot, so that our handler is in place and pages are armed. */
static cowarena *armed(char **p)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	cowarena *arena = cowarena_create(&o);

	*p = arena ? cowarena_calloc(arena, 16, page_size()) : NULL;
	if (!*p || !take_snapshot(arena, 0))
		_exit(90);
	return arena;
}

static void check_still_working(cowarena *arena, char *p)
{
	char seen;
	cowarena_snapshot *s = take_snapshot(arena, 0);

	p[0]++;
	if (!s || cowarena_snapshot_read(s, &seen, p, 1) || seen != (char)(p[0] - 1))
		_exit(91);
}

/* ---- wild accesses, by number ---- */

enum wild { WILD_NULL, WILD_CONST, WILD_VIEW, WILD_BEYOND, WILD_READ_NONE, WILD_EXECUTE, WILDS };

static char *wild_address(enum wild wild, cowarena *arena, char *p)
{
	static char *none;

	switch (wild) {
	case WILD_NULL:
		return (char *)16;
	case WILD_CONST:
		return (char *)(uintptr_t)&constant[100];
	case WILD_VIEW:
		return (char *)cowarena_view_at(cowarena_view_open(take_snapshot(arena, 0), 0), p) +
		       77;
	case WILD_BEYOND: /* in the arena's range, above its heap */
		return p + ((size_t)512 << 20);
	case WILD_READ_NONE:
		if (!none)
			none =
			    mmap(NULL, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return none + 5;
	default:
		return p;
	}
}

static void go_wild(enum wild wild, char *at)
{
	if (wild == WILD_READ_NONE) {
		(void)*(volatile char *)at;
	} else if (wild == WILD_EXECUTE) {
		void (*code)(void);
		memcpy(&code, &at, sizeof code);
		code();
	} else {
		/* The compiler need not know where this goes. */
		volatile char *volatile where = at;
		*where = 1;
	}
}

/* ---- with nobody installed before us: death by SIGSEGV ---- */

static void scene_dies(void *arg)
{
	char *p;
	cowarena *arena = armed(&p);
	enum wild wild = *(enum wild *)arg;

	check_still_working(arena, p);
	take_snapshot(arena, 0);
	go_wild(wild, wild_address(wild, arena, p));
}

START_TEST(wild_accesses_kill)
{
	enum wild wild = (enum wild)_i;
	int status = in_child(scene_dies, &wild, NULL);

	ck_assert_msg(died_of_segv(status), "wild access %d: status %#x", _i, (unsigned)status);
}
END_TEST

/* ---- with a handler before us: it gets the fault, with its siginfo ---- */

static sigjmp_buf after_fault;
static volatile sig_atomic_t calls;
static void *volatile fault_address;
static volatile int fault_code;

static void note_fault(int signo, siginfo_t *info, void *context)
{
	calls++;
	fault_address = info->si_addr;
	fault_code = info->si_code;
	if (signo != SIGSEGV || !context)
		_exit(92);
	siglongjmp(after_fault, 1);
}

static void scene_chains(void *arg)
{
	enum wild wild = *(enum wild *)arg;
	struct sigaction sa = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &sa, NULL);
	char *p;
	cowarena *arena = armed(&p);

	for (int round = 0; round < 3; round++) {
		char *at = wild_address(wild, arena, p);
		sigset_t before, after;
		sigprocmask(SIG_SETMASK, NULL, &before);
		calls = 0;
		if (sigsetjmp(after_fault, 1) == 0) {
			go_wild(wild, at);
			_exit(93);
		}
		sigprocmask(SIG_SETMASK, NULL, &after);
		if (calls != 1 || fault_address != at)
			_exit(94);
		int code = wild == WILD_NULL ? SEGV_MAPERR : SEGV_ACCERR;
		if (fault_code != code)
			_exit(95);
		for (int s = 1; s < 32; s++)
			if (sigismember(&before, s) != sigismember(&after, s))
				_exit(96);
		check_still_working(arena, p); /* ours go on as before */
	}
	cowarena_destroy(arena);
	struct sigaction now;
	sigaction(SIGSEGV, NULL, &now);
	if (now.sa_sigaction != note_fault)
		_exit(97);
}

START_TEST(the_handler_before_us_gets_its_faults)
{
	enum wild wild = (enum wild)_i;
	int status = in_child(scene_chains, &wild, NULL);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wild access %d: status %#x",
		      _i, (unsigned)status);
}
END_TEST

/* ---- plain handlers, masks, one-shot, ignored, sent ---- */

static volatile sig_atomic_t usr1_blocked, segv_blocked, usr2_blocked;

static void plain(int signo)
{
	sigset_t now;

	(void)signo;
	calls++;
	sigprocmask(SIG_SETMASK, NULL, &now);
	usr1_blocked = sigismember(&now, SIGUSR1);
	usr2_blocked = sigismember(&now, SIGUSR2);
	segv_blocked = sigismember(&now, SIGSEGV);
}

/* The handler finds those signals blocked that it would without us. */
static void scene_mask(void *arg)
{
	struct sigaction sa = {.sa_handler = plain};
	char *p;

	(void)arg;
	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaction(SIGSEGV, &sa, NULL);
	cowarena *arena = armed(&p);
	raise(SIGSEGV);
	if (calls != 1 || !usr1_blocked || usr2_blocked || !segv_blocked)
		_exit(98);
	sigset_t now;
	sigprocmask(SIG_SETMASK, NULL, &now);
	if (sigismember(&now, SIGUSR1) || sigismember(&now, SIGSEGV))
		_exit(99);
	kill(getpid(), SIGSEGV);
	if (calls != 2)
		_exit(100);
	check_still_working(arena, p);
}

static void scene_oneshot(void *arg)
{
	struct sigaction sa = {.sa_handler = plain, .sa_flags = (int)SA_RESETHAND};
	char *p;

	(void)arg;
	sigaction(SIGSEGV, &sa, NULL);
	cowarena *arena = armed(&p);
	raise(SIGSEGV);
	if (calls != 1)
		_exit(98);
	check_still_working(arena, p);
	raise(SIGSEGV); /* the default now */
	_exit(99);
}

static void scene_ignored(void *arg)
{
	char *p;

	(void)arg;
	signal(SIGSEGV, SIG_IGN);
	cowarena *arena = armed(&p);
	raise(SIGSEGV);
	kill(getpid(), SIGSEGV);
	check_still_working(arena, p);
	go_wild(WILD_NULL, wild_address(WILD_NULL, arena, p)); /* a real fault cannot be ignored */
	_exit(99);
}

static void scene_raised(void *arg)
{
	char *p;

	(void)arg;
	armed(&p);
	raise(SIGSEGV);
	_exit(99);
}

START_TEST(masks_of_chained_handlers)
{
	int status = in_child(scene_mask, NULL, NULL);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x",
		      (unsigned)status);
}
END_TEST

START_TEST(one_shot_ignored_and_default_handlers)
{
	ck_assert(died_of_segv(in_child(scene_oneshot, NULL, NULL)));
	ck_assert(died_of_segv(in_child(scene_ignored, NULL, NULL)));
	ck_assert(died_of_segv(in_child(scene_raised, NULL, NULL)));
}
END_TEST

/* ---- what the handler leaves alone ---- */

START_TEST(errno_is_kept)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 100);

	memset(p, 0, 100 * page_size());
	take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(take_snapshot(arena, 0), 0);
	ck_assert_ptr_nonnull(view);
	errno = 4711;
	for (size_t i = 0; i < 100; i++)
		((volatile char *)p)[i * page_size()] = 1;
	ck_assert_int_eq(errno, 4711);
	cowarena_destroy(arena);
}
END_TEST

/* A thread's small alternate stack is used, and is enough. */
START_TEST(an_alternate_stack)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 100);
	size_t size = (size_t)sysconf(_SC_SIGSTKSZ) < 16384 ? 16384 : (size_t)sysconf(_SC_SIGSTKSZ);
	stack_t ss = {.ss_sp = malloc(size), .ss_size = size};

	memset(ss.ss_sp, 0x5a, size);
	ck_assert_int_eq(sigaltstack(&ss, NULL), 0);
	memset(p, 0, 100 * page_size());
	take_snapshot(arena, 0);
	memset(p, 1, 100 * page_size());
	size_t untouched = 0;
	while (untouched < size && ((char *)ss.ss_sp)[untouched] == 0x5a)
		untouched++;
	if (_i == CASE_EAGER || case_is_kernel(_i) || cowarena_syscall_safe(arena)) /* no signal */
		ck_assert_uint_eq(untouched, size);
	else
		ck_assert_uint_lt(untouched, size); /* it ran there */
	ck_assert_uint_gt(untouched, 0);
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	free(ss.ss_sp);
	cowarena_destroy(arena);
}
END_TEST

/* Signal handlers of the application write to the arena, also while a snapshot is being taken. */
static char *shared;
static volatile size_t ticks;

static void tick(int signo)
{
	(void)signo;
	shared[(ticks++ * 37 % 64) * page_size()]++;
}

START_TEST(signal_handlers_that_write)
{
	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer runs signal handlers late, with SIGSEGV blocked\n");
		return;
	}
	cowarena *arena = arena_case(_i);
	struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec period = {.it_interval.tv_nsec = 200000, .it_value.tv_nsec = 200000};

	shared = page_block(arena, 64);
	memset(shared, 0, 64 * page_size());
	ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
	ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	ck_assert_int_eq(timer_settime(timer, 0, &period, NULL), 0);
	size_t snapshots = 0;
	for (size_t goal = scaled(500, 20000, 50); ticks < goal; snapshots++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		char a[64], b[64];
		for (size_t i = 0; i < 64; i++)
			ck_assert_int_eq(
			    cowarena_snapshot_read(s, &a[i], shared + i * page_size(), 1), 0);
		for (size_t i = 0; i < 64; i++)
			ck_assert_int_eq(
			    cowarena_snapshot_read(s, &b[i], shared + i * page_size(), 1), 0);
		ck_assert_mem_eq(a, b, 64);
		for (size_t i = 0; i < 64; i++)
			shared[i * page_size() + 1]++;
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	}
	timer_delete(timer);
	size_t sum = 0;
	for (size_t i = 0; i < 64; i++)
		sum += (unsigned char)shared[i * page_size()];
	/* No tick was lost (each byte wraps at 256). */
	ck_assert_uint_eq(sum % 256, ticks % 256);
	cowarena_destroy(arena);
}
END_TEST

/* A thread is cancelled at any instant, also inside the handler: no page and no gate stays shut. */
static void *store_for_ever(void *arg)
{
	volatile char *p = arg;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (size_t i = 0;; i++)
		p[i % 64 * page_size()]++;
	return NULL;
}

START_TEST(threads_cancelled_in_the_handler)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 64);

	if (thread_sanitized())
		return; /* it cancels in its own way */
	memset(p, 0, 64 * page_size());
	for (size_t round = 0; round < scaled(300, 5000, 20); round++) {
		pthread_t t;
		ck_assert_int_eq(pthread_create(&t, NULL, store_for_ever, p), 0);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(cowarena_snapshot_release(take_snapshot(arena, 0)), 0);
		pthread_cancel(t);
		pthread_join(t, NULL);
	}
	cowarena_destroy(arena);
}
END_TEST

/* The application resets the signal while no arena needs it. */
START_TEST(after_a_reset)
{
	for (int i = 0; i < 2; i++) {
		cowarena *arena = arena_case(_i);
		char *p = page_block(arena, 1);
		*p = 1;
		take_snapshot(arena, 0);
		*p = 2;
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		cowarena_destroy(arena);
	}
}
END_TEST

/* The kernel has no memory for a page (here: the file has lost it): that kills, as it would
   without us. */
static void scene_no_memory(void *arg)
{
	struct cowarena_options o = case_options(*(int *)arg);
	cowarena *arena = cowarena_create(&o);
	char *p = arena ? cowarena_aligned_alloc(arena, page_size(), 8 * page_size()) : NULL;

	if (!p || ftruncate(arena->file.fd, p - arena->base))
		_exit(90);
	*(volatile char *)p = 1;
}

START_TEST(no_memory_is_not_ours)
{
	int status = in_child(scene_no_memory, &_i, NULL);

	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS, "status %#x",
		      (unsigned)status);
}
END_TEST

/* ---- fork ---- */

static void touch(void *arg)
{
	*(volatile char *)arg = 1;
}

START_TEST(a_forked_child_is_told)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 4);
	char *text;

	*p = 'a';
	int status = in_child(touch, p, &text);
	ck_assert(died_of_segv(status));
	ck_assert_ptr_nonnull(strstr(text, "fork"));
	ck_assert_ptr_nonnull(strchr(text, '\n'));
	ck_assert_ptr_eq(strchr(text, '\n') + 1, text + strlen(text)); /* one line */
	free(text);
	ck_assert_int_eq(*p, 'a');
	cowarena_destroy(arena);
}
END_TEST

/* A child may make arenas of its own, even where the parent's was, and destroy the inherited
   one. */
static void own_arena(void *arg)
{
	char *p;
	cowarena *inherited = arg, *own = armed(&p);

	check_still_working(own, p);
	cowarena_destroy(inherited);
	check_still_working(own, p);
	cowarena_destroy(own);
}

START_TEST(a_forked_child_has_arenas_of_its_own)
{
	struct cowarena_options o = case_options(_i);

	if (!children_have_threads(_i))
		return;
	o.flags |= forking_flags();
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	char *p = page_block(arena, 4);
	take_snapshot(arena, 0);
	int status = in_child(own_arena, arena, NULL);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x",
		      (unsigned)status);
	check_still_working(arena, p);
	ck_assert_int_eq(system("true"), 0);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("faults");
	TCase *tc = tcase_create("faults");

	tcase_add_loop_test(tc, wild_accesses_kill, 0, WILDS);
	tcase_add_loop_test(tc, the_handler_before_us_gets_its_faults, 0, WILDS);
	tcase_add_test(tc, masks_of_chained_handlers);
	tcase_add_test(tc, one_shot_ignored_and_default_handlers);
	tcase_add_loop_test(tc, errno_is_kept, 0, CASES);
	tcase_add_loop_test(tc, an_alternate_stack, 0, CASES);
	tcase_add_loop_test(tc, signal_handlers_that_write, 0, CASES);
	tcase_add_loop_test(tc, threads_cancelled_in_the_handler, 0, CASES);
	tcase_add_loop_test(tc, after_a_reset, 0, CASES);
	tcase_add_loop_test(tc, no_memory_is_not_ours, 0, CASES);
	tcase_add_loop_test(tc, a_forked_child_is_told, 0, CASES);
	tcase_add_loop_test(tc, a_forked_child_has_arenas_of_its_own, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
