#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Linux: a page of a memory file that userfaultfd has write-protected, and that is in no page table, counts as
# swapped out. /proc/self/pagemap sets bit 62 (swapped) and not bit 61 (of a file) for it, and PAGEMAP_SCAN gives
# it PAGE_IS_SWAPPED and not PAGE_IS_FILE; mincore(2) says that the page is in memory, and /proc/self/smaps counts
# no swap. The kernel keeps the protection of such a page as a marker in the form of a swap entry, and the two
# interfaces do not tell it from others. So "swapped out, or present and not of a file", by which programs find
# the pages that a private mapping has of its own (the documentation names bit 61 for that), is true of each page
# of a shared mapping that is protected and that nobody has touched since.
#
# Seen on Linux 6.18 (x86-64):
#	protected, not touched: 64 of 64 pages swapped by pagemap, 64 by PAGEMAP_SCAN, 0 of a file; mincore: 64 in memory
#	Swap in smaps: 0 kB
#	after a read of each: 0 of 64 swapped
#
# A C compiler, Linux 6.7 or later, and a userfaultfd(2) that is not forbidden. Exit status: 0 if it is still so, 1
# if not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/marker.c" <<'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES 64

/* linux/fs.h of Linux 6.7 */
struct region {
	uint64_t start, end, categories;
};
struct request {
	uint64_t size, flags, start, end, walk_end, vector, vector_length, max_pages;
	uint64_t inverted, mask, any_of, wanted;
};
#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct request)
#define FILE_CATEGORY (1u << 2)
#define SWAPPED_CATEGORY (1u << 4)

static size_t page;
static char *memory;
static int pagemap;

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static int scanned(uint64_t category)
{
	struct region regions[PAGES];
	struct request r = {.size = sizeof r,
			    .start = (uintptr_t)memory,
			    .end = (uintptr_t)memory + PAGES * page,
			    .vector = (uintptr_t)regions,
			    .vector_length = PAGES,
			    .mask = category,
			    .wanted = category};
	int n = ioctl(pagemap, PAGEMAP_SCAN_CALL, &r), pages = 0;

	if (n < 0)
		fail("PAGEMAP_SCAN");
	for (int i = 0; i < n; i++)
		pages += (int)((regions[i].end - regions[i].start) / page);
	return pages;
}

static int swapped_words(void)
{
	uint64_t words[PAGES];
	int n = 0;

	if (pread(pagemap, words, sizeof words, (off_t)((uintptr_t)memory / page * 8)) != sizeof words)
		fail("pagemap");
	for (int i = 0; i < PAGES; i++)
		n += words[i] >> 62 & 1 && !(words[i] >> 61 & 1);
	return n;
}

static long swap_in_smaps(void)
{
	char line[256], start[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	long kb = -1;
	int here = 0;

	snprintf(start, sizeof start, "%lx-", (unsigned long)(uintptr_t)memory);
	while (f && fgets(line, sizeof line, f)) {
		if (strncmp(line, start, strlen(start)) == 0)
			here = 1;
		if (here && sscanf(line, "Swap: %ld kB", &kb) == 1)
			break;
	}
	return kb;
}

int main(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	int file = memfd_create("marker", 0), uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	if (pagemap < 0 || uffd < 0 || ftruncate(file, (off_t)(PAGES * page)))
		fail("pagemap, userfaultfd or memfd");
	char *other = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	memset(other, 1, PAGES * page);
	memory = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | 1 << 12};
	struct uffdio_register reg = {.range = {(uintptr_t)memory, PAGES * page}, .mode = UFFDIO_REGISTER_MODE_WP};
	struct uffdio_writeprotect wp = {.range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg) ||
	    ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		fail("userfaultfd");
	unsigned char vector[PAGES];
	int in_memory = 0, sum = 0;
	int words = swapped_words(), swapped = scanned(SWAPPED_CATEGORY), of_file = scanned(FILE_CATEGORY);
	if (mincore(memory, PAGES * page, vector))
		fail("mincore");
	for (int i = 0; i < PAGES; i++)
		in_memory += vector[i] & 1;
	long kb = swap_in_smaps();
	printf("protected, not touched: %d of %d pages swapped by pagemap, %d by PAGEMAP_SCAN, %d of a file; mincore: "
	       "%d in memory\nSwap in smaps: %ld kB\n",
	       words, PAGES, swapped, of_file, in_memory, kb);
	for (int i = 0; i < PAGES; i++)
		sum += ((volatile char *)memory)[(size_t)i * page];
	int after = swapped_words();
	printf("after a read of each: %d of %d swapped\n", after, PAGES);
	return !(words == PAGES && swapped == PAGES && of_file == 0 && in_memory == PAGES && kb == 0 && after == 0 &&
		 sum == PAGES);
}
END
cc -O1 -o "$dir/marker" "$dir/marker.c"
uname -sr
"$dir/marker"
