/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-reporters.c - crash reporters: handlers installed over ours, which put back what they found
 * when they are called.
 *
 * Each scene is a child process that writes to NULL, and is observed with ptrace(2). Each handler
 * that is called must be called once, and then the process must die of that store.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRONG_SETUP = 80, TOO_OFTEN, NOT_COPIED, NOT_KILLED };

/* ---- reporters ---- */

/* What a reporter does when it is called, in this order. */
enum {
	PUTS_BACK = 1, /* what it has found */
	DEFAULT = 2,   /* sets SIG_DFL */
	CALLS = 4,     /* what it has found */
	RAISES = 8,
	SENDS = 16,   /* by tgkill(2) */
	AGAIN = 32,   /* installs itself: System V */
	CAREFUL = 64, /* keeps what it has found only if that was not itself */
	NODEFER = 128,
	ONCE = 256 /* SA_RESETHAND */
};

#define REPORTERS 3
#define WITHOUT_END 20

static struct shared {
	volatile int calls[REPORTERS];
} * seen;

static struct sigaction found[REPORTERS];
static int habits[REPORTERS];
static sigjmp_buf out;
static bool jumps;

static void install(int self, int how);

static void put_back(int self, int signo)
{
	if (habits[self] & PUTS_BACK)
		sigaction(signo, &found[self], NULL);
	if (habits[self] & DEFAULT)
		signal(signo, SIG_DFL);
	if (habits[self] & AGAIN)
		install(self, habits[self]);
}

static void report(int self, int signo, siginfo_t *info, void *context)
{
	const struct sigaction *next = &found[self];

	if (++seen->calls[self] >= WITHOUT_END)
		_exit(TOO_OFTEN);
	put_back(self, signo);
	if (jumps)
		siglongjmp(out, 1);
	if (habits[self] & CALLS) {
		if (next->sa_flags & SA_SIGINFO)
			next->sa_sigaction(signo, info, context);
		else if (next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN)
			next->sa_handler(signo);
		else
			signal(signo, SIG_DFL);
	}
	if (habits[self] & RAISES || info->si_code <= 0)
		raise(signo);
	if (habits[self] & SENDS)
		tgkill(getpid(), gettid(), signo);
}

static void first(int signo, siginfo_t *info, void *context)
{
	report(0, signo, info, context);
}

static void second(int signo, siginfo_t *info, void *context)
{
	report(1, signo, info, context);
}

static void third(int signo, siginfo_t *info, void *context)
{
	report(2, signo, info, context);
}

static void install(int self, int how)
{
	static void (*const handler[REPORTERS])(int, siginfo_t *, void *) = {first, second, third};
	struct sigaction sa = {.sa_sigaction = handler[self], .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction old;

	sa.sa_flags |= how & NODEFER ? (int)SA_NODEFER : 0;
	sa.sa_flags |= how & ONCE ? (int)SA_RESETHAND : 0;
	habits[self] = how;
	if (sigaction(SIGSEGV, &sa, &old))
		_exit(WRONG_SETUP);
	if (!(how & CAREFUL) || old.sa_sigaction != handler[self])
		found[self] = old;
}

/* ---- scenes ---- */

static cowarena *arena;
static char *block;
static int kind; /* arena_case() */

static void make_arena(void)
{
	struct cowarena_options o = case_options(kind);

	arena = cowarena_create(&o);
	block = arena ? cowarena_calloc(arena, 4, page_size()) : NULL;
	if (!block)
		_exit(WRONG_SETUP);
}

static void again(void)
{
	cowarena_destroy(arena);
	make_arena();
}

static void reinstall(void)
{
	if (cowarena_trap_reinstall() || cowarena_trap_check())
		_exit(WRONG_SETUP);
}

static void check_copying(void)
{
	cowarena_snapshot *s = take_snapshot(arena, 0);
	char then = 0, now = *block;

	*(volatile char *)block = (char)(now + 1);
	if (!s || cowarena_snapshot_read(s, &then, block, 1) || then != now ||
	    cowarena_snapshot_release(s))
		_exit(NOT_COPIED);
}

static char *volatile nowhere = (char *)16;

static void crash(void)
{
	check_copying();
	*nowhere = 1;
	_exit(NOT_KILLED);
}

static const struct {
	const char *name;
	int habit;
} kinds[] = {
    {"puts back, returns", PUTS_BACK},
    {"puts back, raises", PUTS_BACK | RAISES},
    {"puts back, raises at once", PUTS_BACK | RAISES | NODEFER},
    {"puts back, sends", PUTS_BACK | SENDS},
    {"calls", CALLS},
    {"puts back, calls", PUTS_BACK | CALLS},
    {"puts back, calls, raises", PUTS_BACK | CALLS | RAISES},
    {"puts back, once", PUTS_BACK | ONCE},
};
#define KINDS (int)(sizeof kinds / sizeof *kinds)

static int habit; /* of the reporters in the scene */

static void over_ours(void)
{
	make_arena();
	install(0, habit);
	*nowhere = 1;
	_exit(NOT_KILLED);
}

static void over_ours_reinstalled(void)
{
	make_arena();
	install(0, habit);
	reinstall();
	crash();
}

static void over_ours_and_again(void)
{
	make_arena();
	install(0, habit);
	again();
	crash();
}

static void before_ours(void)
{
	install(0, habit);
	make_arena();
	crash();
}

static void before_ours_many_times(void)
{
	install(0, habit);
	make_arena();
	for (int i = 0; i < 50; i++)
		again();
	crash();
}

static void over_ours_many_times(void)
{
	make_arena();
	install(0, habit);
	for (int i = 0; i < 50; i++)
		again();
	crash();
}

/* Installed by a part of the program that does not know that it was, before each reinstall. */
static void installed_many_times(void)
{
	make_arena();
	for (int i = 0; i < 50; i++) {
		install(0, habit);
		reinstall();
	}
	crash();
}

static void two_over_each_other(void)
{
	make_arena();
	install(0, habit);
	reinstall();
	install(1, habit);
	reinstall();
	crash();
}

static void two_over_ours(void)
{
	make_arena();
	install(0, habit);
	install(1, habit);
	reinstall();
	crash();
}

static void around_ours(void)
{
	install(0, habit);
	make_arena();
	install(1, habit);
	reinstall();
	install(2, habit);
	again();
	crash();
}

/* The second one is taken out in an orderly way; ours of before is in front then. */
static void taken_out(void)
{
	make_arena();
	install(0, habit);
	reinstall();
	for (int i = 0; i < 50; i++) {
		install(1, habit);
		reinstall();
		sigaction(SIGSEGV, &found[1], NULL);
		reinstall();
		if (cowarena_trap_check())
			_exit(WRONG_SETUP);
		check_copying();
	}
	crash();
}

/* It has survived a crash: what it has put back is one of ours, and it is out. */
static void survived(void)
{
	make_arena();
	install(0, habit);
	reinstall();
	jumps = true;
	if (sigsetjmp(out, 1) == 0)
		crash();
	jumps = false;
	seen->calls[0] = 0;
	if (habit & PUTS_BACK) {
		if (cowarena_trap_check())
			_exit(WRONG_SETUP);
		check_copying();
		install(0, habit);
	}
	reinstall();
	crash();
}

/* A handler is before ours, and over ours, with another on top. */
static void installed_twice_around(void)
{
	install(0, habit);
	make_arena();
	install(0, habit);
	install(1, habit);
	reinstall();
	crash();
}

static void sent(void)
{
	make_arena();
	install(0, habit);
	reinstall();
	check_copying();
	raise(SIGSEGV);
	kill(getpid(), SIGSEGV);
	_exit(NOT_KILLED);
}

static const struct scene {
	const char *name;
	void (*fn)(void);
	int calls[REPORTERS];
	bool sent;
} scenes[] = {
    {"over ours", over_ours, {1}, false},
    {"over ours, reinstalled", over_ours_reinstalled, {1}, false},
    {"over ours, an arena again", over_ours_and_again, {1}, false},
    {"before ours", before_ours, {1}, false},
    {"before ours, many arenas", before_ours_many_times, {1}, false},
    {"over ours, many arenas", over_ours_many_times, {1}, false},
    {"installed many times", installed_many_times, {1}, false},
    {"two, each over ours", two_over_each_other, {1, 1}, false},
    {"two over ours", two_over_ours, {1, 1}, false},
    {"around ours", around_ours, {1, 1, 1}, false},
    {"taken out and put in", taken_out, {1}, false},
    {"survived a crash", survived, {1}, false},
    {"sent", sent, {1}, true},
};
#define SCENES (int)(sizeof scenes / sizeof *scenes)

static const int engines[] = {CASE_DEFAULT, CASE_UFFD, CASE_HYBRID};
#define ENGINES (int)(sizeof engines / sizeof *engines)

/* Any history in which who came last leaves first: it is bounded, and nobody is called twice. */
#define STEPS 60
static uint64_t seed;

static void history(void)
{
	int in[REPORTERS], n = 0; /* who is installed, the last one last */

	make_arena();
	for (int i = 0; i < STEPS; i++) {
		int self = n ? in[n - 1] : 0;
		uint64_t what = rng(&seed) % 5;
		if (what == 0) {
			again();
		} else if (what < 3 && n) {
			sigaction(SIGSEGV, &found[self], NULL);
			n--;
		} else if (n < REPORTERS) {
			for (bool there = true; there;) {
				self = (int)(rng(&seed) % REPORTERS);
				there = false;
				for (int k = 0; k < n; k++)
					there = there || in[k] == self;
			}
			in[n++] = self;
			install(self, kinds[rng(&seed) % KINDS].habit);
		}
		reinstall();
		check_copying();
	}
	crash();
}

/* ---- in the parent ---- */

/* How a child ended, and of what. */
struct death {
	int status;
	siginfo_t last;
	bool traced;
};

static struct death run(void (*fn)(void))
{
	struct death d = {.traced = true};

	memset(seen, 0, sizeof *seen);
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			raise(SIGSTOP);
		fn();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &d.status, WUNTRACED), pid);
	d.traced = WIFSTOPPED(d.status);
	for (int signo = 0; WIFSTOPPED(d.status); signo = WSTOPSIG(d.status)) {
		if (signo)
			ck_assert_int_eq(ptrace(PTRACE_GETSIGINFO, pid, NULL, &d.last), 0);
		ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, (long)signo), 0);
		ck_assert_int_eq(waitpid(pid, &d.status, 0), pid);
		if (WIFSTOPPED(d.status) && !signo)
			ck_assert_int_eq(ptrace(PTRACE_GETSIGINFO, pid, NULL, &d.last), 0);
	}
	return d;
}

static void check(const struct scene *s, const struct death *d, const char *what)
{
	ck_assert_msg(WIFSIGNALED(d->status) && WTERMSIG(d->status) == SIGSEGV,
		      "%s, %s: status %#x, calls %d %d %d", s->name, what, (unsigned)d->status,
		      seen->calls[0], seen->calls[1], seen->calls[2]);
	for (int i = 0; i < REPORTERS; i++)
		ck_assert_msg(seen->calls[i] == s->calls[i], "%s, %s: called %d %d %d", s->name,
			      what, seen->calls[0], seen->calls[1], seen->calls[2]);
}

START_TEST(once_and_then_death)
{
	const struct scene *s = &scenes[_i / KINDS];
	int reporter = _i % KINDS;

	habit = kinds[reporter].habit;
	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer delivers late what is sent\n");
		return;
	}
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(seen != MAP_FAILED);
	for (int i = 0; i < ENGINES; i++) {
		kind = engines[i];
		struct death d = run(s->fn);
		check(s, &d, kinds[reporter].name);
		if (d.traced && d.last.si_code > 0)
			ck_assert_ptr_eq(d.last.si_addr, nowhere);
		if (d.traced && !s->sent && !(habit & (RAISES | SENDS)))
			ck_assert_int_eq(d.last.si_code, SEGV_MAPERR);
	}
}
END_TEST

/* ---- others ---- */

static void in_a_child(void (*fn)(void), int signo)
{
	static const struct scene none = {"a scene", NULL, {0}, false};

	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(seen != MAP_FAILED);
	for (int i = 0; i < ENGINES; i++) {
		kind = engines[i];
		struct death d = run(fn);
		int got = WIFSIGNALED(d.status) ? WTERMSIG(d.status) : -WEXITSTATUS(d.status);
		ck_assert_msg(got == signo, "%s: %d, not %d; calls %d %d %d", none.name, got, signo,
			      seen->calls[0], seen->calls[1], seen->calls[2]);
	}
}

/* By one that takes care not to call itself. It calls what it has found. */
START_TEST(installed_twice)
{
	habit = CALLS | CAREFUL;
	in_a_child(installed_twice_around, SIGSEGV);
	ck_assert_int_le(seen->calls[0], 2);
	ck_assert_int_eq(seen->calls[1], 1);
}
END_TEST

/* The same right before the crash: the one in front is seen. */
static void twice_and_crash(void)
{
	install(0, CALLS | CAREFUL);
	make_arena();
	install(0, CALLS | CAREFUL);
	*nowhere = 1;
	_exit(NOT_KILLED);
}

START_TEST(installed_twice_in_front)
{
	in_a_child(twice_and_crash, SIGSEGV);
	ck_assert_int_eq(seen->calls[0], 1);
}
END_TEST

/* System V: at each call it installs itself again. Ours stays in front, or a store would be its. */
static char *page;

static void mends(int signo, siginfo_t *info, void *context)
{
	(void)context;
	install(0, habits[0]);
	struct sigaction sa = {.sa_sigaction = mends,
			       .sa_flags = SA_SIGINFO | (habits[0] & ONCE ? (int)SA_RESETHAND : 0)};
	sigaction(signo, &sa, NULL);
	if (++seen->calls[0] >= WITHOUT_END || info->si_addr != page)
		_exit(TOO_OFTEN);
	mprotect(page, page_size(), PROT_READ | PROT_WRITE);
}

static void system_v(void)
{
	struct sigaction sa = {.sa_sigaction = mends,
			       .sa_flags = SA_SIGINFO | (habit & ONCE ? (int)SA_RESETHAND : 0)};

	habits[0] = habit;
	page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &sa, NULL);
	make_arena();
	for (int i = 1; i <= 5; i++) {
		mprotect(page, page_size(), PROT_READ);
		*(volatile char *)page = 1;
		if (seen->calls[0] != i || cowarena_trap_check())
			_exit(WRONG_SETUP);
		check_copying();
	}
}

START_TEST(installs_itself_again)
{
	habit = _i ? ONCE : 0;
	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer's handler stands in between\n");
		return;
	}
	in_a_child(system_v, 0);
}
END_TEST

/* What is ignored stays so, below one that puts it back. */
static void ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	make_arena();
	install(0, PUTS_BACK);
	reinstall();
	raise(SIGSEGV); /* reported; and what the reporter raises is ignored */
	if (seen->calls[0] != 1)
		_exit(TOO_OFTEN);
	raise(SIGSEGV);
	check_copying();
	if (seen->calls[0] != 1)
		_exit(TOO_OFTEN);
}

START_TEST(ignored_below)
{
	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer delivers late what is sent\n");
		return;
	}
	in_a_child(ignored, 0);
}
END_TEST

/* A default that was set by a handler kills. */
static void sets_default(void)
{
	make_arena();
	install(0, DEFAULT);
	reinstall();
	crash();
}

START_TEST(default_set_by_a_handler)
{
	in_a_child(sets_default, SIGSEGV);
	ck_assert_int_eq(seen->calls[0], 1);
}
END_TEST

START_TEST(any_history)
{
	size_t histories = scaled(100, 2000, 20);

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer delivers late what is sent\n");
		return;
	}
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(seen != MAP_FAILED);
	seed = seed_of_run(8);
	for (size_t i = 0; i < histories; i++) {
		kind = engines[i % ENGINES];
		uint64_t now = seed;
		struct death d = run(history);
		rng(&seed); /* the child has drawn its own */
		bool once = true;
		for (int k = 0; k < REPORTERS; k++)
			once = once && seen->calls[k] <= 1;
		ck_assert_msg(once && WIFSIGNALED(d.status) && WTERMSIG(d.status) == SIGSEGV,
			      "COWARENA_SEED=%#llx: status %#x, called %d %d %d",
			      (unsigned long long)now, (unsigned)d.status, seen->calls[0],
			      seen->calls[1], seen->calls[2]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reporters");
	TCase *all = tcase_create("once"), *others = tcase_create("others");

	tcase_add_loop_test(all, once_and_then_death, 0, SCENES * KINDS);
	suite_add_tcase(suite, all);
	tcase_add_test(others, any_history);
	tcase_add_test(others, installed_twice);
	tcase_add_test(others, installed_twice_in_front);
	tcase_add_loop_test(others, installs_itself_again, 0, 2);
	tcase_add_test(others, ignored_below);
	tcase_add_test(others, default_set_by_a_handler);
	suite_add_tcase(suite, others);
	return run_suite(suite);
}
