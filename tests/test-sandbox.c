/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-sandbox.c - a seccomp filter refuses each system call of the library, as container profiles
 * do.
 *
 * Either everything works all the same, or what fails names the call; and the heap is right. The
 * filter is installed before the arena is created, or afterwards.
 *
 * Not refused: what the C library, or any program, needs: futex, brk, rt_sigprocmask, rt_sigreturn,
 * exit, exit_group, rseq, set_robust_list, write (the message); and what only passes on another
 * sender's signal (rt_tgsigqueueinfo, getpid, gettid).
 */
#include "config.h"

#include "common.h"
#include "os.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In Linux since 5.9 and 5.3. */
#ifndef SYS_clone3
#define SYS_clone3 435
#endif

#define PAGES 1024
#define CALL(name) #name, SYS_##name

static const struct {
	const char *name;
	int number, other;
} calls[] = {
    {CALL(mmap), -1},
    {CALL(munmap), -1},
    {CALL(mremap), -1},
    {CALL(mprotect), -1},
    {CALL(madvise), -1},
    {CALL(mincore), -1},
    {CALL(memfd_create), -1},
    {CALL(ftruncate), -1},
    {CALL(openat), -1},
    {CALL(read), -1},
    {CALL(close), -1},
#ifdef SYS_fstat
    {CALL(fstat), -1},
#endif
    {CALL(lseek), -1},
    {CALL(pread64), -1},
    {CALL(pwrite64), -1},
    {CALL(ioctl), -1},
    {CALL(userfaultfd), -1},
    {CALL(membarrier), -1},
    {CALL(rt_sigaction), -1},
    {CALL(clone), SYS_clone3},
    {CALL(prlimit64), -1},
    {CALL(socketpair), -1},
    {CALL(sendto), -1},
    {CALL(recvfrom), -1},
    {CALL(clock_nanosleep), -1},
};

#define CALLS ((int)(sizeof calls / sizeof *calls))

static const int errnos[] = {EPERM, EACCES, ENOSYS, EINVAL};

static const struct {
	const char *name;
	unsigned engine, flags;
} arenas[] = {
    {"sigsegv", COWARENA_ENGINE_SIGSEGV, 0},
    {"uffd", COWARENA_ENGINE_UFFD, 0},
    {"hybrid", COWARENA_ENGINE_HYBRID, 0},
    {"hybrid, strict", COWARENA_ENGINE_HYBRID, COWARENA_STRICT_ENGINE},
    {"system calls", COWARENA_ENGINE_AUTO, COWARENA_SYSCALL_SAFE},
};

#define ARENAS 5

/* What the child tells. */
static struct answer {
	const char *step; /* that failed */
	bool wrong;       /* not refused, but wrong */
	char message[400];
} * answer;

static bool refuse(int number, int other, int errnum)
{
	struct sock_filter f[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 1, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)other, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)errnum),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog p = {sizeof f / sizeof *f, f};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0;
}

static bool refused(const char *step)
{
	answer->step = step;
	snprintf(answer->message, sizeof answer->message, "%s", cowarena_errmsg());
	return false;
}

static void expect(bool holds, const char *what)
{
	if (holds)
		return;
	answer->step = what;
	answer->wrong = true;
	snprintf(answer->message, sizeof answer->message, "%s", cowarena_errmsg());
	_exit(0);
}

static void fill(char *p, size_t step, char value)
{
	for (size_t i = 0; i < PAGES; i += step)
		p[i * page_size()] = value;
}

static bool has(const char *p, size_t step, char value)
{
	for (size_t i = 0; i < PAGES; i += step)
		if (p[i * page_size()] != value)
			return false;
	return true;
}

static bool reads(cowarena_snapshot *s, const char *p, char value)
{
	char c = 0;

	for (size_t i = 0; i < PAGES; i++)
		if (cowarena_snapshot_read(s, &c, p + i * page_size(), 1) || c != value)
			return false;
	return true;
}

/* False where something was refused. */
static bool try_views(cowarena_snapshot *s, char *p, char before)
{
	cowarena_view *v = cowarena_view_open(s, 0),
		      *w = cowarena_view_open(s, COWARENA_VIEW_PRIVATE);

	if (!v || !w)
		return refused("view_open");
	fill(p, 7, 'v');
	bool right = has(cowarena_view_at(v, p), 1, before);
	expect(has(cowarena_view_at(w, p), 1, before), "a private view");
	if (cowarena_view_check(v))
		return refused("view_check");
	expect(right, "a view");
	expect(cowarena_view_close(v) == 0 && cowarena_view_close(w) == 0, "view_close");
	return true;
}

static bool try_snapshots(cowarena *arena, char *p)
{
	for (char value = 'a'; value < 'e'; value++) {
		fill(p, 1, value);
		cowarena_snapshot *s = take_snapshot(arena, 0);
		if (!s)
			return refused("snapshot_take");
		fill(p, 3, 'x');
		expect(has(p, 3, 'x'), "stores");
		expect(reads(s, p, value), "snapshot_read");
		if (!try_views(s, p, value))
			return false;
		expect(cowarena_rollback(arena, s) == 0, "rollback");
		expect(has(p, 1, value), "the heap after a rollback");
		expect(cowarena_snapshot_release(s) == 0, "snapshot_release");
		/* Scattered: some chunks are armed page by page next time. */
		fill(p, 3, 'y');
	}
	return true;
}

static bool try_blocks(cowarena *arena)
{
	for (size_t size = 100; size < (size_t)8 << 20; size *= 9) {
		char *p = cowarena_calloc(arena, 1, size);
		if (!p)
			return refused("calloc");
		expect(p[0] == 0 && p[size - 1] == 0, "zeros");
		p[size - 1] = 1;
		cowarena_free(arena, p);
	}
	cowarena_compact(arena);
	cowarena_trim(arena);
	return true;
}

/* The child has the heap, or the log has told that it has none. */
static void try_fork(const char *p)
{
	int fd[2];

	if (pipe(fd))
		return;
	pid_t pid = fork();
	if (pid == 0)
		_exit(write(fd[1], p, 1) == 1 && !has(p, 1, *p));
	int status = 0;
	if (pid > 0)
		waitpid(pid, &status, 0);
	expect(status == 0, "a child");
}

static cowarena *create(int which)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;

	o.engine = arenas[which].engine;
	o.flags = arenas[which].flags | COWARENA_FORK_COPY;
	o.capacity = (size_t)1 << 30;
	return cowarena_create(&o);
}

static void scenario(int call, int errnum, int which, bool after)
{
	cowarena *arena = after ? create(which) : NULL;
	char *p = after ? cowarena_calloc(arena, PAGES, page_size()) : NULL;

	if (!refuse(calls[call].number, calls[call].other, errnum))
		_exit(77);
	if (!after) {
		arena = create(which);
		if (!arena) {
			refused("create");
			return;
		}
		p = cowarena_calloc(arena, PAGES, page_size());
		if (!p) {
			refused("calloc");
			return;
		}
	}
	fill(p, 1, 'f');
	try_fork(p);
	bool all = try_snapshots(arena, p) && try_blocks(arena);
	/* Whatever was refused, the heap is there. */
	fill(p, 1, 'z');
	expect(has(p, 1, 'z'), "the heap");
	cowarena_destroy(arena);
	(void)all;
}

/* Returns whether everything worked. */
static bool run(int call, int errnum, int which, bool after)
{
	char name[40];
	int status;

	memset(answer, 0, sizeof *answer);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(50);
		freopen("/dev/null", "w", stderr); /* what the log says of children */
		scenario(call, errnum, which, after);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		printf("SKIP: this system has no seccomp filters\n");
		return true;
	}
	snprintf(name, sizeof name, "%s(2)", calls[call].name);
	ck_assert_msg(status == 0 && !answer->wrong,
		      "%s, errno %d, engine %s, filter %s: status %#x, wrong: %s (%s)", name,
		      errnum, arenas[which].name, after ? "after" : "before", status,
		      answer->step ? answer->step : "-", answer->message);
	ck_assert_msg(!answer->step || strstr(answer->message, name),
		      "%s, errno %d, engine %s, filter %s: %s says: %s", name, errnum,
		      arenas[which].name, after ? "after" : "before", answer->step,
		      answer->message);
	return !answer->step;
}

START_TEST(each_call)
{
	answer =
	    mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int works = 0, refusals = 0;
	for (size_t e = 0; e < sizeof errnos / sizeof *errnos; e++)
		for (int which = 0; which < ARENAS; which++)
			for (int after = 0; after < 2; after++)
				*(run(_i, errnos[e], which, after) ? &works : &refusals) += 1;
	printf("%-14s works %2d, is named %2d\n", calls[_i].name, works, refusals);
}
END_TEST

int main(void)
{
	if (sanitized()) {
		printf("SKIP: a sanitizer needs these calls itself\n");
		return 77;
	}
	Suite *suite = suite_create("sandbox");
	TCase *tc = tcase_create("sandbox");

	tcase_add_loop_test(tc, each_call, 0, CALLS);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
