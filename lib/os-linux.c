/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux.c - the contract of os.h on Linux, version 5.4 or later. */
#include "config.h"

#include "os-linux.h"
#include "os.h"
#include "track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/* Newer than some C libraries' headers. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/*
 * System calls whose wrappers in the C library are cancellation points are made by syscall(2): a
 * thread that was cancelled there would leave a page or a lock of ours locked for ever.
 * (tests/lint-cancel.sh)
 */
_Static_assert(sizeof(void *) == 8, "cowarena wants a 64-bit address space");

#define DEFAULT_MAPPING_LIMIT 65530 /* the kernel's DEFAULT_MAX_MAP_COUNT */
#define THREAD_STACK ((size_t)256 << 10)

size_t os_page_size(void)
{
	/* Every thread writes the same value, so a race does no harm. */
	static _Atomic size_t size;

	if (!size)
		size = (size_t)sysconf(_SC_PAGESIZE);
	return size;
}

/* ---- what failed ---- */

/* A pointer, since thread-local storage is scarce (error.c); of the TLS model that a signal handler
   may use. */
static _Thread_local const char *failed_call __attribute__((tls_model("initial-exec")));

int failed_in(const char *call)
{
	failed_call = call;
	return -1;
}

const char *os_failed_call(void)
{
	return failed_call;
}

bool is_refusal(int errnum)
{
	return errnum == EPERM || errnum == EACCES || errnum == ENOSYS || errnum == EINVAL;
}

/* ---- descriptors ---- */

void os_close(int fd)
{
	int e = errno;

	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = e;
}

int above_standard(int (*open_one)(int arg), int arg)
{
	int fd = open_one(arg);

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int higher = above_standard(open_one, arg);
	os_close(fd);
	return higher;
}

/* By syscall number: fstat() is a function only in newer C libraries. */
int status_of(int fd, struct stat *status)
{
	int e = errno;
#ifdef SYS_fstat
	int failed = syscall(SYS_fstat, fd, status) ? errno : 0;
#else
	int failed = fstat(fd, status) ? errno : 0;
#endif

	errno = e;
	return failed;
}

void os_file_set(struct os_file *file, int fd)
{
	struct stat status = {0};
	bool known = fd >= 0 && status_of(fd, &status) == 0;

	__atomic_store_n(&file->known, known, __ATOMIC_RELAXED);
	__atomic_store_n(&file->device, (uint64_t)status.st_dev, __ATOMIC_RELAXED);
	__atomic_store_n(&file->inode, (uint64_t)status.st_ino, __ATOMIC_RELAXED);
	/* Last: pairs with the acquire of os_file_is_ours(), which so finds the identity that
	   belongs to the number. */
	__atomic_store_n(&file->fd, fd, __ATOMIC_RELEASE);
}

bool os_file_is_ours(const struct os_file *file)
{
	struct stat status;

	int fd = __atomic_load_n(&file->fd, __ATOMIC_ACQUIRE);

	if (fd < 0)
		return false;
	int failed = status_of(fd, &status);
	if (failed || !__atomic_load_n(&file->known, __ATOMIC_RELAXED))
		return failed != EBADF;
	return __atomic_load_n(&file->device, __ATOMIC_RELAXED) == status.st_dev &&
	       __atomic_load_n(&file->inode, __ATOMIC_RELAXED) == status.st_ino;
}

void os_file_close(struct os_file *file)
{
	if (os_file_is_ours(file))
		os_close(file->fd);
	__atomic_store_n(&file->fd, -1, __ATOMIC_RELAXED);
}

/* ---- limits ---- */

enum fact { MAPPING_LIMIT, HUGE_PAGE_SIZE, OVERCOMMIT };

static int open_fact(int fact)
{
	static const char *const paths[] = {
	    [MAPPING_LIMIT] = "/proc/sys/vm/max_map_count",
	    [HUGE_PAGE_SIZE] = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
	    [OVERCOMMIT] = "/proc/sys/vm/overcommit_memory"};

	return (int)syscall(SYS_openat, AT_FDCWD, paths[fact], O_RDONLY | O_CLOEXEC);
}

/* The number that the kernel shows in a file; 0 where there is none, or a sandbox hides it. */
static size_t read_fact(enum fact fact)
{
	char text[32] = "";
	int e = errno;
	int fd = above_standard(open_fact, (int)fact);
	ssize_t n = fd < 0 ? 0 : syscall(SYS_read, fd, text, sizeof text - 1);

	os_close(fd);
	errno = e;
	return n > 0 ? strtoul(text, NULL, 10) : 0;
}

size_t os_mapping_limit(void)
{
	size_t limit = read_fact(MAPPING_LIMIT);

	return limit ? limit : DEFAULT_MAPPING_LIMIT;
}

bool os_counts_private_memory(void)
{
	return read_fact(OVERCOMMIT) == 2; /* OVERCOMMIT_NEVER */
}

size_t os_huge_page_size(void)
{
	static _Atomic size_t known; /* every thread writes the same value */
	size_t page = os_page_size(), size = known;

	if (!size) {
		size = read_fact(HUGE_PAGE_SIZE);
		/* A table of 8-byte entries fills a page, and one entry of the level above can map
		   the pages of a whole table. */
		if (size <= page || size & (size - 1))
			size = page / 8 * page;
		known = size;
	}
	return size;
}

size_t os_file_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_FSIZE, &r) || r.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	return r.rlim_cur;
}

/* ---- address space ---- */

void *os_reserve(size_t n, size_t align, void *fixed)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	if (fixed) {
		void *p = mmap(fixed, n, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
		if (p == MAP_FAILED) {
			failed_in("mmap(2)");
			return NULL;
		}
		if (p !=
		    fixed) { /* before Linux 4.17 the flag is unknown, and the address a hint */
			os_unmap(p, n);
			errno = EEXIST;
			return NULL;
		}
		return p;
	}
	os_unmap_again();
	char *raw = mmap(NULL, n + align, PROT_NONE, flags, -1, 0);
	if (raw == MAP_FAILED) {
		failed_in("mmap(2)");
		return NULL;
	}
	char *p = (char *)(((uintptr_t)raw + align - 1) & ~(uintptr_t)(align - 1));
	if (p > raw)
		os_unmap(raw, (size_t)(p - raw));
	if (raw + align > p)
		os_unmap(p + n, (size_t)(raw + align - p));
	return p;
}

static void *map_anonymous(size_t n, int sharing)
{
	os_unmap_again();
	void *p =
	    mmap(NULL, n, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p != MAP_FAILED)
		return p;
	failed_in("mmap(2)");
	return NULL;
}

void *os_map_anonymous(size_t n)
{
	return map_anonymous(n, MAP_PRIVATE);
}

void *os_map_anonymous_shared(size_t n)
{
	return map_anonymous(n, MAP_SHARED);
}

static int create_memory(int unused)
{
	(void)unused;
	return memfd_create("cowarena", MFD_CLOEXEC);
}

int os_memory_file(struct os_file *file, size_t n)
{
	*file = OS_NO_FILE;
	if (n > os_file_limit()) { /* ftruncate(2) would raise SIGXFSZ */
		errno = EFBIG;
		return -1;
	}
	int fd = above_standard(create_memory, 0);
	if (fd < 0)
		return failed_in("memfd_create(2)");
	if (ftruncate(fd, (off_t)n)) {
		os_close(fd);
		return failed_in("ftruncate(2)");
	}
	os_file_set(file, fd);
	return 0;
}

void os_punch(void *p, size_t n)
{
	int e = errno;

	madvise(p, n, MADV_REMOVE);
	errno = e;
}

static off_t seek(int fd, off_t at, int whence)
{
	return syscall(SYS_lseek, fd, at, whence);
}

bool os_next_memory(const struct os_file *file, size_t from, size_t *start, size_t *end)
{
	int e = errno;

	if (!os_file_is_ours(file))
		return false;
	off_t at = seek(file->fd, (off_t)from, SEEK_DATA);
	off_t stop = at < 0 || !end ? at : seek(file->fd, at, SEEK_HOLE);

	if (at < 0 && errno == ENXIO) /* there is no more */
		at = stop = seek(file->fd, 0, SEEK_END);
	errno = e;
	if (at < 0 || stop < 0)
		return false;
	*start = (size_t)at;
	if (end)
		*end = (size_t)stop;
	return true;
}

void os_memory_free(const struct os_file *file, void *p, size_t n)
{
	int e = errno;

	/* The first page first: a child that is about to copy looks there last. */
	if (!os_file_is_ours(file) || ftruncate(file->fd, 0)) {
		os_punch(p, os_page_size());
		os_punch(p, n);
	}
	errno = e;
}

size_t os_memory_used(const struct os_file *file)
{
	struct stat status;

	if (!os_file_is_ours(file) || status_of(file->fd, &status))
		return 0;
	return (size_t)status.st_blocks * 512;
}

int os_map_shared(void *over, size_t n, const struct os_file *file)
{
	void *p = mmap(over, n, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd, 0);

	return p == MAP_FAILED ? failed_in("mmap(2)") : 0;
}

void *os_map_private(size_t n, const struct os_file *file)
{
	os_unmap_again();
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file->fd, 0);

	/* Checked afterwards: if the descriptor is ours now, it was ours when it was used. */
	if (p != MAP_FAILED && os_file_is_ours(file))
		return p;
	if (p != MAP_FAILED)
		os_unmap(p, n);
	failed_in("mmap(2)");
	if (p != MAP_FAILED || !os_file_is_ours(file))
		errno = EBADF;
	return NULL;
}

/* The kernel moves one mapping at a time. */
static int mremap_over(char *p, char *fresh, size_t n, size_t first)
{
	if (first < n && mremap(fresh + first, n - first, n - first, MREMAP_MAYMOVE | MREMAP_FIXED,
				p + first) == MAP_FAILED)
		return -1;
	return mremap(fresh, first, first, MREMAP_MAYMOVE | MREMAP_FIXED, p) == MAP_FAILED ? -1 : 0;
}

int os_map_anew(void *p, size_t n, size_t accessible)
{
	/* With an old length of 0 the kernel moves nothing: it makes a second mapping of the same
	   file, with the flags that madvise() has set (K21). */
	char *fresh = mremap(p, 0, n, MREMAP_MAYMOVE);

	if (fresh == MAP_FAILED)
		return -1;
	if (accessible < n) {
		madvise(fresh + accessible, n - accessible, MADV_DONTDUMP); /* best effort */
		if (mprotect(fresh + accessible, n - accessible, PROT_NONE)) {
			os_unmap(fresh, n);
			return -1;
		}
	}
	if (mprotect(fresh, accessible, PROT_READ | PROT_WRITE) ||
	    mremap_over(p, fresh, n, accessible)) {
		os_unmap(fresh, n);
		return -1;
	}
	return 0;
}

int os_map_zeros(void *p, size_t n)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

	return mmap(p, n, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ? -1 : 0;
}

int os_protect(void *p, size_t n, enum os_protection protection)
{
	static const int prot[] = {
	    [OS_NONE] = PROT_NONE, [OS_READ] = PROT_READ, [OS_READ_WRITE] = PROT_READ | PROT_WRITE};

	before_protection();
	return mprotect(p, n, prot[protection]) ? failed_in("mprotect(2)") : 0;
}

/*
 * An atomic or with 0 (K15): a plain load and store would undo what another thread writes in
 * between. The compiler must not know that the value is 0, or it makes the or a load (clang does).
 * Nothing is read before: a read would be a fault of its own. ThreadSanitizer would report a race
 * with the application's own reads and writes of that byte.
 */
TRACK_UNSEEN void os_touch(void *p)
{
	unsigned char zero = 0;

	__asm__ volatile("" : "+r"(zero));
	__atomic_fetch_or((unsigned char *)p, zero, __ATOMIC_RELAXED);
}

void os_populate(void *p, size_t n)
{
	int e = errno;

	/* Before Linux 5.14, and in sandboxes, touch each page. That changes no byte: the range may
	   be in use already. */
	if (madvise(p, n, MADV_POPULATE_WRITE) && is_refusal(errno))
		for (size_t i = 0; i < n; i += os_page_size())
			os_touch((char *)p + i);
	errno = e;
}

void os_discard(void *p, size_t n)
{
	int e = errno;

	madvise(p, n, MADV_DONTNEED);
	errno = e;
}

#define VECTOR 512

bool os_is_resident(void *p, size_t n)
{
	unsigned char vector[VECTOR];
	size_t page = os_page_size(), pages = n / page, resident = 0;

	for (size_t at = 0, piece; at < pages; at += piece) {
		piece = pages - at < VECTOR ? pages - at : VECTOR;
		if (mincore((char *)p + at * page, piece * page, vector))
			return false;
		for (size_t i = 0; i < piece; i++)
			resident += vector[i] & 1;
	}
	return resident >= pages - pages / 8;
}

size_t os_resident_pages(void *p, size_t n)
{
	unsigned char vector[VECTOR];
	size_t page = os_page_size(), pages = n / page < VECTOR ? n / page : VECTOR, i = 0;
	int e = errno;

	if (mincore(p, pages * page, vector)) {
		errno = e;
		return 0;
	}
	while (i < pages && vector[i] & 1)
		i++;
	return i;
}

static void map_runs(char *p, size_t page, const unsigned char *vector, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && (vector[end] & 1) == (vector[i] & 1);)
			end++;
		if (vector[i] & 1)
			madvise(p + i * page, (end - i) * page, MADV_POPULATE_READ);
	}
}

void os_map_resident(void *p, size_t n)
{
	unsigned char vector[VECTOR];
	size_t page = os_page_size(), pages = n / page;
	int e = errno;

	for (size_t at = 0, piece; at < pages; at += piece) {
		char *from = (char *)p + at * page;
		piece = pages - at < VECTOR ? pages - at : VECTOR;
		if (mincore(from, piece * page, vector) == 0)
			map_runs(from, page, vector, piece);
	}
	errno = e;
}

int os_collapse(void *p, size_t n)
{
	if (n != os_huge_page_size()) {
		errno = EINVAL;
		return -1;
	}
	return madvise(p, n, MADV_COLLAPSE);
}

int os_keep_from_children(void *p, size_t n)
{
	return madvise(p, n, MADV_DONTFORK) ? failed_in("madvise(2)") : 0;
}

void os_dump(void *p, size_t n, bool wanted)
{
	int e = errno;

	madvise(p, n, wanted ? MADV_DODUMP : MADV_DONTDUMP);
	errno = e;
}

/* ---- writing to the process's own read-only memory ---- */

static int open_memory(int unused)
{
	(void)unused;
	return (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC);
}

int os_poke_open(struct os_file *file)
{
	/* Linux may be configured or booted to refuse this (proc_mem.force_override), and a sandbox
	   may hide /proc: only an attempt tells (K13). */
	os_file_set(file, above_standard(open_memory, 0));
	if (file->fd < 0)
		return -1;
	size_t n = os_page_size();
	char *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool works = p != MAP_FAILED && os_poke(file, p, "x", 1) == 0 && *(volatile char *)p == 'x';
	if (p != MAP_FAILED)
		os_unmap(p, n);
	if (works)
		return 0;
	os_file_close(file);
	errno = EPERM;
	return -1;
}

int os_poke(const struct os_file *file, void *p, const void *bytes, size_t n)
{
	/* Otherwise the bytes would go to another file. */
	if (!os_file_is_ours(file))
		return -1;
	while (n) {
		ssize_t done = syscall(SYS_pwrite64, file->fd, bytes, n, (off_t)(uintptr_t)p);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		p = (char *)p + done;
		bytes = (const char *)bytes + done;
		n -= (size_t)done;
	}
	return 0;
}

/* Read [at, stop) of the file to p. */
static int read_range(int fd, char *p, off_t at, off_t stop)
{
	while (at < stop) {
		ssize_t got = syscall(SYS_pread64, fd, p, (size_t)(stop - at), at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0) /* truncated meanwhile */
			errno = ESTALE;
		if (got <= 0)
			return failed_in("pread64(2)");
		at += got;
		p += got;
	}
	return 0;
}

static int read_data(int fd, char *p, off_t begin, off_t end)
{
	off_t at = begin, stop;

	for (; (at = seek(fd, at, SEEK_DATA)) >= 0 && at < end; at = stop) {
		stop = seek(fd, at, SEEK_HOLE);
		if (stop < 0)
			return failed_in("lseek(2)");
		if (read_range(fd, p + (at - begin), at, stop < end ? stop : end))
			return -1;
	}
	return at < 0 && errno != ENXIO ? failed_in("lseek(2)") : 0; /* ENXIO: no more data */
}

int os_read_part(const struct os_file *file, size_t offset, void *p, size_t n)
{
	int result = read_data(file->fd, p, (off_t)offset, (off_t)(offset + n));

	/* Both are checked afterwards: what holds now has held all the time. */
	if (!os_file_is_ours(file)) {
		errno = EBADF;
		return -1;
	}
	off_t first = seek(file->fd, 0, SEEK_DATA);
	if (first > 0 || (first < 0 && errno == ENXIO)) {
		errno = ESTALE;
		return -1;
	}
	return result;
}

/* While a low number is held, the next one is higher. */
static int channel_above_standard(int fd[2])
{
	int low[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return failed_in("socketpair(2)");
	if (fd[0] > STDERR_FILENO && fd[1] > STDERR_FILENO)
		return 0;
	memcpy(low, fd, sizeof low);
	int result = channel_above_standard(fd);
	os_close(low[0]);
	os_close(low[1]);
	return result;
}

int os_channel(int *one, int *other)
{
	int fd[2];

	if (channel_above_standard(fd))
		return -1;
	*one = fd[0];
	*other = fd[1];
	return 0;
}

void os_channel_wait_at_most(int fd, uint64_t ns)
{
	struct timeval t = {.tv_sec = (time_t)(ns / 1000000000u),
			    .tv_usec = (suseconds_t)(ns % 1000000000u / 1000)};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

int os_send(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t done = syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		p = (const char *)p + done;
		n -= (size_t)done;
	}
	return 0;
}

int os_receive(int fd, void *p, size_t n)
{
	while (n) {
		ssize_t done = syscall(SYS_recvfrom, fd, p, n, 0, NULL, NULL);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		p = (char *)p + done;
		n -= (size_t)done;
	}
	return 0;
}

/* ---- signals ---- */

void os_block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	/* Blocking these would not delay a fault but kill the process (K4). If the thread has
	   blocked them, they stay blocked: the helper would take what was sent to the process. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_BLOCK, &all, old);
}

void os_restore_signals(const sigset_t *old)
{
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

void os_write_stderr(const char *text, size_t n)
{
	int e = errno;

	while (n) {
		ssize_t done = syscall(SYS_write, STDERR_FILENO, text, n);
		if (done <= 0 && errno != EINTR)
			break;
		if (done > 0) {
			text += done;
			n -= (size_t)done;
		}
	}
	errno = e;
}

/* ---- threads ---- */

/*
 * Undo what the thread inherits from the thread that starts it, which may be a real-time thread
 * bound to its processor: make it an ordinary thread, on the processors of the process's first
 * thread (whose id is the process's: K31). Done from outside, since the thread may never get to run
 * before. Where that is refused, the thread stays as it is.
 */
static void make_ordinary(pthread_t thread)
{
	_Alignas(cpu_set_t) unsigned char processors[8192 / 8]; /* the most that Linux can have */
	cpu_set_t *set = (cpu_set_t *)(void *)processors;

	memset(processors, 0, sizeof processors);
	pthread_setschedparam(thread, SCHED_OTHER, &(struct sched_param){0});
	if (sched_getaffinity(getpid(), sizeof processors, set) == 0)
		pthread_setaffinity_np(thread, sizeof processors, set);
}

int os_thread(pthread_t *thread, const char *name, void *(*main)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t signals;

	int failed = pthread_attr_init(&attr);
	if (failed)
		return failed;
	/* The stack also holds the program's thread-local storage; where that is large, this fails,
	   and the default stays. */
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	/* Fault signals stay open: the C library allocates here, maybe in an arena whose pages are
	   armed. */
	os_block_signals(&signals);
	failed = pthread_create(thread, &attr, main, arg);
	if (failed == EINVAL)
		failed = pthread_create(thread, NULL, main, arg);
	os_restore_signals(&signals);
	pthread_attr_destroy(&attr);
	if (failed) {
		failed_in("clone(2)");
		return failed;
	}
	make_ordinary(*thread);
	pthread_setname_np(*thread, name);
	return 0;
}

static _Atomic size_t threads_begun, threads_ended; /* of os_thread() */

void os_thread_begins(void)
{
	sigset_t all;

	/* For the life of the thread, and with the signals of wrong instructions: when sent to the
	   process, they are for the application's threads. (The C library exempts its own.) */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	atomic_fetch_add(&threads_begun, 1);
}

void os_thread_ends(void)
{
	atomic_fetch_add(&threads_ended, 1);
}

uintptr_t os_this_thread(void)
{
	return (uintptr_t)pthread_self(); /* costs no system call */
}

bool os_is_this_thread(uintptr_t number)
{
	return number == os_this_thread() || number == (uintptr_t)syscall(SYS_gettid);
}

/* Not to be cancelled: the caller frees next what the thread uses. */
void os_thread_join(pthread_t thread)
{
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_join(thread, NULL);
	pthread_setcancelstate(cancel, NULL);
}

bool os_is_alone(void)
{
	struct stat status;
	int e = errno;
	size_t begun = atomic_load(&threads_begun), ended = atomic_load(&threads_ended);
	long failed = syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &status, 0);

	errno = e;
	/* If none of our threads begins or ends meanwhile, the kernel has listed all that are
	   counted here. It may have listed more, which had not begun or had ended; then this says
	   no. (A directory has a link for each directory in it, and two of its own.) */
	return !failed && status.st_nlink == begun - ended + 1 + 2 &&
	       begun == atomic_load(&threads_begun) && ended == atomic_load(&threads_ended);
}

void os_threads_forget(void)
{
	atomic_store(&threads_begun, 0);
	atomic_store(&threads_ended, 0);
}

/* ---- barriers ---- */

bool os_barrier(void)
{
	int e = errno;

	/* A process has to register once before its first barrier (K27). */
	bool done =
	    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 ||
	    (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
	     syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
	errno = e;
	return done;
}
