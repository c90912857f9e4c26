/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-handlers.c - other users of the same signals: handlers installed over ours, copies of the
 * library in one process, and a library that is loaded and unloaded.
 */
#include "config.h"

#include "common.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- handlers ---- */

/* Each notes that it was called, and does what it is meant to. */
enum { FIRST, SECOND, THIRD, FOREIGNERS };

static volatile sig_atomic_t calls[FOREIGNERS];
static struct sigaction found[FOREIGNERS]; /* what each has found installed */
static bool chains[FOREIGNERS];            /* whether it passes the signal on to that */
static sigjmp_buf out;

static void foreign(int self, int signo, siginfo_t *info, void *context)
{
	calls[self]++;
	if (chains[self] && found[self].sa_flags & SA_SIGINFO)
		found[self].sa_sigaction(signo, info, context);
	else
		siglongjmp(out, 1);
}

static void nothing(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
}

static void first(int signo, siginfo_t *info, void *context)
{
	foreign(FIRST, signo, info, context);
}

static void second(int signo, siginfo_t *info, void *context)
{
	foreign(SECOND, signo, info, context);
}

static void third(int signo, siginfo_t *info, void *context)
{
	foreign(THIRD, signo, info, context);
}

static void install(int self, int signo, bool chain)
{
	static void (*const handler[FOREIGNERS])(int, siginfo_t *, void *) = {first, second, third};
	struct sigaction sa = {.sa_sigaction = handler[self], .sa_flags = SA_SIGINFO};

	chains[self] = chain;
	ck_assert_int_eq(sigaction(signo, &sa, &found[self]), 0);
}

/* A write that nobody mends: who is called, and how often? */
static void wild(int a, int b, int c)
{
	static char *volatile nowhere = (char *)64;

	memset((void *)calls, 0, sizeof calls);
	if (sigsetjmp(out, 1) == 0) {
		*nowhere = 1;
		ck_abort_msg("the write was let through");
	}
	ck_assert_msg(calls[0] == a && calls[1] == b && calls[2] == c,
		      "called %d %d %d, not %d %d %d", calls[0], calls[1], calls[2], a, b, c);
}

static void works(cowarena *arena, char *p)
{
	char seen = 0;
	cowarena_snapshot *s = take_snapshot(arena, 0);

	ck_assert_ptr_nonnull(s);
	p[0]++;
	ck_assert_int_eq(cowarena_snapshot_read(s, &seen, p, 1), 0);
	ck_assert_int_eq(seen, (char)(p[0] - 1));
	cowarena_snapshot_release(s);
}

static void stolen(void)
{
	errno = 0;
	ck_assert_int_eq(cowarena_trap_check(), -1);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "cowarena_trap_reinstall()"));
}

/* ---- one that is installed over ours ---- */

START_TEST(noticed_and_mended)
{
	ck_assert_int_eq(cowarena_trap_check(), 0); /* no arena yet */
	ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	install(FIRST, SIGSEGV, false);
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	wild(1, 0, 0);

	/* It passes faults on: nothing is lost, yet it is said. */
	install(SECOND, SIGSEGV, true);
	stolen();
	works(arena, p);
	wild(1, 1, 0);
	/* Ours in front again. It calls ours, and the fault goes on to the first one. */
	ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	memset((void *)calls, 0, sizeof calls);
	works(arena, p);
	ck_assert_int_eq(calls[SECOND], 0);
	for (int i = 0; i < 3; i++)
		wild(1, 1, 0);

	/* One that passes nothing on. */
	install(THIRD, SIGSEGV, false);
	stolen();
	ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	works(arena, p);
	for (int i = 0; i < 3; i++)
		wild(0, 0, 1);
	/* Now it does. */
	chains[THIRD] = true;
	wild(1, 1, 1);
	wild(1, 1, 1);
	/* The same one again, often: it is not another. */
	for (int i = 0; i < 50; i++) {
		install(THIRD, SIGSEGV, true);
		ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	}
	works(arena, p);
	wild(1, 1, 1);
	/* The end: who came last has the signal, and all are called that were. */
	cowarena_destroy(arena);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	wild(1, 1, 1);
	arena = arena_case(_i);
	p = page_block(arena, 1);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	works(arena, p);
	wild(1, 1, 1);
	cowarena_destroy(arena);
}
END_TEST

/* SIGBUS is ours in arenas of some engines, and nobody's business with the others. */
START_TEST(the_other_signal)
{
	install(FIRST, SIGBUS, false);
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);
	struct sigaction now;

	works(arena, p);
	sigaction(SIGBUS, NULL, &now);
	bool ours = now.sa_sigaction != first;
	install(SECOND, SIGBUS, true);
	if (ours)
		stolen();
	else
		ck_assert_int_eq(cowarena_trap_check(), 0);
	ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	works(arena, p);
	memset((void *)calls, 0, sizeof calls);
	if (sigsetjmp(out, 1) == 0)
		raise(SIGBUS);
	ck_assert_int_eq(calls[FIRST], 1);
	ck_assert_int_eq(calls[SECOND], 1);
	cowarena_destroy(arena);
}
END_TEST

/* Different ones without end are refused at some point, in words. */
#define MANY 20

START_TEST(too_many)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);
	int result = 0, i;

	for (i = 0; i < MANY && !result; i++) {
		install(i % FOREIGNERS, SIGSEGV, true);
		errno = 0;
		result = cowarena_trap_reinstall();
	}
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "before the first arena"));
	ck_assert_int_gt(i, FOREIGNERS);
	works(arena, p); /* the last one passes faults on */
	cowarena_destroy(arena);
}
END_TEST

/* A reset to the default is a handler too. */
START_TEST(a_reset)
{
	install(FIRST, SIGSEGV, false);
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1);

	signal(SIGSEGV, _i % 2 ? SIG_DFL : SIG_IGN);
	if (_i == CASE_DEFAULT)
		stolen();
	ck_assert_int_eq(cowarena_trap_reinstall(), 0);
	ck_assert_int_eq(cowarena_trap_check(), 0);
	works(arena, p);
	cowarena_destroy(arena);
	struct sigaction now;
	sigaction(SIGSEGV, NULL, &now);
	ck_assert(now.sa_handler == (_i % 2 ? SIG_DFL : SIG_IGN));
}
END_TEST

#define PAGES 64 /* written in each round */

/* A signal that the process blocks waits, whatever the library and its thread do meanwhile. */
START_TEST(blocked_signals)
{
	static const int sent[] = {SIGILL, SIGFPE, SIGTRAP, SIGUSR1};
	struct sigaction sa = {.sa_sigaction = first, .sa_flags = SA_SIGINFO};
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);
	sigset_t set;

	sigemptyset(&set);
	found[FIRST] = (struct sigaction){.sa_flags = SA_SIGINFO, .sa_sigaction = nothing};
	chains[FIRST] = true;
	for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
		sigaddset(&set, sent[i]);
		ck_assert_int_eq(sigaction(sent[i], &sa, NULL), 0);
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	calls[FIRST] = 0;
	for (size_t i = 0; i < sizeof sent / sizeof *sent; i++)
		kill(getpid(), sent[i]);
	for (int i = 0; i < 100; i++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(s);
		memset(p, i, PAGES * page_size());
		ck_assert_int_eq(cowarena_prepare_write(arena, p, PAGES * page_size()), 0);
		if (i % 16 == 0)
			ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		cowarena_snapshot_release(s);
	}
	ck_assert_int_eq(cowarena_compact(arena), 0);
	cowarena_destroy(arena);
	ck_assert_int_eq(calls[FIRST], 0);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	ck_assert_int_eq(calls[FIRST], sizeof sent / sizeof *sent);
}
END_TEST

/* ---- copies of the library ---- */

struct copy {
	void *handle;
	cowarena *(*create)(const struct cowarena_options *);
	void (*destroy)(cowarena *);
	void *(*calloc)(cowarena *, size_t, size_t);
	cowarena_snapshot *(*take)(cowarena *, unsigned);
	int (*read)(cowarena_snapshot *, void *, const void *, size_t);
	int (*rollback)(cowarena *, cowarena_snapshot *);
	int (*release)(cowarena_snapshot *);
	cowarena *arena;
	char *p;
};

static void *symbol(void *handle, const char *name)
{
	void *p = dlsym(handle, name);

	ck_assert_msg(p != NULL, "%s", name);
	return p;
}

static const char *shared_library(void)
{
	const char *const places[] = {"lib/.libs/libcowarena.so.0",
				      "../lib/.libs/libcowarena.so.0"};

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer takes what the copies resolve in threads of theirs "
		       "for races\n");
		return NULL;
	}
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	printf("SKIP: no shared library was built (--disable-shared)\n");
	return NULL;
}

/* The dynamic linker knows a library by its file: this one is another. */
static void load_copy(struct copy *c, const char *path)
{
	char name[] = "/tmp/cowarena-copy-XXXXXX";
	int from = open(path, O_RDONLY), to = mkstemp(name);
	struct stat st;

	ck_assert(from >= 0 && to >= 0 && fstat(from, &st) == 0);
	ck_assert_int_eq(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	close(from), close(to);
	memset(c, 0, sizeof *c);
	c->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	unlink(name);
	ck_assert_msg(c->handle != NULL, "%s", dlerror());
#define GET(field, name)                                                                           \
	do {                                                                                       \
		void *function = symbol(c->handle, name);                                          \
		memcpy(&c->field, &function, sizeof function);                                     \
	} while (0)
	GET(create, "cowarena_create");
	GET(destroy, "cowarena_destroy");
	GET(calloc, "cowarena_calloc");
	GET(take, "cowarena_snapshot_take");
	GET(read, "cowarena_snapshot_read");
	GET(rollback, "cowarena_rollback");
	GET(release, "cowarena_snapshot_release");
}

static void start_copy(struct copy *c, int engine)
{
	struct cowarena_options o = case_options(engine);

	c->arena = c->create(&o);
	ck_assert_ptr_nonnull(c->arena);
	c->p = c->calloc(c->arena, 4, page_size());
}

static void copy_works(struct copy *c)
{
	char seen;
	cowarena_snapshot *s = c->take(c->arena, 0);

	ck_assert_ptr_nonnull(s);
	char before = c->p[0]++;
	c->p[3 * page_size()] = 7;
	ck_assert(c->read(s, &seen, c->p, 1) == 0 && seen == before);
	ck_assert(c->rollback(c->arena, s) == 0 && c->p[0] == before);
	ck_assert_int_eq(c->release(s), 0);
	c->p[0] = (char)(before + 1);
}

#define COPIES 3

/* Each finds its own faults, whoever came first and whoever goes first. */
START_TEST(copies_of_the_library)
{
	struct copy c[COPIES];
	static const int orders[][COPIES] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}};
	const char *path = shared_library();

	if (!path)
		return;
	for (int i = 0; i < COPIES; i++)
		load_copy(&c[i], path);
	install(FIRST, SIGSEGV, false);
	for (size_t round = 0; round < sizeof orders / sizeof *orders; round++) {
		cowarena *own = arena_case(_i); /* one copy more: that in this program */
		char *p = page_block(own, 1);
		for (int i = 0; i < COPIES; i++)
			start_copy(&c[i], (_i + i) % CASES);
		for (int gone = 0; gone <= COPIES; gone++) {
			for (int i = gone; i < COPIES; i++)
				copy_works(&c[orders[round][i]]);
			works(own, p);
			wild(1, 0, 0);
			if (gone < COPIES)
				c[orders[round][gone]].destroy(c[orders[round][gone]].arena);
		}
		cowarena_destroy(own);
		wild(1, 0, 0);
	}
	for (int i = 0; i < COPIES; i++)
		dlclose(c[i].handle);
	wild(1, 0, 0);
}
END_TEST

/* Loaded, used, unloaded, again and again; the second time with an arena that nobody destroyed. */
START_TEST(loaded_and_unloaded)
{
	struct copy c, left;
	const char *path = shared_library();

	if (!path)
		return;
	install(FIRST, SIGSEGV, false);
	for (int i = 0; i < 3; i++) {
		load_copy(&c, path);
		start_copy(&c, _i);
		copy_works(&c);
		c.destroy(c.arena);
		dlclose(c.handle);
		wild(1, 0, 0);
		fflush(NULL);
	}
	load_copy(&left, path);
	start_copy(&left, _i);
	copy_works(&left);
	dlclose(left.handle);
	/* It has a handler installed, and a thread running: it has to stay. */
	copy_works(&left);
	wild(1, 0, 0);
	load_copy(&c, path);
	start_copy(&c, _i);
	copy_works(&c);
	copy_works(&left);
	left.destroy(left.arena);
	copy_works(&c);
	c.destroy(c.arena);
	dlclose(c.handle);
	wild(1, 0, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("handlers");
	TCase *over = tcase_create("installed over ours"), *copies = tcase_create("copies");

	tcase_add_loop_test(over, noticed_and_mended, 0, CASES);
	tcase_add_loop_test(over, the_other_signal, 0, CASES);
	tcase_add_loop_test(over, too_many, 0, CASES);
	tcase_add_loop_test(over, a_reset, 0, CASES);
	tcase_add_loop_test(over, blocked_signals, 0, CASES);
	suite_add_tcase(suite, over);
	tcase_add_loop_test(copies, copies_of_the_library, 0, CASES);
	tcase_add_loop_test(copies, loaded_and_unloaded, 0, CASES);
	suite_add_tcase(suite, copies);
	return run_suite(suite);
}
