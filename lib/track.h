/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track.h - the one place that knows what Valgrind and the sanitizers need.
 *
 * The library itself need not be built with a sanitizer: it finds out at run time whether Valgrind
 * runs the process, or AddressSanitizer is in the program, and then tells them which memory of a
 * heap is in a block. The program must not touch the rest; the library does, since it copies whole
 * pages, unseen by the tools, with the functions here.
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

/* For functions that sanitizers must not instrument. */
#ifdef TRACK_TSAN
#define TRACK_UNSEEN __attribute__((no_sanitize("thread"), noinline, unused))
#else
#define TRACK_UNSEEN __attribute__((no_sanitize("address")))
#endif

/* Whether a tool is told of blocks. Set once, when the first arena is created. */
extern _Atomic bool track_active;

static inline bool track_is_active(void)
{
	return atomic_load_explicit(&track_active, memory_order_relaxed);
}

/* Find out whether a tool is there. */
void track_init(void);

/* [p, p + n) is from now on: in a block, with undefined content; in a block, with content; in no
   block. Does nothing without a tool. */
void track_allocated(void *p, size_t n);
void track_defined(void *p, size_t n);
void track_freed(void *p, size_t n);

/* The program's own memory has got what a snapshot holds, which is defined: of the past, a tool
   does not know what was. */
void track_read(void *dst, size_t n);

/* Between the two, accesses of this thread to memory in no block are not reported.
   Async-signal-safe. */
void track_pause(void);
void track_resume(void);

/* Have LeakSanitizer, if it is in the program, look for pointers in [p, p + n) too, which stays
   mapped for ever. */
void track_root(const void *p, size_t n);

/*
 * Order the copy before the loads that follow. ThreadSanitizer knows no fences; it does not see the
 * copy either, so nothing is lost.
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
 * Copy n bytes that other threads may be writing at the same time. The caller checks afterwards
 * whether they did, and throws the copy away if so (snapshot-read.c), or knows that the page is
 * armed, so that the race is only apparent (the fault handler). ThreadSanitizer cannot know either,
 * so it must see neither the loads nor a call of memcpy. Nor must Valgrind and AddressSanitizer:
 * parts of a page are in no block.
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

/* Whether two pages, or parts of pages, have the same content: of pages that other threads have
   written to, and are held from writing to now, or may be writing to, as with track_copy(). */
bool track_same_unseen(const void *a, const void *b, size_t n);

static inline bool track_same(const void *a, const void *b, size_t n)
{
#ifndef TRACK_TSAN
	if (!track_is_active())
		return memcmp(a, b, n) == 0;
#endif
	return track_same_unseen(a, b, n);
}

/* Whether all n bytes are zeros; with the same care. */
static inline bool track_is_zeros(const char *p, size_t n)
{
	return track_same(p, "", 1) && track_same(p, p + 1, n - 1);
}

#endif
