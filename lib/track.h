/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track.h - the one place that knows what Valgrind and the sanitizers need.
 *
 * The library itself need not be built with a sanitizer: it finds out at run time whether
 * Valgrind runs the process, or AddressSanitizer is in the program, and tells them then which
 * memory of a heap is in a block. The rest must not be touched by the program, but is by the
 * library, which copies whole pages: unseen, by the functions here.
 */
#ifndef COWARENA_TRACK_H
#define COWARENA_TRACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined __SANITIZE_THREAD__
#define TRACK_TSAN 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define TRACK_TSAN 1
#endif
#endif

/* What sanitizers must not look into. */
#ifdef TRACK_TSAN
#define TRACK_UNSEEN __attribute__((no_sanitize("thread"), noinline, unused))
#else
#define TRACK_UNSEEN __attribute__((no_sanitize("address")))
#endif

/* Whether a tool wants to know of blocks. Set once, when the first arena is created. */
extern _Atomic bool track_active;

static inline bool track_is_active(void)
{
	return atomic_load_explicit(&track_active, memory_order_relaxed);
}

/* Find out. */
void track_init(void);

/* [p, p + n) is in a block now, whose content is not defined; is, and has content; is in none
   any more. Without a tool nothing is done. */
void track_allocated(void *p, size_t n);
void track_defined(void *p, size_t n);
void track_freed(void *p, size_t n);

/* In between, what this thread does to memory that is in no block is no mistake.
   Async-signal-safe. */
void track_pause(void);
void track_resume(void);

/* LeakSanitizer, if it is in the program, looks for pointers in [p, p + n) too: it is mapped
   for ever. */
void track_root(const void *p, size_t n);

/*
 * What was copied is older than what is loaded next. ThreadSanitizer knows no fences; it does not
 * see the copy either, so nothing is lost.
 */
static inline void track_copied(void)
{
#ifndef TRACK_TSAN
	atomic_thread_fence(memory_order_acquire);
#endif
}

void track_copy_unseen(void *dst, const void *src, size_t n);
void track_clear_unseen(void *dst, size_t n);

/*
 * Copy n bytes that other threads may be writing at the same time. The caller looks afterwards
 * whether they did, and throws the copy away if so (snapshot_read), or knows that the page is
 * armed so that the race is only apparent (the fault handler). ThreadSanitizer cannot know
 * either, so it must see neither the loads nor a call of memcpy. Nor must the others: parts of a
 * page are in no block.
 */
static inline void track_copy(void *dst, const void *src, size_t n)
{
#ifndef TRACK_TSAN
	if (!track_is_active()) {
		memcpy(dst, src, n);
		return;
	}
#endif
	track_copy_unseen(dst, src, n);
}

static inline void track_clear(void *dst, size_t n)
{
	if (track_is_active())
		track_clear_unseen(dst, n);
	else
		memset(dst, 0, n);
}

/* Whether two pages, or parts, hold the same. */
bool track_same_unseen(const void *a, const void *b, size_t n);

static inline bool track_same(const void *a, const void *b, size_t n)
{
	return track_is_active() ? track_same_unseen(a, b, n) : memcmp(a, b, n) == 0;
}

#endif
