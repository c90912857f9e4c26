/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * states.c - saves and restores a state again and again: which way is cheapest when.
 *
 *   bench/states [reset|share|many ...]        (make bench builds and runs all three)
 *
 * reset   100,000 times: write 10 pages at random, and go back to the beginning; beside a memcpy()
 *         of the whole state. Flat: the last tenth of the runs beside the first.
 * share   one round of a game, a search or a fuzzer: save, write a share of the pages, go back. By
 *         rollback to one snapshot; by a ring of 8 snapshots, one a round, without going back; by
 *         memcpy(); by a child of fork() that writes and ends; by an undo log of 8 bytes a write.
 * many    reading from the oldest of N snapshots that all changed the pages, and releasing it.
 *
 * Medians of several rounds, in which the ways take turns, with the least and the most.
 */
#include "config.h"

#include "cowarena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define RING 8
#define ROUND_SECONDS 0.1

static size_t page;
static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "bench/states: %s: %s\n", what, cowarena_errmsg());
	exit(1);
}

/* ---- one state, and the ways to go back ---- */

struct state {
	char *live, *saved; /* memory of the state, and the copy for memcpy() */
	size_t bytes, writes;
	cowarena *arena;
	cowarena_snapshot *snapshot[RING];
	struct undo {
		uint64_t *at, was;
	} * log;
	unsigned round;
};

/* Write to random pages; all ways write equally many. */
static void write_some(struct state *s)
{
	for (size_t i = 0; i < s->writes; i++)
		*(volatile uint64_t *)(s->live + next_random() % (s->bytes / page) * page) += 1;
}

static void by_rollback(struct state *s)
{
	write_some(s);
	if (cowarena_rollback(s->arena, s->snapshot[0]))
		fail("rollback");
}

static void by_ring(struct state *s)
{
	cowarena_snapshot **at = &s->snapshot[s->round++ % RING];

	cowarena_snapshot_release(*at);
	*at = cowarena_snapshot_take(s->arena, COWARENA_QUIESCENT);
	if (!*at)
		fail("snapshot");
	write_some(s);
}

static void by_copy(struct state *s)
{
	write_some(s);
	memcpy(s->live, s->saved, s->bytes);
}

static void by_fork(struct state *s)
{
	pid_t child = fork();

	if (child == 0) {
		write_some(s);
		_exit(0);
	}
	next_random(); /* other pages next time */
	if (child < 0 || waitpid(child, NULL, 0) != child)
		fail("fork");
}

static void by_log(struct state *s)
{
	size_t n = s->writes;

	for (size_t i = 0; i < n; i++) {
		uint64_t *at =
		    (uint64_t *)(void *)(s->live + next_random() % (s->bytes / page) * page);
		s->log[i] = (struct undo){at, *at};
		*(volatile uint64_t *)at += 1;
	}
	while (n--)
		*s->log[n].at = s->log[n].was;
}

static const struct way {
	const char *name;
	void (*run)(struct state *s);
	bool in_arena;
} ways[] = {
    {"rollback", by_rollback, true}, {"ring of snapshots", by_ring, true},
    {"memcpy", by_copy, false},      {"fork", by_fork, false},
    {"undo log", by_log, false},
};
enum { ROLLBACK, SNAPSHOTS, COPY, FORK, LOG, WAYS };

static char *plain(size_t bytes)
{
	char *p = aligned_alloc(page, bytes);

	if (!p)
		fail("no memory");
	return memset(p, 1, bytes);
}

static struct state state_open(const struct way *way, size_t bytes, size_t writes)
{
	struct state s = {.bytes = bytes, .writes = writes};

	s.log = calloc(writes, sizeof *s.log);
	if (!way->in_arena) {
		s.live = plain(bytes);
		s.saved = plain(bytes);
		return s;
	}
	s.arena = cowarena_create(NULL);
	s.live = s.arena ? cowarena_aligned_alloc(s.arena, page, bytes) : NULL;
	if (!s.live)
		fail("arena");
	memset(s.live, 1, bytes);
	s.snapshot[0] = cowarena_snapshot_take(s.arena, 0);
	return s;
}

static void state_close(struct state *s)
{
	cowarena_destroy(s->arena);
	if (!s->arena) {
		free(s->live);
		free(s->saved);
	}
	free(s->log);
}

/* ---- medians ---- */

struct spread {
	double median, least, most;
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(double *values, size_t n)
{
	qsort(values, n, sizeof *values, ascending);
	return (struct spread){values[n / 2], values[0], values[n - 1]};
}

/* Microseconds per run, for `runs` runs, or for as many as fit into a round. */
static double timed(const struct way *way, struct state *s, size_t runs)
{
	double start = now_us();
	size_t n = 0;

	do
		way->run(s);
	while (++n < runs && (runs != SIZE_MAX || now_us() - start < ROUND_SECONDS * 1e6));
	return (now_us() - start) / (double)n;
}

/* ---- reset ---- */

static void reset(void)
{
	static const size_t kib[] = {256, 1024, 16 * 1024, 64 * 1024};
	enum { RUNS = 100000, TENTH = RUNS / 10, WRITES = 10 };

	printf("reset: %d pages written, and back, %d times; us (least..most tenth)\n", WRITES,
	       RUNS);
	printf("%9s %26s %26s %9s %9s\n", "size", "rollback", "memcpy", "ratio", "last/first");
	for (size_t i = 0; i < sizeof kib / sizeof *kib; i++) {
		struct state a = state_open(&ways[ROLLBACK], kib[i] << 10, WRITES);
		struct state b = state_open(&ways[COPY], kib[i] << 10, WRITES);
		double ours[10], theirs[10];
		for (int k = 0; k < 10; k++) {
			ours[k] = timed(&ways[ROLLBACK], &a, TENTH);
			theirs[k] = timed(&ways[COPY], &b, SIZE_MAX);
		}
		double last_to_first = ours[9] / ours[0];
		struct spread x = spread_of(ours, 10), y = spread_of(theirs, 10);
		printf("%5zu KiB %10.1f (%5.1f..%6.1f) %10.1f (%5.1f..%6.1f) %9.3f %9.2f\n", kib[i],
		       x.median, x.least, x.most, y.median, y.least, y.most, x.median / y.median,
		       last_to_first);
		fflush(stdout);
		state_close(&a);
		state_close(&b);
	}
}

/* ---- share ---- */

static void share(void)
{
	static const size_t kib[] = {256, 1024, 32 * 1024, 256 * 1024, 1024 * 1024};
	static const double shares[] = {0.0002, 0.002, 0.02, 0.2};

	printf(
	    "\nshare: us a round, to save, to write a share of the pages at random, to go back\n");
	printf("%12s %7s %7s", "size", "share", "pages");
	for (size_t w = 0; w < WAYS; w++)
		printf(" %18s", ways[w].name);
	printf("\n");
	for (size_t i = 0; i < sizeof kib / sizeof *kib; i++)
		for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
			size_t bytes = kib[i] << 10;
			size_t writes = (size_t)((double)(bytes / page) * shares[k] + 0.5);
			if (!writes)
				continue;
			printf("%8zu KiB %6.2f%% %7zu", kib[i], shares[k] * 100, writes);
			for (size_t w = 0; w < WAYS; w++) {
				struct state s = state_open(&ways[w], bytes, writes);
				double values[ROUNDS];
				timed(&ways[w], &s, 2 * RING); /* started and warmed up */
				for (int r = 0; r < ROUNDS; r++)
					values[r] = timed(&ways[w], &s, SIZE_MAX);
				printf(" %18.1f", spread_of(values, ROUNDS).median);
				fflush(stdout);
				state_close(&s);
			}
			printf("\n");
		}
}

/* ---- many ---- */

struct many {
	double read, release; /* us for each */
};

/* Take n snapshots, each with 16 pages of its own; then read and release the oldest, again and
   again. */
static struct many measure_many(size_t n)
{
	enum { PAGES = 16, READS = 64, TIMES = 200 };
	cowarena *arena = cowarena_create(NULL);
	char *p = arena ? cowarena_aligned_alloc(arena, page, PAGES * page) : NULL, byte;
	cowarena_snapshot **all = calloc(n + TIMES, sizeof(cowarena_snapshot *));
	struct many m = {0};

	if (!p || !all)
		fail("arena");
	for (size_t i = 0; i < n + TIMES; i++) {
		for (size_t k = 0; k < PAGES; k++)
			p[k * page] = (char)i;
		if (i >= n) {
			double start = now_us();
			for (size_t k = 0; k < READS; k++)
				if (cowarena_snapshot_read(all[i - n], &byte, p + k % PAGES * page,
							   1))
					fail("read");
			double middle = now_us();
			cowarena_snapshot_release(all[i - n]);
			m.read += (middle - start) / READS / TIMES;
			m.release += (now_us() - middle) / TIMES;
		}
		all[i] = cowarena_snapshot_take(arena, 0);
		if (!all[i])
			fail("snapshot");
	}
	cowarena_destroy(arena);
	free(all);
	return m;
}

static void many(void)
{
	static const size_t counts[] = {10, 100, 1000, 10000};
	enum { N = sizeof counts / sizeof *counts };
	double read[N][ROUNDS], release[N][ROUNDS];

	for (int r = 0; r < ROUNDS; r++)
		for (size_t i = 0; i < N; i++) {
			struct many m = measure_many(counts[i]);
			read[i][r] = m.read;
			release[i][r] = m.release;
		}
	printf("\nmany_snapshots: us to read a byte from the oldest of N, and to release it "
	       "(least..most)\n");
	printf("%7s %24s %24s\n", "N", "read", "release");
	double first_read = 0, first_release = 0;
	for (size_t i = 0; i < N; i++) {
		struct spread a = spread_of(read[i], ROUNDS), b = spread_of(release[i], ROUNDS);
		if (i == 0)
			first_read = a.median, first_release = b.median;
		printf("%7zu %8.3f (%5.3f..%5.3f) %8.3f (%5.3f..%5.3f)   %.2f, %.2f times that of "
		       "%zu\n",
		       counts[i], a.median, a.least, a.most, b.median, b.least, b.most,
		       a.median / first_read, b.median / first_release, counts[0]);
	}
}

int main(int argc, char **argv)
{
	static const struct part {
		const char *name;
		void (*run)(void);
	} parts[] = {{"reset", reset}, {"share", share}, {"many", many}};

	page = (size_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		bool wanted = argc < 2;
		for (int k = 1; k < argc; k++)
			wanted |= strcmp(argv[k], parts[i].name) == 0;
		if (wanted)
			parts[i].run();
	}
	return 0;
}
