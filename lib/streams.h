/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * streams.h - notices writers that walk through memory, so that a fault can copy what comes next.
 *
 * A fault whose page follows the range that the last fault of a stream copied continues that
 * stream, and doubles its window, up to a limit. Any other fault begins a new stream with a window
 * of one page. So scattered writes stay exact. (Readahead does the same for files; Wu, Xi and Xu,
 * "On the design of a new Linux readahead framework", 2008.)
 *
 * Seven streams and the turn share a cache line, which any handler reads and writes without a lock:
 * two handlers that interfere spoil only a guess.
 */
#ifndef COWARENA_STREAMS_H
#define COWARENA_STREAMS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STREAMS 7
#define STREAMS_WINDOW_MAX ((size_t)1 << 15)

struct streams {
	_Alignas(64) _Atomic uint64_t slot[STREAMS]; /* the next page << 16 | window */
	_Atomic uint64_t turn;                       /* which slot the next new stream takes */
};

/* How many pages to copy at a fault on this page, from this page on: 1 to `most`.
   Async-signal-safe. */
static inline size_t streams_window(struct streams *s, size_t page, size_t most)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		uint64_t slot = atomic_load_explicit(&s->slot[i], memory_order_relaxed);
		if (slot >> 16 != page || !slot)
			continue;
		size_t window = 2 * (slot & 0xffff);
		if (window > most)
			window = most;
		atomic_store_explicit(&s->slot[i], (uint64_t)(page + window) << 16 | window,
				      memory_order_relaxed);
		return window;
	}
	uint64_t turn = atomic_fetch_add_explicit(&s->turn, 1, memory_order_relaxed);
	atomic_store_explicit(&s->slot[turn % STREAMS], (uint64_t)(page + 1) << 16 | 1,
			      memory_order_relaxed);
	return 1;
}

#endif
