/* SPDX-License-Identifier: BSD-2-Clause */
/* pagetable.c - see pagetable.h. */
#include "config.h"

#include "chunks.h"
#include "os.h"
#include "pagetable.h"
#include "point.h"

#include <errno.h>

#define SPINS 200

int pagetable_init(struct pagetable *table, size_t n)
{
	size_t piece = chunks_size(); /* by which the table grows once it is large: huge pages */
	size_t bitmap = os_round_up(7 * bitmap_bytes(n), piece);

	/* The bitmaps first: they are small, and usable at once. */
	table->piece = piece;
	table->bytes = bitmap + os_round_up(n * sizeof(struct page), piece);
	table->committed = table->accessible = 0;
	table->memory = os_reserve(table->bytes, piece, NULL);
	if (!table->memory)
		return -1;
	if (os_keep_from_children(table->memory, table->bytes) ||
	    os_protect(table->memory, bitmap, OS_READ_WRITE)) {
		os_unmap(table->memory, table->bytes);
		table->memory = NULL;
		return -1;
	}
	bitmap_init(&table->dirty, table->memory, n);
	bitmap_init(&table->hot, (char *)table->memory + bitmap_bytes(n), n);
	bitmap_init(&table->changed, (char *)table->memory + 2 * bitmap_bytes(n), n);
	bitmap_init(&table->backed, (char *)table->memory + 3 * bitmap_bytes(n), n);
	bitmap_init(&table->own, (char *)table->memory + 4 * bitmap_bytes(n), n);
	bitmap_init(&table->filed, (char *)table->memory + 5 * bitmap_bytes(n), n);
	bitmap_init(&table->hollow, (char *)table->memory + 6 * bitmap_bytes(n), n);
	table->pages = (struct page *)((char *)table->memory + bitmap);
	return 0;
}

void pagetable_destroy(struct pagetable *table)
{
	if (table->memory)
		os_unmap(table->memory, table->bytes);
	table->memory = NULL;
}

/*
 * The entry of a page written at random is in no cache. With small pages its address is in no TLB
 * either: in a large table that costs each fault a quarter of a microsecond. Best effort.
 */
static void collapse(struct pagetable *table, size_t from)
{
	int e = errno;

	for (; from + table->piece <= table->accessible; from += table->piece) {
		void *piece = (char *)table->pages + from;
		os_touch(piece); /* what is empty cannot be collapsed */
		os_collapse(piece, table->piece);
	}
	errno = e;
}

int pagetable_commit(struct pagetable *table, size_t n)
{
	size_t have = table->accessible, bytes = n * sizeof(struct page);
	size_t want = os_round_up(bytes, bytes > table->piece ? table->piece : os_page_size());

	if (want > have) {
		if (os_protect((char *)table->pages + have, want - have, OS_READ_WRITE))
			return -1;
		table->accessible = want;
		if (!table->is_sparse)
			collapse(table, have - have % table->piece);
	}
	if (n > table->committed)
		table->committed = n;
	return 0;
}

void pagetable_enter(struct pagetable *table, size_t first, size_t end, uint64_t epoch, bool fresh)
{
	uint64_t state = epoch << PAGE_STAMP_SHIFT | (fresh ? PAGE_FRESH : 0);

	for (size_t i = first; i < end; i++) {
		atomic_store_explicit(&table->pages[i].state, state, memory_order_relaxed);
		if (!fresh)
			bitmap_set(&table->dirty, i);
	}
}

static void relax(unsigned *spins)
{
	if (++*spins > SPINS)
		os_nap();
}

uint64_t page_lock(struct page *page)
{
	unsigned spins = 0;

	for (;;) {
		uint64_t state = atomic_load_explicit(&page->state, memory_order_relaxed);
		if (!(state & PAGE_LOCKED) && atomic_compare_exchange_weak_explicit(
						  &page->state, &state, state | PAGE_LOCKED,
						  memory_order_acquire, memory_order_relaxed)) {
			TEST_POINT();
			return state;
		}
		relax(&spins);
	}
}

uint64_t page_peek(struct page *page)
{
	unsigned spins = 0;

	for (;;) {
		uint64_t state = atomic_load_explicit(&page->state, memory_order_acquire);
		if (!(state & PAGE_LOCKED))
			return state;
		relax(&spins);
	}
}

long pagetable_mark_dirty(struct pagetable *table, size_t first, size_t n, size_t pages_in_use)
{
	long borders = 0;

	for (size_t i = first; i < first + n; i++) {
		if (bitmap_set(&table->dirty, i))
			continue;
		if (i > 0)
			borders += bitmap_test(&table->dirty, i - 1) ? -1 : 1;
		if (i + 1 < pages_in_use)
			borders += bitmap_test(&table->dirty, i + 1) ? -1 : 1;
	}
	return borders;
}
