/* SPDX-License-Identifier: BSD-2-Clause */
/* inject.c - see inject.h. */
#include "config.h"

#include "inject.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>

/* Newer than some C libraries' headers. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Atomics only: other threads and the fault handler count too. */
static struct {
	_Atomic int kind;
	_Atomic size_t first, count, calls;
	_Atomic int errnum;
	_Atomic bool half, hit;
} armed;

static atomic_long records;

/* In the program itself, so that reading it in a handler allocates nothing. */
static _Thread_local bool outside;

static bool collapses, pokes;

void inject_init(bool collapse, bool poke)
{
	collapses = collapse;
	pokes = poke;
	outside = true;
}

void inject_enter(void)
{
	outside = false;
}

void inject_leave(void)
{
	outside = true;
}

void inject_arm(enum inject_kind kind, size_t n, int errnum, size_t count, bool half)
{
	atomic_store(&armed.kind, INJECT_NOTHING);
	atomic_store(&armed.first, n);
	atomic_store(&armed.count, count);
	atomic_store(&armed.errnum, errnum);
	atomic_store(&armed.half, half);
	atomic_store(&armed.hit, false);
	atomic_store(&armed.calls, 0);
	atomic_store(&armed.kind, kind);
}

bool inject_disarm(void)
{
	atomic_store(&armed.kind, INJECT_NOTHING);
	return inject_hit();
}

bool inject_hit(void)
{
	return atomic_load(&armed.hit);
}

size_t inject_calls(void)
{
	return atomic_load(&armed.calls);
}

long inject_records(void)
{
	return atomic_load(&records);
}

/* Whether this call is to fail: then errno is set. */
static bool fails(enum inject_kind kind)
{
	if (outside || atomic_load(&armed.kind) != (int)kind)
		return false;
	size_t call = atomic_fetch_add(&armed.calls, 1) + 1, first = atomic_load(&armed.first);
	if (call < first || call - first >= atomic_load(&armed.count))
		return false;
	atomic_store(&armed.hit, true);
	errno = atomic_load(&armed.errnum);
	return true;
}

/* How much of n bytes a call that fails is to do before. */
static size_t done_before(size_t n)
{
	size_t page = os_page_size();

	return atomic_load(&armed.half) ? n / 2 / page * page : 0;
}

static void *counted(void *p)
{
	if (p && !outside)
		atomic_fetch_add(&records, 1);
	return p;
}

/* --wrap=F: calls of F become __wrap_F, and __real_F is F. */
#define WRAPPED(type, name, ...)                                                                   \
	type __real_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)

WRAPPED(void *, mmap, void *p, size_t n, int prot, int flags, int fd, off_t offset)
{
	return fails(INJECT_MMAP) ? MAP_FAILED : __real_mmap(p, n, prot, flags, fd, offset);
}

WRAPPED(int, munmap, void *p, size_t n)
{
	return fails(INJECT_MUNMAP) ? -1 : __real_munmap(p, n);
}

WRAPPED(int, mprotect, void *p, size_t n, int prot)
{
	if (!fails(INJECT_MPROTECT))
		return __real_mprotect(p, n, prot);
	int e = errno;
	if (done_before(n))
		__real_mprotect(p, done_before(n), prot);
	errno = e;
	return -1;
}

WRAPPED(int, madvise, void *p, size_t n, int advice)
{
	if (fails(INJECT_MADVISE))
		return -1;
	return advice == MADV_COLLAPSE && !collapses ? 0 : __real_madvise(p, n, advice);
}

WRAPPED(int, mincore, void *p, size_t n, unsigned char *vector)
{
	if (fails(INJECT_MINCORE))
		return -1;
	if (collapses)
		return __real_mincore(p, n, vector);
	memset(vector, 1, n / os_page_size());
	return 0;
}

WRAPPED(int, memfd_create, const char *name, unsigned flags)
{
	return fails(INJECT_MEMFD_CREATE) ? -1 : __real_memfd_create(name, flags);
}

WRAPPED(int, ftruncate, int fd, off_t n)
{
	return fails(INJECT_FTRUNCATE) ? -1 : __real_ftruncate(fd, n);
}

WRAPPED(int, sigaction, int signo, const struct sigaction *new, struct sigaction *old)
{
	return fails(INJECT_SIGACTION) ? -1 : __real_sigaction(signo, new, old);
}

/* These two return what others leave in errno. */
WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *),
	void *arg)
{
	return fails(INJECT_PTHREAD_CREATE) ? errno
					    : __real_pthread_create(thread, attr, main, arg);
}

WRAPPED(int, pthread_atfork, void (*before)(void), void (*parent)(void), void (*child)(void))
{
	return fails(INJECT_PTHREAD_ATFORK) ? errno : __real_pthread_atfork(before, parent, child);
}

WRAPPED(void *, records_take, size_t n)
{
	return fails(INJECT_RECORDS) ? NULL : counted(__real_records_take(n));
}

WRAPPED(void, records_give, void *p, size_t n)
{
	if (p && !outside)
		atomic_fetch_sub(&records, 1);
	__real_records_give(p, n);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* Whether nobody may write through it. */
static bool is_hidden(const long *arg)
{
	return !outside && !pokes && strcmp((const char *)arg[1], "/proc/self/mem") == 0;
}

/* The kind of a system call, if it is one that can fail here. */
static enum inject_kind kind_of(long number, const long *arg)
{
	switch (number) {
	case SYS_userfaultfd:
		return INJECT_USERFAULTFD;
	case SYS_pwrite64:
		return INJECT_PWRITE;
	case SYS_openat:
		return INJECT_OPEN;
	case SYS_read:
		return INJECT_READ;
#ifdef SYS_fstat
	case SYS_fstat:
		return INJECT_FSTAT;
#endif
	case SYS_madvise:
		return INJECT_POPULATE;
	case SYS_membarrier:
		return INJECT_MEMBARRIER;
	case SYS_futex: /* a call that only wakes has nothing to report */
		return (arg[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ? INJECT_FUTEX_WAIT : INJECT_NOTHING;
	case SYS_ioctl:
		switch ((unsigned long)arg[1]) {
		case UFFDIO_API:
			return INJECT_UFFD_API;
		case UFFDIO_REGISTER:
			return INJECT_UFFD_REGISTER;
		case UFFDIO_UNREGISTER:
			return INJECT_UFFD_UNREGISTER;
		case UFFDIO_WRITEPROTECT:
			return INJECT_UFFD_WRITEPROTECT;
		}
		return INJECT_NOTHING;
	}
	return INJECT_NOTHING;
}

/* To read more would look into the caller's variables, which AddressSanitizer minds. */
static int arguments_of(long number)
{
	switch (number) {
	case SYS_gettid:
		return 0;
	case SYS_userfaultfd:
	case SYS_close:
		return 1;
#ifdef SYS_fstat
	case SYS_fstat:
		return 2;
#endif
	case SYS_openat:
	case SYS_read:
	case SYS_lseek:
	case SYS_madvise:
	case SYS_membarrier:
	case SYS_ioctl:
	case SYS_write:
		return 3;
	case SYS_pwrite64:
	case SYS_pread64:
	case SYS_clock_nanosleep:
	case SYS_rt_sigaction:
	case SYS_rt_sigprocmask:
	case SYS_rt_tgsigqueueinfo:
		return 4;
	}
	return 6;
}

long __wrap_syscall(long number, ...)
{
	long arg[6] = {0};
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < arguments_of(number); i++)
		arg[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat && is_hidden(arg)) {
		errno = EACCES;
		return -1;
	}
	enum inject_kind kind = kind_of(number, arg);
	if (!kind || !fails(kind))
		return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	int e = errno;
	if (kind == INJECT_UFFD_WRITEPROTECT) {
		struct uffdio_writeprotect w = *(struct uffdio_writeprotect *)arg[2];
		w.range.len = done_before(w.range.len);
		if (w.range.len)
			__real_syscall(number, arg[0], arg[1], &w);
	}
	errno = e;
	return -1;
}
