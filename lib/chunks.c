/* SPDX-License-Identifier: BSD-2-Clause */
/* chunks.c - see chunks.h. */
#include "config.h"

#include "arena.h"

/*
 * Writers wait while their chunk is collapsed, which copies it: 32 MiB take some 3 ms. With pages
 * of 64 KiB a huge page has 512 MiB, which is too much. There a chunk is 32 pages, which arm64 can
 * keep in one entry of its TLB. (Linux, arch/arm64/Kconfig: ARM64_CONT_PTE_SHIFT.)
 */
#define HUGE_MOST ((size_t)32 << 20)
#define PAGES_ELSE 32

size_t chunks_size(void)
{
	size_t huge = os_huge_page_size();

	return huge <= HUGE_MOST ? huge : PAGES_ELSE * os_page_size();
}

int chunks_init(struct chunks *c, size_t bytes, size_t page_size)
{
	c->bytes = chunks_size();
	c->count = bytes / c->bytes;
	c->pages_shift = (unsigned)__builtin_ctzll(c->bytes / page_size);
	c->at = os_map_anonymous(os_round_up(c->count * sizeof *c->at, page_size));
	if (!c->at)
		return -1;
	return os_keep_from_children(c->at, os_round_up(c->count * sizeof *c->at, page_size));
}

void chunks_destroy(struct chunks *c)
{
	if (c->at)
		os_unmap(c->at, os_round_up(c->count * sizeof *c->at, os_page_size()));
	c->at = NULL;
}

void chunks_touch(struct chunks *c, size_t first, size_t n, uint64_t epoch)
{
	for (size_t i = first >> c->pages_shift; i <= (first + n - 1) >> c->pages_shift; i++) {
		/* Tested first: neighbouring chunks' writers share the cache line. */
		if (chunks_quiet(c, i, epoch))
			atomic_store_explicit(&c->at[i].touched, (uint32_t)epoch,
					      memory_order_relaxed);
		if (atomic_load_explicit(&c->at[i].huge, memory_order_relaxed))
			atomic_store_explicit(&c->at[i].huge, false, memory_order_relaxed);
	}
}

void chunks_prepare(struct chunks *c, size_t first, size_t n, uint64_t epoch)
{
	for (size_t i = first >> c->pages_shift; i <= (first + n - 1) >> c->pages_shift; i++)
		atomic_store(&c->at[i].prepared, (uint32_t)epoch);
}

void chunks_all_cold(struct chunks *c)
{
	lock_acquire(&c->lock);
	for (size_t i = 0; i < c->count; i++) {
		atomic_store(&c->at[i].state, CHUNK_COLD);
		atomic_store(&c->at[i].huge, false);
	}
	atomic_store(&c->not_cold, 0);
	lock_release(&c->lock);
}

size_t chunks_huge(const struct chunks *c, size_t n)
{
	size_t huge = 0;

	for (size_t i = 0; i < n; i++)
		huge += atomic_load_explicit(&c->at[i].huge, memory_order_relaxed);
	return huge;
}
