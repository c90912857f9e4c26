/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.h - makes a chosen call to the kernel, or to the pool of records, fail.
 *
 * The program is linked with --wrap for each of these functions (Makefile.am), so that the
 * library's calls come here first. A call counts if the library makes it: on a thread other than
 * the test's, or between inject_enter() and inject_leave(). All of this may run in the fault
 * handler.
 */
#ifndef COWARENA_TESTS_INJECT_H
#define COWARENA_TESTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>

enum inject_kind {
	INJECT_NOTHING,
	/* Functions of the C library. */
	INJECT_MMAP,
	INJECT_MUNMAP,
	INJECT_MPROTECT,
	INJECT_MADVISE,
	INJECT_MINCORE,
	INJECT_MEMFD_CREATE,
	INJECT_FTRUNCATE,
	INJECT_SIGACTION,
	INJECT_PTHREAD_CREATE,
	INJECT_PTHREAD_ATFORK,
	/* Called by syscall(2). */
	INJECT_FSTAT,
	INJECT_OPEN,
	INJECT_READ,
	INJECT_UFFD_API,
	INJECT_USERFAULTFD,
	INJECT_UFFD_REGISTER,
	INJECT_UFFD_UNREGISTER,
	INJECT_UFFD_WRITEPROTECT,
	INJECT_PWRITE,
	INJECT_POPULATE, /* madvise */
	INJECT_FUTEX_WAIT,
	INJECT_MEMBARRIER,
	/* The library's own pool (records.h), which calls the kernel only from time to time. */
	INJECT_RECORDS,
	INJECT_KINDS
};

/*
 * The calling thread becomes the test's. Without `collapse`, every chunk is reported as resident
 * and collapsed, though it is not: that changes no byte, and collapsing takes milliseconds. Without
 * `poke`, writes through /proc/self/mem are refused, as in some sandboxes.
 */
void inject_init(bool collapse, bool poke);

/* The test's thread enters the library; leaves it. */
void inject_enter(void);
void inject_leave(void);

/*
 * From the n-th call of that kind on, make `count` calls fail with errnum. half: such a call first
 * does half of its range (mprotect, UFFDIO_WRITEPROTECT).
 */
void inject_arm(enum inject_kind kind, size_t n, int errnum, size_t count, bool half);

/* Stop failing. Returns whether a call has failed since inject_arm(). */
bool inject_disarm(void);

/* Whether a call has failed since inject_arm(); the number of calls since then, with those that
   failed. */
bool inject_hit(void);
size_t inject_calls(void);

/* Number of records that the library has taken and not returned. */
long inject_records(void);

#endif
