/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * costs.c - what the steps of copy-on-write cost on this machine, without the library.
 *
 * Each step is repeated for a fortieth of a second, in small groups; the cost is the median of the
 * groups, so that an interruption does not count.
 */
#include "config.h"

#include "bench.h"
#include "costs.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECONDS 0.025
#define DEAR 15     /* copies of a page that the kernel's own copy, with its fault, costs */
#define EACH 16     /* steps in a group */
#define PAGES 4096u /* so many that they are in no cache; a power of two */
#define GROUPS (PAGES / EACH) /* so no page has two turns */
#define STRIDE 1237           /* odd, so that every page has one */

static struct {
	size_t page, next;
	char *from, *to;
} memory;

static size_t next_page(void)
{
	memory.next = (memory.next + STRIDE) % PAGES;
	return memory.next * memory.page;
}

/* In nanoseconds. */
static double median_of(void (*step)(void))
{
	double taken[GROUPS], start = seconds_now();
	unsigned n = 0;

	do {
		double before = seconds_now();
		for (int i = 0; i < EACH; i++)
			step();
		taken[n++] = (seconds_now() - before) / EACH;
	} while (n < GROUPS && seconds_now() - start < SECONDS);
	return range_of(taken, n).median * 1e9;
}

/* A page becomes read-only, which splits a mapping, and writable again, which joins three. */
static void protect(void)
{
	char *p = memory.from + next_page();

	mprotect(p, memory.page, PROT_READ);
	mprotect(p, memory.page, PROT_READ | PROT_WRITE);
}

static void nothing(int signum)
{
	(void)signum;
}

static void signal_itself(void)
{
	raise(SIGUSR2);
}

static void copy(void)
{
	size_t at = next_page();

	memcpy(memory.to + at, memory.from + at, memory.page);
}

/* The first write to a page of a private mapping that has been read: as after fork(). */
static void fault(void)
{
	((volatile char *)memory.to)[next_page()]++;
}

static bool map(void)
{
	size_t n = PAGES * (memory.page = (size_t)sysconf(_SC_PAGESIZE));
	int fd = memfd_create("cowarena-costs", MFD_CLOEXEC);
	bool mapped = fd >= 0 && ftruncate(fd, (off_t)n) == 0;

	memory.from = memory.to = MAP_FAILED;
	if (mapped)
		memory.from = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory.from != MAP_FAILED)
		memory.to = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	mapped = memory.to != MAP_FAILED;
	if (mapped) {
		memset(memory.from, 1, n);
		for (size_t i = 0; i < n; i += memory.page)
			(void)((volatile char *)memory.to)[i];
	}
	return mapped;
}

static void unmap(void)
{
	size_t n = PAGES * memory.page;

	if (memory.from != MAP_FAILED)
		munmap(memory.from, n);
	if (memory.to != MAP_FAILED)
		munmap(memory.to, n);
}

bool costs_measure(struct costs *costs)
{
	struct sigaction ours = {.sa_handler = nothing}, before;
	sigset_t open, mask;
	bool mapped = map();

	if (mapped) {
		/* First, while the pages are still the file's. */
		costs->fault_ns = median_of(fault);
		costs->protect_ns = median_of(protect) / 2;
		costs->copy_ns = median_of(copy);
		sigemptyset(&open);
		sigaddset(&open, SIGUSR2);
		sigprocmask(SIG_UNBLOCK, &open, &mask);
		sigaction(SIGUSR2, &ours, &before);
		costs->signal_ns = median_of(signal_itself);
		sigaction(SIGUSR2, &before, NULL);
		sigprocmask(SIG_SETMASK, &mask, NULL);
	}
	unmap();
	return mapped;
}

bool costs_are_dear(const struct costs *costs)
{
	return costs->fault_ns > DEAR * costs->copy_ns;
}
