/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-helper.c - the helper thread: what it does with frames, and that it disturbs no other
 * thread.
 *
 * (test-hybrid.c has what it does with chunks.) The helper works when it chooses to, so a test
 * waits for what it expects.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 4000
#define KEPT 1100 /* frames with memory that the library may keep while there is no snapshot */

static cowarena *arena_with(unsigned flags)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);

	o.flags |= flags;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	return arena;
}

/* Frames of the pool that the kernel has given memory. */
static size_t frames_resident(cowarena *arena)
{
	size_t n = 0, total = atomic_load(&arena->frames.total);

	for (size_t i = 1; i < total; i++) {
		unsigned char resident = 0;
		if (mincore(frames_data(&arena->frames, (uint32_t)i), page_size(), &resident))
			ck_abort_msg("mincore");
		n += resident & 1;
	}
	return n;
}

static void write_all(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		p[i * page_size()]++;
}

START_TEST(memory_of_frames_comes_back_at_once)
{
	cowarena *arena = arena_with(_i ? 0 : COWARENA_NO_HELPER);
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	write_all(p, PAGES);
	ck_assert_uint_ge(frames_resident(arena), PAGES);
	cowarena_compact(arena); /* they are in use */
	ck_assert_uint_ge(frames_resident(arena), PAGES);
	char seen;
	for (size_t i = 0; i < PAGES; i++)
		if (cowarena_snapshot_read(snap, &seen, p + i * page_size(), 1) || seen != 1)
			ck_abort_msg("page %zu", i);
	cowarena_snapshot_release(snap);
	cowarena_compact(arena);
	ck_assert_uint_lt(frames_resident(arena), KEPT);
	/* And it works as before. */
	snap = take_snapshot(arena, 0);
	write_all(p, PAGES);
	for (size_t i = 0; i < PAGES; i++)
		if (cowarena_snapshot_read(snap, &seen, p + i * page_size(), 1) || seen != 2)
			ck_abort_msg("page %zu", i);
	cowarena_destroy(arena);
}
END_TEST

/* Memory that was given to frames ahead of a need that never came. */
START_TEST(so_does_what_was_never_used)
{
	cowarena *arena = arena_with(COWARENA_NO_HELPER);
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page_size());
	take_snapshot(arena, 0);
	while (!frames_prefault(&arena->frames, PAGES))
		;
	ck_assert_uint_ge(frames_warm(&arena->frames), PAGES);
	cowarena_compact(arena);
	ck_assert_uint_lt(frames_resident(arena), KEPT);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(memory_of_frames_comes_back_by_itself)
{
	cowarena *arena = arena_with(0);
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page_size());
	/* Two at a time, so that it looks as if more were needed than are. */
	cowarena_snapshot *old = NULL;
	for (int i = 0; i < 10; i++) {
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		write_all(p, PAGES);
		cowarena_snapshot_release(old);
		old = snap;
	}
	ck_assert_uint_ge(frames_resident(arena), PAGES);
	cowarena_snapshot_release(old);
	AWAIT(frames_resident(arena) < KEPT);
	ck_assert_uint_lt(frames_resident(arena), KEPT);
	cowarena_destroy(arena);
}
END_TEST

/* In a steady state the handler finds as many frames with memory as the last epochs took. */
START_TEST(frames_are_there_before_they_are_needed)
{
	bool alone = _i & 1, overlapping = _i & 2; /* without the thread; two snapshots at a time */
	cowarena *arena = arena_with(alone ? COWARENA_NO_HELPER : 0);
	char *p = page_block(arena, PAGES);
	cowarena_snapshot *old = NULL;

	memset(p, 1, PAGES * page_size());
	for (int epoch = 0; epoch < 12; epoch++) {
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		if (epoch >= 4 && !alone)
			AWAIT(frames_warm(&arena->frames) >= PAGES);
		if (epoch >= 4)
			ck_assert_uint_ge(frames_warm(&arena->frames), PAGES);
		write_all(p, PAGES);
		cowarena_snapshot_release(overlapping ? old : snap);
		old = snap;
	}
	cowarena_destroy(arena);
}
END_TEST

/* In an epoch that takes more than any before, the thread gives memory ahead of the writer. */
START_TEST(the_handler_calls_for_more)
{
	cowarena *arena = arena_with(0);
	char *p = page_block(arena, PAGES);

	memset(p, 1, PAGES * page_size());
	take_snapshot(arena, 0);
	for (size_t done = 0; done < PAGES; done += 500) {
		write_all(p + done * page_size(), 500);
		/* With more than that the writer has not called yet. */
		AWAIT(frames_warm(&arena->frames) >= FRAMES_LOW);
		ck_assert_uint_ge(frames_warm(&arena->frames), FRAMES_LOW);
	}
	ck_assert_uint_lt(frames_resident(arena), 3 * PAGES);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(the_limit_holds)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);

	o.held_limit = 300 * page_size();
	o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, 1000);
	memset(p, 0, 1000 * page_size());
	cowarena_snapshot *kept[4] = {0};
	for (int i = 0; i < 40; i++) {
		cowarena_snapshot_release(kept[i % 4]);
		kept[i % 4] = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(kept[i % 4]);
		for (size_t j = 0; j < 150; j++)
			p[(j * 7 + (size_t)i) % 1000 * page_size()] = (char)i;
		char seen;
		ck_assert_int_eq(cowarena_snapshot_read(kept[i % 4], &seen, p, 1), 0);
		ck_assert_uint_le(stats_of(arena).held_bytes, o.held_limit);
	}
	ck_assert_uint_le(stats_of(arena).held_bytes_peak, o.held_limit);
	cowarena_destroy(arena);
}
END_TEST

/* ---- the thread ---- */

static bool can_count_threads(void)
{
	if (thread_sanitized())
		printf("SKIP: ThreadSanitizer has threads of its own\n");
	return !thread_sanitized();
}

START_TEST(one_thread_from_the_first_snapshot_on)
{
	size_t before = threads_now();

	if (!can_count_threads())
		return;
	cowarena *with = arena_with(0), *without = arena_with(COWARENA_NO_HELPER);

	ck_assert(threads_become(before));
	cowarena_compact(with);
	cowarena_snapshot_release(take_snapshot(without, 0));
	ck_assert(threads_become(before));
	cowarena_snapshot_release(take_snapshot(with, 0));
	ck_assert(threads_become(before + 1));
	take_snapshot(with, 0);
	ck_assert(threads_become(before + 1));
	cowarena_destroy(without);
	ck_assert(threads_become(before + 1));
	cowarena_destroy(with);
	ck_assert(threads_become(before));
}
END_TEST

static unsigned long long blocked_by(const char *task)
{
	char path[300], line[256];
	unsigned long long mask = 0;

	snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "SigBlk: %llx", &mask) == 1)
			break;
	fclose(f);
	return mask;
}

/* All but those that a wrong instruction raises at once, and the C library's own. */
START_TEST(it_takes_no_signal)
{
	static const int not [] = {SIGSEGV, SIGBUS,  SIGILL, SIGFPE, SIGTRAP,
				   SIGKILL, SIGSTOP, 32,     33};
	unsigned long long wanted = ~0ull;
	char self[32];
	int helpers = 0;

	if (!can_count_threads())
		return;
	for (size_t i = 0; i < sizeof not / sizeof *not ; i++)
		wanted &= ~(1ull << (not [i] - 1));
	cowarena *arena = arena_with(0);
	take_snapshot(arena, 0);
	snprintf(self, sizeof self, "%d", (int)getpid());
	DIR *d = opendir("/proc/self/task");
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.' && strcmp(e->d_name, self)) {
			helpers++;
			ck_assert_uint_eq(blocked_by(e->d_name) & wanted, wanted);
		}
	closedir(d);
	ck_assert_int_eq(helpers, 1);
	cowarena_destroy(arena);
}
END_TEST

/* Whoever takes the first snapshot: the library's threads are ordinary ones, which may run
   where the process's first thread may. */
static void *is_no_ordinary_thread(void *arg)
{
	struct cowarena_options o = *(struct cowarena_options *)arg;
	struct sched_param one = {.sched_priority = 1};
	cpu_set_t set;

	sched_getaffinity(0, sizeof set, &set);
	for (int i = 0, kept = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set) && kept++)
			CPU_CLR(i, &set);
	sched_setaffinity(0, sizeof set, &set);
	if (sched_setscheduler(0, SCHED_RR, &one))
		sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
	cowarena *arena = cowarena_create(&o);
	if (arena)
		take_snapshot(arena, 0);
	sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
	return arena;
}

START_TEST(ordinary_threads)
{
	struct cowarena_options o = case_options(_i);
	pthread_t thread;
	void *arena;
	cpu_set_t mine, its;
	char self[32];
	size_t n = 0;

	if (!can_count_threads())
		return;
	ck_assert_int_eq(pthread_create(&thread, NULL, is_no_ordinary_thread, &o), 0);
	ck_assert_int_eq(pthread_join(thread, &arena), 0);
	ck_assert_ptr_nonnull(arena);
	bool resolver = _i == CASE_EVENTS && cowarena_syscall_safe(arena);
	ck_assert(threads_become(resolver ? 3 : 2));
	snprintf(self, sizeof self, "%d", (int)getpid());
	ck_assert_int_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
	DIR *d = opendir("/proc/self/task");
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.' && strcmp(e->d_name, self)) {
			n++;
			ck_assert_int_eq(sched_getscheduler(atoi(e->d_name)), SCHED_OTHER);
			ck_assert_int_eq(sched_getaffinity(atoi(e->d_name), sizeof its, &its), 0);
			ck_assert(CPU_EQUAL(&its, &mine));
		}
	closedir(d);
	ck_assert_uint_eq(n, resolver ? 2 : 1);
	cowarena_destroy(arena);
}
END_TEST

/* It is busy when it is told to stop, waits, or has just been started. */
START_TEST(many_come_and_go)
{
	size_t before = threads_now();

	for (size_t i = 0; i < scaled(60, 2000, 30); i++) {
		cowarena *arena[3];
		for (int j = 0; j < 3; j++) {
			arena[j] = arena_with(0);
			char *p = page_block(arena[j], 600);
			memset(p, 1, 600 * page_size());
			cowarena_snapshot *s = take_snapshot(arena[j], 0);
			if (i % 2)
				write_all(p, 600);
			if (i % 3)
				cowarena_snapshot_release(s);
			for (size_t k = 0; k < i % 20; k++)
				cowarena_snapshot_release(take_snapshot(arena[j], 0));
		}
		for (int j = 0; j < 3; j++)
			cowarena_destroy(arena[j]);
	}
	ck_assert(thread_sanitized() || threads_become(before));
}
END_TEST

/* ---- fork ---- */

static void use(cowarena *arena, char *p, char value)
{
	char seen;

	memset(p, value, 600 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	write_all(p, 600);
	for (size_t i = 0; i < 600; i++)
		if (!s || cowarena_snapshot_read(s, &seen, p + i * page_size(), 1) || seen != value)
			_exit(91);
	cowarena_snapshot_release(s);
	cowarena_compact(arena);
}

static void child(void *inherited)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	cowarena *own = cowarena_create(&o);

	if (!own)
		_exit(90);
	for (char i = 0; i < 20; i++)
		use(own, page_block(own, 600), i);
	cowarena_destroy(own);
	cowarena_destroy(inherited);
	_exit(threads_become(1) ? 0 : 92);
}

START_TEST(fork_while_it_runs)
{
	if (sanitized()) {
		printf("SKIP: sanitizers lose their own locks in a child of several threads\n");
		return;
	}
	cowarena *arena = arena_with(0);
	char *p = page_block(arena, 600);

	for (size_t i = 0; i < scaled(8, 300, 4); i++) {
		use(arena, p, (char)i);
		int status = in_child(child, arena, NULL);
		if (status)
			ck_abort_msg("the child: status %#x", (unsigned)status);
		use(arena, p, (char)(i + 100));
	}
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper");
	TCase *tc = tcase_create("helper");

	tcase_add_loop_test(tc, memory_of_frames_comes_back_at_once, 0, 2);
	tcase_add_test(tc, so_does_what_was_never_used);
	tcase_add_test(tc, memory_of_frames_comes_back_by_itself);
	tcase_add_loop_test(tc, frames_are_there_before_they_are_needed, 0, 4);
	tcase_add_test(tc, the_handler_calls_for_more);
	tcase_add_test(tc, the_limit_holds);
	tcase_add_test(tc, one_thread_from_the_first_snapshot_on);
	tcase_add_test(tc, it_takes_no_signal);
	tcase_add_loop_test(tc, ordinary_threads, 0, CASES);
	tcase_add_test(tc, many_come_and_go);
	tcase_add_test(tc, fork_while_it_runs);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
