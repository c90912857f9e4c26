/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-descriptors.c - the program closes the library's descriptors, and gets their numbers for its
 * own files.
 *
 * Whatever it closes: the live heap is right; a read from a snapshot is right, or is refused with
 * the cause; the program's own files are left alone, though their numbers were the library's; and
 * the next snapshot is right again.
 */
#include "config.h"

#include "arena.h"
#include "engine-state.h"
#include "common.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 2048 /* four chunks */
#define STEP 3
#define OWN_FILES 8
#define OWN_BYTES 65536

/* Every step-th page gets this value. */
static void fill(char *p, size_t step, char value)
{
	for (size_t i = 0; i < PAGES; i += step)
		p[i * page_size()] = value;
}

static bool holds(const char *p, size_t step, char value)
{
	for (size_t i = 0; i < PAGES; i += step)
		if (p[i * page_size()] != value)
			return false;
	return true;
}

/* As daemons do, but for what Check needs. */
#define NUMBERS 1024
static bool is_checks[NUMBERS];

static void remember(void)
{
	for (int fd = 0; fd < NUMBERS; fd++)
		is_checks[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void close_all(void)
{
	for (int fd = 3; fd < NUMBERS; fd++)
		if (!is_checks[fd])
			close(fd);
}

/* ---- files of the program's own ---- */

static int own[OWN_FILES];

static void open_own_files(void)
{
	static char bytes[OWN_BYTES];

	memset(bytes, 'f', sizeof bytes);
	for (int i = 0; i < OWN_FILES; i++) {
		own[i] = memfd_create("own", MFD_CLOEXEC);
		ck_assert_int_eq(write(own[i], bytes, sizeof bytes), sizeof bytes);
		ck_assert_int_eq(lseek(own[i], 0, SEEK_SET), 0);
	}
}

static void check_own_files(void)
{
	static char bytes[OWN_BYTES];
	struct stat status;

	for (int i = 0; i < OWN_FILES; i++) {
		ck_assert_int_eq(fstat(own[i], &status), 0);
		ck_assert_int_eq(status.st_size, OWN_BYTES);
		ck_assert_int_eq(lseek(own[i], 0, SEEK_CUR), 0);
		ck_assert_int_eq(pread(own[i], bytes, sizeof bytes, 0), sizeof bytes);
		for (size_t k = 0; k < sizeof bytes; k++)
			ck_assert_int_eq(bytes[k], 'f');
	}
}

/* ---- snapshots ---- */

static _Atomic int told;

static void on_spoiled(void *ctx, uint64_t id)
{
	(void)ctx, (void)id;
	atomic_fetch_add(&told, 1);
}

/* What the snapshot has is right, or refused with the cause. Returns whether it is right. */
static bool read_or_refused(cowarena_snapshot *s, const char *p, char value)
{
	size_t right = 0;

	for (size_t i = 0; i < PAGES; i += STEP) {
		char c = 0;
		if (cowarena_snapshot_read(s, &c, p + i * page_size(), 1) == 0) {
			ck_assert_int_eq(c, value);
			right++;
		} else {
			ck_assert_int_eq(errno, ESTALE);
			ck_assert_ptr_nonnull(
			    strstr(cowarena_errmsg(), "closed the library's userfaultfd"));
		}
	}
	ck_assert(right == 0 || right == (PAGES + STEP - 1) / STEP);
	return right;
}

/* A snapshot of today is right, and the heap goes on. */
static void goes_on(cowarena *arena, char *p)
{
	char c = 0;

	fill(p, 1, 'A');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	ck_assert_msg(s, "%s", cowarena_errmsg());
	fill(p, 5, 'B');
	for (size_t i = 0; i < PAGES; i++) {
		ck_assert_int_eq(cowarena_snapshot_read(s, &c, p + i * page_size(), 1), 0);
		ck_assert_int_eq(c, 'A');
	}
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert(holds(p, 1, 'A'));
	cowarena_snapshot_release(s);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	void *more = cowarena_calloc(arena, 1, 3 << 20);
	ck_assert_ptr_nonnull(more);
	cowarena_free(arena, more);
}

static bool has_uffd(cowarena *arena)
{
	return engine_uffd_file(arena)->fd >= 0;
}

/* ---- standard descriptors ---- */

static void without_standard_descriptors(void *arg)
{
	int i = *(int *)arg;

	for (int fd = 0; fd < 3; fd++)
		close(fd);
	struct cowarena_options o = case_options(i);
	o.flags |= COWARENA_FORK_COPY;
	cowarena *arena = cowarena_create(&o);
	char *p = arena ? page_block(arena, PAGES) : NULL;
	if (!p)
		_exit(1);
	fill(p, 1, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *v = cowarena_view_open(s, 0);
	fill(p, STEP, 'b');
	if (!v || !holds(cowarena_view_at(v, p), 1, 'a'))
		_exit(2);
	pid_t pid = fork();
	if (pid == 0)
		_exit(!holds(p, STEP, 'b'));
	int status;
	if (waitpid(pid, &status, 0) != pid || status)
		_exit(3);
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			_exit(10 + fd);
	_exit(0);
}

START_TEST(keeps_off_standard_descriptors)
{
	ck_assert_int_eq(in_child(without_standard_descriptors, &_i, NULL), 0);
}
END_TEST

/* ---- all closed ---- */

START_TEST(closed_with_a_snapshot)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);
	struct cowarena_stats stats;

	atomic_store(&told, 0);
	cowarena_on_spoiled(arena, on_spoiled, NULL);
	fill(p, 1, 'x');
	cowarena_snapshot_release(take_snapshot(arena, 0));
	fill(p, STEP, 'a'); /* scattered: hybrid has warm chunks now */
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *v = cowarena_view_open(s, 0);
	bool uffd = has_uffd(arena);
	close_all();
	open_own_files();
	fill(p, STEP, 'b');
	ck_assert(holds(p, STEP, 'b'));
	bool right = read_or_refused(s, p, 'a');
	if (!uffd) { /* what needs no descriptor works */
		ck_assert(right);
		ck_assert(holds(cowarena_view_at(v, p), STEP, 'a'));
		ck_assert_int_eq(cowarena_view_check(v), 0);
	}
	ck_assert_int_eq(cowarena_view_check(v), right ? 0 : -1);
	ck_assert_ptr_null(cowarena_view_open(s, 0));
	ck_assert_int_eq(errno, right ? EBADF : ESTALE);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "closed"));
	ck_assert_int_eq(cowarena_view_close(v), right ? 0 : -1);
	if (!right) {
		ck_assert_int_eq(cowarena_rollback(arena, s), -1);
		ck_assert_int_eq(errno, ESTALE);
		ck_assert_ptr_null(cowarena_snapshot_root(s));
		ck_assert_int_eq(errno, ESTALE);
		ck_assert_int_eq(cowarena_heap_check(arena, s), -1);
		ck_assert_int_eq(errno, ESTALE);
	}
	stats = stats_of(arena);
	ck_assert_uint_eq(stats.spoiled, !right);
	ck_assert_int_eq(atomic_load(&told), !right);
	ck_assert(holds(p, STEP, 'b'));
	goes_on(arena, p);
	cowarena_snapshot_release(s);
	cowarena_free(arena, p);
	cowarena_trim(arena);
	check_own_files();
	cowarena_destroy(arena);
	check_own_files();
}
END_TEST

/* Each of the looks finds it out by itself. */
enum {
	BY_VIEW_CHECK,
	BY_VIEW_SETTLE,
	BY_VIEW_CLOSE,
	BY_VIEW_OPEN,
	BY_DIFF,
	BY_ROLLBACK,
	BY_ROOT,
	BY_WALK,
	LOOKS
};

static int see_page(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

static int see_block(void *ctx, void *p, size_t size)
{
	(void)ctx, (void)p, (void)size;
	return 0;
}

static bool is_refused(int look, cowarena *arena, cowarena_snapshot *s, cowarena_view *v)
{
	errno = 0;
	switch (look) {
	case BY_VIEW_CHECK:
		return cowarena_view_check(v) == -1;
	case BY_VIEW_SETTLE:
		return cowarena_view_settle(v, cowarena_view_at(v, cowarena_root(arena)), 1) == -1;
	case BY_VIEW_CLOSE:
		return cowarena_view_close(v) == -1;
	case BY_VIEW_OPEN:
		return cowarena_view_open(s, 0) == NULL;
	case BY_DIFF:
		return cowarena_diff(s, NULL, see_page, NULL) == -1;
	case BY_ROLLBACK:
		return cowarena_rollback(arena, s) == -1;
	case BY_ROOT:
		return cowarena_snapshot_root(s) == NULL;
	default:
		return cowarena_heap_walk(arena, s, see_block, NULL) == -1;
	}
}

START_TEST(each_look_finds_out)
{
	static const int cases[] = {CASE_UFFD, CASE_HYBRID, CASE_EVENTS};

	cowarena *arena = arena_case(cases[_i / LOOKS]);
	if (!has_uffd(arena))
		return;
	char *p = page_block(arena, PAGES);
	cowarena_set_root(arena, p);
	fill(p, 1, 'x');
	cowarena_snapshot_release(take_snapshot(arena, 0));
	fill(p, STEP, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *v = cowarena_view_open(s, 0);
	close_all();
	fill(p, 1, 'b');
	ck_assert(is_refused(_i % LOOKS, arena, s, v));
	ck_assert_int_eq(errno, ESTALE);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "closed the library's userfaultfd"));
	ck_assert(holds(p, 1, 'b'));
	cowarena_destroy(arena);
}
END_TEST

START_TEST(closed_before_the_first_snapshot)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	close_all();
	open_own_files();
	goes_on(arena, p);
	goes_on(arena, p);
	ck_assert_uint_eq(stats_of(arena).spoiled, 0);
	cowarena_destroy(arena);
	check_own_files();
}
END_TEST

/* The program's own userfaultfds have the numbers. */
START_TEST(strangers_userfaultfd)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	fill(p, 1, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	close_all();
	for (int i = 0; i < OWN_FILES; i++) {
		struct os_file file;
		if (os_uffd_open(&file, UFFD_SIGNALS))
			break;
	}
	fill(p, STEP, 'b');
	ck_assert(holds(p, STEP, 'b'));
	read_or_refused(s, p, 'a');
	cowarena_snapshot_release(s);
	goes_on(arena, p);
	cowarena_destroy(arena);
}
END_TEST

/* Put back where it was, it is the same file. */
START_TEST(moved_away_and_back)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	if (!has_uffd(arena))
		return;
	fill(p, 1, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	int fd = engine_uffd_file(arena)->fd, away = dup(fd);
	close(fd);
	ck_assert_int_eq(dup2(away, fd), fd);
	close(away);
	fill(p, STEP, 'b');
	ck_assert(read_or_refused(s, p, 'a'));
	cowarena_destroy(arena);
}
END_TEST

/* ---- with other threads ---- */

#define WRITERS 3

struct writer {
	char *p;
	size_t first;
	_Atomic bool *stop;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	char value = 'b';

	while (!atomic_load(w->stop)) {
		for (size_t i = w->first; i < PAGES; i += WRITERS)
			w->p[i * page_size() + 8] = value;
		value++;
	}
	return NULL;
}

START_TEST(closed_while_others_write)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);
	_Atomic bool stop = false;
	struct writer w[WRITERS];
	pthread_t thread[WRITERS];

	fill(p, 1, 'a');
	for (size_t i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){p, i, &stop};
		ck_assert_int_eq(pthread_create(&thread[i], NULL, write_on, &w[i]), 0);
	}
	for (size_t round = 0; round < scaled(20, 200, 5); round++) {
		static char then[PAGES], now[PAGES];
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_msg(s, "%s", cowarena_errmsg());
		int failed = 0;
		for (size_t i = 0; i < PAGES; i++)
			failed |= cowarena_snapshot_read(s, &then[i], p + i * page_size() + 8, 1);
		ck_assert_int_eq(failed, 0);
		if (has_uffd(arena))
			close(engine_uffd_file(arena)->fd);
		for (size_t i = 0; i < PAGES; i++)
			if (cowarena_snapshot_read(s, &now[i], p + i * page_size() + 8, 1) == 0)
				ck_assert_int_eq(then[i], now[i]);
		cowarena_snapshot_release(s);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	goes_on(arena, p);
	cowarena_destroy(arena);
}
END_TEST

/* ---- children ---- */

START_TEST(child_has_no_userfaultfd)
{
	cowarena *arena = arena_case(_i);

	take_snapshot(arena, 0);
	int fd = engine_uffd_file(arena)->fd;
	if (fd < 0)
		return;
	pid_t pid = fork();
	if (pid == 0)
		_exit(fcntl(fd, F_GETFD) >= 0);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	cowarena_destroy(arena);
}
END_TEST

/* A process that was made without the C library has a copy, which keeps the protection alive. */
START_TEST(somebody_else_has_it)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	if (!has_uffd(arena) || cowarena_syscall_safe(arena))
		return;
	fill(p, 1, 'a');
	cowarena_snapshot_release(take_snapshot(arena, 0));
	fill(p, STEP, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		for (;;)
			syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
	close_all();
	fill(p, 1, 'b');
	ck_assert(holds(p, 1, 'b'));
	ck_assert(!read_or_refused(s, p, 'a'));
	cowarena_snapshot_release(s);
	goes_on(arena, p);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	goes_on(arena, p);
	cowarena_destroy(arena);
}
END_TEST

static int child_that_closed(cowarena *arena, const char *p, bool opens)
{
	close_all();
	if (opens)
		open_own_files();
	errno = 0;
	if (cowarena_after_fork_in_child() != -1 || errno != EBADF)
		return 1;
	if (!strstr(cowarena_errmsg(), "closed"))
		return 2;
	if (opens)
		check_own_files();
	/* The heap is not there, rather than wrong. */
	if (opens && (write(own[0], p, 1) != -1 || errno != EFAULT))
		return 3;
	cowarena_destroy(arena);
	return 0;
}

START_TEST(child_that_closes_all)
{
	cowarena *arena = arena_case(_i % CASES);
	char *p = page_block(arena, PAGES);

	fill(p, 1, 'a');
	take_snapshot(arena, 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child_that_closed(arena, p, _i >= CASES));
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(holds(p, 1, 'a'));
	cowarena_destroy(arena);
}
END_TEST

/* The parent has none of the descriptors: a child of COWARENA_FORK_COPY has no copy, and says
   so. */
static void fork_without_descriptors(void *arg)
{
	struct cowarena_options o = case_options(*(int *)arg);

	o.flags |= COWARENA_FORK_COPY;
	cowarena *arena = cowarena_create(&o), *other = cowarena_create(&o);
	char *p = page_block(arena, PAGES), *q;
	fill(p, 1, 'a');
	close(arena->file.fd);
	cowarena_destroy(other);
	other = cowarena_create(&o); /* on its number, maybe */
	q = page_block(other, PAGES);
	fill(q, 1, 'q');
	pid_t pid = fork();
	if (pid == 0)
		_exit(!holds(q, 1, 'q') || cowarena_heap_check(other, NULL));
	int status = 0;
	waitpid(pid, &status, 0);
	_exit(status || !holds(p, 1, 'a'));
}

START_TEST(fork_copy_without_descriptor)
{
	char *output = NULL;

	ck_assert_int_eq(in_child(fork_without_descriptors, &_i, &output), 0);
	ck_assert_ptr_nonnull(strstr(output, "has no copy of an arena"));
	free(output);
}
END_TEST

/* ---- the memory goes with the arena ---- */

static long blocks_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? -1 : (long)status.st_blocks;
}

START_TEST(destroy_gives_memory_back)
{
	cowarena *arena = arena_case(_i % CASES);
	char *p = page_block(arena, PAGES);

	fill(p, 1, 'a');
	take_snapshot(arena, 0);
	fill(p, STEP, 'b');
	int inherited = dup(arena->file.fd);
	if (_i >= CASES)
		close(arena->file.fd);
	ck_assert_int_ge(blocks_of(inherited), PAGES);
	cowarena_destroy(arena);
	ck_assert_int_eq(blocks_of(inherited), 0);
	close(inherited);
}
END_TEST

START_TEST(child_of_a_destroyed_arena)
{
	cowarena *arena = arena_case(_i % CASES);
	char *p = page_block(arena, PAGES), c;
	int go[2];

	fill(p, 1, 'a');
	ck_assert_int_eq(pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		ssize_t told_to = read(go[0], &c, 1);
		errno = 0;
		bool refused = cowarena_after_fork_in_child() == -1 && errno == ESTALE &&
			       strstr(cowarena_errmsg(), "destroyed");
		_exit(told_to != 1 || !refused);
	}
	if (_i >= CASES)
		close(arena->file.fd);
	cowarena_destroy(arena);
	ck_assert_int_eq(write(go[1], "g", 1), 1);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A child that destroys what it has inherited takes nothing from its parent. */
START_TEST(child_destroys_nothing)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	fill(p, 1, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	pid_t pid = fork();
	if (pid == 0) {
		cowarena_destroy(arena);
		_exit(0);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(holds(p, 1, 'a'));
	fill(p, STEP, 'b');
	ck_assert(read_or_refused(s, p, 'a'));
	cowarena_destroy(arena);
}
END_TEST

/* ---- what a core has ---- */

static bool is_dumped(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[400];
	bool here = false, dumped = true;

	while (f && fgets(line, sizeof line, f)) {
		unsigned long from, to;
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)p && (uintptr_t)p < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			dumped = !strstr(line, " dd");
	}
	fclose(f);
	return dumped;
}

START_TEST(core_has_the_heap_once)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, PAGES);

	fill(p, 1, 'a');
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (unsigned flags = 0; flags <= COWARENA_VIEW_PRIVATE; flags++) {
		cowarena_view *v = cowarena_view_open(s, flags);
		ck_assert(!is_dumped(cowarena_view_at(v, p)));
		ck_assert_int_eq(cowarena_view_close(v), 0);
	}
	ck_assert(is_dumped(p));
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptors");
	TCase *tc = tcase_create("descriptors");

	tcase_add_checked_fixture(tc, remember, NULL);
	tcase_add_loop_test(tc, keeps_off_standard_descriptors, 0, CASES);
	tcase_add_loop_test(tc, closed_with_a_snapshot, 0, CASES);
	tcase_add_loop_test(tc, each_look_finds_out, 0, 3 * LOOKS);
	tcase_add_loop_test(tc, closed_before_the_first_snapshot, 0, CASES);
	tcase_add_loop_test(tc, strangers_userfaultfd, 0, CASES);
	tcase_add_loop_test(tc, moved_away_and_back, 0, CASES);
	tcase_add_loop_test(tc, closed_while_others_write, 0, CASES);
	tcase_add_loop_test(tc, child_has_no_userfaultfd, 0, CASES);
	tcase_add_loop_test(tc, somebody_else_has_it, 0, CASES);
	tcase_add_loop_test(tc, child_that_closes_all, 0, 2 * CASES);
	tcase_add_loop_test(tc, fork_copy_without_descriptor, 0, CASES);
	tcase_add_loop_test(tc, destroy_gives_memory_back, 0, 2 * CASES);
	tcase_add_loop_test(tc, child_of_a_destroyed_arena, 0, 2 * CASES);
	tcase_add_loop_test(tc, child_destroys_nothing, 0, CASES);
	tcase_add_loop_test(tc, core_has_the_heap_once, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
