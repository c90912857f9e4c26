/* SPDX-License-Identifier: BSD-2-Clause */
/* test-errors.c - calls that are refused: with which errno, and with a message that names the
   remedy. */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT 77 /* an errno that nobody sets */

/* A call failed just now: with this errno, and a message with these words in it. */
#define ck_failed(call, errnum, words) check_failed(call, errnum, words, #call, __LINE__)

static void check_failed(bool failed, int errnum, const char *words, const char *call, int line)
{
	int e = errno;

	ck_assert_msg(failed, "line %d: did not fail: %s", line, call);
	ck_assert_msg(e == errnum, "line %d: errno %d (%s): %s", line, e, strerror(e), call);
	ck_assert_msg(strstr(cowarena_errmsg(), words), "line %d: \"%s\" lacks \"%s\"", line,
		      cowarena_errmsg(), words);
	/* A failure that sets no message must not be taken for this one. */
	cowarena_strdup(NULL, NULL);
	errno = KEPT;
}

static int see_nothing(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

/* ---- arguments ---- */

START_TEST(null_arena)
{
	cowarena *arena = arena_case(_i);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	struct cowarena_stats stats = {.sz = sizeof stats};
	int local;

	errno = KEPT;
	ck_failed(!cowarena_engine_name(NULL), EINVAL, "arena is NULL");
	ck_failed(!cowarena_alloc(NULL, 1), EINVAL, "arena is NULL");
	ck_failed(!cowarena_calloc(NULL, 1, 1), EINVAL, "arena is NULL");
	ck_failed(!cowarena_realloc(NULL, NULL, 1), EINVAL, "arena is NULL");
	ck_failed(!cowarena_realloc(NULL, &local, 1), EINVAL, "arena is NULL");
	ck_failed(!cowarena_aligned_alloc(NULL, 16, 1), EINVAL, "arena is NULL");
	ck_failed(!cowarena_strdup(NULL, "s"), EINVAL, "arena is NULL");
	ck_failed(cowarena_set_root(NULL, NULL) == -1, EINVAL, "arena is NULL");
	ck_failed(!cowarena_root(NULL), EINVAL, "arena is NULL");
	ck_failed(cowarena_prepare_write(NULL, &local, 1) == -1, EINVAL, "arena is NULL");
	ck_failed(!take_snapshot(NULL, 0), EINVAL, "arena is NULL");
	ck_failed(cowarena_rollback(NULL, s) == -1, EINVAL, "arena is NULL");
	ck_failed(cowarena_stats_get(NULL, &stats) == -1, EINVAL, "arena is NULL");
	ck_failed(cowarena_stats_peek(NULL, &stats) == -1, EINVAL, "arena is NULL");
	ck_failed(cowarena_stats_print(NULL, stdout, 0) == -1, EINVAL, "arena is NULL");
	/* Those that do nothing, or say no. */
	cowarena_destroy(NULL);
	cowarena_free(NULL, NULL);
	cowarena_free(NULL, &local);
	ck_assert_uint_eq(cowarena_usable_size(NULL, &local), 0);
	ck_assert(!cowarena_contains(NULL, &local));
	ck_assert(!cowarena_syscall_safe(NULL));
	ck_assert_int_eq(errno, KEPT);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(null_snapshot_or_view)
{
	cowarena *arena = arena_case(_i);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	char *p = page_block(arena, 1);
	char byte;

	errno = KEPT;
	ck_failed(cowarena_snapshot_read(NULL, &byte, p, 1) == -1, EINVAL, "snapshot is NULL");
	ck_failed(!cowarena_snapshot_root(NULL), EINVAL, "snapshot is NULL");
	ck_failed(cowarena_rollback(arena, NULL) == -1, EINVAL, "snapshot is NULL");
	ck_failed(cowarena_diff(NULL, NULL, see_nothing, NULL) == -1, EINVAL, "snapshot is NULL");
	ck_failed(cowarena_diff(NULL, s, see_nothing, NULL) == -1, EINVAL, "snapshot is NULL");
	ck_failed(!cowarena_view_open(NULL, 0), EINVAL, "snapshot is NULL");
	ck_failed(!cowarena_view_at(NULL, p), EINVAL, "view is NULL");
	ck_failed(cowarena_view_check(NULL) == -1, EINVAL, "view is NULL");
	ck_failed(cowarena_view_range(NULL, NULL, NULL) == -1, EINVAL, "view is NULL");
	ck_failed(cowarena_snapshot_check(NULL) == -1, EINVAL, "snapshot is NULL");
	ck_failed(cowarena_on_spoiled(NULL, NULL, NULL) == -1, EINVAL, "arena is NULL");
	ck_failed(cowarena_on_page(NULL, NULL, NULL) == -1, EINVAL, "arena is NULL");
	ck_assert_int_eq(cowarena_snapshot_release(NULL), 0);
	ck_assert_uint_eq(cowarena_snapshot_id(NULL), 0);
	ck_assert_int_eq(cowarena_view_close(NULL), 0);
	ck_assert_int_eq(errno, KEPT);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(other_bad_arguments)
{
	cowarena *arena = arena_case(_i), *other = arena_case(_i);
	char *p = page_block(arena, 2);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	*p = 1;
	cowarena_snapshot *t = take_snapshot(arena, 0);
	cowarena_snapshot *foreign = take_snapshot(other, 0);
	struct cowarena_stats stats = {.sz = 0};
	char byte;

	errno = KEPT;
	ck_failed(!cowarena_strdup(arena, NULL), EINVAL, "s is NULL");
	for (size_t align = 0; align < 100; align++)
		if (!align || align & (align - 1))
			ck_failed(!cowarena_aligned_alloc(arena, align, 8), EINVAL, "power of two");
	ck_failed(!cowarena_aligned_alloc(arena, SIZE_MAX, 8), EINVAL, "power of two");
	ck_failed(cowarena_set_root(arena, &byte) == -1, EINVAL, "into the arena");
	ck_failed(cowarena_set_root(arena, page_block(other, 1)) == -1, EINVAL, "into the arena");

	for (unsigned flags = 2; flags; flags *= 2)
		ck_failed(!take_snapshot(arena, flags | 1), EINVAL, "flags");
	ck_failed(!cowarena_view_open(s, 2), EINVAL, "flags");
	ck_failed(cowarena_diff_with(s, t, 2, see_nothing, NULL) == -1, EINVAL, "flags");
	ck_failed(cowarena_stats_print(arena, stdout, 2) == -1, EINVAL, "flags");
	ck_failed(cowarena_stats_print(arena, NULL, 0) == -1, EINVAL, "stream");
	ck_failed(cowarena_stats_get(arena, NULL) == -1, EINVAL, "stats is NULL");
	ck_failed(cowarena_stats_get(arena, &stats) == -1, EINVAL, "stats.sz");
	ck_failed(cowarena_stats_peek(arena, NULL) == -1, EINVAL, "stats is NULL");
	ck_failed(cowarena_stats_peek(arena, &stats) == -1, EINVAL, "stats.sz");

	ck_failed(cowarena_rollback(arena, foreign) == -1, EINVAL, "another arena");
	ck_failed(cowarena_diff(s, t, NULL, NULL) == -1, EINVAL, "fn");
	ck_failed(cowarena_diff(s, foreign, see_nothing, NULL) == -1, EINVAL, "two arenas");
	ck_failed(cowarena_diff(t, s, see_nothing, NULL) == -1, EINVAL, "swap");
	ck_failed(cowarena_snapshot_read(s, NULL, p, 1) == -1, EINVAL, "dst");
	/* None of it has left a trace. */
	ck_assert_uint_eq(stats_of(arena).snapshots_taken, 2);
	ck_assert_int_eq(cowarena_snapshot_read(s, &byte, p, 1), 0);
	ck_assert_int_eq(byte, 0);
	ck_assert_int_eq(*p, 1);
	cowarena_destroy(arena), cowarena_destroy(other);
}
END_TEST

/* ---- addresses ---- */

START_TEST(addresses_outside)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 3);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	char *base = arena->base, *then = base + stats_of(arena).arena_bytes;
	char *later = cowarena_alloc(arena, (size_t)20 << 20), dst[16], same[16];

	ck_assert_ptr_nonnull(later);
	char *now = base + stats_of(arena).arena_bytes;
	ck_assert(now > then && p < then);
	memset(dst, 0x5a, sizeof dst);
	memcpy(same, dst, sizeof dst);
	errno = KEPT;
	/* A snapshot ends where the heap ended; nothing of a range that leaves it is copied. */
	ck_failed(cowarena_snapshot_read(s, dst, then - 8, 9) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, then, 1) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, now - 1, 1) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, base - 1, 2) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, p, SIZE_MAX) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, p, -(size_t)p) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, p, -(size_t)p + 8) == -1, EFAULT, "");
	ck_failed(cowarena_snapshot_read(s, dst, NULL, 1) == -1, EFAULT, "not in the heap");
	ck_failed(cowarena_snapshot_read(s, dst, dst, 1) == -1, EFAULT, "not in the heap");
	ck_assert_mem_eq(dst, same, sizeof dst);
	ck_assert_int_eq(cowarena_snapshot_read(s, dst, then - 8, 8), 0);
	ck_assert_int_eq(cowarena_snapshot_read(s, dst, base, 8), 0);
	ck_assert_int_eq(cowarena_snapshot_read(s, dst, p, 0), 0);

	ck_failed(cowarena_prepare_write(arena, now - 8, 9) == -1, EFAULT, "not in the arena");
	ck_failed(cowarena_prepare_write(arena, now, 1) == -1, EFAULT, "not in the arena");
	ck_failed(cowarena_prepare_write(arena, base - 1, 2) == -1, EFAULT, "not in the arena");
	ck_failed(cowarena_prepare_write(arena, p, SIZE_MAX) == -1, EFAULT, "not in the arena");
	ck_failed(cowarena_prepare_write(arena, NULL, 1) == -1, EFAULT, "not in the arena");
	ck_failed(cowarena_prepare_write(arena, dst, 1) == -1, EFAULT, "not in the arena");
	ck_assert_int_eq(cowarena_prepare_write(arena, now - 8, 8), 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, p, 0), 0);

	for (unsigned flags = 0; flags <= COWARENA_VIEW_PRIVATE; flags++) {
		cowarena_view *view = cowarena_view_open(s, flags);
		ck_assert_msg(view != NULL, "%s", cowarena_errmsg());
		errno = KEPT;
		ck_failed(!cowarena_view_at(view, then), EFAULT, "not in the heap");
		ck_failed(!cowarena_view_at(view, later + ((size_t)19 << 20)), EFAULT, "heap");
		ck_failed(!cowarena_view_at(view, base - 1), EFAULT, "not in the heap");
		ck_failed(!cowarena_view_at(view, dst), EFAULT, "not in the heap");
		ck_assert_ptr_null(cowarena_view_at(view, NULL));
		ck_assert_int_eq(errno, KEPT);
		char *at = cowarena_view_at(view, p);
		ck_assert(at && at != p);
		ck_assert_ptr_eq(cowarena_view_at(view, then - 1), at + (then - 1 - p));
		ck_assert_int_eq(cowarena_view_close(view), 0);
	}
	cowarena_destroy(arena);
}
END_TEST

START_TEST(release_with_open_views)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 1), byte;
	strcpy(p, "then");
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *a = cowarena_view_open(s, 0);
	cowarena_view *b = cowarena_view_open(s, COWARENA_VIEW_PRIVATE);

	ck_assert(a && b);
	strcpy(p, "now");
	errno = KEPT;
	ck_failed(cowarena_snapshot_release(s) == -1, EBUSY, "2 open views");
	ck_assert_int_eq(cowarena_view_close(a), 0);
	ck_failed(cowarena_snapshot_release(s) == -1, EBUSY, "1 open view:");
	/* Nothing was released. */
	ck_assert_str_eq(cowarena_view_at(b, p), "then");
	ck_assert_int_eq(cowarena_snapshot_read(s, &byte, p, 1), 0);
	ck_assert_int_eq(byte, 't');
	ck_assert_uint_eq(stats_of(arena).snapshots_live, 1);
	ck_assert_int_eq(cowarena_view_close(b), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	ck_assert_int_eq(errno, KEPT);
	ck_assert_uint_eq(stats_of(arena).snapshots_live, 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- errno and messages ---- */

START_TEST(success_keeps_errno)
{
	struct cowarena_options o = case_options(_i);
	struct cowarena_stats stats = {.sz = sizeof stats};
	FILE *nowhere = fopen("/dev/null", "w");
	char buffer[64];

	errno = KEPT;
#define ck_keeps(call)                                                                             \
	do {                                                                                       \
		ck_assert_msg(call, "%s: %s", #call, cowarena_errmsg());                           \
		ck_assert_msg(errno == KEPT, "errno became %d: %s", errno, #call);                 \
	} while (0)
	cowarena *arena = cowarena_create(&o);
	ck_keeps(arena);
	char *p, *q, *big;
	ck_keeps((p = cowarena_alloc(arena, 64)));
	ck_keeps((q = cowarena_calloc(arena, 100, 1000)));
	ck_keeps((big = cowarena_aligned_alloc(arena, 1 << 20, 1 << 20)));
	ck_keeps((p = cowarena_realloc(arena, p, 100000)));
	ck_keeps((p = cowarena_realloc(arena, p, 200000)));
	ck_keeps(cowarena_strdup(arena, "s"));
	ck_keeps(cowarena_usable_size(arena, p) >= 200000);
	ck_keeps(!cowarena_set_root(arena, p));
	ck_keeps(cowarena_root(arena) == p);
	cowarena_snapshot *s, *t;
	ck_keeps((s = take_snapshot(arena, 0)));
	memset(q, 1, 100000);
	ck_keeps(true); /* after faults */
	ck_keeps((t = take_snapshot(arena, COWARENA_QUIESCENT)));
	ck_keeps(!cowarena_prepare_write(arena, big, 1 << 20));
	ck_keeps(!cowarena_snapshot_read(s, buffer, q, sizeof buffer));
	ck_keeps(cowarena_snapshot_root(s) == p);
	ck_keeps(!cowarena_diff(s, t, see_nothing, NULL));
	ck_keeps(!cowarena_diff_with(s, NULL, COWARENA_DIFF_BYTES, see_nothing, NULL));
	cowarena_view *a, *b;
	ck_keeps((a = cowarena_view_open(s, 0)));
	ck_keeps((b = cowarena_view_open(s, COWARENA_VIEW_PRIVATE)));
	ck_keeps(cowarena_view_at(a, q));
	memset(q, 2, 100000);
	ck_keeps(true);
	ck_keeps(!cowarena_view_close(a) && !cowarena_view_close(b));
	ck_keeps(!cowarena_rollback(arena, s));
	ck_keeps(!cowarena_snapshot_release(s) && !cowarena_snapshot_release(t));
	ck_keeps(!cowarena_stats_get(arena, &stats));
	ck_keeps(!cowarena_stats_peek(arena, &stats));
	ck_keeps(!cowarena_stats_print(arena, nowhere, 0));
	cowarena_free(arena, q);
	cowarena_destroy(arena);
	ck_keeps(true);
	fclose(nowhere);
}
END_TEST

/* The same while others wait for the same locks, and at the gate. */
static void *errno_is_kept(void *arg)
{
	cowarena *arena = arg;
	struct cowarena_stats stats = {.sz = sizeof stats};
	volatile char *p = page_block(arena, 2);
	char *step = NULL, byte;

	errno = KEPT;
	for (size_t i = 0; i < scaled(3000, 30000, 300) && !step; i++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		step = errno != KEPT ? "take" : step;
		*p = 1;
		step = errno != KEPT && !step ? "a fault" : step;
		if (cowarena_snapshot_read(s, &byte, (char *)p, 1))
			step = "failed to read";
		step = errno != KEPT && !step ? "read" : step;
		cowarena_view *view = cowarena_view_open(s, 0);
		step = errno != KEPT && !step ? "view_open" : step;
		cowarena_view_close(view);
		cowarena_prepare_write(arena, (char *)p, 2 * page_size());
		step = errno != KEPT && !step ? "prepare_write" : step;
		cowarena_snapshot_release(s);
		step = errno != KEPT && !step ? "release" : step;
		cowarena_stats_get(arena, &stats);
		step = errno != KEPT && !step ? "stats_get" : step;
	}
	return step;
}

START_TEST(success_keeps_errno_among_threads)
{
	cowarena *arena = arena_case(_i);
	pthread_t thread[4];
	void *step, *bad = NULL;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, errno_is_kept, arena), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], &step);
		bad = step ? step : bad;
	}
	ck_assert_msg(!bad, "errno changed by %s", (char *)bad);
	cowarena_destroy(arena);
}
END_TEST

static void *fail_elsewhere(void *arg)
{
	ck_assert_str_eq(cowarena_errmsg(), "");
	ck_assert_ptr_null(cowarena_strdup(arg, NULL));
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "s is NULL"));
	return NULL;
}

START_TEST(messages_are_per_thread)
{
	cowarena *arena = arena_case(_i);
	pthread_t thread;

	ck_assert_ptr_null(cowarena_alloc(arena, SIZE_MAX));
	char *mine = strdup(cowarena_errmsg());
	ck_assert_str_ne(mine, "");
	ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, arena), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(cowarena_errmsg(), mine);
	/* A success does not take it away. */
	ck_assert_ptr_nonnull(cowarena_alloc(arena, 1));
	ck_assert_str_eq(cowarena_errmsg(), mine);
	free(mine);
	cowarena_destroy(arena);
}
END_TEST

#define MANY_THREADS 40 /* more than have a buffer set apart */

struct failing {
	cowarena *arena;
	pthread_barrier_t all;
	_Atomic int next;
};

static void *fail_together(void *arg)
{
	struct failing *f = arg;
	char mine[40];

	/* No power of two, and no other thread's. */
	size_t n = 2 * (size_t)atomic_fetch_add(&f->next, 1) + 1001;
	snprintf(mine, sizeof mine, "alignment %zu ", n);
	bool failed = !cowarena_aligned_alloc(f->arena, n, 1);
	pthread_barrier_wait(&f->all);
	return failed && strstr(cowarena_errmsg(), mine) ? NULL : arg;
}

START_TEST(messages_of_many_threads)
{
	struct failing f = {.arena = arena_case(_i)};
	pthread_t thread[MANY_THREADS];

	pthread_barrier_init(&f.all, NULL, MANY_THREADS);
	for (int again = 0; again < 2; again++) {
		void *bad, *any = NULL;
		for (int i = 0; i < MANY_THREADS; i++)
			ck_assert_int_eq(pthread_create(&thread[i], NULL, fail_together, &f), 0);
		for (int i = 0; i < MANY_THREADS; i++) {
			pthread_join(thread[i], &bad);
			any = bad ? bad : any;
		}
		ck_assert_msg(!any, "a thread has another's message");
	}
	pthread_barrier_destroy(&f.all);
	cowarena_destroy(f.arena);
}
END_TEST

/* ---- the log ---- */

struct told {
	char line[400];
	int lines;
};

static void listen(void *ctx, const char *message)
{
	struct told *told = ctx;

	told->lines++;
	snprintf(told->line, sizeof told->line, "%s", message);
	/* Abort follows: what was told has to get out by the exit status. */
	bool good = told->lines == 1 && strstr(message, "cowarena_free") && !strchr(message, '\n');
	_exit(good ? 42 : 43);
}

static void free_nonsense(void *how)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	cowarena *arena = cowarena_create(&o);
	struct told told = {"", 0};

	cowarena_set_log(listen, &told);
	if (!how)
		cowarena_set_log(NULL, NULL);
	cowarena_free(arena, &told);
}

static void note(void *ctx, const char *message)
{
	struct told *told = ctx;

	told->lines++;
	snprintf(told->line, sizeof told->line, "%s", message);
}

static void log_much(void *text)
{
	struct told told = {"", 0};

	cowarena_set_log(note, &told);
	error_log("here");
	if (told.lines != 1 || strcmp(told.line, "here"))
		_exit(1);
	cowarena_set_log(NULL, NULL);
	error_log(text);
}

/* Whatever is told, it is one line. */
START_TEST(long_lines_are_cut)
{
	char text[2000], *said;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	int status = in_child(log_much, text, &said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	ck_assert_ptr_eq(strstr(said, "cowarena: xxx"), said);
	ck_assert_uint_eq(strcspn(said, "\n"), strlen(said) - 1);
	ck_assert_uint_lt(strlen(said), sizeof text);
	free(said);
}
END_TEST

START_TEST(log_goes_where_it_is_told)
{
	char *said;
	int status = in_child(free_nonsense, "listen", &said);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", status);
	ck_assert_msg(!strstr(said, "cowarena: "), "standard error has: %s", said);
	free(said);
	status = in_child(free_nonsense, NULL, &said);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert_ptr_nonnull(strstr(said, "cowarena: cowarena_free"));
	free(said);
}
END_TEST

START_TEST(names)
{
	cowarena *arena = arena_case(_i);

	ck_assert_str_eq(cowarena_version(), PACKAGE_VERSION);
	if (_i < CASE_UFFD)
		ck_assert_str_eq(cowarena_engine_name(arena),
				 _i == CASE_EAGER ? "eager" : "sigsegv");
	if (_i != CASE_EVENTS && _i != CASE_KERNEL)
		ck_assert(!cowarena_syscall_safe(arena));
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("errors");
	TCase *arguments = tcase_create("arguments"), *messages = tcase_create("messages");

	tcase_add_loop_test(arguments, null_arena, 0, CASES);
	tcase_add_loop_test(arguments, null_snapshot_or_view, 0, CASES);
	tcase_add_loop_test(arguments, other_bad_arguments, 0, CASES);
	tcase_add_loop_test(arguments, addresses_outside, 0, CASES);
	tcase_add_loop_test(arguments, release_with_open_views, 0, CASES);
	suite_add_tcase(suite, arguments);
	tcase_add_loop_test(messages, success_keeps_errno, 0, CASES);
	tcase_add_loop_test(messages, success_keeps_errno_among_threads, 0, CASES);
	tcase_add_loop_test(messages, messages_are_per_thread, 0, CASES);
	tcase_add_loop_test(messages, messages_of_many_threads, 0, CASES);
	tcase_add_test(messages, log_goes_where_it_is_told);
	tcase_add_test(messages, long_lines_are_cut);
	tcase_add_loop_test(messages, names, 0, CASES);
	suite_add_tcase(suite, messages);
	return run_suite(suite);
}
