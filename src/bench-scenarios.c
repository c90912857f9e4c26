/* SPDX-License-Identifier: BSD-2-Clause */
/* bench-scenarios.c - the scenarios. Each runs unchanged on either side. */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOT_WRITES 2000 /* between two snapshots */
#define HOT_SNAPSHOTS 10
#define READ_PAGES 16                 /* that one read(2) stores to */
#define TABLE_SLOTS ((size_t)2 << 20) /* of big_value(), where the block is large enough */
#define US 1e6

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int side_fail(struct side *side, const char *what)
{
	snprintf(side->error, sizeof side->error, "%s: %s", what, strerror(errno));
	return -1;
}

/* ---- which pages ---- */

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

int pages_init(struct pages *pages, size_t size)
{
	uint64_t x = 88172645463325252u;
	double sum = 0;

	pages->count = size / pages->page;
	pages->order = calloc(pages->count, sizeof *pages->order);
	pages->zipf = calloc(pages->count, sizeof *pages->zipf);
	if (!pages->order || !pages->zipf)
		return -1;
	for (size_t i = 0; i < pages->count; i++) {
		size_t j = next_random(&x) % (i + 1);
		pages->order[i] = pages->order[j];
		pages->order[j] = (uint32_t)i;
		pages->zipf[i] = sum += pow((double)(i + 1), -0.99);
	}
	return 0;
}

void pages_free(struct pages *pages)
{
	free(pages->order);
	free(pages->zipf);
}

uint32_t *pages_list(const struct pages *pages)
{
	return calloc(pages->count > HOT_WRITES ? pages->count : HOT_WRITES, sizeof(uint32_t));
}

/* Choose n pages in random order; the next round gets others. */
static size_t pick(struct side *s, size_t n, unsigned round)
{
	const struct pages *p = s->pages;

	for (size_t i = 0; i < n; i++)
		s->list[i] = p->order[(round * n + i) % p->count];
	return n;
}

/* Choose pages by a distribution with hot ones, which are scattered as in a heap. */
static size_t pick_hot(struct side *s, size_t n, unsigned round)
{
	const struct pages *p = s->pages;
	uint64_t x = 0x9e3779b97f4a7c15u * (round + 1);

	for (size_t i = 0; i < n; i++) {
		double want = (double)(next_random(&x) >> 11) * 0x1p-53 * p->zipf[p->count - 1];
		size_t low = 0, high = p->count - 1;
		while (low < high) {
			size_t middle = (low + high) / 2;
			if (p->zipf[middle] < want)
				low = middle + 1;
			else
				high = middle;
		}
		s->list[i] = p->order[low];
	}
	return n;
}

static double write_pages(struct side *s, const uint32_t *list, size_t n)
{
	volatile char *block = s->block;
	double start = seconds_now();

	for (size_t i = 0; i < n; i++)
		block[list[i] * s->pages->page]++;
	return seconds_now() - start;
}

/* All pages, in order. */
static double write_all(struct side *s)
{
	for (size_t i = 0; i < s->pages->count; i++)
		s->list[i] = (uint32_t)i;
	return write_pages(s, s->list, s->pages->count);
}

/* ---- pauses ---- */

static int pause_first(struct side *s, unsigned round, double *value)
{
	(void)round;
	if (s->ops->thaw(s))
		return -1;
	write_all(s);
	if (s->ops->settle(s))
		return -1;
	return s->ops->freeze(s, 0, value);
}

static int pause_clean(struct side *s, unsigned round, double *value)
{
	(void)round;
	return s->ops->freeze(s, 0, value) || s->ops->freeze(s, 0, value) ? -1 : 0;
}

/* One page in so many was written to. */
static int pause_written(struct side *s, unsigned round, double *value, size_t one_in)
{
	double before;

	if (s->ops->freeze(s, 0, &before))
		return -1;
	write_pages(s, s->list, pick(s, s->pages->count / one_in, round));
	return s->ops->freeze(s, 0, value);
}

static int pause_1pct(struct side *s, unsigned round, double *value)
{
	return pause_written(s, round, value, 100);
}

static int pause_10pct(struct side *s, unsigned round, double *value)
{
	return pause_written(s, round, value, 10);
}

/* Several times per round, since a page proves hot only over several snapshots. */
static int pause_hot(struct side *s, unsigned round, double *value)
{
	size_t n = pick(s, s->pages->count / 100, 0);

	(void)round;
	for (int i = 0; i < 3; i++) {
		write_pages(s, s->list, n);
		if (s->ops->freeze(s, COWARENA_QUIESCENT, value))
			return -1;
	}
	return 0;
}

/* ---- writes ---- */

static int write_seq(struct side *s, unsigned round, double *value)
{
	double pause;

	(void)round;
	if (s->ops->freeze(s, 0, &pause))
		return -1;
	*value = write_all(s) / (double)s->pages->count;
	return s->ops->thaw(s);
}

static int write_viewed(struct side *s, unsigned round, double *value, int view_flags)
{
	size_t n = pick(s, s->pages->count / 10, round);
	double pause;

	if (s->ops->freeze(s, 0, &pause) ||
	    (view_flags >= 0 && s->ops->view(s, (unsigned)view_flags)))
		return -1;
	*value = write_pages(s, s->list, n) / (double)n;
	return s->ops->thaw(s);
}

static int write_rand(struct side *s, unsigned round, double *value)
{
	return write_viewed(s, round, value, -1);
}

static int view_write_rand(struct side *s, unsigned round, double *value)
{
	return write_viewed(s, round, value, COWARENA_VIEW_PRIVATE);
}

static int roview_write_rand(struct side *s, unsigned round, double *value)
{
	return write_viewed(s, round, value, 0);
}

/* How long a single first write takes, at a quantile of all; the clock's own 25 ns count. */
static int write_first(struct side *s, unsigned round, double *value, double quantile)
{
	size_t n = pick(s, s->pages->count / 10, round);
	double *taken = calloc(n, sizeof *taken), pause;

	if (!taken)
		return side_fail(s, "no memory for the times");
	int failed = s->ops->freeze(s, 0, &pause);
	for (size_t i = 0; i < n && !failed; i++)
		taken[i] = write_pages(s, s->list + i, 1);
	range_of(taken, (unsigned)n); /* sorts */
	*value = taken[(size_t)(quantile * (double)(n - 1))];
	free(taken);
	return failed ? -1 : s->ops->thaw(s);
}

static int write_first_p99(struct side *s, unsigned round, double *value)
{
	return write_first(s, round, value, 0.99);
}

static int write_first_p999(struct side *s, unsigned round, double *value)
{
	return write_first(s, round, value, 0.999);
}

static int write_first_max(struct side *s, unsigned round, double *value)
{
	return write_first(s, round, value, 1);
}

/* Pieces of memory that read(2) fills, in random order. */
static int syscall_read(struct side *s, unsigned round, double *value)
{
	size_t bytes = READ_PAGES * s->pages->page, n = 0;
	size_t picked = pick(s, s->pages->count / 2, round);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	double pause;

	if (zero < 0)
		return side_fail(s, "/dev/zero");
	int failed = s->ops->freeze(s, 0, &pause);
	double start = seconds_now();
	for (size_t i = 0; i < picked && !failed; i++) {
		char *p = s->block + s->list[i] * s->pages->page;
		if (s->list[i] % READ_PAGES || s->list[i] + READ_PAGES > s->pages->count)
			continue;
		failed = s->ops->ready(s, p, bytes);
		if (!failed && read(zero, p, bytes) != (ssize_t)bytes)
			failed = side_fail(s, "read");
		n++;
	}
	*value = n ? (seconds_now() - start) / (double)n : 0;
	close(zero);
	return failed ? -1 : s->ops->thaw(s);
}

/* Every page is read once, in order, after a freeze that followed writes. */
static int read_after_cut(struct side *s, unsigned round, double *value)
{
	size_t n = pick(s, s->pages->count / 10, round), page = s->pages->page;
	double pause;

	if (s->ops->freeze(s, 0, &pause))
		return -1;
	write_pages(s, s->list, n);
	if (s->ops->freeze(s, 0, &pause))
		return -1;
	double start = seconds_now();
	for (size_t i = 0; i < s->pages->count; i++)
		(void)((volatile char *)s->block)[i * page];
	*value = (seconds_now() - start) / (double)s->pages->count;
	return s->ops->thaw(s);
}

void read_lines(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 64)
		(void)((const volatile char *)p)[i];
}

/* ---- one big value ---- */

/* A hash table with open addressing, half full. */
struct entry {
	uint64_t key, value, rest[6];
};

static struct entry *find(struct entry *table, size_t slots, uint64_t key)
{
	size_t at = (key * 0x9e3779b97f4a7c15u >> 20) & (slots - 1);

	while (table[at].key && table[at].key != key)
		at = (at + 1) & (slots - 1);
	return &table[at];
}

static size_t table_slots(const struct side *s)
{
	size_t slots = TABLE_SLOTS;

	while (slots * sizeof(struct entry) > s->pages->count * s->pages->page)
		slots /= 2;
	return slots;
}

/* Every entry of a table is written to, while another thread, or the child, reads the past. */
static int big_value(struct side *s, unsigned round, double *value)
{
	struct entry *table = (struct entry *)(void *)s->block;
	size_t slots = table_slots(s), n = slots / 2;
	double pause;

	s->past = slots * sizeof *table;
	if (!s->has_table) {
		memset(table, 0, s->past);
		for (uint64_t key = 1; key <= n; key++)
			find(table, slots, key)->key = key;
	}
	s->has_table = true;
	int failed = s->ops->freeze(s, 0, &pause);
	if (!failed && s->ops->read(s, true) == 0) {
		double start = seconds_now();
		for (uint64_t key = 1; key <= n; key++)
			find(table, slots, key)->value = round;
		*value = (seconds_now() - start) / (double)n;
		failed = s->ops->read(s, false);
	} else {
		failed = -1;
	}
	s->past = 0;
	return failed ? -1 : s->ops->thaw(s);
}

/* The release of the older snapshot counts on our side, as the thread that writes must do it. */
static int write_hot(struct side *s, unsigned round, double *value)
{
	double total = 0, pause;

	for (unsigned i = 0; i < HOT_SNAPSHOTS; i++) {
		size_t n = pick_hot(s, HOT_WRITES, round * HOT_SNAPSHOTS + i);
		if (s->ops->freeze(s, COWARENA_QUIESCENT, &pause))
			return -1;
		total += pause + s->drop + write_pages(s, s->list, n);
	}
	*value = total;
	return 0;
}

/* ---- the rest ---- */

static int rollback_1pct(struct side *s, unsigned round, double *value)
{
	if (s->ops->save(s))
		return -1;
	write_pages(s, s->list, pick(s, s->pages->count / 100, round));
	return s->ops->restore(s, value);
}

static int memory_rand(struct side *s, unsigned round, double *value)
{
	size_t n = pick(s, s->pages->count / 10, round);
	double pause, bytes;

	if (s->ops->freeze(s, 0, &pause))
		return -1;
	write_pages(s, s->list, n);
	if (s->ops->held(s, n, &bytes))
		return -1;
	*value = bytes / (double)n;
	return s->ops->thaw(s);
}

struct writer {
	struct side *side;
	const uint32_t *list;
	size_t n;
	pthread_barrier_t *barrier;
	double begin, end;
};

static void *writer_main(void *p)
{
	struct writer *w = p;

	pthread_barrier_wait(w->barrier);
	w->begin = seconds_now();
	write_pages(w->side, w->list, w->n);
	w->end = seconds_now();
	return NULL;
}

/* Put the pages of the lower half first. Returns their number. */
static size_t by_half(struct side *s, size_t n)
{
	size_t split = 0;

	for (size_t i = 0; i < n; i++)
		if (s->list[i] < s->pages->count / 2) {
			uint32_t t = s->list[split];
			s->list[split++] = s->list[i];
			s->list[i] = t;
		}
	return split;
}

/* Measures from the first start to the last end, over all pages of both threads. */
static int threads_2(struct side *s, unsigned round, double *value)
{
	size_t n = pick(s, s->pages->count / 10, round);
	size_t split = by_half(s, n);
	pthread_barrier_t barrier;
	struct writer w[2] = {{s, s->list, split, &barrier, 0, 0},
			      {s, s->list + split, n - split, &barrier, 0, 0}};
	pthread_t thread;
	double pause;

	if (s->ops->freeze(s, 0, &pause))
		return -1;
	pthread_barrier_init(&barrier, NULL, 2);
	errno = pthread_create(&thread, NULL, writer_main, &w[1]);
	if (errno) {
		pthread_barrier_destroy(&barrier);
		return side_fail(s, "no second thread, see ulimit -s and -u");
	}
	writer_main(&w[0]);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&barrier);
	*value = (fmax(w[0].end, w[1].end) - fmin(w[0].begin, w[1].begin)) / (double)n;
	return s->ops->thaw(s);
}

/* ---- files ---- */

const char *side_file(void)
{
	static char name[PATH_MAX];
	const char *folder = getenv("TMPDIR");

	snprintf(name, sizeof name, "%s/cowarena-bench.%ld", folder ? folder : "/tmp",
		 (long)getpid());
	return name;
}

void side_file_remove(void)
{
	unlink(side_file());
}

static int save(struct side *s, unsigned round, double *value)
{
	(void)round;
	return s->ops->write_out(s, false, value);
}

static int save_1pct(struct side *s, unsigned round, double *value)
{
	if (!round && s->ops->write_out(s, false, value))
		return -1;
	write_pages(s, s->list, pick(s, s->pages->count / 100, round));
	return s->ops->write_out(s, true, value);
}

/* Every page is written to once, at random, as fast as it goes. */
static int save_memory(struct side *s, unsigned round, double *value)
{
	return s->ops->write_out_busy(s, pick(s, s->pages->count, round), value);
}

const struct scenario scenarios[] = {
    {"pause_first", "us", pause_first, US, false},
    {"pause_clean", "us", pause_clean, US, false},
    {"pause_1pct", "us", pause_1pct, US, false},
    {"pause_10pct", "us", pause_10pct, US, false},
    {"pause_hot", "us", pause_hot, US, false},
    {"write_seq", "us", write_seq, US, false},
    {"write_rand", "us", write_rand, US, false},
    {"write_hot", "us", write_hot, US, false},
    {"rollback_1pct", "us", rollback_1pct, US, false},
    {"view_write_rand", "us", view_write_rand, US, false},
    {"roview_write_rand", "us", roview_write_rand, US, false},
    {"memory_rand", "bytes", memory_rand, 1, false},
    {"threads_2", "us", threads_2, US, false},
    {"write_first_p99", "us", write_first_p99, US, false},
    {"write_first_p999", "us", write_first_p999, US, false},
    {"write_first_max", "us", write_first_max, US, false},
    {"syscall_read", "us", syscall_read, US, false},
    {"read_after_cut", "us", read_after_cut, US, false},
    {"big_value", "us", big_value, US, false},
    {"save", "us", save, US, false},
    {"save_1pct", "us", save_1pct, US, false},
    {"save_memory", "MiB", save_memory, 0x1p-20, false},
};
const size_t scenario_count = sizeof scenarios / sizeof *scenarios;

int scenario_run(const struct scenario *scenario, struct side *side, unsigned round, double *value)
{
	double values[REPEATS];
	unsigned n = 0, most = scenario->repeated ? REPEATS : 1;
	double start = seconds_now();

	do {
		/* Each measurement has a round number of its own, so that it writes other pages. */
		if (scenario->run(side, round * most + n, &values[n]))
			return -1;
	} while (++n < most && seconds_now() - start < REPEAT_SECONDS);
	*value = range_of(values, n).median * scenario->scale;
	return 0;
}
