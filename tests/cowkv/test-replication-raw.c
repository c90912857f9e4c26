/* SPDX-License-Identifier: BSD-2-Clause */
/* test-replication-raw.c - cowkv as the master of replicas that are mere sockets. */
#include "config.h"

#include "replicas.h"
#include "test-replication.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void ask(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The next line that is not empty, without its end. */
static void read_line(int fd, char *line, size_t size)
{
	size_t n = 0;
	char c = 0;

	do {
		ck_assert_int_eq(recv(fd, &c, 1, 0), 1);
		if (c != '\r' && c != '\n')
			line[n++] = c;
	} while (n < size - 1 && (c != '\n' || !n));
	line[n] = 0;
}

/* A snapshot of the old sort, whose size is said first: into a file. */
static void receive_snapshot(int fd, const char *path)
{
	char line[128], piece[4096];

	read_line(fd, line, sizeof line);
	ck_assert_msg(*line == '$' && line[1] != 'E', "SYNC is answered: %s", line);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	for (long left = atol(line + 1); left > 0;) {
		ssize_t n = recv(fd, piece, left < 4096 ? (size_t)left : sizeof piece, 0);
		ck_assert_int_gt(n, 0);
		fwrite(piece, 1, (size_t)n, f);
		left -= n;
	}
	ck_assert_int_eq(fclose(f), 0);
}

/* The state of one instant: in each snapshot, and at real replicas as soon as they have theirs. */
START_TEST(test_one_instant)
{
	struct server *cow = servers_start(COWKV, NULL);
	pid_t writers[3];
	char path[128];

	for (unsigned w = 0; w < 3; w++)
		writers[w] = writer_start(cow, w + 1, true);
	for (size_t i = 0; i < scaled(2, 60, 2); i++) {
		/* Both wait for the end of the same second, at the beginning. */
		int fd = servers_socket(cow);
		ask(fd, "SYNC\r\n");
		struct server *replica = replica_start(REDIS, cow, NULL);
		snprintf(path, sizeof path, "%s/dump.rdb", cow->dir);
		receive_snapshot(fd, path);
		close(fd);
		replica_wait(replica, true);
		replica_check_order(replica, 3);
		struct server *loaded = servers_start_in(REDIS, cow->dir, NULL);
		replica_check_order(loaded, 3);
		servers_free(loaded);
		servers_free(replica);
	}
	for (unsigned w = 0; w < 3; w++)
		writer_stop(writers[w]);
	servers_free(cow);
}
END_TEST

START_TEST(test_one_snapshot_for_all)
{
	struct server *cow = servers_start(COWKV, NULL);
	char line[128];
	int fds[6];
	long long taken = 0;

	servers_ok(cow, "SET a 1");
	/* They come at the same time, unless the second ends just between them. */
	for (int tries = 0; tries < 5 && taken != 1; tries++) {
		taken = -servers_info(cow, "snapshots_taken");
		for (int i = 0; i < 6; i++) {
			fds[i] = servers_socket(cow);
			ask(fds[i], i % 2 ? "REPLCONF capa eof\r\n" : "PING\r\n");
			read_line(fds[i], line, sizeof line);
		}
		for (int i = 0; i < 6; i++)
			ask(fds[i], i % 3 ? "PSYNC ? -1\r\n" : "SYNC\r\n");
		for (int i = 0; i < 6; i++) {
			read_line(fds[i], line, sizeof line);
			if (i % 3) {
				ck_assert_msg(strncmp(line, "+FULLRESYNC ", 12) == 0, "%s", line);
				read_line(fds[i], line, sizeof line);
			}
			ck_assert_msg(strncmp(line, i % 2 ? "$EOF:" : "$1", i % 2 ? 5 : 2) == 0,
				      "%s", line);
		}
		taken += servers_info(cow, "snapshots_taken");
		for (int i = 0; i < 6; i++)
			close(fds[i]);
		SERVERS_AWAIT(servers_info(cow, "connected_slaves") == 0, "they are gone");
	}
	ck_assert_int_eq(taken, 1);
	servers_free(cow);
}
END_TEST

/* One that takes nothing is dropped before much memory is held for it. */
START_TEST(test_replica_that_stops)
{
	struct server *cow = servers_start(COWKV, NULL);
	size_t size = (size_t)4 << 20;
	char *value = calloc(1, size), line[64];
	int fd = servers_socket(cow);

	ask(fd, "SYNC\r\n");
	read_line(fd, line, sizeof line);
	SERVERS_AWAIT(replica_info_has(cow, "state=online"), "it has its snapshot");
	for (int i = 0; i < 80 && servers_info(cow, "connected_slaves"); i++) {
		servers_ok(cow, "SET a %b", value, size);
		ck_assert_int_lt(servers_info(cow, "mem_clients_normal"), 500 << 20);
	}
	ck_assert_int_eq(servers_info(cow, "connected_slaves"), 0);
	ck_assert_int_lt(servers_info(cow, "mem_clients_normal"), 32 << 20);
	close(fd);
	free(value);
	servers_free(cow);
}
END_TEST

/* Its replies would get into its own stream, and need not be taken. */
START_TEST(test_replica_that_asks)
{
	struct server *cow = servers_start(COWKV, NULL);
	int fd = servers_socket(cow);
	char line[64], c;

	ask(fd, "SYNC\r\n");
	read_line(fd, line, sizeof line);
	ask(fd, "REPLCONF ACK 0\r\nSYNC\r\n");
	SERVERS_AWAIT(replica_info_has(cow, "state=online"), "it has its snapshot");
	ask(fd, "GET a\r\n");
	while (recv(fd, &c, 1, 0) == 1)
		;
	ck_assert_int_eq(servers_info(cow, "connected_slaves"), 0);
	close(fd);
	servers_free(cow);
}
END_TEST

TCase *tests_in_the_raw(void)
{
	TCase *tc = tcase_create("raw");

	tcase_add_test(tc, test_one_instant);
	tcase_add_test(tc, test_one_snapshot_for_all);
	tcase_add_test(tc, test_replica_that_stops);
	tcase_add_test(tc, test_replica_that_asks);
	return tc;
}
