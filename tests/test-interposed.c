/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-interposed.c - sigaction() is not the C library's.
 *
 * This program's own sigaction() takes its place, as one from a preloaded library would. Like that
 * of Java's libjsig.so, it may keep an action to itself, and report that action when asked.
 */
#include "config.h"

#include "common.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum mode {
	HONEST,
	KEEPS,   /* what is installed, and tells it: libjsig.so */
	REFUSES, /* to install, and tells the truth: a sanitizer that is told so */
	WRAPS,   /* each handler in one of its own */
};

static enum mode mode;
static struct sigaction kept[65];
static volatile sig_atomic_t wrapped, calls;
static sigjmp_buf out;

static int c_library(int signo, const struct sigaction *new, struct sigaction *old)
{
	static int (*real)(int, const struct sigaction *, struct sigaction *);

	if (!real) {
		void *p = dlsym(RTLD_NEXT, "sigaction");
		memcpy(&real, &p, sizeof real);
	}
	return real(signo, new, old);
}

static void wrapper(int signo, siginfo_t *info, void *context)
{
	wrapped++;
	kept[signo].sa_sigaction(signo, info, context);
}

static int keep(int signo, const struct sigaction *new, struct sigaction *old)
{
	if (old)
		*old = kept[signo];
	if (new)
		kept[signo] = *new;
	return 0;
}

int sigaction(int signo, const struct sigaction *new, struct sigaction *old)
{
	struct sigaction wrap;

	if ((signo != SIGSEGV && signo != SIGBUS) || mode == HONEST)
		return c_library(signo, new, old);
	if (mode == REFUSES)
		return c_library(signo, NULL, old);
	if (mode == WRAPS && new) {
		wrap = *new;
		if (wrap.sa_flags & SA_SIGINFO)
			wrap.sa_sigaction = wrapper;
		c_library(signo, &wrap, NULL);
	}
	return keep(signo, new, old);
}

/* As Java's handler is to us: in the kernel, and what is not its own goes to who is kept. */
static void virtual_machine(int signo, siginfo_t *info, void *context)
{
	calls++;
	if (mode == KEEPS && kept[signo].sa_flags & SA_SIGINFO)
		kept[signo].sa_sigaction(signo, info, context);
	else
		siglongjmp(out, 1);
}

/* And of one that passes nothing on. */
static void skips(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	calls++;
	siglongjmp(out, 1);
}

static void install(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	ck_assert_int_eq(c_library(SIGSEGV, &sa, NULL), 0);
	ck_assert_int_eq(c_library(SIGBUS, &sa, NULL), 0);
}

static void works(cowarena *arena, char *p)
{
	char then = 0;
	cowarena_snapshot *s = take_snapshot(arena, 0);

	ck_assert_ptr_nonnull(s);
	calls = 0;
	if (sigsetjmp(out, 1))
		ck_abort_msg("the store was skipped");
	*(volatile char *)p += 1;
	ck_assert_int_eq(calls, 0);
	ck_assert_int_eq(cowarena_snapshot_read(s, &then, p, 1), 0);
	ck_assert_int_eq(then, (char)(*p - 1));
	cowarena_snapshot_release(s);
}

/* Not ours: who is called, and how often? */
static void wild(int times)
{
	static char *volatile nowhere = (char *)64;

	calls = 0;
	if (sigsetjmp(out, 1) == 0) {
		*nowhere = 1;
		ck_abort_msg("the write was let through");
	}
	ck_assert_int_eq(calls, times);
}

static void (*in_kernel(int signo))(int, siginfo_t *, void *)
{
	struct sigaction now;

	ck_assert_int_eq(c_library(signo, NULL, &now), 0);
	return now.sa_sigaction;
}

static void (*const before[])(int, siginfo_t *, void *) = {virtual_machine, skips};

/* Somebody had the signal before, and an interposer keeps ours from the kernel. */
START_TEST(kept_from_the_kernel)
{
	int kind = _i % CASES;

	install(before[_i / CASES]);
	mode = KEEPS;
	cowarena *arena = arena_case(kind);
	char *p = page_block(arena, 1);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	works(arena, p);
	if (_i / CASES)
		wild(1);
	works(arena, p);
	/* What the interposer keeps is none of ours: it would come to us twice. */
	ck_assert(kept[SIGSEGV].sa_handler == SIG_DFL);
	cowarena_destroy(arena);
	ck_assert(in_kernel(SIGSEGV) == before[_i / CASES]);
}
END_TEST

/* It comes later, with a handler over ours, and sigaction() still names ours. */
START_TEST(kept_later)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);

	c_library(SIGSEGV, NULL, &kept[SIGSEGV]);
	c_library(SIGBUS, NULL, &kept[SIGBUS]);
	install(skips);
	mode = KEEPS;
	errno = 0;
	ck_assert_int_eq(cowarena_trap_check(), -1);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_ptr_nonnull(
	    strstr(cowarena_errmsg(), "SIGSEGV has another handler in the kernel"));
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "preloaded"));
	ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	works(arena, p);
	wild(1);
	cowarena_destroy(arena);
	ck_assert(in_kernel(SIGSEGV) == skips);
}
END_TEST

/* Nobody had it, and a wild store ends the process though sigaction() could not let it. */
START_TEST(kept_and_nobody_before)
{
	mode = KEEPS;
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);

	works(arena, p);
	take_snapshot(arena, 0);
	*(volatile char *)p = 1;
	if (_i % 2)
		raise(SIGSEGV);
	else
		wild(0);
}
END_TEST

START_TEST(refused)
{
	struct cowarena_options o = case_options(_i);

	install(skips);
	mode = REFUSES;
	errno = 0;
	ck_assert_ptr_null(cowarena_create(&o));
	ck_assert_int_eq(errno, EPERM);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "SIGSEGV"));
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "handle_segv=0"));
	ck_assert(in_kernel(SIGSEGV) == skips);
}
END_TEST

/* The kernel has what wraps ours: then it has ours too, in front. */
START_TEST(wrapped_in_another)
{
	mode = WRAPS;
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);

	ck_assert_int_eq(cowarena_trap_check(), 0);
	works(arena, p);
	ck_assert_int_eq(wrapped, 0);
	cowarena_destroy(arena);
	ck_assert(in_kernel(SIGSEGV) != wrapper || kept[SIGSEGV].sa_handler == SIG_DFL);
}
END_TEST

/* Where ours returns to, without the C library's help. */
START_TEST(returns)
{
	mode = KEEPS;
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);

	for (int i = 0; i < 100; i++)
		works(arena, p);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	if (sanitized()) {
		printf("SKIP: a sanitizer has a sigaction() of its own\n");
		return 77;
	}
	Suite *suite = suite_create("interposed");
	TCase *tc = tcase_create("interposed");
	tcase_add_loop_test(tc, kept_from_the_kernel, 0, 2 * CASES);
	tcase_add_loop_test(tc, kept_later, 0, CASES);
	tcase_add_loop_test_raise_signal(tc, kept_and_nobody_before, SIGSEGV, 0, CASES);
	tcase_add_loop_test(tc, refused, 0, CASES);
	tcase_add_loop_test(tc, wrapped_in_another, 0, CASES);
	tcase_add_loop_test(tc, returns, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
