/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * primitives.c - what each step of a user-space copy-on-write fault costs on this machine.
 *
 *   bench/primitives [MiB] [pages written]        (make bench builds and runs it)
 *
 * Prints medians of several rounds: fork and its copy-on-write faults; arming by mprotect and by
 * userfaultfd (with intact huge mappings too); and one write fault resolved in five ways, in random
 * and sequential order.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define WP_SHMEM (1u << 12) /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM, absent from older headers */
#define ROUNDS 5
#define CHUNK (2ul << 20)

static size_t page, npages;
static char *live, *frames, *view;
static volatile size_t next_frame, window = 1;
static volatile int uffd = -1;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof *v, by_value);
	return v[ROUNDS / 2];
}

static void arm(char *p, size_t n, int on)
{
	if (uffd >= 0) {
		struct uffdio_writeprotect w = {.range = {(uintptr_t)p, n},
						.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
		if (ioctl(uffd, UFFDIO_WRITEPROTECT, &w))
			_exit(9);
	} else if (mprotect(p, n, on ? PROT_READ : PROT_READ | PROT_WRITE)) {
		_exit(8);
	}
}

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	size_t first = (((char *)si->si_addr - live) / page) & ~(window - 1);
	(void)sig, (void)ctx;
	if (view)
		__atomic_fetch_or(view + first * page, 0, __ATOMIC_RELAXED);
	else
		memcpy(frames + next_frame * page, live + first * page, window * page);
	next_frame += window;
	arm(live + first * page, window * page, 0);
}

static int open_uffd(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
					     WP_SHMEM};
	struct uffdio_register reg = {.range = {(uintptr_t)live, npages * page},
				      .mode = UFFDIO_REGISTER_MODE_WP};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 256;
	size_t writes = argc > 2 ? strtoul(argv[2], NULL, 0) : 20000;
	double a[ROUNDS], w[ROUNDS];
	page = sysconf(_SC_PAGESIZE);
	npages = mib * (1ul << 20) / page;
	if (writes > npages / 2)
		writes = npages / 2;

	size_t *order = malloc(npages * sizeof *order);
	uint64_t x = 88172645463325252ull;
	for (size_t i = 0; i < npages; i++)
		order[i] = i;
	for (size_t i = npages - 1; i > 0; i--) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		size_t j = x % (i + 1), t = order[i];
		order[i] = order[j], order[j] = t;
	}

	char *priv =
	    mmap(NULL, npages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(priv, npages * page, MADV_NOHUGEPAGE);
	for (int rnd = 1; rnd >= 0; rnd--) {
		for (int r = 0; r < ROUNDS; r++) {
			memset(priv, r, npages * page);
			double t = now();
			pid_t child = fork();
			if (!child) {
				pause();
				_exit(0);
			}
			a[r] = now() - t;
			t = now();
			for (size_t i = 0; i < writes; i++)
				((volatile char *)priv)[(rnd ? order[i] : i) * page]++;
			w[r] = now() - t;
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
		}
		printf("kernel  fork %6.2f ms/GiB   COW fault %s %.2f us/page\n",
		       median(a) * 1e3 / mib * 1024, rnd ? "random    " : "sequential",
		       median(w) * 1e6 / writes);
	}
	munmap(priv, npages * page);

	frames =
	    mmap(NULL, npages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(frames, 1, npages * page);
	int fd = memfd_create("primitives", MFD_CLOEXEC);
	if (ftruncate(fd, npages * page))
		return 1;
	char *raw = mmap(NULL, npages * page + CHUNK, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	live = (char *)(((uintptr_t)raw + CHUNK - 1) & ~(CHUNK - 1));
	mmap(live, npages * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	memset(live, 1, npages * page);

	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	static const char *const how[] = {"frame", "frame, 16 ahead", "frame, 64 ahead",
					  "open view"};
	for (int engine = 0; engine < 2; engine++) {
		if (engine && (uffd = open_uffd()) < 0) {
			perror("userfaultfd");
			break;
		}
		for (int rnd = 1; rnd >= 0; rnd--)
			for (int m = 0; m < 4; m++) {
				if (rnd && (m == 1 || m == 2))
					continue;
				window = m == 1 ? 16 : m == 2 ? 64 : 1;
				for (int r = 0; r < ROUNDS; r++) {
					next_frame = 0;
					view = m == 3 ? mmap(NULL, npages * page,
							     PROT_READ | PROT_WRITE, MAP_PRIVATE,
							     fd, 0)
						      : NULL;
					arm(live, npages * page, 0);
					memset(live, r, npages * page);
					double t = now();
					arm(live, npages * page, 1);
					a[r] = now() - t;
					t = now();
					for (size_t i = 0; i < writes; i++)
						((volatile char *)
						     live)[(rnd ? order[i] : i) * page]++;
					w[r] = now() - t;
					if (view)
						munmap(view, npages * page);
				}
				printf("%s arm %6.2f ms/GiB   %-16s %s %.2f us/page\n",
				       engine ? "uffd   " : "sigsegv", median(a) * 1e3 / mib * 1024,
				       how[m], rnd ? "random    " : "sequential",
				       median(w) * 1e6 / writes);
			}
		arm(live, npages * page, 0);
	}
	close(uffd), uffd = -1;
	if (madvise(live, npages * page, MADV_COLLAPSE) == 0) {
		double t = now();
		arm(live, npages * page, 1);
		printf("sigsegv arm %6.2f ms/GiB   collapsed into huge mappings\n",
		       (now() - t) * 1e3 / mib * 1024);
	}
	return 0;
}
