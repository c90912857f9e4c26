/* SPDX-License-Identifier: BSD-2-Clause */
/* common.h - what the test programs share. */
#ifndef COWARENA_TESTS_COMMON_H
#define COWARENA_TESTS_COMMON_H

#include "chunks.h"
#include "cowarena.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The kinds of arena that a test should hold for: use tcase_add_loop_test(tc, test, 0, CASES) and
 * arena_case(_i). The eager engine has no faults to count. Where userfaultfd, or the privilege for
 * its events, is missing, its cases run with the fallback engine, and print that.
 */
#define CASES 12
#define CASE_DEFAULT 0
#define CASE_FAITHFUL 1
#define CASE_EAGER 2
#define CASE_UFFD 3
#define CASE_UFFD_FAITHFUL 4
#define CASE_HYBRID 5 /* with a limit, so that no chunk becomes private */
#define CASE_HYBRID_FAITHFUL 6
#define CASE_EVENTS 7 /* uffd, with a thread that resolves the faults */
#define CASE_HUGE 8   /* as CASE_HYBRID, with the heap in huge mappings before each snapshot */
#define CASE_KERNEL 9
#define CASE_UNWATCHED 10 /* kernel, where userfaultfd is forbidden: the kernel notes no writes */
#define CASE_MIXED 11 /* as CASE_HUGE without the limit: chunks that are written to are private */

struct cowarena_options case_options(int i);
cowarena *arena_case(int i); /* fails the test if there is no such arena */
/* Whether each first write to a page is a trap, so that a system call cannot make it. */
bool case_traps(int i);
bool case_is_kernel(int i);
const char *case_name(int i); /* for test cases that CK_RUN_CASE can choose */

/*
 * These two are called in children of fork() too, so they use none of Check's functions unless they
 * fail: each ck_assert takes a mutex of Check's, which another thread may have held at the fork.
 */

/* Take a snapshot; in an arena of CASE_HUGE or CASE_MIXED, compact first. */
cowarena_snapshot *take_snapshot(cowarena *arena, unsigned flags);

/* The current statistics. */
struct cowarena_stats stats_of(cowarena *arena);

/* held_bytes when all snapshots are gone. What the kernel has copied goes at the next
   compaction. */
size_t held_at_rest(cowarena *arena);

size_t page_size(void);

/* A block of n pages that begins at a page boundary. */
char *page_block(cowarena *arena, size_t pages);

/* The size of a chunk, in bytes and in pages. */
#define CHUNK chunks_size()
size_t chunk_pages(void);

/* A block of n whole chunks, which have no memory yet. */
char *chunk_block(cowarena *arena, size_t n);

/* An arena of engine hybrid. Where userfaultfd is refused, prints that and returns NULL. */
cowarena *hybrid_arena(unsigned flags);

/* Whether this system collapses chunks into huge pages. Prints a line if not. */
bool can_collapse(void);

/*
 * No test asserts how long anything takes: a machine may be slow, shared or emulated. A test waits
 * for what must come sooner or later by naps of a millisecond; only a limit on the number of naps
 * ends a vain wait. Everything else is limited by Check, to half an hour per test
 * (CK_DEFAULT_TIMEOUT sets another limit in seconds, 0 none).
 */
#define AWAIT(condition)                                                                           \
	for (unsigned long naps_ = 0; !(condition) && await_nap(&naps_);)                          \
	continue

/* Nap. Returns false when the wait is hopeless: after a quarter of an hour of sleep, or half of
   Check's limit if that is less. */
bool await_nap(unsigned long *naps);

/* Processor time of this process, in seconds: the measure for races that are not counted. */
double processor_seconds(void);

/* Number of threads of this process; whether it becomes n, since a joined thread is still there for
   a moment; number of open descriptors. */
size_t threads_now(void);
bool threads_become(size_t n);
size_t descriptors_now(void);

/* xorshift64*; the state must not be 0. */
uint64_t rng(uint64_t *state);

/* The seed of this run: COWARENA_SEED, or `fallback`. Printed, so that a failure can be
   replayed. */
uint64_t seed_of_run(uint64_t fallback);

/* Whether this is check-stress; a size for a normal run, for check-stress, and for Valgrind
   (COWARENA_VALGRIND) and sanitizers. */
bool stressing(void);
size_t scaled(size_t normal, size_t stress, size_t slow);

/* Whether the build has a sanitizer, and whether that is ThreadSanitizer. gcc defines macros, clang
   features. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined __SANITIZE_THREAD__ || __has_feature(thread_sanitizer)
#define THREAD_SANITIZED 1
#else
#define THREAD_SANITIZED 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer) || THREAD_SANITIZED
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
bool sanitized(void);
bool thread_sanitized(void);

/* Flags for arenas in a process that forks. gcc's AddressSanitizer does not take its allocator's
   locks around fork(), so with it no thread of the library may be allocating then. */
unsigned forking_flags(void);

/* Whether a child of fork() can start threads where the parent has some. Prints a line if not.
   (gcc's ThreadSanitizer: "dup thread with used id".) */
bool children_have_threads(int i);

/*
 * Run fn in a child process. Returns the status from waitpid(). *output, unless output is NULL,
 * becomes what the child wrote to standard error; the caller frees it.
 */
int in_child(void (*fn)(void *), void *arg, char **output);

/* Whether a child was killed by SIGSEGV. */
bool died_of_segv(int status);

/* A child that ends by _exit() must write its coverage counts first (make check-coverage). */
#ifdef COWARENA_COVERAGE
#include <unistd.h>
void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), _exit(status))
#endif

/* The main program of a suite: runs it, prints the totals, returns the exit status. */
int run_suite(Suite *suite);

#endif
