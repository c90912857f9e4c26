/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-kernel.c - the kernel as the oracle of faithful mode.
 *
 * The same random trace runs twice, step by step: on private memory with fork() and children that
 * exit, and on an arena with snapshots and releases. After each write both sides must have counted
 * the same: whether there was a fault, and if so, whether the page was copied, reused, or touched
 * for the first time. When a child exits, the bytes that it saw must be those of the snapshot.
 *
 * The kernel's side is counted so: faults by getrusage(); what a fault did by the page's entry in
 * /proc/self/pagemap just before it (bit 63: present; bit 56: mapped by nobody else, so that a
 * write reuses it. Linux, Documentation/admin-guide/mm/pagemap.rst).
 */
#include "config.h"

#include "common.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES_MAX 64
#define CHILDREN 5

struct side {
	uint64_t faults, copied, reused, zero;
};

/* In memory that fork() shares: writing to it never faults for copy-on-write. */
struct shared {
	struct rusage before, after;
	char bytes[];
};

struct pair { /* a child and the snapshot that should equal it */
	pid_t pid;
	int wake; /* write a byte: the child shows its memory and exits */
	cowarena_snapshot *snapshot;
};

struct trace {
	int kind; /* of arena */
	uint64_t rng, seed;
	size_t pages, step;
	char *kernel, *live;
	struct shared *shared;
	int pagemap;
	cowarena *arena;
	struct pair pairs[CHILDREN];
	struct side total;
};

static struct side kernel_write(struct trace *t, size_t page, char byte)
{
	char *at = t->kernel + page * page_size();
	struct side s = {0};
	uint64_t entry;

	ck_assert_int_eq(pread(t->pagemap, &entry, sizeof entry,
			       (off_t)((uintptr_t)at / page_size() * sizeof entry)),
			 sizeof entry);
	/* The calls' own stack page has been written by the first one, so only the store can
	   fault. */
	getrusage(RUSAGE_THREAD, &t->shared->before);
	*(volatile char *)at = byte;
	getrusage(RUSAGE_THREAD, &t->shared->after);
	/* One store to one page needs one fault at most. If there were more, then the page of
	   this very code had been reclaimed meanwhile. */
	s.faults = t->shared->after.ru_minflt > t->shared->before.ru_minflt;
	if (s.faults) {
		if (!(entry >> 63 & 1))
			s.zero = 1;
		else if (entry >> 56 & 1)
			s.reused = 1;
		else
			s.copied = 1;
	}
	return s;
}

static struct side arena_write(struct trace *t, size_t page, char byte)
{
	struct cowarena_stats before = stats_of(t->arena), after;

	((volatile char *)t->live)[page * page_size()] = byte;
	after = stats_of(t->arena);
	return (struct side){after.faults - before.faults, after.copied - before.copied,
			     after.reused - before.reused, after.zero - before.zero};
}

static void both_write(struct trace *t)
{
	size_t page = rng(&t->rng) % t->pages;
	char byte = (char)rng(&t->rng);
	struct side k = kernel_write(t, page, byte), a = arena_write(t, page, byte);

	if (memcmp(&k, &a, sizeof k))
		ck_abort_msg(
		    "seed %llu, step %zu, page %zu of %zu: kernel %d faults %d copied %d reused %d "
		    "zero, arena %d %d %d %d",
		    (unsigned long long)t->seed, t->step, page, t->pages, (int)k.faults,
		    (int)k.copied, (int)k.reused, (int)k.zero, (int)a.faults, (int)a.copied,
		    (int)a.reused, (int)a.zero);
	t->total.faults += a.faults;
	t->total.copied += a.copied;
	t->total.reused += a.reused;
	t->total.zero += a.zero;
}

static void both_fork(struct trace *t, struct pair *p)
{
	int fd[2];
	char go;

	ck_assert_int_eq(pipe(fd), 0);
	p->pid = fork();
	ck_assert_int_ge(p->pid, 0);
	if (p->pid == 0) {
		if (read(fd[0], &go, 1) != 1)
			_exit(1);
		for (size_t i = 0; i < t->pages * page_size(); i++)
			t->shared->bytes[i] = t->kernel[i];
		_exit(0);
	}
	close(fd[0]);
	p->wake = fd[1];
	p->snapshot = take_snapshot(t->arena, 0);
	ck_assert_ptr_nonnull(p->snapshot);
}

static void both_exit(struct trace *t, struct pair *p)
{
	size_t n = t->pages * page_size();
	char *seen = malloc(n);
	int status;

	ck_assert_int_eq(write(p->wake, "x", 1), 1);
	close(p->wake);
	ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(cowarena_snapshot_read(p->snapshot, seen, t->live, n), 0);
	if (memcmp(seen, t->shared->bytes, n))
		ck_abort_msg("seed %llu, step %zu: the child and the snapshot differ",
			     (unsigned long long)t->seed, t->step);
	free(seen);
	ck_assert_int_eq(cowarena_snapshot_release(p->snapshot), 0);
	*p = (struct pair){0};
}

static void one_trace(struct trace *t, uint64_t seed)
{
	t->rng = t->seed = seed;
	t->pages = rng(&t->rng) % 4 ? 1 + rng(&t->rng) % 8 : 1 + rng(&t->rng) % PAGES_MAX;
	t->kernel = mmap(NULL, t->pages * page_size(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(t->kernel, MAP_FAILED);
	madvise(t->kernel, t->pages * page_size(), MADV_NOHUGEPAGE);
	t->arena = arena_case(t->kind);
	t->live = page_block(t->arena, t->pages);

	size_t steps = 30 + rng(&t->rng) % 60;
	for (t->step = 0; t->step < steps; t->step++) {
		struct pair *p = &t->pairs[rng(&t->rng) % CHILDREN];
		switch (rng(&t->rng) % 8) {
		case 0:
			if (!p->snapshot)
				both_fork(t, p);
			break;
		case 1:
			if (p->snapshot)
				both_exit(t, p);
			break;
		default:
			both_write(t);
		}
	}
	for (int i = 0; i < CHILDREN; i++)
		if (t->pairs[i].snapshot)
			both_exit(t, &t->pairs[i]);
	ck_assert_mem_eq(t->kernel, t->live, t->pages * page_size());
	munmap(t->kernel, t->pages * page_size());
	cowarena_destroy(t->arena);
}

START_TEST(the_same_faults_and_copies)
{
	static const int kinds[] = {CASE_FAITHFUL, CASE_UFFD_FAITHFUL, CASE_HYBRID_FAITHFUL};
	struct trace t = {.kind = kinds[_i],
			  .pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
	size_t traces = scaled(1000, 20000, 100);
	uint64_t seed = seed_of_run(1);

	if (t.pagemap < 0 || sanitized()) {
		printf("SKIP: the kernel's faults cannot be counted: %s\n",
		       sanitized() ? "a sanitizer's own memory faults too"
				   : "no /proc/self/pagemap");
		return;
	}
	/* Where memory is short, the kernel reclaims pages of program text, and getting them
	   back counts as a fault. Best effort: the limit of locked memory may forbid it. */
	mlockall(MCL_CURRENT);
	/* A page that waits in another processor's list of new pages counts as used by
	   somebody else. */
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof one, &one);

	t.shared = mmap(NULL, sizeof *t.shared + PAGES_MAX * page_size(), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(t.shared, MAP_FAILED);
	memset(t.shared, 0, sizeof *t.shared + PAGES_MAX * page_size());
	if (getenv("COWARENA_SEED"))
		traces = 1;
	for (size_t i = 0; i < traces; i++)
		one_trace(&t, seed + i);
	printf(
	    "%zu traces: %llu faults, %llu copied, %llu reused, %llu first touches on both sides\n",
	    traces, (unsigned long long)t.total.faults, (unsigned long long)t.total.copied,
	    (unsigned long long)t.total.reused, (unsigned long long)t.total.zero);
	if (traces >= 100) { /* it has seen everything that it compares */
		ck_assert_uint_gt(t.total.copied, traces);
		ck_assert_uint_gt(t.total.reused, traces / 4);
		ck_assert_uint_gt(t.total.zero, traces);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel");
	TCase *tc = tcase_create("kernel");

	tcase_add_loop_test(tc, the_same_faults_and_copies, 0, 3);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
