/* SPDX-License-Identifier: BSD-2-Clause */
/* track.c - see track.h. */
#include "config.h"

#include "track.h"

#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_MAKE_MEM_UNDEFINED(p, n) ((void)(p), (void)(n))
#define VALGRIND_MAKE_MEM_DEFINED(p, n) ((void)(p), (void)(n))
#define VALGRIND_MAKE_MEM_NOACCESS(p, n) ((void)(p), (void)(n))
#define VALGRIND_MAKE_MEM_DEFINED_IF_ADDRESSABLE(p, n) ((void)(p), (void)(n))
#define VALGRIND_DISABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING ((void)0)
#endif

/* AddressSanitizer's functions, if it is in the program (sanitizer/asan_interface.h). */
void __asan_poison_memory_region(const volatile void *p, size_t n) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *p, size_t n) __attribute__((weak));

/* LeakSanitizer's function (sanitizer/lsan_interface.h). */
void __lsan_register_root_region(const void *p, size_t n) __attribute__((weak));

_Atomic bool track_active;

void track_init(void)
{
	if (RUNNING_ON_VALGRIND || __asan_poison_memory_region)
		atomic_store(&track_active, true);
}

void track_allocated(void *p, size_t n)
{
	if (!track_is_active())
		return;
	VALGRIND_MAKE_MEM_UNDEFINED(p, n);
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(p, n);
}

void track_defined(void *p, size_t n)
{
	if (!track_is_active())
		return;
	VALGRIND_MAKE_MEM_DEFINED(p, n);
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(p, n);
}

void track_read(void *dst, size_t n)
{
	if (track_is_active())
		VALGRIND_MAKE_MEM_DEFINED_IF_ADDRESSABLE(dst, n);
}

void track_freed(void *p, size_t n)
{
	if (!track_is_active())
		return;
	VALGRIND_MAKE_MEM_NOACCESS(p, n);
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(p, n);
}

void track_root(const void *p, size_t n)
{
	if (__lsan_register_root_region)
		__lsan_register_root_region(p, n);
}

void track_pause(void)
{
	if (track_is_active()) {
		VALGRIND_DISABLE_ERROR_REPORTING;
	}
}

void track_resume(void)
{
	if (track_is_active()) {
		VALGRIND_ENABLE_ERROR_REPORTING;
	}
}

/* volatile keeps the compiler from turning these loops back into calls of memcpy and the like,
   which AddressSanitizer intercepts. */

TRACK_UNSEEN void track_copy_unseen(void *dst, const void *src, size_t n)
{
	volatile unsigned char *d = dst;
	const volatile unsigned char *s = src;

	track_pause();
	if (((uintptr_t)d | (uintptr_t)s) % 8 == 0)
		for (; n >= 8; n -= 8, d += 8, s += 8)
			*(volatile uint64_t *)d = *(const volatile uint64_t *)s;
	while (n--)
		*d++ = *s++;
	track_resume();
}

TRACK_UNSEEN void track_clear_unseen(void *dst, size_t n)
{
	volatile unsigned char *d = dst;

	track_pause();
	while (n--)
		*d++ = 0;
	track_resume();
}

TRACK_UNSEEN bool track_same_unseen(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;

	track_pause();
	while (n && *x == *y)
		n--, x++, y++;
	track_resume();
	return !n;
}
