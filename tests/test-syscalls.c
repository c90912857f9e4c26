/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-syscalls.c - system calls that write into armed memory, with COWARENA_SYSCALL_SAFE.
 *
 * (test-prepare.c has what works without it, and how.)
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGES 300

/* NULL, and it says so, where the privilege is not to be had. */
static cowarena *safe_arena(size_t held_limit)
{
	struct cowarena_options o = case_options(CASE_EVENTS);

	o.flags |= COWARENA_STRICT_ENGINE;
	o.held_limit = held_limit;
	o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *arena = cowarena_create(&o);
	if (!arena)
		printf("SKIP: %s\n", cowarena_errmsg());
	else
		ck_assert(cowarena_syscall_safe(arena));
	return arena;
}

static char pattern(size_t i)
{
	return (char)(i * 7 + i / 4096 + 1);
}

/* A file without a name. */
static int pattern_file(size_t n)
{
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; i < n; i++)
		putc(pattern(i), f);
	int fd = dup(fileno(f));
	fclose(f);
	return fd;
}

static void check_pattern(const char *p, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern(from + i))
			ck_abort_msg("byte %zu", from + i);
}

static void check_past(cowarena_snapshot *s, const char *p, size_t n, char value)
{
	for (size_t i = 0; i < n; i += 97) {
		char seen;
		if (cowarena_snapshot_read(s, &seen, p + i, 1))
			ck_abort_msg("%s", cowarena_errmsg());
		if (seen != value)
			ck_abort_msg("byte %zu of the snapshot: %d, not %d", i, seen, value);
	}
}

/* ---- each call ---- */

static void by_read(int fd, char *p, size_t n)
{
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(read(fd, p, n), (ssize_t)n);
}

static void by_pread(int fd, char *p, size_t n)
{
	ck_assert_int_eq(pread(fd, p, n, 0), (ssize_t)n);
}

static void by_preadv(int fd, char *p, size_t n)
{
	size_t cut = n / 3 + 5;
	struct iovec iov[3] = {{p, cut}, {p + cut, cut}, {p + 2 * cut, n - 2 * cut}};

	ck_assert_int_eq(preadv(fd, iov, 3, 0), (ssize_t)n);
}

static void by_recv(int fd, char *p, size_t n)
{
	int pair[2];
	char buffer[5000];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (size_t done = 0, part; done < n; done += part) {
		part = n - done < sizeof buffer ? n - done : sizeof buffer;
		ck_assert_int_eq(pread(fd, buffer, part, (off_t)done), (ssize_t)part);
		ck_assert_int_eq(send(pair[0], buffer, part, 0), (ssize_t)part);
		ck_assert_int_eq(recv(pair[1], p + done, part, MSG_WAITALL), (ssize_t)part);
	}
	close(pair[0]);
	close(pair[1]);
}

static void (*const calls[])(int fd, char *p, size_t n) = {by_read, by_pread, by_preadv, by_recv};

START_TEST(they_write_into_armed_pages)
{
	cowarena *arena = safe_arena(0);

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	size_t n = PAGES * page_size() - 200;
	int fd = pattern_file(n);
	for (char round = 'a'; round < 'd'; round++) {
		memset(p, round, PAGES * page_size());
		cowarena_snapshot *s = take_snapshot(arena, 0);
		calls[_i](fd, p + 100, n);
		check_pattern(p + 100, 0, n);
		ck_assert_int_eq(p[99], round);
		ck_assert_int_eq(p[n + 100], round);
		check_past(s, p, PAGES * page_size(), round);
		if (round == 'b') {
			ck_assert_int_eq(cowarena_rollback(arena, s), 0);
			ck_assert_int_eq(p[n / 2], round);
		}
	}
	close(fd);
	cowarena_destroy(arena);
}
END_TEST

/* ---- threads ---- */

struct reader {
	pthread_t thread;
	char *p;
	int fd;
	_Atomic bool *stop;
	uint64_t calls;
};

static void *read_again_and_again(void *arg)
{
	struct reader *r = arg;
	size_t n = 40 * page_size();

	for (; !atomic_load(r->stop); r->calls++) {
		size_t from = r->calls % 5 * 1000;
		ssize_t got = pread(r->fd, r->p, n, (off_t)from);
		if (got != (ssize_t)n)
			ck_abort_msg("pread: %zd, errno %d", got, errno);
		/* Stores and system calls at once. */
		r->p[n - 1] = r->p[0];
		for (size_t i = 0; i < n - 1; i += 501)
			if (r->p[i] != pattern(from + i))
				ck_abort_msg("byte %zu", i);
	}
	return NULL;
}

START_TEST(from_several_threads)
{
	enum { READERS = 3 };
	cowarena *arena = safe_arena(0);
	struct reader r[READERS];
	_Atomic bool stop = false;

	if (!arena)
		return;
	int fd = pattern_file(50 * page_size() + 5000);
	char *p = page_block(arena, READERS * 41);
	memset(p, 0, READERS * 41 * page_size());
	for (int i = 0; i < READERS; i++) {
		/* Not aligned: neighbours share a page. */
		r[i] = (struct reader){
		    .p = p + 50 + (size_t)i * 40 * page_size(), .fd = fd, .stop = &stop};
		ck_assert_int_eq(pthread_create(&r[i].thread, NULL, read_again_and_again, &r[i]),
				 0);
	}
	cowarena_snapshot *kept[4] = {0};
	char *copy[4] = {0};
	size_t n = READERS * 41 * page_size();
	for (size_t i = 0; i < scaled(200, 5000, 50); i++) {
		size_t k = i * 7 / 3 % 4;
		char *now = malloc(n);
		if (kept[k]) {
			ck_assert_int_eq(cowarena_snapshot_read(kept[k], now, p, n), 0);
			ck_assert(memcmp(now, copy[k], n) == 0);
		}
		free(now);
		free(copy[k]);
		cowarena_snapshot_release(kept[k]);
		kept[k] = take_snapshot(arena, 0);
		copy[k] = malloc(n);
		ck_assert_int_eq(cowarena_snapshot_read(kept[k], copy[k], p, n), 0);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++) {
		pthread_join(r[i].thread, NULL);
		ck_assert_uint_gt(r[i].calls, 0);
	}
	for (int i = 0; i < 4; i++)
		free(copy[i]);
	close(fd);
	cowarena_destroy(arena);
}
END_TEST

struct blocked {
	int fd;
	char *p;
	size_t n;
	_Atomic int asleep;
};

static void *wait_for_data(void *arg)
{
	struct blocked *b = arg;

	atomic_store(&b->asleep, 1);
	ck_assert_int_eq(recv(b->fd, b->p, b->n, MSG_WAITALL), (ssize_t)b->n);
	return NULL;
}

/* A reader that is in the kernel while its buffer is armed, more than once. */
START_TEST(asleep_while_a_snapshot_is_taken)
{
	enum { PARTS = 10 };
	cowarena *arena = safe_arena(0);
	cowarena_snapshot *s[PARTS];
	pthread_t thread;
	int pair[2];

	if (!arena)
		return;
	size_t part = 2 * page_size() + 300;
	char *p = page_block(arena, PARTS * 3), *data = malloc(PARTS * part);
	memset(p, 'a', PARTS * 3 * page_size());
	for (size_t i = 0; i < PARTS * part; i++)
		data[i] = pattern(i);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct blocked b = {.fd = pair[1], .p = p, .n = PARTS * part};
	ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_data, &b), 0);
	while (!atomic_load(&b.asleep))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	for (size_t i = 0; i < PARTS; i++) {
		s[i] = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(s[i]);
		ck_assert_int_eq(send(pair[0], data + i * part, part, 0), (ssize_t)part);
		/* Some without waiting for it. */
		int left = 1;
		if (i % 2)
			AWAIT(ioctl(pair[1], FIONREAD, &left) == 0 && left == 0);
	}
	pthread_join(thread, NULL);
	check_pattern(p, 0, PARTS * part);
	check_past(s[0], p, PARTS * part, 'a');
	for (size_t i = 2; i < PARTS; i += 2) { /* the part before had arrived */
		char seen[2];
		ck_assert_int_eq(cowarena_snapshot_read(s[i], seen, p + i * part - 1, 2), 0);
		ck_assert_int_eq(seen[0], pattern(i * part - 1));
		ck_assert_int_eq(seen[1], 'a');
	}
	free(data);
	close(pair[0]);
	close(pair[1]);
	cowarena_destroy(arena);
}
END_TEST

/* ---- the rest of the library in this mode ---- */

START_TEST(views_and_hot_pages)
{
	cowarena *arena = safe_arena(0);

	if (!arena)
		return;
	char *p = page_block(arena, PAGES);
	size_t n = PAGES * page_size();
	int fd = pattern_file(n);
	memset(p, 'a', n);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(s, _i ? COWARENA_VIEW_PRIVATE : 0);
	ck_assert_ptr_nonnull(view);
	const char *old = cowarena_view_at(view, p);
	for (int epoch = 0; epoch < 6; epoch++) {
		/* Half of the pages are hot, and left alone by the snapshot. */
		ck_assert_int_eq(pread(fd, p, n / 2, epoch * 1000), (ssize_t)(n / 2));
		cowarena_snapshot *hot = take_snapshot(arena, COWARENA_QUIESCENT);
		char *copy = malloc(n / 2);
		memcpy(copy, p, n / 2);
		ck_assert_int_eq(pread(fd, p, n / 2, epoch * 1000 + 1), (ssize_t)(n / 2));
		for (size_t i = 0; i < n / 2; i += 97) {
			char seen;
			ck_assert_int_eq(cowarena_snapshot_read(hot, &seen, p + i, 1), 0);
			ck_assert_int_eq(seen, copy[i]);
		}
		free(copy);
	}
	ck_assert_uint_gt(stats_of(arena).shadowed, 0);
	ck_assert_int_eq(pread(fd, p + n / 2, n / 2, 0), (ssize_t)(n / 2));
	for (size_t i = 0; i < n; i += 97)
		ck_assert_int_eq(old[i], 'a');
	check_past(s, p, n, 'a');
	ck_assert_int_eq(cowarena_view_close(view), 0);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t i = 0; i < n; i += 97)
		ck_assert_int_eq(p[i], 'a');
	close(fd);
	cowarena_destroy(arena);
}
END_TEST

/* The thread that resolves faults gives snapshots up, oldest first; the call succeeds. */
START_TEST(at_the_limit)
{
	cowarena *arena = safe_arena(100 * page_size());
	cowarena_snapshot *s[4];

	if (!arena)
		return;
	char *p = page_block(arena, PAGES), seen;
	size_t n = PAGES * page_size();
	int fd = pattern_file(n);
	memset(p, 'a', n);
	for (int i = 0; i < 3; i++) {
		s[i] = take_snapshot(arena, 0);
		ck_assert_int_eq(pread(fd, p, 60 * page_size(), 1000 * i),
				 (ssize_t)(60 * page_size()));
		check_pattern(p, (size_t)(1000 * i), 60 * page_size());
	}
	ck_assert_int_eq(cowarena_snapshot_read(s[0], &seen, p, 1), -1);
	ck_assert_int_eq(errno, ESTALE);
	ck_assert_int_eq(cowarena_snapshot_read(s[2], &seen, p, 1), 0);
	ck_assert_int_eq(seen, pattern(1000));
	/* More than fits at all. */
	s[3] = take_snapshot(arena, 0);
	ck_assert_int_eq(pread(fd, p, n, 0), (ssize_t)n);
	check_pattern(p, 0, n);
	ck_assert_int_eq(cowarena_snapshot_read(s[3], &seen, p, 1), -1);
	ck_assert_uint_le(stats_of(arena).held_bytes_peak, 100 * page_size());
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(cowarena_snapshot_release(s[i]), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	close(fd);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("syscalls");
	TCase *tc = tcase_create("syscalls");

	tcase_add_loop_test(tc, they_write_into_armed_pages, 0, 4);
	tcase_add_test(tc, from_several_threads);
	tcase_add_test(tc, asleep_while_a_snapshot_is_taken);
	tcase_add_loop_test(tc, views_and_hot_pages, 0, 2);
	tcase_add_test(tc, at_the_limit);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
