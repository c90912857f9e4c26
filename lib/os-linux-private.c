/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os-linux-private.c - memory that the kernel copies when it is first written to.
 *
 * A private mapping of a memory file shows the file until a page is written to; then the kernel
 * gives the mapping a page of its own (K14, K15). Which pages those are, the kernel tells by
 * PAGEMAP_SCAN (Linux 6.7), or else by a word a page in /proc/self/pagemap.
 */
#include "config.h"

#include "os-linux.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Newer than some C libraries' headers. */
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* linux/fs.h of Linux 6.7 and later. */
struct region {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, regions, regions_max, pages_max;
	uint64_t inverted, all_of, any_of, wanted;
};

#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct scan)
#define PAGE_IS_OF_FILE (1u << 2)
#define PAGE_IS_IN_MEMORY (1u << 3)
#define PAGE_IS_IN_SWAP (1u << 4)

/* Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_IN_MEMORY (UINT64_C(1) << 63)
#define ENTRY_IN_SWAP (UINT64_C(1) << 62)
#define ENTRY_OF_FILE (UINT64_C(1) << 61)

#define REGIONS 128
#define ENTRIES 512
#define VECTOR 1024 /* UIO_MAXIOV, the most that one call takes */

/* ---- mapping ---- */

/* Put a fresh mapping that nobody has touched in the place of another, or unmap it. */
static int move_over(void *over, void *fresh, size_t n)
{
	before_protection();
	if (mremap(fresh, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, over) != MAP_FAILED)
		return 0;
	int e = errno;
	munmap(fresh, n); /* if that fails too, address space is lost, no memory */
	errno = e;
	return failed_in("mremap(2)");
}

int os_map_cow(void *over, size_t n, const struct os_file *file, size_t offset)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE;
	void *fresh = mmap(NULL, n, PROT_READ | PROT_WRITE, flags, file->fd, (off_t)offset);

	if (fresh == MAP_FAILED) {
		int e = errno;
		failed_in("mmap(2)");
		errno = os_file_is_ours(file) ? e : EBADF;
		return -1;
	}
	/* Looked at afterwards: then the number was ours when it was used. */
	if (!os_file_is_ours(file)) {
		munmap(fresh, n);
		errno = EBADF;
		return failed_in("mmap(2)");
	}
	os_keep_from_children(fresh, n);
	return move_over(over, fresh, n);
}

int os_map_alias(void *over, size_t n, void *alias, enum os_protection protection)
{
	void *fresh = mremap(alias, 0, n, MREMAP_MAYMOVE); /* K21 */

	if (fresh == MAP_FAILED)
		return failed_in("mremap(2)");
	os_dump(fresh, n, true);
	if (os_protect(fresh, n, protection)) {
		int e = errno;
		munmap(fresh, n);
		errno = e;
		return -1;
	}
	return move_over(over, fresh, n);
}

/* ---- which pages are the mapping's own ---- */

static int open_pagemap(int unused)
{
	int fd;

	(void)unused;
	do
		fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd;
}

int os_pagemap_open(struct os_file *file)
{
	int fd = above_standard(open_pagemap, 0);

	os_file_set(file, fd);
	return fd < 0 ? failed_in("openat(2)") : 0;
}

static int scan(int fd, uintptr_t from, uintptr_t end, struct os_run *runs, int max,
		uintptr_t *walked)
{
	struct region regions[REGIONS];
	struct scan s = {.size = sizeof s,
			 .start = from,
			 .end = end,
			 .regions = (uintptr_t)regions,
			 .regions_max = (uint64_t)(max < REGIONS ? max : REGIONS),
			 .inverted = PAGE_IS_OF_FILE,
			 .all_of = PAGE_IS_OF_FILE,
			 .any_of = PAGE_IS_IN_MEMORY | PAGE_IS_IN_SWAP,
			 .wanted = PAGE_IS_IN_MEMORY};
	long n = syscall(SYS_ioctl, fd, PAGEMAP_SCAN_CALL, &s);

	if (n < 0)
		return failed_in("ioctl(2)");
	for (long i = 0; i < n; i++)
		runs[i] = (struct os_run){(char *)(uintptr_t)regions[i].start,
					  regions[i].end - regions[i].start};
	/* The vector was full: the rest is for the next call. */
	*walked = n == (long)s.regions_max ? (uintptr_t)regions[n - 1].end : end;
	return (int)n;
}

static bool is_own(uint64_t entry)
{
	return entry & (ENTRY_IN_MEMORY | ENTRY_IN_SWAP) && !(entry & ENTRY_OF_FILE);
}

static int read_entries(int fd, uintptr_t from, uintptr_t end, struct os_run *runs, int max,
			uintptr_t *walked)
{
	uint64_t entries[ENTRIES];
	size_t page = os_page_size(), n = (end - from) / page;
	int found = 0;

	if (n > ENTRIES)
		n = ENTRIES;
	ssize_t got =
	    syscall(SYS_pread64, fd, entries, n * sizeof *entries, from / page * sizeof *entries);
	if (got <= 0 || got % (ssize_t)sizeof *entries) {
		errno = got < 0 ? errno : EIO;
		return failed_in("pread64(2)");
	}
	n = (size_t)got / sizeof *entries;
	size_t i = 0;
	for (size_t run; i < n && found < max; i += run) {
		for (run = 1; i + run < n && is_own(entries[i + run]) == is_own(entries[i]);)
			run++;
		if (is_own(entries[i]))
			runs[found++] = (struct os_run){(char *)from + i * page, run * page};
	}
	*walked = from + i * page;
	return found;
}

int os_own_pages(const struct os_file *pagemap, void *p, size_t n, struct os_run *runs, int max,
		 void **walked)
{
	static _Atomic bool no_scan; /* before Linux 6.7, or refused by a sandbox */
	uintptr_t from = (uintptr_t)p, end = from + n, to = from;
	int e = errno, found = -1;

	if (!atomic_load_explicit(&no_scan, memory_order_relaxed)) {
		found = scan(pagemap->fd, from, end, runs, max, &to);
		if (found < 0 && (errno == ENOTTY || is_refusal(errno)) && os_file_is_ours(pagemap))
			atomic_store_explicit(&no_scan, true, memory_order_relaxed);
	}
	if (found < 0)
		found = read_entries(pagemap->fd, from, end, runs, max, &to);
	if (!os_file_is_ours(pagemap)) { /* looked at afterwards */
		errno = EBADF;
		return -1;
	}
	if (found < 0)
		return -1;
	errno = e;
	*walked = (void *)to;
	return found;
}

/* ---- giving them back ---- */

static int drop_one(const struct os_run *run)
{
	if (madvise(run->start, run->bytes, MADV_DONTNEED) == 0)
		return 0;
	/* mlockall(2) has locked it. */
	return errno == EINVAL && madvise(run->start, run->bytes, MADV_DONTNEED_LOCKED) == 0
		   ? 0
		   : failed_in("madvise(2)");
}

static int open_self(int unused)
{
	(void)unused;
	return (int)syscall(SYS_pidfd_open, getpid(), 0);
}

/* By one call; false where that cannot be. Some of them may have gone. */
static bool drop_vector(int self, const struct os_run *runs, int n)
{
	struct iovec vector[VECTOR];
	size_t bytes = 0;

	for (int i = 0; i < n; i++) {
		vector[i] = (struct iovec){runs[i].start, runs[i].bytes};
		bytes += runs[i].bytes;
	}
	return syscall(SYS_process_madvise, self, vector, n, MADV_DONTNEED, 0) == (long)bytes;
}

/* One by one. */
static int drop_each(const struct os_run *runs, int n)
{
	for (int i = 0; i < n; i++)
		if (drop_one(&runs[i]))
			return -1;
	return 0;
}

int os_drop_own(const struct os_run *runs, int n)
{
	static _Atomic bool no_vectors; /* not here, or refused by a sandbox */
	bool vectors = n > 1 && !atomic_load_explicit(&no_vectors, memory_order_relaxed);
	int e = errno, result = 0, self = vectors ? above_standard(open_self, 0) : -1;

	for (int done = 0, piece; done < n && !result; done += piece) {
		piece = n - done < VECTOR ? n - done : VECTOR;
		if (vectors && !(self >= 0 && drop_vector(self, runs + done, piece))) {
			vectors = false;
			atomic_store_explicit(&no_vectors, true, memory_order_relaxed);
		}
		if (!vectors)
			result = drop_each(runs + done, piece);
	}
	os_close(self);
	if (!result)
		errno = e;
	return result;
}

/* ---- whether it works ---- */

/* A page is written to, told to be own, dropped, and shows the file again. */
static int try_page(const struct os_file *pagemap, char *p, const struct os_file *file)
{
	size_t n = os_page_size();
	struct os_run run;
	void *walked;

	((volatile char *)p)[0] = 'a';
	if (os_map_cow(p, n, file, 0))
		return -1;
	/* Under mlockall(MCL_FUTURE) all pages are the mapping's own from the beginning. */
	int before = os_own_pages(pagemap, p, n, &run, 1, &walked);
	((volatile char *)p)[0] = 'b';
	int after = os_own_pages(pagemap, p, n, &run, 1, &walked);
	if (before < 0 || after < 0)
		return -1;
	errno = ENOTSUP;
	if (before != 0 || after != 1 || run.start != p || run.bytes != n)
		return -1;
	if (os_drop_own(&run, 1))
		return -1;
	errno = ENOTSUP;
	return ((volatile char *)p)[0] == 'a' ? 0 : -1;
}

int os_try_cow(const struct os_file *pagemap)
{
	size_t n = os_page_size();
	struct os_file file;

	if (os_memory_file(&file, n))
		return -1;
	char *p = os_reserve(n, n, NULL);
	int result = -1;
	if (p && os_map_shared(p, n, &file) == 0 && os_protect(p, n, OS_READ_WRITE) == 0)
		result = try_page(pagemap, p, &file);
	int e = errno;
	if (p)
		os_unmap(p, n);
	os_file_close(&file);
	errno = e;
	return result;
}
