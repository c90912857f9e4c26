/* SPDX-License-Identifier: BSD-2-Clause */
/* chunks.c - see chunks.h. */
#include "config.h"

#include "arena.h"

int chunks_init(struct chunks *c, size_t bytes, size_t page_size)
{
	c->count = bytes / ARENA_CHUNK;
	c->pages_shift = (unsigned)__builtin_ctzll(ARENA_CHUNK / page_size);
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
		/* Looked at first: the cache line is shared by the neighbours' writers. */
		if (chunks_quiet(c, i, epoch))
			atomic_store_explicit(&c->at[i].touched, (uint32_t)epoch,
					      memory_order_relaxed);
		if (atomic_load_explicit(&c->at[i].huge, memory_order_relaxed))
			atomic_store_explicit(&c->at[i].huge, false, memory_order_relaxed);
	}
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
