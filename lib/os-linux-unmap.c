/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os-linux-unmap.c - unmapping, which the kernel may refuse.
 *
 * The kernel merges neighbouring mappings that are alike, and unmapping a part of a merged mapping
 * leaves two: at the limit of mappings (vm.max_map_count) that fails with ENOMEM (K20). Then
 * os_unmap() frees at least the memory of the range, notes the range here, and unmaps it as soon as
 * the kernel allows it.
 */
#include "config.h"

#include "lock.h"
#include "os.h"

#include <errno.h>
#include <sys/mman.h>

#define LEFT_MAX 4096 /* beyond this many, ranges lose their memory and are forgotten */

static struct {
	struct lock lock;
	_Atomic size_t n;
	struct range {
		void *p;
		size_t n;
	} range[LEFT_MAX];
} left;

static void note(void *p, size_t n)
{
	lock_acquire(&left.lock);
	size_t i = atomic_load(&left.n);
	if (i < LEFT_MAX) {
		left.range[i] = (struct range){p, n};
		atomic_store(&left.n, i + 1);
	}
	lock_release(&left.lock);
}

/* Neither call splits a mapping. MADV_REMOVE frees the memory of a file that is mapped shared, and
   is refused for any other mapping. */
static void drop_memory(void *p, size_t n)
{
	if (madvise(p, n, MADV_REMOVE))
		madvise(p, n, MADV_DONTNEED);
}

void os_unmap(void *p, size_t n)
{
	int e = errno;

	os_unmap_again();
	if (munmap(p, n) && errno == ENOMEM) {
		drop_memory(p, n);
		note(p, n);
	}
	errno = e;
}

void os_unmap_again(void)
{
	int e = errno;

	if (!atomic_load_explicit(&left.n, memory_order_relaxed))
		return;
	lock_acquire(&left.lock);
	size_t n = atomic_load(&left.n);
	for (size_t i = n; i-- > 0;)
		if (munmap(left.range[i].p, left.range[i].n) == 0)
			left.range[i] = left.range[--n];
	atomic_store(&left.n, n);
	lock_release(&left.lock);
	errno = e;
}

size_t os_unmap_left(void)
{
	return atomic_load_explicit(&left.n, memory_order_relaxed);
}

void os_unmap_forget(void)
{
	atomic_store(&left.lock.word, 0);
	atomic_store(&left.n, 0);
}
