/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.c - the arena's heap against malloc(): `make bench-heap`.
 *
 * Each measurement is a process of its own: this program again, with the rival's library preloaded.
 * The allocators take turns within a round, so that a slow minute of the machine hits all of them.
 * The output is the median of the rounds, their spread, and the ratios. A rival that is not
 * installed is left out.
 *
 *	heap [-r ROUNDS] [SCENARIO...]
 *	heap --run ALLOCATOR SCENARIO	one measurement: prints a number
 */
#include "config.h"

#include "cowarena.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ABSENT 77 /* exit status: the allocator is not installed */
#define ROUNDS_MAX 99

static cowarena *arena; /* NULL: malloc */

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "heap: %s: %s\n", what, errno ? strerror(errno) : "failed");
	exit(1);
}

static void *get(size_t n)
{
	char *p = arena ? cowarena_alloc(arena, n) : malloc(n);

	if (!p)
		die("out of memory");
	*(volatile char *)p = 1; /* blocks get written to */
	return p;
}

static void put(void *p)
{
	if (arena)
		cowarena_free(arena, p);
	else
		free(p);
}

static void *again(void *p, size_t n)
{
	p = arena ? cowarena_realloc(arena, p, n) : realloc(p, n);
	if (!p)
		die("out of memory");
	return p;
}

/* Memory for the bench itself, not from the allocator that it measures. */
static void *table(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		       -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t n)
{
	return (size_t)((next(state) >> 32) * n >> 32);
}

static size_t small_size(uint64_t *state)
{
	return 16 + below(state, 497);
}

/* 16 B to 64 KiB: each doubling has half as many blocks as the one before. So there are many small
   blocks, and large blocks have as many bytes. */
static size_t mixed_size(uint64_t *state)
{
	unsigned doubling = (unsigned)__builtin_ctzll(next(state) | (uint64_t)1 << 11);

	return ((size_t)16 << doubling) + below(state, (size_t)16 << doubling) + 1;
}

static void shuffle(uint32_t *order, size_t n, uint64_t *random)
{
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t k = below(random, i);
		uint32_t t = order[k];
		order[k] = order[i - 1];
		order[i - 1] = t;
	}
}

/* ---- speed: nanoseconds for an allocation and its end ---- */

enum order { LIFO, FIFO, RANDOM };

#define SMALL_BLOCKS ((size_t)100000)
#define SMALL_ROUNDS 20

static double alloc_small(enum order how)
{
	void **p = table(SMALL_BLOCKS * sizeof *p);
	uint16_t *size = table(SMALL_BLOCKS * sizeof *size);
	uint32_t *order = table(SMALL_BLOCKS * sizeof *order);
	uint64_t random = 1;
	double start = 0;

	shuffle(order, SMALL_BLOCKS, &random);
	for (size_t i = 0; i < SMALL_BLOCKS; i++) {
		size[i] = (uint16_t)small_size(&random);
		if (how != RANDOM)
			order[i] = (uint32_t)(how == FIFO ? i : SMALL_BLOCKS - 1 - i);
	}
	for (int round = -1; round < SMALL_ROUNDS; round++) {
		if (round == 0) /* now the memory has been allocated and used */
			start = now();
		for (size_t i = 0; i < SMALL_BLOCKS; i++)
			p[i] = get(size[i]);
		for (size_t i = 0; i < SMALL_BLOCKS; i++)
			put(p[order[i]]);
	}
	return (now() - start) / (double)(SMALL_ROUNDS * SMALL_BLOCKS);
}

static double alloc_small_lifo(void)
{
	return alloc_small(LIFO);
}

static double alloc_small_fifo(void)
{
	return alloc_small(FIFO);
}

static double alloc_small_random(void)
{
	return alloc_small(RANDOM);
}

#define MIXED_BLOCKS ((size_t)50000)
#define MIXED_STEPS ((size_t)3000000)

/* A block is freed at a random time, and another takes its place. */
static double alloc_mixed(void)
{
	void **p = table(MIXED_BLOCKS * sizeof *p);
	uint64_t random = 2;

	for (size_t i = 0; i < MIXED_BLOCKS; i++)
		p[i] = get(mixed_size(&random));
	double start = now();
	for (size_t i = 0; i < MIXED_STEPS; i++) {
		size_t k = below(&random, MIXED_BLOCKS);
		put(p[k]);
		p[k] = get(mixed_size(&random));
	}
	return (now() - start) / (double)MIXED_STEPS;
}

#define STRINGS ((size_t)2000)
#define STRING_MAX ((size_t)8192)
#define VECTORS ((size_t)16)
#define VECTOR_MAX ((size_t)4 << 20)

/* Strings that are appended to in turns, then vectors that grow by half. The result is per
   realloc(). */
static double realloc_grow(void)
{
	char **p = table(STRINGS * sizeof *p);
	size_t *size = table(STRINGS * sizeof *size), steps = 0, open = STRINGS;
	uint64_t random = 3;
	double start = now();

	while (open) {
		size_t k = below(&random, STRINGS), n = size[k] + 1 + below(&random, 96);
		steps++;
		p[k] = again(p[k], n);
		memset(p[k] + size[k], 1, n - size[k]);
		size[k] = n;
		if (n > STRING_MAX) {
			open--;
			put(p[k]);
			p[k] = NULL;
			size[k] = 0;
		}
	}
	for (size_t i = 0; i < STRINGS; i++)
		if (p[i])
			put(p[i]);
	for (size_t i = 0; i < VECTORS; i++)
		p[i] = NULL;
	for (size_t n = 64, old = 0; n <= VECTOR_MAX; old = n, n += n / 2)
		for (size_t i = 0; i < VECTORS; i++) {
			p[i] = again(p[i], n);
			memset(p[i] + old, 2, n - old);
			steps++;
		}
	for (size_t i = 0; i < VECTORS; i++)
		put(p[i]);
	return (now() - start) / (double)steps;
}

#define THREAD_BLOCKS ((size_t)20000)
#define THREAD_STEPS ((size_t)1500000)
#define MAILBOXES 64 /* blocks that go from one thread to the other */

static _Atomic(void *) mailbox[MAILBOXES];
static pthread_barrier_t together;

static void *thread_main(void *arg)
{
	void **p = table(THREAD_BLOCKS * sizeof *p);
	uint64_t random = (uintptr_t)arg;

	for (size_t i = 0; i < THREAD_BLOCKS; i++)
		p[i] = get(small_size(&random));
	pthread_barrier_wait(&together);
	for (size_t i = 0; i < THREAD_STEPS; i++) {
		size_t k = below(&random, THREAD_BLOCKS);
		/* One in eight is freed by the thread that finds it. */
		if (i % 8 == 0)
			p[k] = atomic_exchange(&mailbox[i / 8 % MAILBOXES], p[k]);
		if (p[k])
			put(p[k]);
		p[k] = get(small_size(&random));
	}
	pthread_barrier_wait(&together);
	return NULL;
}

static double alloc_2threads(void)
{
	pthread_t other;

	pthread_barrier_init(&together, NULL, 3);
	pthread_t mine;
	if (pthread_create(&mine, NULL, thread_main, (void *)4) ||
	    pthread_create(&other, NULL, thread_main, (void *)5))
		die("pthread_create");
	pthread_barrier_wait(&together);
	double start = now();
	pthread_barrier_wait(&together);
	double t = now() - start;
	pthread_join(mine, NULL);
	pthread_join(other, NULL);
	return t / (double)THREAD_STEPS;
}

/* ---- pages ---- */

#define DIRTY_BLOCKS ((size_t)1000000)
#define NEW_BLOCKS ((size_t)100000)

static size_t private_dirty(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[256];
	size_t kib = 0, n;

	if (!f)
		die("/proc/self/smaps");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Private_Dirty: %zu", &n) == 1)
			kib += n;
	fclose(f);
	return (kib << 10) / (size_t)sysconf(_SC_PAGESIZE);
}

static struct cowarena_stats stats(void)
{
	struct cowarena_stats s = {.sz = sizeof s};

	if (cowarena_stats_get(arena, &s))
		die(cowarena_errmsg());
	return s;
}

static void **fill(uint64_t *random)
{
	void **p = table(DIRTY_BLOCKS * sizeof *p);

	for (size_t i = 0; i < DIRTY_BLOCKS; i++) {
		size_t n = small_size(random);
		p[i] = get(n);
		memset(p[i], 1, n);
	}
	return p;
}

static void free_a_third(void **p, uint64_t *random)
{
	uint32_t *order = table(DIRTY_BLOCKS * sizeof *order);

	shuffle(order, DIRTY_BLOCKS, random);
	for (size_t i = 0; i < DIRTY_BLOCKS; i += 3) {
		put(p[order[i]]);
		p[order[i]] = NULL;
	}
}

/* Pages that are copied when a third of the blocks are freed. */
static double free_dirty(void)
{
	uint64_t random = 6;
	void **p = fill(&random);

	if (arena) {
		if (!cowarena_snapshot_take(arena, 0))
			die(cowarena_errmsg());
		free_a_third(p, &random);
		return (double)(stats().copied + stats().copied_ahead);
	}
	int hold[2];
	if (pipe(hold))
		die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], &(char){0}, 1) != 0);
	}
	size_t before = private_dirty();
	free_a_third(p, &random);
	size_t after = private_dirty();
	close(hold[1]);
	waitpid(pid, NULL, 0);
	/* The pages of the bench's own tables, p and the order, do not count. */
	size_t own = DIRTY_BLOCKS * (sizeof(uint32_t) + sizeof *p) / (size_t)sysconf(_SC_PAGESIZE);
	return (double)(after - before) - (double)own;
}

/* Pages written to by new blocks, for each page that their bytes fill: the heap has holes. */
static double alloc_dirty(void)
{
	uint64_t random = 7;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 0;

	if (!arena)
		return 0;
	free_a_third(fill(&random), &random);
	if (!cowarena_snapshot_take(arena, 0))
		die(cowarena_errmsg());
	struct cowarena_stats before = stats();
	for (size_t i = 0; i < NEW_BLOCKS; i++) {
		size_t n = small_size(&random);
		memset(get(n), 2, n);
		bytes += n;
	}
	struct cowarena_stats after = stats();
	double copied =
	    (double)(after.copied + after.copied_ahead - before.copied - before.copied_ahead);
	double fresh = (double)(after.arena_bytes - before.arena_bytes) / (double)page;
	return (copied + fresh) * (double)page / (double)bytes;
}

/* Bytes of the heap for each byte asked for. */
static double space(void)
{
	uint64_t random = 8;
	size_t bytes = 0;

	if (!arena)
		return 0;
	for (size_t i = 0; i < DIRTY_BLOCKS; i++) {
		size_t n = mixed_size(&random);
		get(n);
		bytes += n;
	}
	return (double)stats().arena_bytes / (double)bytes;
}

/* ---- measuring ---- */

static const struct scenario {
	const char *name, *unit;
	double (*run)(void);
	bool rivals; /* false: only glibc, or only ours */
} scenarios[] = {
    {"alloc_small_lifo", "ns", alloc_small_lifo, true},
    {"alloc_small_fifo", "ns", alloc_small_fifo, true},
    {"alloc_small_random", "ns", alloc_small_random, true},
    {"alloc_mixed", "ns", alloc_mixed, true},
    {"realloc_grow", "ns", realloc_grow, true},
    {"alloc_2threads", "ns", alloc_2threads, true},
    {"free_dirty", "pages", free_dirty, false},
    {"alloc_dirty", "x", alloc_dirty, false},
    {"space", "x", space, false},
};
#define SCENARIOS (sizeof scenarios / sizeof *scenarios)

enum allocator { OURS, GLIBC, JEMALLOC, MIMALLOC, ALLOCATORS };

static const struct {
	const char *name, *library;
	const char *symbol; /* a symbol that only this allocator has */
} allocators[ALLOCATORS] = {
    [OURS] = {"cowarena", NULL, NULL},
    [GLIBC] = {"glibc", NULL, NULL},
    [JEMALLOC] = {"jemalloc", "libjemalloc.so.2", "mallctl"},
    [MIMALLOC] = {"mimalloc", "libmimalloc.so.2", "mi_version"},
};

static int run_one(const char *allocator, const char *scenario)
{
	enum allocator a = 0;
	size_t s = 0;

	while (a < ALLOCATORS && strcmp(allocators[a].name, allocator) != 0)
		a++;
	while (s < SCENARIOS && strcmp(scenarios[s].name, scenario) != 0)
		s++;
	if (a == ALLOCATORS || s == SCENARIOS)
		return 2;
	if (allocators[a].symbol && !dlsym(RTLD_DEFAULT, allocators[a].symbol))
		return ABSENT;
	if (a == OURS) {
		arena = cowarena_create(NULL);
		if (!arena)
			die(cowarena_errmsg());
	}
	printf("%.9g\n", scenarios[s].run());
	return 0;
}

static double measure(enum allocator a, const struct scenario *s)
{
	char self[4096], command[5000];
	double value = -1;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n < 0)
		die("/proc/self/exe");
	self[n] = 0;
	/* Hide what ld.so says about a library that is not installed. */
	snprintf(command, sizeof command, "%s%s '%s' --run %s %s%s",
		 allocators[a].library ? "LD_PRELOAD=" : "",
		 allocators[a].library ? allocators[a].library : "", self, allocators[a].name,
		 s->name, allocators[a].library ? " 2>/dev/null" : "");
	FILE *f = popen(command, "r");
	bool found = f && fscanf(f, "%lf", &value) == 1;
	int status = f ? pclose(f) : -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == ABSENT)
		return -1;
	if (status || !found) {
		errno = 0;
		fprintf(stderr, "heap: %s with %s failed\n", s->name, allocators[a].name);
		exit(1);
	}
	return value;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void show(const struct scenario *s, int rounds)
{
	static double value[ALLOCATORS][ROUNDS_MAX];
	double best = 0, median[ALLOCATORS];
	enum allocator end = s->rivals ? ALLOCATORS : JEMALLOC;

	for (int r = 0; r < rounds; r++)
		for (enum allocator a = 0; a < end; a++)
			value[a][r] = measure(a, s);
	printf("%-19s %-5s", s->name, s->unit);
	for (enum allocator a = 0; a < ALLOCATORS; a++) {
		if (a >= end || value[a][0] <= 0) {
			printf(" %20s", "-");
			continue;
		}
		char text[64];
		qsort(value[a], (size_t)rounds, sizeof value[a][0], ascending);
		median[a] = value[a][rounds / 2];
		if (a != OURS && (!best || median[a] < best))
			best = median[a];
		snprintf(text, sizeof text, "%.4g (%.3g-%.3g)", median[a], value[a][0],
			 value[a][rounds - 1]);
		printf(" %20s", text);
	}
	if (best)
		printf(" %8.3f %8.3f", median[OURS] / median[GLIBC], median[OURS] / best);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int rounds = 5, first = 1;

	if (argc == 4 && !strcmp(argv[1], "--run"))
		return run_one(argv[2], argv[3]);
	if (argc > 2 && !strcmp(argv[1], "-r")) {
		rounds = atoi(argv[2]);
		first = 3;
	}
	if (rounds < 1 || rounds > ROUNDS_MAX || (first < argc && argv[first][0] == '-')) {
		fprintf(stderr, "usage: heap [-r ROUNDS] [SCENARIO...]\n");
		return 2;
	}
	printf("%-25s", "median (least-most)");
	for (enum allocator a = 0; a < ALLOCATORS; a++)
		printf(" %20s", allocators[a].name);
	printf(" %8s %8s\n", "/glibc", "/best");
	for (const struct scenario *s = scenarios; s < scenarios + SCENARIOS; s++) {
		bool wanted = first == argc;
		for (int i = first; i < argc; i++)
			wanted |= strstr(s->name, argv[i]) != NULL;
		if (wanted)
			show(s, rounds);
	}
	return 0;
}
