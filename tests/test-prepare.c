/* SPDX-License-Identifier: BSD-2-Clause */
/* test-prepare.c - system calls that write into the arena. */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int pattern_file(size_t n)
{
	char path[] = "/tmp/cowarena-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	unlink(path);
	char *bytes = malloc(n);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + 1);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	free(bytes);
	return fd;
}

static bool has_pattern(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (char)(i * 7 + 1))
			return false;
	return true;
}

/* The symptom that the header describes, and its cure. */
START_TEST(read_after_a_snapshot)
{
	cowarena *arena = arena_case(_i);
	size_t n = 10 * page_size();
	char *p = page_block(arena, 10), seen;
	int fd = pattern_file(n);

	memset(p, 0, n);
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	bool refused = case_traps(_i) && !cowarena_syscall_safe(arena);
	if (refused) {
		ck_assert_int_eq(pread(fd, p, n, 0), -1);
		ck_assert_int_eq(errno, EFAULT);
	}
	ck_assert_int_eq(cowarena_prepare_write(arena, p, n), 0);
	ck_assert_int_eq(pread(fd, p, n, 0), (ssize_t)n);
	ck_assert(has_pattern(p, n));
	ck_assert_int_eq(cowarena_snapshot_read(snap, &seen, p + n - 1, 1), 0);
	ck_assert_int_eq(seen, 0);
	/* It holds until the next snapshot, not longer. */
	ck_assert_int_eq(pread(fd, p, n, 0), (ssize_t)n);
	take_snapshot(arena, 0);
	if (refused)
		ck_assert_int_eq(pread(fd, p, n, 0), -1);
	cowarena_destroy(arena);
	close(fd);
}
END_TEST

START_TEST(readv_and_recv)
{
	cowarena *arena = arena_case(_i);
	size_t n = 4 * page_size();
	char *p = page_block(arena, 8);
	int fd = pattern_file(n), pair[2];

	memset(p, 0, 8 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	char *first = p + 100, *second = p + 5 * page_size() + 11;
	struct iovec iov[2] = {{first, n / 2 + 3}, {second, n - n / 2 - 3}};
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(cowarena_prepare_write(arena, iov[i].iov_base, iov[i].iov_len), 0);
	ck_assert_int_eq(preadv(fd, iov, 2, 0), (ssize_t)n);
	ck_assert(has_pattern(first, iov[0].iov_len));
	ck_assert_int_eq(second[0], (char)((n / 2 + 3) * 7 + 1));

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(send(pair[0], "hello", 5, 0), 5);
	ck_assert_int_eq(cowarena_rollback(arena, snap), 0);
	cowarena_snapshot *later = take_snapshot(arena, 0);
	ck_assert_ptr_nonnull(later);
	char *across = p + page_size() - 2;
	ck_assert_int_eq(cowarena_prepare_write(arena, across, 5), 0);
	ck_assert_int_eq(recv(pair[1], across, 5, 0), 5);
	ck_assert_mem_eq(across, "hello", 5);
	/* Reading from armed memory needs nothing. */
	take_snapshot(arena, 0);
	ck_assert_int_eq(send(pair[0], across, 5, 0), 5);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(exactly_the_pages_asked_for)
{
	cowarena *arena = arena_case(CASE_FAITHFUL);
	char *p = page_block(arena, 2000);

	memset(p, 1, 2000 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	struct cowarena_stats before = stats_of(arena), after;
	ck_assert_int_eq(cowarena_prepare_write(arena, p + page_size() - 1, 2), 0);
	after = stats_of(arena);
	ck_assert_uint_eq(after.copied - before.copied, 2);
	ck_assert_int_eq(cowarena_prepare_write(arena, p, 2000 * page_size()), 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, p, 2000 * page_size()), 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, p, 0), 0);
	after = stats_of(arena);
	ck_assert_uint_eq(after.copied - before.copied, 2000);
	ck_assert_uint_eq(after.faults, before.faults);
	cowarena_snapshot_release(snap);
	take_snapshot(arena, 0);
	before = stats_of(arena);
	memset(p, 2, 2000 * page_size());
	after = stats_of(arena);
	ck_assert_uint_eq(after.faults - before.faults, 2000);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("prepare");
	TCase *tc = tcase_create("prepare");

	tcase_add_loop_test(tc, read_after_a_snapshot, 0, CASES);
	tcase_add_loop_test(tc, readv_and_recv, 0, CASES);
	tcase_add_test(tc, exactly_the_pages_asked_for);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
