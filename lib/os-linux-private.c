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
	(void)unused;
	return (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
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
		if (found < 0 && (errno == ENOTTY || is_refusal(errno)))
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

int os_drop_own(const struct os_run *runs, int n)
{
	static _Atomic bool no_vectors; /* not here, or refused by a sandbox */
	int e = errno, self = -1;

	if (n > 1 && !atomic_load_explicit(&no_vectors, memory_order_relaxed))
		self = above_standard(open_self, 0);
	for (int done = 0, piece; done < n; done += piece) {
		piece = n - done < VECTOR ? n - done : VECTOR;
		if (self >= 0 && drop_vector(self, runs + done, piece))
			continue;
		atomic_store_explicit(&no_vectors, true, memory_order_relaxed);
		for (int i = 0; i < piece; i++)
			if (drop_one(&runs[done + i])) {
				os_close(self);
				return -1;
			}
	}
	os_close(self);
	errno = e;
	return 0;
}
