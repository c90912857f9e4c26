/* SPDX-License-Identifier: BSD-2-Clause */
/* test-private.c - engine kernel: pages that the kernel copies, what is counted, and sandboxes. */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "engine-state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

#define PAGES 64

/* Whether the kernel notes writes to own pages: the tests run with and without that. */
enum { WATCHED, NOT_WATCHED, WAYS };

static cowarena *kernel_arena(int way)
{
	struct cowarena_options o = case_options(CASE_KERNEL);

	o.flags |= COWARENA_STRICT_ENGINE | COWARENA_NO_HELPER;
	cowarena *arena = cowarena_create(&o);
	if (!arena)
		printf("SKIP: %s\n", cowarena_errmsg());
	else /* so much that the pages that are written are few */
		ck_assert_ptr_nonnull(page_block(arena, 64 * PAGES));
	if (arena && way == NOT_WATCHED) {
		private_never_watch(arena);
		private_never_wait(arena);
	} else if (arena && arena->privates.cannot_watch) {
		printf("SKIP: the kernel does not note writes (UFFD_FEATURE_WP_ASYNC)\n");
		cowarena_destroy(arena);
		arena = NULL;
	}
	return arena;
}

static size_t private_chunks(cowarena *arena)
{
	return atomic_load(&arena->privates.chunks);
}

static size_t page_of(cowarena *arena, const char *p, size_t i)
{
	return arena_page(arena, p + i * page_size());
}

static size_t own_pages(cowarena *arena, const char *p)
{
	size_t own = 0;

	for (size_t i = 0; i < PAGES; i++)
		own += bitmap_test(&arena->table.own, page_of(arena, p, i));
	return own;
}

static void write_pages(char *p, size_t step, char byte)
{
	for (size_t i = 0; i < PAGES; i += step)
		p[i * page_size()] = byte;
}

/* What is counted of a write that nobody was told of, and when; and where memory goes. */
START_TEST(counters)
{
	cowarena *arena = kernel_arena(_i);

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	memset(p, 1, PAGES * page_size());
	cowarena_snapshot *s = take_snapshot(arena, COWARENA_QUIESCENT);
	struct cowarena_stats before = stats_of(arena);
	write_pages(p, 4, 2);
	ck_assert_uint_eq(own_pages(arena, p), 0); /* nobody has asked */
	struct cowarena_stats after = stats_of(arena);
	ck_assert_uint_eq(own_pages(arena, p), PAGES / 4);
	ck_assert_uint_eq(after.copied - before.copied, PAGES / 4);
	ck_assert_uint_eq(after.held_bytes - before.held_bytes, PAGES / 4 * page_size());
	write_pages(p, 4, 3); /* the kernel does not copy them twice */
	ck_assert_uint_eq(stats_of(arena).copied, after.copied);
	ck_assert_uint_eq(stats_of(arena).faults, 0);
	/* Kept by the next snapshot, since they were written; then they come to rest. What is
	   watched is own even then, and not copied again. */
	cowarena_snapshot *t = take_snapshot(arena, COWARENA_QUIESCENT);
	ck_assert_uint_eq(stats_of(arena).shadowed - after.shadowed, PAGES / 4);
	ck_assert_uint_eq(own_pages(arena, p), PAGES / 4);
	cowarena_snapshot *u = take_snapshot(arena, COWARENA_QUIESCENT);
	ck_assert_uint_eq(own_pages(arena, p), _i == WATCHED ? PAGES / 4 : 0);
	ck_assert_uint_eq(stats_of(arena).shadowed - after.shadowed, PAGES / 4);
	char seen;
	for (size_t i = 0; i < PAGES; i++) {
		char *at = p + i * page_size();
		ck_assert_int_eq(cowarena_snapshot_read(s, &seen, at, 1), 0);
		ck_assert_int_eq(seen, 1);
		ck_assert_int_eq(cowarena_snapshot_read(t, &seen, at, 1), 0);
		ck_assert_int_eq(seen, i % 4 ? 1 : 3);
		ck_assert_int_eq(cowarena_snapshot_read(u, &seen, at, 1), 0);
		ck_assert_int_eq(seen, i % 4 ? 1 : 3);
		ck_assert_int_eq(*at, i % 4 ? 1 : 3);
	}
	/* Without a snapshot nothing is private any more. */
	cowarena_snapshot_release(s);
	cowarena_snapshot_release(u);
	cowarena_snapshot_release(t);
	ck_assert_int_eq(cowarena_compact(arena), 0);
	after = stats_of(arena);
	ck_assert(after.held_bytes == 0 && after.warm_bytes == 0);
	write_pages(p, 1, 4);
	ck_assert_uint_eq(stats_of(arena).held_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

/* A page that is written between all snapshots takes no fault of the kernel's either. */
START_TEST(written_each_time)
{
	cowarena *arena = kernel_arena(_i);
	char seen;

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	memset(p, 0, PAGES * page_size());
	cowarena_snapshot *s[20];
	for (int i = 0; i < 20; i++) {
		write_pages(p, 16, (char)i);
		s[i] = take_snapshot(arena, COWARENA_QUIESCENT);
		if (i > 1) {
			ck_assert_uint_eq(own_pages(arena, p), PAGES / 16);
			ck_assert_int_eq(cowarena_snapshot_read(s[i - 1], &seen, p, 1), 0);
			ck_assert_int_eq(seen, i - 1);
		}
		if (i % 3 == 0 && i)
			ck_assert_int_eq(cowarena_snapshot_release(s[i - 2]), 0);
	}
	ck_assert_uint_le(stats_of(arena).copied, PAGES / 16 + 4); /* and the heap's own pages */
	for (int i = 0; i < 20; i++) {
		if (i % 3 == 1 && i < 18)
			continue;
		ck_assert_int_eq(cowarena_snapshot_read(s[i], &seen, p + 16 * page_size(), 1), 0);
		ck_assert_int_eq(seen, i);
	}
	cowarena_destroy(arena);
}
END_TEST

/* Another thread of the process, because of which writers are held. */
struct other {
	pthread_t thread;
	_Atomic bool stop;
	char *to; /* of read_on() */
};

static void *wait_for_stop(void *arg)
{
	AWAIT(atomic_load(&((struct other *)arg)->stop));
	return arg;
}

static void begin_other(struct other *other)
{
	atomic_store(&other->stop, false);
	ck_assert_int_eq(pthread_create(&other->thread, NULL, wait_for_stop, other), 0);
}

static void end_other(struct other *other)
{
	atomic_store(&other->stop, true);
	pthread_join(other->thread, NULL);
}

/* A snapshot holds this byte, which is written over afterwards. */
static cowarena_snapshot *expect_past(cowarena *arena, char *p, char byte)
{
	cowarena_snapshot *s = take_snapshot(arena, 0);
	char seen;

	ck_assert_msg(s != NULL, "%s", cowarena_errmsg());
	write_pages(p, 1, 100);
	ck_assert_int_eq(cowarena_snapshot_read(s, &seen, p, 1), 0);
	ck_assert_int_eq(seen, byte);
	return s;
}

/* What came into use since the snapshot is not private; a fork leaves it as it is. */
START_TEST(a_fork_leaves_new_memory_writable)
{
	cowarena *arena = kernel_arena(WATCHED);
	struct other other;

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	begin_other(&other);
	size_t n = 20 * PAGES * page_size();
	char *fresh = cowarena_alloc(arena, n);
	memset(fresh, 1, n);
	write_pages(p, 1, 2);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	int zero = open("/dev/zero", O_RDONLY);
	ck_assert_int_eq(read(zero, fresh, n), (ssize_t)n);
	ck_assert_int_eq(read(zero, p, PAGES * page_size()), (ssize_t)(PAGES * page_size()));
	ck_assert_uint_eq(stats_of(arena).faults, 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	end_other(&other);
	cowarena_destroy(arena);
}
END_TEST

/* Pages that have come to rest are dropped when too many are own; all go when too many are written,
   at the next snapshot at the latest. The bytes stay what they are. */
START_TEST(a_few_stay_own)
{
	cowarena *arena = kernel_arena(_i);

	if (!arena)
		return;
	size_t n = 64 * PAGES, size = page_size(), most = n / 16;
	char *p = page_block(arena, n), *seen = malloc(n * size);
	memset(p, 0, n * size);
	cowarena_snapshot *s = take_snapshot(arena, COWARENA_QUIESCENT), *next;
	for (size_t round = 0, at = 0; round < 24; round++) {
		size_t some = round % 8 == 7 ? n / 4 : n / 100;
		for (size_t i = 0; i < some; i++, at = (at + 97) % n)
			p[at * size] = (char)round;
		next = take_snapshot(arena, COWARENA_QUIESCENT);
		size_t held = stats_of(arena).held_bytes / size, own = arena->privates.own;
		/* The older snapshot has what was written; each page of it was charged. */
		ck_assert_uint_le(own, round % 8 == 7 ? some + 16 : most + most / 8);
		ck_assert_uint_le(held, own + 2 * some + 16);
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		s = next;
		held = stats_of(arena).held_bytes / size;
		ck_assert_uint_le(held, arena->privates.own + (_i == WATCHED ? 0 : some));
		ck_assert_int_eq(cowarena_snapshot_read(s, seen, p, n * size), 0);
		ck_assert_int_eq(memcmp(seen, p, n * size), 0);
	}
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	cowarena_destroy(arena);
	free(seen);
}
END_TEST

/* ---- pages that are added to a chunk ---- */

static struct {
	volatile uint64_t *_Atomic at;
	_Atomic bool stop, pause, paused;
} grower;

static void *write_to_the_last(void *arg)
{
	uint64_t seed = 3;

	while (!atomic_load(&grower.stop)) {
		volatile uint64_t *at = atomic_load(&grower.at);
		if (at)
			++*at;
		/* Not all the time: else the snapshot always finds the writer held. */
		for (uint64_t i = rng(&seed) % 50000; i && !atomic_load(&grower.pause); i--)
			atomic_thread_fence(memory_order_seq_cst);
		while (atomic_load(&grower.pause) && !atomic_load(&grower.stop)) {
			atomic_store(&grower.paused, true);
			sched_yield();
		}
		atomic_store(&grower.paused, false);
	}
	return arg;
}

/* A page comes into use in a chunk that is private, and is written to while the snapshot makes that
   page private too. */
START_TEST(a_chunk_that_grows)
{
	cowarena *arena = kernel_arena(_i);
	pthread_t thread;

	if (!arena)
		return;
	atomic_store(&grower.stop, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_to_the_last, NULL), 0);
	for (size_t i = scaled(300, 5000, 20); i; i--) {
		uint64_t *at = (uint64_t *)(void *)page_block(arena, 1), then;
		*at = 1;
		atomic_store(&grower.at, at);
		cowarena_snapshot *s = take_snapshot(arena, 0);
		atomic_store(&grower.pause, true);
		AWAIT(atomic_load(&grower.paused));
		cowarena_snapshot *next = take_snapshot(arena, 0);
		ck_assert_int_eq(cowarena_snapshot_read(next, &then, at, sizeof then), 0);
		ck_assert_uint_eq(then, *at);
		atomic_store(&grower.pause, false);
		AWAIT(!atomic_load(&grower.paused));
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		ck_assert_int_eq(cowarena_snapshot_release(next), 0);
	}
	atomic_store(&grower.stop, true);
	pthread_join(thread, NULL);
	cowarena_destroy(arena);
}
END_TEST

/* Everything is written to in each epoch, and asked about before the next snapshot. */
START_TEST(a_record_for_each_page)
{
	cowarena *arena = kernel_arena(_i);
	size_t n = 16 * chunk_pages(), size = page_size();
	cowarena_snapshot *s[3];
	char seen;

	if (!arena)
		return;
	char *p = page_block(arena, n);
	for (int round = 0; round < 3; round++) {
		memset(p, round, n * size);
		s[round] = take_snapshot(arena, 0);
		memset(p, 100 + round, n * size);
		struct cowarena_stats stats = stats_of(arena);
		ck_assert_uint_ge(stats.copied + stats.shadowed, ((size_t)round + 1) * n);
		ck_assert_uint_ge(atomic_load(&arena->privates.own), n);
	}
	for (size_t i = 0; i < n; i++)
		for (int round = 0; round < 3; round++) {
			ck_assert_int_eq(cowarena_snapshot_read(s[round], &seen, p + i * size, 1),
					 0);
			ck_assert_int_eq(seen, round);
		}
	cowarena_destroy(arena);
}
END_TEST

/* The program closes the descriptors by which the kernel is asked. */
START_TEST(closed_descriptors)
{
	cowarena *arena = kernel_arena(WATCHED);

	if (!arena)
		return;
	struct os_file *files[] = {&arena->privates.watch, &arena->privates.pagemap};
	size_t size = page_size();
	char *p = page_block(arena, PAGES), seen, other;
	memset(p, 1, PAGES * size);
	cowarena_snapshot *s = take_snapshot(arena, COWARENA_QUIESCENT);
	for (int round = 0; round < 12; round++) {
		write_pages(p, 3, (char)(10 + round));
		if (round % 3 == 1)
			stats_of(arena); /* asks between snapshots */
		if (round % 3 == 2) {
			int fd = files[round / 3 % 2]->fd;
			ck_assert_int_eq(close(fd), 0);
			if (round > 6) /* another file gets the number */
				ck_assert_int_eq(open("/dev/null", O_RDONLY | O_CLOEXEC), fd);
		}
		cowarena_snapshot *next = take_snapshot(arena, COWARENA_QUIESCENT);
		for (size_t i = 0; i < PAGES; i++) {
			char now = (char)(i % 3 ? 1 : 10 + round), then = now;
			if (i % 3 == 0)
				then = (char)(round ? 9 + round : 1);
			ck_assert_int_eq(cowarena_snapshot_read(s, &other, p + i * size, 1), 0);
			ck_assert_int_eq(cowarena_snapshot_read(next, &seen, p + i * size, 1), 0);
			ck_assert(seen == now && other == then && p[i * size] == now);
		}
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		s = next;
	}
	ck_assert(!arena->privates.cannot_watch && private_is_watched(arena, page_of(arena, p, 0)));
	cowarena_destroy(arena);
}
END_TEST

/* Only what was written to is copied, though others may write, and so are held. */
START_TEST(held_for_nothing)
{
	cowarena *arena = kernel_arena(_i);
	struct other other;

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	memset(p, 0, PAGES * page_size());
	begin_other(&other);
	size_t memory = os_memory_used(&arena->file);
	for (int round = 1; round < 10; round++) {
		write_pages(p, 4, (char)round);
		take_snapshot(arena, 0);
		if (round % 3 == 0) /* memory that comes into use in a private chunk */
			ck_assert_ptr_nonnull(page_block(arena, 20));
	}
	ck_assert_uint_eq(own_pages(arena, p), PAGES / 4);
	ck_assert_uint_le(arena->privates.own, PAGES / 4 + 4); /* and the heap's own pages */
	struct cowarena_stats stats = stats_of(arena);
	ck_assert_uint_le(stats.copied + stats.shadowed, 9 * (PAGES / 4 + 4));
	ck_assert_uint_eq(stats.faults, 0);
	ck_assert_uint_le(os_memory_used(&arena->file), memory + 8 * page_size());
	end_other(&other);
	cowarena_destroy(arena);
}
END_TEST

/* The program closes the descriptor by which writers are held, and another file gets the number. */
START_TEST(closed_while_others_may_write)
{
	cowarena *arena = kernel_arena(WATCHED);
	struct other other;

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	memset(p, 0, PAGES * page_size());
	begin_other(&other);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int round = 1; round < 6; round++) {
		write_pages(p, 3, (char)round);
		int fd = arena->privates.hold.fd;
		ck_assert_int_ge(fd, 0);
		if (round % 2)
			ck_assert_int_eq(close(fd), 0);
		if (round == 3)
			ck_assert_int_eq(dup2(null, fd), fd);
		cowarena_snapshot *s = expect_past(arena, p, (char)round);
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	}
	ck_assert_uint_eq(stats_of(arena).faults, 0);
	end_other(&other);
	cowarena_destroy(arena);
}
END_TEST

/* The userfaultfd that watches is closed, and a duplicate keeps its registrations, so that nothing
   can be held by another: writers are held by a signal. */
START_TEST(a_refused_hold)
{
	cowarena *arena = kernel_arena(WATCHED);
	struct other other;

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	for (int round = 0; round < 4; round++) {
		write_pages(p, 2, (char)round);
		take_snapshot(arena, COWARENA_QUIESCENT);
	}
	ck_assert(private_is_watched(arena, page_of(arena, p, 0)));
	int duplicate = dup(arena->privates.watch.fd);
	ck_assert(duplicate >= 0 && close(arena->privates.watch.fd) == 0);
	begin_other(&other);
	for (int round = 10; round < 14; round++) {
		write_pages(p, 2, (char)round);
		expect_past(arena, p, (char)round);
		ck_assert(!cowarena_syscall_safe(arena));
	}
	end_other(&other);
	close(duplicate);
	cowarena_destroy(arena);
}
END_TEST

/* Chunks that cannot become private take traps. */
START_TEST(a_promise_that_does_not_hold)
{
	cowarena *arena = kernel_arena(WATCHED);
	struct other other;

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	ck_assert_int_eq(close(arena->file.fd), 0);
	begin_other(&other);
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	write_pages(p, 1, 2);
	ck_assert_uint_gt(stats_of(arena).faults, 0);
	ck_assert(!cowarena_syscall_safe(arena));
	end_other(&other);
	cowarena_destroy(arena);
}
END_TEST

/* When the last snapshot was released, memory is what the heap takes, though nobody compacts; what
   is written to later is found later. Then snapshots are as right as before. */
START_TEST(memory_after_the_last_release)
{
	helper_calm_ns = 50000000;
	cowarena *arena = arena_case(_i == WATCHED ? CASE_KERNEL : CASE_UNWATCHED);
	size_t n = 8 * PAGES, size = page_size();
	char *seen = malloc(n * size);

	ck_assert_ptr_nonnull(arena);
	if (strcmp(cowarena_engine_name(arena), "kernel") != 0) {
		printf("SKIP: %s\n", cowarena_errmsg());
		return;
	}
	char *p = page_block(arena, n);
	memset(p, 0, n * size);
	size_t before = os_memory_used(&arena->file);
	for (int round = 1; round < 4; round++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		memset(p, round, n * size);
		for (int part = 0; part < 2; part++) {
			ck_assert_int_eq(cowarena_snapshot_read(s, seen, p, n * size), 0);
			for (size_t i = 0; i < n * size; i++)
				ck_assert_int_eq(seen[i], part ? round : round - 1);
			ck_assert_int_eq(cowarena_snapshot_release(s), 0);
			s = take_snapshot(arena, 0);
		}
		for (size_t i = 0; i < n; i += 2)
			p[i * size] = (char)round;
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		ck_assert_uint_le(stats_of(arena).held_bytes, 2 * n * size);
		AWAIT(stats_of(arena).held_bytes == 0);
		ck_assert_uint_ge(private_chunks(arena), 1);
		ck_assert_uint_le(os_memory_used(&arena->file), before - n / 2 * size);
		for (size_t i = 1; i < n; i += 2) /* while nobody looks */
			p[i * size] = (char)round;
		AWAIT(os_memory_used(&arena->file) <= before - n * size &&
		      stats_of(arena).held_bytes == 0);
		for (size_t i = 0; i < n * size; i++)
			ck_assert_int_eq(p[i], round);
	}
	/* Pages that are clean and own still, where the kernel watches. */
	for (int round = 0; round < 4; round++) {
		write_pages(p, 16, (char)(10 + round));
		ck_assert_int_eq(cowarena_snapshot_release(take_snapshot(arena, 0)), 0);
	}
	AWAIT(stats_of(arena).held_bytes == 0);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	ck_assert_int_eq(cowarena_snapshot_read(s, seen, p, n * size), 0);
	ck_assert_int_eq(memcmp(seen, p, n * size), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	memset(p, 3, n * size);
	/* A child that may copy the file some day finds all of it. */
	int ends[2];
	char byte = 0;
	ck_assert_int_eq(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (read(ends[0], &byte, 1) != 1 || cowarena_after_fork_in_child())
			_exit(1);
		for (size_t i = 0; i < n * size; i++)
			if (p[i] != 3)
				_exit(2);
		_exit(0);
	}
	for (int nap = 0; nap < 6000; nap++) /* of which the helper makes use, if it may */
		os_nap();
	ck_assert_int_eq(write(ends[1], &byte, 1), 1);
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(cowarena_compact(arena), 0);
	ck_assert_uint_eq(stats_of(arena).held_bytes, 0);
	for (size_t i = 0; i < n * size; i++)
		ck_assert_int_eq(p[i], 3);
	cowarena_destroy(arena);
	free(seen);
}
END_TEST

/* ---- engine hybrid ---- */

#define SOME_CHUNKS 4

/* A heap of some chunks, none of them written to since the snapshot. */
static cowarena *mixed_arena(unsigned flags, char **p, cowarena_snapshot **s)
{
	struct cowarena_options o = case_options(CASE_MIXED);

	o.flags |= COWARENA_STRICT_ENGINE | flags;
	cowarena *arena = cowarena_create(&o);
	if (!arena) {
		printf("SKIP: %s\n", cowarena_errmsg());
		return NULL;
	}
	if (!private_works(arena)) {
		printf("SKIP: %s\n", cowarena_errmsg());
		cowarena_destroy(arena);
		return NULL;
	}
	size_t n = SOME_CHUNKS * chunk_pages();
	*p = cowarena_aligned_alloc(arena, CHUNK, n * page_size());
	ck_assert_ptr_nonnull(*p);
	memset(*p, 1, n * page_size());
	*s = take_snapshot(arena, 0);
	return arena;
}

/* Write to the page that is at this place of an order in which no two neighbours follow each
   other. */
static char *scattered(char *p, size_t i)
{
	return p + (i * 97 + 50) % (SOME_CHUNKS * chunk_pages()) * page_size();
}

/* Without a snapshot, private chunks become shared though nobody compacts: then the next cut has
   nothing to copy. */
START_TEST(shared_after_the_last_release)
{
	cowarena_snapshot *s;
	char *p, seen;

	helper_calm_ns = 50000000;
	cowarena *arena = mixed_arena(0, &p, &s);
	if (!arena)
		return;
	size_t all = SOME_CHUNKS * chunk_pages();
	for (char round = 2; round < 5; round++) {
		for (size_t i = 0; i < all; i++)
			*scattered(p, i) = round;
		ck_assert_uint_ge(private_chunks(arena), SOME_CHUNKS - 1);
		for (size_t i = 0; i < all; i++) {
			ck_assert_int_eq(cowarena_snapshot_read(s, &seen, scattered(p, i), 1), 0);
			ck_assert_int_eq(seen, round - 1);
		}
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		AWAIT(private_chunks(arena) == 0);
		ck_assert_uint_eq(private_chunks(arena), 0);
		ck_assert_uint_eq(stats_of(arena).held_bytes, 0);
		for (size_t i = 0; i < all; i++)
			ck_assert_int_eq(*scattered(p, i), round);
		uint64_t shadowed = stats_of(arena).shadowed;
		s = cowarena_snapshot_take(arena, 0);
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(stats_of(arena).shadowed, shadowed);
	}
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	cowarena_destroy(arena);
}
END_TEST

static void *read_on(void *arg)
{
	struct other *other = arg;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	while (!atomic_load(&other->stop))
		if (read(fd, other->to, page_size()) != (ssize_t)page_size())
			ck_abort_msg("read: %s", strerror(errno));
	close(fd);
	return NULL;
}

/* But where memory was prepared nobody is held: a system call that stores there goes on. */
START_TEST(prepared_memory_is_left_alone)
{
	cowarena_snapshot *s;
	char *p;

	helper_calm_ns = 1000000;
	cowarena *arena = mixed_arena(0, &p, &s);
	if (!arena)
		return;
	size_t all = SOME_CHUNKS * chunk_pages();
	struct other other = {.to = p + CHUNK};
	for (int round = 2; round < 5; round++) {
		for (size_t i = 0; i < all; i++)
			*scattered(p, i) = (char)round;
		ck_assert_uint_ge(private_chunks(arena), SOME_CHUNKS - 1);
		ck_assert_int_eq(cowarena_prepare_write(arena, other.to, page_size()), 0);
		atomic_store(&other.stop, false);
		ck_assert_int_eq(pthread_create(&other.thread, NULL, read_on, &other), 0);
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		if (round % 2)
			ck_assert_int_eq(cowarena_compact(arena), 0);
		AWAIT(private_chunks(arena) <= 1 && stats_of(arena).held_bytes == 0);
		ck_assert_uint_eq(private_chunks(arena), 1);
		ck_assert_uint_eq(stats_of(arena).held_bytes, 0);
		end_other(&other);
		for (size_t i = 0; i < all; i++)
			ck_assert_int_eq(*scattered(p, i), scattered(p, i) == other.to ? 0 : round);
		s = take_snapshot(arena, 0);
	}
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	cowarena_destroy(arena);
}
END_TEST

/* A few scattered writes are traps; many make their chunks private; walks and prepared writes do
   not. */
START_TEST(many_scattered_writes)
{
	cowarena_snapshot *s;
	char *p, seen;
	cowarena *arena = mixed_arena(COWARENA_NO_HELPER, &p, &s);

	if (!arena)
		return;
	size_t all = SOME_CHUNKS * chunk_pages(), few = arena->pages / 96, i = 0;
	for (; i < few - 4; i++) /* the heap's own pages were written to as well */
		*scattered(p, i) = 2;
	ck_assert_uint_eq(private_chunks(arena), 0);
	size_t faults = stats_of(arena).faults;
	ck_assert_uint_ge(faults, few - 4);
	for (; i < 4 * few; i++)
		*scattered(p, i) = 2;
	ck_assert_uint_eq(private_chunks(arena), SOME_CHUNKS);
	ck_assert_uint_le(stats_of(arena).faults, few + SOME_CHUNKS + 8);
	/* All are counted, and the snapshot has what each was. */
	struct cowarena_stats stats = stats_of(arena);
	ck_assert_uint_ge(stats.copied, 4 * few);
	ck_assert_uint_le(stats.held_bytes, (4 * few + 16) * page_size());
	for (i = 0; i < all; i++) {
		ck_assert_int_eq(cowarena_snapshot_read(s, &seen, scattered(p, i), 1), 0);
		ck_assert(seen == 1 && *scattered(p, i) == (i < 4 * few ? 2 : 1));
	}
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	ck_assert_uint_eq(private_chunks(arena), 0);
	/* A walk. */
	s = take_snapshot(arena, 0);
	memset(p, 3, all * page_size());
	ck_assert_uint_eq(private_chunks(arena), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	/* Prepared. */
	s = take_snapshot(arena, 0);
	for (i = 0; i < 4 * few; i++)
		ck_assert_int_eq(cowarena_prepare_write(arena, scattered(p, i), 1), 0);
	ck_assert_uint_eq(private_chunks(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* Two threads write to the same pages, each in an order of its own, while the chunks become
   private. The snapshot has what each page was. */
static struct {
	char *p;
	_Atomic size_t started;
	char byte;
} race;

/* The threads may write to one page at once. */
static void race_at(size_t i)
{
	__atomic_store_n(scattered(race.p, i), race.byte, __ATOMIC_RELAXED);
}

static void *write_all(void *arg)
{
	size_t all = SOME_CHUNKS * chunk_pages(), from = (size_t)(uintptr_t)arg * all / 2;

	atomic_fetch_add(&race.started, 1);
	while (atomic_load(&race.started) < 2)
		;
	for (size_t i = 0; i < all / 4; i++)
		race_at(from + (arg ? all / 4 - 1 - i : i) % (all / 4));
	for (size_t i = 0; i < all / 4; i++)
		race_at((arg ? 0 : all / 2) + i);
	return NULL;
}

START_TEST(preserved_while_chunks_become_private)
{
	cowarena_snapshot *s;
	pthread_t thread[2];
	cowarena *arena = mixed_arena(COWARENA_NO_HELPER, &race.p, &s);
	size_t n = SOME_CHUNKS * CHUNK, became = 0;

	if (!arena)
		return;
	char *then = malloc(n), *seen = malloc(n);
	for (size_t round = scaled(40, 2000, 5); round; round--) {
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		ck_assert_uint_eq(held_at_rest(arena), 0); /* all are shared again */
		race.byte = (char)(2 + round % 100);
		atomic_store(&race.started, 0);
		memcpy(then, race.p, n);
		s = take_snapshot(arena, 0);
		for (size_t i = 0; i < 2; i++)
			ck_assert_int_eq(
			    pthread_create(&thread[i], NULL, write_all, (void *)(uintptr_t)i), 0);
		for (size_t i = 0; i < 2; i++)
			pthread_join(thread[i], NULL);
		became += private_chunks(arena);
		ck_assert_int_eq(cowarena_snapshot_read(s, seen, race.p, n), 0);
		ck_assert_int_eq(memcmp(seen, then, n), 0);
	}
	ck_assert_uint_gt(became, 0);
	cowarena_destroy(arena);
	free(then);
	free(seen);
}
END_TEST

/* The program closes the userfaultfd, and a duplicate keeps the protection alive: what is armed is
   mapped anew, what is private is left alone. */
START_TEST(private_without_a_userfaultfd)
{
	cowarena_snapshot *s;
	char *p;
	cowarena *arena = mixed_arena(COWARENA_NO_HELPER, &p, &s);

	if (!arena)
		return;
	char *warm = p + 2 * CHUNK;
	warm[50 * page_size()] = 2;
	for (size_t i = 0; i < chunk_pages() / 4; i++)
		p[(i * 97 + 50) % chunk_pages() * page_size()] = 99;
	ck_assert(chunks_is_private(&arena->chunks, arena_page(arena, p)));
	ck_assert(!chunks_is_private(&arena->chunks, arena_page(arena, warm)));
	int fd = engine_uffd_file(arena)->fd, other = dup(fd);
	ck_assert(other >= 0 && close(fd) == 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, warm, 300 * page_size()), 0);
	memset(warm, 3, 300 * page_size());
	for (size_t i = 0; i < chunk_pages() / 4; i++)
		ck_assert_int_eq(p[(i * 97 + 50) % chunk_pages() * page_size()], 99);
	/* The next snapshot opens it anew, and everything is there. */
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	s = take_snapshot(arena, 0);
	for (size_t i = 0; i < chunk_pages() / 4; i++)
		ck_assert_int_eq(p[(i * 97 + 50) % chunk_pages() * page_size()], 99);
	ck_assert(warm[299 * page_size()] == 3 && warm[301 * page_size()] == 1);
	close(other);
	cowarena_destroy(arena);
}
END_TEST

/* A rollback arms two pages that are dirty and equal the snapshot, with one call for both. The page
   between them is clean, and the rollback has just written to it: a younger snapshot needs what it
   was. */
START_TEST(a_clean_page_among_pages_that_are_armed)
{
	cowarena_snapshot *s, *t;
	char *p, seen;
	cowarena *arena = mixed_arena(COWARENA_NO_HELPER, &p, &s);

	if (!arena)
		return;
	for (size_t i = 0; i < SOME_CHUNKS * chunk_pages() / 4; i++)
		*scattered(p, i) = 2;
	ck_assert_uint_eq(private_chunks(arena), SOME_CHUNKS);
	char *a = p + 10 * page_size(), *b = a + page_size(), *c = b + page_size();
	*a = *b = *c = 3;
	ck_assert_int_eq(cowarena_snapshot_release(take_snapshot(arena, 0)), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert(*a == 1 && *b == 1 && *c == 1);
	/* From here on few pages are written to, so they stay own. */
	ck_assert_int_eq(cowarena_snapshot_release(take_snapshot(arena, 0)), 0);
	*b = 7;
	t = take_snapshot(arena, 0);
	*a = *c = 1; /* written to, and not changed */
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert(*a == 1 && *b == 1 && *c == 1);
	ck_assert_int_eq(cowarena_snapshot_read(t, &seen, b, 1), 0);
	ck_assert_int_eq(seen, 7);
	cowarena_snapshot *u = take_snapshot(arena, 0);
	ck_assert_int_eq(cowarena_snapshot_read(u, &seen, b, 1), 0);
	ck_assert_int_eq(seen, 1);
	cowarena_destroy(arena);
}
END_TEST

static void count_event(void *ctx, const void *page, enum cowarena_page_event what)
{
	(void)page;
	((size_t *)ctx)[what]++;
}

/* Who wants to be told of each first write gets traps, from then on. */
START_TEST(shared_again_for_events)
{
	cowarena_snapshot *s;
	char *p, seen;
	size_t events[COWARENA_PAGE_EVENTS] = {0};
	cowarena *arena = mixed_arena(COWARENA_NO_HELPER, &p, &s);

	if (!arena)
		return;
	size_t all = SOME_CHUNKS * chunk_pages(), half = all / 2;
	for (size_t i = 0; i < half; i++)
		*scattered(p, i) = 2;
	ck_assert_uint_eq(private_chunks(arena), SOME_CHUNKS);
	ck_assert_int_eq(cowarena_on_page(arena, count_event, events), 0);
	ck_assert_uint_eq(private_chunks(arena), 0);
	for (size_t i = 0; i < all; i++)
		*scattered(p, i) = 3;
	ck_assert_uint_eq(events[COWARENA_PAGE_COPIED] + events[COWARENA_PAGE_AHEAD], all - half);
	ck_assert_uint_eq(private_chunks(arena), 0);
	for (size_t i = 0; i < all; i++) {
		ck_assert_int_eq(cowarena_snapshot_read(s, &seen, scattered(p, i), 1), 0);
		ck_assert(seen == 1 && *scattered(p, i) == 3);
	}
	ck_assert_int_eq(cowarena_on_page(arena, NULL, NULL), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- a sandbox like those of containers ---- */

static void refuse(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 3, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_madvise, 2, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void block_fault_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* What is promised of system calls holds, and what does not hold is not promised. */
START_TEST(promises)
{
	struct cowarena_options o = case_options(CASE_KERNEL);
	cowarena *arena = kernel_arena(WATCHED);

	if (!arena)
		return;
	bool safe = cowarena_syscall_safe(arena);
	cowarena_destroy(arena);
	for (int forbidden = 0; forbidden < 2; forbidden++) {
		o.flags = COWARENA_SYSCALL_SAFE;
		arena = cowarena_create(&o);
		ck_assert_ptr_nonnull(arena);
		ck_assert_str_eq(cowarena_engine_name(arena), "kernel");
		ck_assert_int_eq(cowarena_syscall_safe(arena), safe);
		if (!safe)
			ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "CAP_SYS_PTRACE"));
		cowarena_destroy(arena);
		o.flags |= COWARENA_STRICT_ENGINE;
		arena = cowarena_create(&o);
		ck_assert_int_eq(arena != NULL, safe);
		if (!arena)
			ck_assert_int_eq(errno, EPERM);
		cowarena_destroy(arena);
		refuse();
		safe = false;
	}
}
END_TEST

/* One thread, no signals: stores and read(2) between snapshots. */
START_TEST(quiescent_without_signals)
{
	refuse();
	cowarena *arena = kernel_arena(NOT_WATCHED);
	size_t n = PAGES * page_size(), rounds = scaled(1000, 10000, 50);
	uint64_t seed = seed_of_run(17);

	if (!arena)
		return;
	block_fault_signals();
	int zero = open("/dev/zero", O_RDONLY);
	char *p = page_block(arena, PAGES), *now = calloc(1, n), *then = calloc(1, n),
	     *seen = malloc(n);
	memset(p, 0, n);
	cowarena_snapshot *s = NULL;
	for (size_t round = 0; round < rounds; round++) {
		memcpy(then, now, n);
		cowarena_snapshot *next = cowarena_snapshot_take(arena, COWARENA_QUIESCENT);
		ck_assert_msg(next != NULL, "%s", cowarena_errmsg());
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		s = next;
		for (size_t i = rng(&seed) % 20; i; i--) {
			size_t at = rng(&seed) % n;
			p[at] = now[at] = (char)rng(&seed);
		}
		size_t at = rng(&seed) % n, len = rng(&seed) % (n - at) % (3 * page_size());
		ck_assert_int_eq(read(zero, p + at, len), (ssize_t)len);
		memset(now + at, 0, len);
		ck_assert_int_eq(cowarena_snapshot_read(s, seen, p, n), 0);
		ck_assert_int_eq(memcmp(seen, then, n), 0);
		ck_assert_int_eq(memcmp(p, now, n), 0);
		if (round % 50 == 49) {
			ck_assert_int_eq(cowarena_rollback(arena, s), 0);
			memcpy(now, then, n);
			ck_assert_int_eq(memcmp(p, now, n), 0);
		}
	}
	ck_assert_uint_eq(stats_of(arena).faults, 0);
	cowarena_destroy(arena);
	free(seen);
	free(then);
	free(now);
}
END_TEST

/* Four writers, each of which writes numbers in an order of its own. */
#define WRITERS 4
#define CELLS 32

/* How they are held: waiting in the kernel, with all fault signals blocked, or by a signal. */
enum { WAIT, SIGNAL, HOLDS };

static struct {
	char *p;
	size_t order[WRITERS][CELLS];
	_Atomic bool stop;
	bool signals_blocked, system_calls;
} litmus;

static volatile uint64_t *cell(char *base, size_t writer, size_t i)
{
	return (volatile uint64_t *)(base + litmus.order[writer][i] * page_size()) + 8 * writer;
}

/* By a store, or by the kernel. */
static void put(const int *pipe, volatile uint64_t *at, uint64_t value)
{
	if (pipe[0] < 0) {
		*at = value;
		return;
	}
	ck_assert_int_eq(write(pipe[1], &value, sizeof value), sizeof value);
	ck_assert_int_eq(read(pipe[0], (void *)(uintptr_t)at, sizeof value), sizeof value);
}

static void *write_on(void *arg)
{
	size_t writer = (size_t)(uintptr_t)arg;
	int ends[2] = {-1, -1};

	if (litmus.signals_blocked)
		block_fault_signals();
	if (writer == 0 && litmus.system_calls)
		ck_assert_int_eq(pipe(ends), 0);
	for (uint64_t round = 1; !atomic_load(&litmus.stop); round++)
		for (size_t i = 0; i < CELLS; i++)
			put(ends, cell(litmus.p, writer, i), round);
	close(ends[0]);
	close(ends[1]);
	return NULL;
}

static bool is_torn(char *base, size_t writer)
{
	uint64_t first = *cell(base, writer, 0), before = first, now;

	for (size_t i = 0; i < CELLS; i++, before = now) {
		now = *cell(base, writer, i);
		if (now > before || first - now > 1)
			return true;
	}
	return false;
}

START_TEST(writers_are_cut_at_one_instant)
{
	pthread_t thread[WRITERS];
	size_t rounds = scaled(500, 10000, 20), n = PAGES * page_size();
	uint64_t seed = seed_of_run(4);

	if (_i == SIGNAL)
		refuse();
	cowarena *arena = kernel_arena(_i == SIGNAL ? NOT_WATCHED : WATCHED);
	if (!arena)
		return;
	ck_assert_int_eq(arena->privates.hold.fd >= 0, _i == WAIT);
	litmus.signals_blocked = _i == WAIT;
	litmus.system_calls = cowarena_syscall_safe(arena);
	if (_i == WAIT && !litmus.system_calls)
		printf("SKIP: system calls that store there (the privilege of userfaultfd)\n");
	char *seen = malloc(n);
	litmus.p = page_block(arena, PAGES);
	memset(litmus.p, 0, n);
	/* While nobody writes, chunks are watched; later those who write are held. */
	cowarena_snapshot_release(take_snapshot(arena, COWARENA_QUIESCENT));
	memset(litmus.p, 0, n);
	cowarena_snapshot_release(take_snapshot(arena, COWARENA_QUIESCENT));
	for (size_t w = 0; w < WRITERS; w++)
		for (size_t i = 0; i < CELLS; i++) {
			size_t j = rng(&seed) % (i + 1);
			litmus.order[w][i] = litmus.order[w][j];
			litmus.order[w][j] = 2 * i;
		}
	for (size_t w = 0; w < WRITERS; w++)
		ck_assert_int_eq(pthread_create(&thread[w], NULL, write_on, (void *)(uintptr_t)w),
				 0);
	for (size_t i = 0; i < rounds; i++) {
		cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
		ck_assert_msg(s != NULL, "%s", cowarena_errmsg());
		ck_assert_int_eq(cowarena_snapshot_read(s, seen, litmus.p, n), 0);
		for (size_t w = 0; w < WRITERS; w++)
			ck_assert_msg(!is_torn(seen, w), "snapshot %zu is torn", i);
		if (rng(&seed) % 4 == 0)
			sched_yield();
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		if (rng(&seed) % 16 == 0) /* and all is shared again */
			ck_assert_int_eq(cowarena_compact(arena), 0);
	}
	if (_i == WAIT)
		ck_assert_uint_eq(stats_of(arena).faults, 0);
	atomic_store(&litmus.stop, true);
	for (size_t w = 0; w < WRITERS; w++)
		pthread_join(thread[w], NULL);
	printf("%zu snapshots, 0 torn\n", rounds);
	cowarena_destroy(arena);
	free(seen);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("private");
	TCase *tc = tcase_create("private");

	tcase_add_loop_test(tc, counters, 0, WAYS);
	tcase_add_loop_test(tc, written_each_time, 0, WAYS);
	tcase_add_loop_test(tc, a_few_stay_own, 0, WAYS);
	tcase_add_loop_test(tc, a_record_for_each_page, 0, WAYS);
	tcase_add_loop_test(tc, a_chunk_that_grows, 0, WAYS);
	tcase_add_test(tc, closed_descriptors);
	tcase_add_loop_test(tc, held_for_nothing, 0, WAYS);
	tcase_add_test(tc, a_refused_hold);
	tcase_add_test(tc, a_promise_that_does_not_hold);
	tcase_add_loop_test(tc, memory_after_the_last_release, 0, WAYS);
	tcase_add_test(tc, closed_while_others_may_write);
	tcase_add_test(tc, shared_after_the_last_release);
	tcase_add_test(tc, prepared_memory_is_left_alone);
	tcase_add_test(tc, many_scattered_writes);
	tcase_add_test(tc, preserved_while_chunks_become_private);
	tcase_add_test(tc, private_without_a_userfaultfd);
	tcase_add_test(tc, a_clean_page_among_pages_that_are_armed);
	tcase_add_test(tc, shared_again_for_events);
	tcase_add_test(tc, a_fork_leaves_new_memory_writable);
	tcase_add_test(tc, promises);
	tcase_add_test(tc, quiescent_without_signals);
	tcase_add_loop_test(tc, writers_are_cut_at_one_instant, 0, HOLDS);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
