/* SPDX-License-Identifier: BSD-2-Clause */
/* track.h - the one place that knows what sanitizers need. */
#ifndef COWARENA_TRACK_H
#define COWARENA_TRACK_H

#include <stdatomic.h>
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

/* What ThreadSanitizer must not look into. */
#ifdef TRACK_TSAN
#define TRACK_UNSEEN __attribute__((no_sanitize("thread"), noinline, unused))
#else
#define TRACK_UNSEEN
#endif

/*
 * What was copied is older than what is loaded next. ThreadSanitizer knows no fences; it does not see the
 * copy either, so nothing is lost.
 */
static inline void track_copied(void)
{
#ifndef TRACK_TSAN
	atomic_thread_fence(memory_order_acquire);
#endif
}

/*
 * Copy n bytes that other threads may be writing at the same time. The caller looks afterwards
 * whether they did, and throws the copy away if so (snapshot_read), or knows that the page is
 * armed so that the race is only apparent (the fault handler). ThreadSanitizer cannot know either,
 * so it must see neither the loads nor a call of memcpy.
 */
#ifdef TRACK_TSAN
TRACK_UNSEEN static void track_copy(void *dst, const void *src, size_t n)
{
	/* volatile keeps the compiler from making this loop a call of memcpy again */
	volatile unsigned char *d = dst;
	const volatile unsigned char *s = src;

	if (((uintptr_t)d | (uintptr_t)s) % 8 == 0)
		for (; n >= 8; n -= 8, d += 8, s += 8)
			*(volatile uint64_t *)d = *(const volatile uint64_t *)s;
	while (n--)
		*d++ = *s++;
}
#else
static inline void track_copy(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
}
#endif

#endif
