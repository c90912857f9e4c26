/* SPDX-License-Identifier: BSD-2-Clause */
/* common.c - see common.h. */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool sanitized(void)
{
	return SANITIZED;
}

bool thread_sanitized(void)
{
	return THREAD_SANITIZED;
}

unsigned forking_flags(void)
{
	return SANITIZED ? COWARENA_NO_HELPER : 0;
}

static _Atomic bool huge; /* the arenas of this test are compacted; each test is a process */

static const struct {
	enum cowarena_engine engine;
	const char *name;
	unsigned flags;
} cases[CASES] = {
    [CASE_DEFAULT] = {COWARENA_ENGINE_SIGSEGV, "sigsegv", 0},
    [CASE_FAITHFUL] = {COWARENA_ENGINE_SIGSEGV, "sigsegv", COWARENA_FAITHFUL},
    [CASE_EAGER] = {COWARENA_ENGINE_EAGER, "eager", 0},
    [CASE_UFFD] = {COWARENA_ENGINE_UFFD, "uffd", 0},
    [CASE_UFFD_FAITHFUL] = {COWARENA_ENGINE_UFFD, "uffd", COWARENA_FAITHFUL},
    [CASE_HYBRID] = {COWARENA_ENGINE_HYBRID, "hybrid", 0},
    [CASE_HYBRID_FAITHFUL] = {COWARENA_ENGINE_HYBRID, "hybrid", COWARENA_FAITHFUL},
    [CASE_EVENTS] = {COWARENA_ENGINE_UFFD, "uffd", COWARENA_SYSCALL_SAFE},
    [CASE_HUGE] = {COWARENA_ENGINE_HYBRID, "hybrid", 0},
    [CASE_KERNEL] = {COWARENA_ENGINE_KERNEL, "kernel", 0},
    [CASE_UNWATCHED] = {COWARENA_ENGINE_KERNEL, "kernel", 0},
    [CASE_MIXED] = {COWARENA_ENGINE_HYBRID, "hybrid", 0},
};

struct cowarena_options case_options(int i)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;

	o.capacity = (size_t)1 << 30;
	o.engine = cases[i].engine;
	o.flags = cases[i].flags;
	if (i == CASE_HYBRID || i == CASE_HUGE)
		o.held_limit = (size_t)1 << 46; /* each first write is a trap */
	return o;
}

bool case_is_kernel(int i)
{
	return i == CASE_KERNEL || i == CASE_UNWATCHED;
}

bool case_traps(int i)
{
	return i != CASE_EAGER && i != CASE_EVENTS && i != CASE_MIXED && !case_is_kernel(i);
}

bool children_have_threads(int i)
{
	if (!THREAD_SANITIZED || i != CASE_EVENTS)
		return true;
	printf("SKIP: ThreadSanitizer does not let threads start in a child of threads\n");
	return false;
}

const char *case_name(int i)
{
	static const char *const names[CASES] = {
	    [CASE_DEFAULT] = "sigsegv",
	    [CASE_FAITHFUL] = "sigsegv-faithful",
	    [CASE_EAGER] = "eager",
	    [CASE_UFFD] = "uffd",
	    [CASE_UFFD_FAITHFUL] = "uffd-faithful",
	    [CASE_HYBRID] = "hybrid",
	    [CASE_HYBRID_FAITHFUL] = "hybrid-faithful",
	    [CASE_EVENTS] = "events",
	    [CASE_HUGE] = "huge",
	    [CASE_KERNEL] = "kernel",
	    [CASE_UNWATCHED] = "kernel-unwatched",
	    [CASE_MIXED] = "hybrid-mixed",
	};

	return names[i];
}

cowarena *arena_case(int i)
{
	struct cowarena_options o = case_options(i);
	cowarena *arena = cowarena_create(&o);

	ck_assert_msg(arena != NULL, "cowarena_create: %s", cowarena_errmsg());
	if (strcmp(cowarena_engine_name(arena), cases[i].name) ||
	    (i == CASE_EVENTS && !cowarena_syscall_safe(arena)))
		printf("SKIP: engine %s instead: %s\n", cowarena_engine_name(arena),
		       cowarena_errmsg());
	if (i == CASE_UNWATCHED) {
		private_never_watch(arena);
		private_never_wait(arena);
	}
	if (i == CASE_HUGE || i == CASE_MIXED) {
		/* Whole chunks with memory, in which the test's blocks will be. */
		size_t n = (size_t)16 << 20;
		void *p = cowarena_alloc(arena, n);
		ck_assert_ptr_nonnull(p);
		memset(p, 0, n);
		cowarena_free(arena, p);
		huge = true;
	}
	return arena;
}

cowarena_snapshot *take_snapshot(cowarena *arena, unsigned flags)
{
	if (huge && arena && cowarena_compact(arena))
		ck_abort_msg("cowarena_compact: %s", cowarena_errmsg());
	return cowarena_snapshot_take(arena, flags);
}

struct cowarena_stats stats_of(cowarena *arena)
{
	struct cowarena_stats s = {.sz = sizeof s};

	if (cowarena_stats_get(arena, &s))
		ck_abort_msg("cowarena_stats_get: %s", cowarena_errmsg());
	return s;
}

size_t held_at_rest(cowarena *arena)
{
	if (atomic_load(&arena->privates.chunks))
		ck_assert_int_eq(cowarena_compact(arena), 0);
	return stats_of(arena).held_bytes;
}

size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

char *page_block(cowarena *arena, size_t pages)
{
	char *p = cowarena_aligned_alloc(arena, page_size(), pages * page_size());

	ck_assert_msg(p != NULL, "cowarena_aligned_alloc: %s", cowarena_errmsg());
	return p;
}

size_t chunk_pages(void)
{
	return CHUNK / page_size();
}

char *chunk_block(cowarena *arena, size_t n)
{
	char *p = cowarena_aligned_alloc(arena, CHUNK, n * CHUNK);

	ck_assert_msg(p != NULL, "cowarena_aligned_alloc: %s", cowarena_errmsg());
	return p;
}

cowarena *hybrid_arena(unsigned flags)
{
	struct cowarena_options o = case_options(CASE_HYBRID);

	o.flags |= flags | COWARENA_STRICT_ENGINE;
	o.capacity = 0; /* most of the chunks are not in use, as usual */
	cowarena *arena = cowarena_create(&o);
	if (!arena)
		printf("SKIP: %s\n", cowarena_errmsg());
	return arena;
}

bool can_collapse(void)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);

	o.flags |= COWARENA_NO_HELPER;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	memset(chunk_block(arena, 1), 1, CHUNK);
	cowarena_compact(arena);
	bool can = stats_of(arena).huge_bytes > 0;
	cowarena_destroy(arena);
	if (!can)
		printf("SKIP: this system cannot collapse a chunk (Linux 6.1, pages of 4 KiB)\n");
	return can;
}

static size_t entries(const char *directory)
{
	DIR *d = opendir(directory);
	size_t n = 0;

	ck_assert_ptr_nonnull(d);
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

size_t threads_now(void)
{
	return entries("/proc/self/task");
}

/* ---- time ---- */

#define LAST_RESORT 1800 /* seconds for a test */

/* Check asks for it when the cases are made. */
__attribute__((constructor)) static void set_last_resort(void)
{
	char text[24];

	snprintf(text, sizeof text, "%d", LAST_RESORT);
	setenv("CK_DEFAULT_TIMEOUT", text, 0);
}

bool await_nap(unsigned long *naps)
{
	const char *text = getenv("CK_DEFAULT_TIMEOUT");
	unsigned long seconds = text ? strtoul(text, NULL, 10) : 0;

	if (seconds == 0 || seconds > LAST_RESORT)
		seconds = LAST_RESORT;
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return ++*naps < seconds * 1000 / 2;
}

double processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool threads_become(size_t n)
{
	AWAIT(threads_now() == n);
	return threads_now() == n;
}

size_t descriptors_now(void)
{
	return entries("/proc/self/fd") - 1; /* its own */
}

uint64_t rng(uint64_t *state)
{
	/* Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled"
	   (2016). */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

uint64_t seed_of_run(uint64_t fallback)
{
	const char *text = getenv("COWARENA_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : fallback;

	if (!seed)
		seed = 1;
	printf("COWARENA_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

bool stressing(void)
{
	return getenv("COWARENA_STRESS") != NULL;
}

size_t scaled(size_t normal, size_t stress, size_t slow)
{
	if (SANITIZED || getenv("COWARENA_VALGRIND"))
		return slow;
	return stressing() ? stress : normal;
}

#ifdef COWARENA_COVERAGE
static void dump_coverage(int signo)
{
	(void)signo;
	__gcov_dump();
}
#endif

int in_child(void (*fn)(void *), void *arg, char **output)
{
	int fd[2], status;
	size_t n = 0, room = 4096;
	char *text = calloc(1, room);

	ck_assert_int_eq(pipe(fd), 0);
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
#ifdef COWARENA_COVERAGE
		signal(SIGABRT, dump_coverage);
		signal(SIGXFSZ, SIG_IGN); /* what has been counted goes to files */
#endif
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		fn(arg);
		_exit(0);
	}
	close(fd[1]);
	for (ssize_t got; (got = read(fd[0], text + n, room - 1 - n)) > 0;)
		n += (size_t)got;
	close(fd[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (output)
		*output = text;
	else
		free(text);
	return status;
}

bool died_of_segv(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
