/* SPDX-License-Identifier: BSD-2-Clause */
/* test-syscalls-process.c - COWARENA_SYSCALL_SAFE and the process: privilege, wild writes, fork,
   exit. */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define PAGES 100

static cowarena *create(unsigned flags)
{
	struct cowarena_options o = case_options(CASE_EVENTS);

	o.flags |= flags;
	return cowarena_create(&o);
}

/* NULL, and it says so, where the privilege is not to be had. */
static cowarena *safe_arena(void)
{
	cowarena *arena = create(COWARENA_STRICT_ENGINE);

	if (!arena)
		printf("SKIP: %s\n", cowarena_errmsg());
	return arena;
}

/* Whether read(2) into armed memory works, and the snapshot does not see it. */
static bool works(cowarena *arena, char *p)
{
	int fd[2];
	char seen, value = (char)(*p + 1);

	if (pipe(fd) || write(fd[1], &value, 1) != 1)
		return false;
	cowarena_snapshot *s = take_snapshot(arena, 0);
	bool ok = s && read(fd[0], p, 1) == 1 && *p == value &&
		  cowarena_snapshot_read(s, &seen, p, 1) == 0 && seen == (char)(value - 1);
	for (size_t i = 1; i < PAGES && ok; i++) {
		p[i * page_size()]++;
		ok = cowarena_snapshot_read(s, &seen, p + i * page_size(), 1) == 0 &&
		     seen == (char)(p[i * page_size()] - 1);
	}
	close(fd[0]);
	close(fd[1]);
	return cowarena_snapshot_release(s) == 0 && ok;
}

/* ---- privilege ---- */

static bool unprivileged_may(void)
{
	FILE *f = fopen("/proc/sys/vm/unprivileged_userfaultfd", "r");
	int c = f ? fgetc(f) : '0';

	if (f)
		fclose(f);
	return c == '1';
}

static void without_privilege(void *strict)
{
	if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
		_exit(80);
	cowarena *arena = create(strict ? COWARENA_STRICT_ENGINE : 0);
	int e = errno;
	fprintf(stderr, "%s", cowarena_errmsg());
	if (strict)
		_exit(!arena && e == EPERM ? 0 : 81);
	if (!arena)
		_exit(82);
	if (cowarena_syscall_safe(arena) || !strcmp(cowarena_engine_name(arena), "eager"))
		_exit(83);
	char *p = page_block(arena, 1);
	*p = 'a';
	cowarena_snapshot *s = take_snapshot(arena, 0);
	*p = 'b';
	char seen;
	if (!s || cowarena_snapshot_read(s, &seen, p, 1) || seen != 'a')
		_exit(84);
	cowarena_destroy(arena);
}

START_TEST(it_takes_a_privilege)
{
	char *message;

	if (unprivileged_may()) {
		printf("SKIP: vm.unprivileged_userfaultfd is 1\n");
		return;
	}
	cowarena *possible = create(COWARENA_STRICT_ENGINE);
	bool forbidden = !possible && errno != EPERM; /* the kernel knows no such thing */
	cowarena_destroy(possible);
	if (forbidden) {
		printf("SKIP: %s\n", cowarena_errmsg());
		return;
	}
	int status = in_child(without_privilege, _i ? &status : NULL, &message);
	ck_assert_msg(status == 0, "status %#x: %s", (unsigned)status, message);
	/* Also where it falls back. */
	ck_assert_ptr_nonnull(strstr(message, "CAP_SYS_PTRACE"));
	free(message);
}
END_TEST

/* ---- wild writes ---- */

/* Or let the kernel, which is told so. */
static void write_beyond(void *arg)
{
	cowarena *arena = create(0);
	char *p = page_block(arena, PAGES);

	if (!works(arena, p))
		_exit(80);
	char *beyond = p + ((size_t)512 << 20);
	int fd[2];
	if (pipe(fd) || write(fd[1], "x", 1) != 1)
		_exit(81);
	if (arg)
		_exit(read(fd[0], beyond, 1) == -1 && errno == EFAULT ? 0 : 82);
	*(volatile char *)beyond = 1;
}

START_TEST(a_wild_write_kills)
{
	cowarena *arena = safe_arena();

	if (!arena)
		return;
	cowarena_destroy(arena);
	int status = in_child(write_beyond, NULL, NULL);
	ck_assert_msg(died_of_segv(status), "status %#x", (unsigned)status);
	bool by_kernel = true;
	status = in_child(write_beyond, &by_kernel, NULL);
	ck_assert_msg(status == 0, "status %#x", (unsigned)status);
}
END_TEST

/* ---- the end ---- */

START_TEST(nothing_is_left)
{
	size_t threads = threads_now(), descriptors = descriptors_now();

	for (size_t i = 0; i < scaled(200, 2000, 40); i++) {
		cowarena *arena = safe_arena();
		if (!arena)
			return;
		char *p = page_block(arena, PAGES);
		if (i % 4) {
			memset(p, 0, PAGES * page_size());
			ck_assert(works(arena, p));
		}
		if (i % 3 == 0)
			cowarena_view_open(take_snapshot(arena, 0), 0);
		ck_assert_uint_gt(threads_now(), threads);
		cowarena_destroy(arena);
		ck_assert(thread_sanitized() || threads_become(threads));
		ck_assert_uint_eq(descriptors_now(), descriptors);
	}
}
END_TEST

struct writer {
	pthread_t thread;
	pthread_barrier_t *start;
	char *p;
};

static void *write_every_page(void *arg)
{
	struct writer *w = arg;

	pthread_barrier_wait(w->start);
	for (size_t i = 0; i < PAGES; i++)
		w->p[i * page_size()]++;
	return NULL;
}

/*
 * Several threads met the same armed page. The first of their faults that is resolved lets all of
 * them go on: to join, to take snapshots, to destroy the arena, while the others have yet to be
 * looked at.
 */
START_TEST(faults_that_are_resolved_late)
{
	enum { WRITERS = 12 };
	struct writer w[WRITERS];
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, WRITERS);
	for (size_t round = 0; round < scaled(100, 3000, 100); round++) {
		struct cowarena_options o = case_options(CASE_EVENTS);
		o.flags |= COWARENA_STRICT_ENGINE | COWARENA_NO_HELPER;
		o.copy_ahead = 1;
		cowarena *arena = cowarena_create(&o);
		if (!arena) {
			printf("SKIP: %s\n", cowarena_errmsg());
			break;
		}
		char *p = page_block(arena, PAGES);
		memset(p, 1, PAGES * page_size());
		take_snapshot(arena, 0);
		for (int i = 0; i < WRITERS; i++) {
			w[i] = (struct writer){.start = &start, .p = p + i};
			ck_assert_int_eq(
			    pthread_create(&w[i].thread, NULL, write_every_page, &w[i]), 0);
		}
		for (int i = 0; i < WRITERS; i++)
			pthread_join(w[i].thread, NULL);
		for (int i = 0; i < 3; i++)
			take_snapshot(arena, 0);
		cowarena_destroy(arena);
	}
	pthread_barrier_destroy(&start);
}
END_TEST

/* ---- fork ---- */

struct family {
	cowarena *arena;
	char *p;
	size_t descriptors; /* before the arena was made */
};

static void exit_at_once(void *arg)
{
	(void)arg;
}

static void destroy_and_exit(void *arg)
{
	struct family *f = arg;

	cowarena_destroy(f->arena);
	fprintf(stderr, "%zu descriptors, %zu before", descriptors_now(), f->descriptors);
	_exit(descriptors_now() == f->descriptors ? 0 : 80);
}

static void use_an_own_one(void *arg)
{
	struct family *f = arg;
	cowarena *own = create(COWARENA_STRICT_ENGINE);

	if (!own)
		_exit(80);
	char *p = page_block(own, PAGES);
	if (!works(own, p))
		_exit(81);
	cowarena_destroy(f->arena);
	if (!works(own, p))
		_exit(82);
	cowarena_destroy(own);
}

static void touch_the_parents(void *arg)
{
	struct family *f = arg;

	*f->p = 1;
}

START_TEST(a_child_does_no_harm)
{
	static void (*const lives[])(void *) = {exit_at_once, destroy_and_exit, use_an_own_one,
						touch_the_parents};
	/* A pipe of in_child()'s stays open in the child as its standard error. */
	struct family f = {.descriptors = descriptors_now()};

	if (lives[_i] == use_an_own_one && sanitized()) {
		printf("SKIP: sanitizers lose their own locks in a child of several threads\n");
		return;
	}
	f.arena = safe_arena();
	if (!f.arena)
		return;
	f.p = page_block(f.arena, PAGES);
	for (int i = 0; i < 5; i++) {
		ck_assert(works(f.arena, f.p));
		cowarena_snapshot *s = take_snapshot(f.arena, 0);
		char seen, before = f.p[7];
		char *message;
		int status = in_child(lives[_i], &f, &message);
		if (lives[_i] == touch_the_parents)
			ck_assert_msg(died_of_segv(status), "status %#x", (unsigned)status);
		else
			ck_assert_msg(status == 0, "status %#x: %s", (unsigned)status, message);
		free(message);
		f.p[7]++;
		ck_assert_int_eq(cowarena_snapshot_read(s, &seen, f.p + 7, 1), 0);
		ck_assert_int_eq(seen, before);
		ck_assert(works(f.arena, f.p));
	}
	cowarena_destroy(f.arena);
	ck_assert_uint_eq(descriptors_now(), f.descriptors);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("syscalls-process");
	TCase *tc = tcase_create("syscalls-process");

	tcase_add_loop_test(tc, it_takes_a_privilege, 0, 2);
	tcase_add_test(tc, a_wild_write_kills);
	tcase_add_test(tc, nothing_is_left);
	tcase_add_test(tc, faults_that_are_resolved_late);
	tcase_add_loop_test(tc, a_child_does_no_harm, 0, 4);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
