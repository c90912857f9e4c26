/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject.h - lets a chosen call to the kernel or to the pool of records fail.
 *
 * The program is linked with --wrap for each of these functions (Makefile.am), so that the
 * library's calls come here first. A call counts when it is made in the library: by another
 * thread than the test's, or between inject_enter() and inject_leave(). All of this may run in
 * the fault handler.
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
	/* By syscall(2). */
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
	/* The library's own: the pool (records.h), which goes to the kernel now and then only. */
	INJECT_RECORDS,
	INJECT_KINDS
};

/*
 * The calling thread is the test's from now on. Without `collapse` every chunk seems to have all
 * its memory, and to be collapsed, which it is not: no byte depends on it, and it takes
 * milliseconds. Without `poke` nobody may write through /proc/self/mem, as in some sandboxes.
 */
void inject_init(bool collapse, bool poke);

/* The test's thread goes into the library, and comes back. */
void inject_enter(void);
void inject_leave(void);

/*
 * Let the n-th call of that kind from now on, and the count - 1 after it, fail with errnum. Half:
 * having done the first half of its range (mprotect, UFFDIO_WRITEPROTECT).
 */
void inject_arm(enum inject_kind kind, size_t n, int errnum, size_t count, bool half);

/* No call fails any more. Returns whether one has since inject_arm(). */
bool inject_disarm(void);

/* Whether a call has failed since inject_arm(); how many there were, failed ones included. */
bool inject_hit(void);
size_t inject_calls(void);

/* Records that the library has taken, and has not given back. */
long inject_records(void);

#endif
