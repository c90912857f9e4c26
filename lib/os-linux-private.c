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

/* UFFD_FEATURE_WP_UNPOPULATED, UFFD_FEATURE_WP_ASYNC: writes to pages that are in no page table yet
   too, and noted without an event. */
#define FEATURES_WATCH (UINT64_C(1) << 13 | UINT64_C(1) << 15)

/* linux/fs.h of Linux 6.7 and later. */
struct region {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, regions, regions_max, pages_max;
	uint64_t inverted, all_of, any_of, wanted;
};

#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct scan)
#define WATCH_AGAIN (1u << 0)  /* PM_SCAN_WP_MATCHING */
#define ONLY_WATCHED (1u << 1) /* PM_SCAN_CHECK_WPASYNC */
#define PAGE_IS_WRITTEN (1u << 1)
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

/* Whether a new mapping has pages before anybody has touched it. A "yes" where that cannot be
   told. */
static bool is_populated(const struct os_file *pagemap, const char *fresh)
{
	uint64_t entry;
	off_t at = (off_t)((uintptr_t)fresh / os_page_size() * sizeof entry);

	return syscall(SYS_pread64, pagemap->fd, &entry, sizeof entry, at) != sizeof entry ||
	       entry & (ENTRY_IN_MEMORY | ENTRY_IN_SWAP) || !os_file_is_ours(pagemap);
}

int os_map_cow(void *over, size_t n, const struct os_file *file, size_t offset,
	       const struct os_file *pagemap)
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
	bool ours = os_file_is_ours(file);
	if (!ours || (pagemap && is_populated(pagemap, fresh))) {
		munmap(fresh, n);
		errno = ours ? ENOTSUP : EBADF;
		return failed_in("mmap(2)");
	}
	os_keep_from_children(fresh, n);
	return move_over(over, fresh, n);
}

/* Not by the descriptor, which the program may have closed; but Valgrind (3.19) knows no other
   way. */
static void *map_again(void *alias, size_t n, const struct os_file *file, size_t offset)
{
	void *fresh = mremap(alias, 0, n, MREMAP_MAYMOVE); /* K21 */

	if (fresh != MAP_FAILED || errno != EINVAL)
		return fresh;
	fresh = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file->fd,
		     (off_t)offset);
	if (fresh == MAP_FAILED)
		return fresh;
	os_keep_from_children(fresh, n);
	if (os_file_is_ours(file))
		return fresh;
	munmap(fresh, n);
	errno = EBADF;
	return MAP_FAILED;
}

int os_map_alias(void *over, size_t n, void *alias, const struct os_file *file, size_t offset,
		 enum os_protection protection)
{
	void *fresh = map_again(alias, n, file, offset);

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

/* s says what to look for. */
static int scan(int fd, struct scan s, uintptr_t from, uintptr_t end, struct os_run *runs, int max,
		uintptr_t *walked)
{
	struct region regions[REGIONS] = {{0}}; /* Valgrind does not know what the call fills in */

	s.size = sizeof s;
	s.start = from;
	s.end = end;
	s.regions = (uintptr_t)regions;
	s.regions_max = (uint64_t)(max < REGIONS ? max : REGIONS);
	long n = syscall(SYS_ioctl, fd, PAGEMAP_SCAN_CALL, &s);

	if (n < 0)
		return failed_in("ioctl(2)");
	for (long i = 0; i < n; i++)
		runs[i] = (struct os_run){(char *)(uintptr_t)regions[i].start,
					  regions[i].end - regions[i].start,
					  regions[i].categories & PAGE_IS_IN_SWAP};
	/* The vector was full: the rest is for the next call. */
	*walked = n == (long)s.regions_max ? (uintptr_t)regions[n - 1].end : end;
	return (int)n;
}

static const struct scan own_pages = {.inverted = PAGE_IS_OF_FILE,
				      .all_of = PAGE_IS_OF_FILE,
				      .any_of = PAGE_IS_IN_MEMORY | PAGE_IS_IN_SWAP,
				      .wanted = PAGE_IS_IN_MEMORY | PAGE_IS_IN_SWAP};

/* Where it is, if the page is own, else 0. */
static uint64_t own_place(uint64_t entry)
{
	return entry & ENTRY_OF_FILE ? 0 : entry & (ENTRY_IN_MEMORY | ENTRY_IN_SWAP);
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
		uint64_t place = own_place(entries[i]);
		for (run = 1; i + run < n && own_place(entries[i + run]) == place;)
			run++;
		if (place)
			runs[found++] = (struct os_run){(char *)from + i * page, run * page,
							place & ENTRY_IN_SWAP};
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
		found = scan(pagemap->fd, own_pages, from, end, runs, max, &to);
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

/* ---- watching ---- */

/* A mask of any other form misreads pages that were dropped (Linux before July 2026). */
int os_written_pages(const struct os_file *pagemap, void *p, size_t n, bool again,
		     struct os_run *runs, int max, void **walked)
{
	struct scan written = {.flags = ONLY_WATCHED | (again ? WATCH_AGAIN : 0),
			       .all_of = PAGE_IS_WRITTEN,
			       .wanted = PAGE_IS_WRITTEN};
	uintptr_t from = (uintptr_t)p, to = from;
	int found = scan(pagemap->fd, written, from, from + n, runs, max, &to);

	if (found >= 0 && !os_file_is_ours(pagemap)) { /* looked at afterwards */
		errno = EBADF;
		found = -1;
	}
	*walked = (void *)to;
	return found;
}

int os_watch(const struct os_file *watch, void *p, size_t n)
{
	return os_hold(watch, p, n); /* as it were: nobody has to wait there */
}

/* ---- giving them back ---- */

int os_make_own(void *p, size_t n)
{
	while (madvise(p, n, MADV_POPULATE_WRITE))
		if (errno != EAGAIN && errno != EINTR)
			return failed_in("madvise(2)");
	return 0;
}

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

/* A mapping of a file of one page. */
typedef int try_fn(const struct os_file *pagemap, struct os_file *watch, char *p,
		   const struct os_file *file);

/* A page is written to, told to be own, dropped, and shows the file again. */
static int try_cow(const struct os_file *pagemap, struct os_file *watch, char *p,
		   const struct os_file *file)
{
	size_t n = os_page_size();
	struct os_run run;
	void *walked;

	(void)watch;
	((volatile char *)p)[0] = 'a';
	if (os_map_cow(p, n, file, 0, NULL))
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

/* Whether a page is told to be written to, and watched again, n times. */
static int try_notes(const struct os_file *pagemap, char *p, int times)
{
	size_t n = os_page_size();
	struct os_run run;
	void *walked;

	for (; times; times--) {
		((volatile char *)p)[0] = 'b';
		for (int found = 1; found >= 0; found--)
			if (os_written_pages(pagemap, p, n, true, &run, 1, &walked) != found)
				return -1;
	}
	return 0;
}

/* A watched page is written to, before it is own and after it; dropped, and written to again. */
static int try_watch(const struct os_file *pagemap, struct os_file *watch, char *p,
		     const struct os_file *file)
{
	size_t n = os_page_size();
	struct os_run run = {.start = p, .bytes = n};
	void *walked;

	if (os_map_cow(p, n, file, 0, NULL) || os_watch(watch, p, n))
		return -1;
	errno = ENOTSUP;
	if (os_written_pages(pagemap, p, n, true, &run, 1, &walked) || try_notes(pagemap, p, 2))
		return -1;
	run = (struct os_run){.start = p, .bytes = n};
	if (os_drop_own(&run, 1))
		return -1;
	errno = ENOTSUP;
	return os_written_pages(pagemap, p, n, true, &run, 1, &walked) ? -1
								       : try_notes(pagemap, p, 1);
}

static int try_out(try_fn *try, const struct os_file *pagemap, struct os_file *watch)
{
	size_t n = os_page_size();
	struct os_file file;

	if (os_memory_file(&file, n))
		return -1;
	char *p = os_reserve(n, n, NULL);
	int result = -1;
	if (p && os_map_shared(p, n, &file) == 0 && os_protect(p, n, OS_READ_WRITE) == 0)
		result = try(pagemap, watch, p, &file);
	int e = errno;
	if (p)
		os_unmap(p, n);
	os_file_close(&file);
	errno = e;
	return result;
}

int os_try_cow(const struct os_file *pagemap)
{
	return try_out(try_cow, pagemap, NULL);
}

int os_watch_open(struct os_file *watch, const struct os_file *pagemap)
{
	static _Atomic bool works; /* tried, with success: the kernel is the same next time */

	if (uffd_open(watch, false, FEATURES_WATCH))
		return -1;
	if (atomic_load_explicit(&works, memory_order_relaxed) ||
	    try_out(try_watch, pagemap, watch) == 0) {
		atomic_store_explicit(&works, true, memory_order_relaxed);
		return 0;
	}
	int e = errno;
	os_file_close(watch);
	errno = e;
	return -1;
}
