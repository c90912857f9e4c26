/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux-wait.c - os.h on Linux: waiting, and the clock. */
#include "config.h"

#include "os.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS 50000

/* A futex whose value has changed meanwhile is no failure, and must not show in errno. */
static void futex(_Atomic uint32_t *word, int operation, uint32_t value,
		  const struct timespec *timeout)
{
	int e = errno;

	syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
	errno = e;
}

void os_wait(_Atomic uint32_t *word, uint32_t value)
{
	futex(word, FUTEX_WAIT_PRIVATE, value, NULL);
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
				 .tv_nsec = (long)(ns % 1000000000u)};
}

void os_wait_at_most(_Atomic uint32_t *word, uint32_t value, uint64_t ns)
{
	struct timespec most = timespec_of(ns);

	futex(word, FUTEX_WAIT_PRIVATE, value, &most);
}

void os_wake_one(_Atomic uint32_t *word)
{
	futex(word, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void os_wake_all(_Atomic uint32_t *word)
{
	futex(word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}

void os_sleep(uint64_t ns)
{
	struct timespec t = timespec_of(ns);
	int e = errno;

	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
	errno = e;
}

void os_nap(void)
{
	/* Not sched_yield(): that never lets a thread of lower real-time priority run. */
	os_sleep(NAP_NS);
}

uint64_t os_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
