/* SPDX-License-Identifier: BSD-2-Clause */
/* test-spoiled.c - cowkv as a master whose snapshot for replicas costs more than --cow-limit. */
#include "config.h"

#include "replicas.h"
#include "test-replication.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEYS 8000
#define VALUE                                                                                      \
	4000 /* incompressible; all of them are more than sockets hold for one who does not read */
#define GIVEN_UP "The snapshot for replicas was given up"
#define WHY "repl_last_error:more memory was needed than --cow-limit allows"
#define TRIES 20

static struct server *start_filled(void)
{
	static const char *const args[] = {"--cow-limit", "2mb", NULL};
	struct server *cow = servers_start(COWKV, args);
	uint64_t state = 0x5b011ed, value[VALUE / sizeof(uint64_t)];

	for (int i = 0; i < KEYS; i++) {
		for (size_t k = 0; k < VALUE / sizeof *value; k++)
			value[k] = rng(&state);
		servers_ok(cow, "SET key:%d %b", i, value, (size_t)VALUE);
	}
	return cow;
}

/* Write to as many pages as there are values. */
static void write_to_all(struct server *cow)
{
	static unsigned times;

	times++;
	for (int i = 0; i < KEYS; i++)
		redisAppendCommand(cow->link, "SETRANGE key:%d 8 %u", i, times);
	for (int i = 0; i < KEYS; i++) {
		redisReply *r;
		ck_assert_int_eq(redisGetReply(cow->link, (void **)&r), REDIS_OK);
		ck_assert_msg(r->type == REDIS_REPLY_INTEGER && r->integer == VALUE, "SETRANGE");
		freeReplyObject(r);
	}
}

static bool has_given_up(struct server *cow)
{
	return replica_log_has(cow, GIVEN_UP);
}

/* Have the replica ask for a snapshot, and stop before it has it. Returns whether the master has
   given up. */
static bool spoil(struct server *cow, struct server *replica)
{
	servers_ok(replica, "REPLICAOF 127.0.0.1 %d", cow->port);
	SERVERS_AWAIT(servers_info(cow, "connected_slaves") == 1, "it asks");
	kill(replica->pid, SIGSTOP);
	SERVERS_AWAIT(!replica_info_has(cow, "state=wait_bgsave"), "the snapshot");
	write_to_all(cow);
	SERVERS_AWAIT(has_given_up(cow) || replica_info_has(cow, "state=online"), GIVEN_UP);
	kill(replica->pid, SIGCONT);
	if (has_given_up(cow))
		return true;
	/* It was quicker. */
	servers_ok(replica, "REPLICAOF NO ONE");
	SERVERS_AWAIT(servers_info(cow, "connected_slaves") == 0, "it leaves");
	return false;
}

/* One that takes its time loses the snapshot, and gets another when less is written. */
START_TEST(test_slow_replica)
{
	static const char *const args[] = {"--enable-debug-command", "yes", NULL};
	struct server *cow = start_filled(), *replica = servers_start(REDIS, args);
	pid_t writer = writer_start(cow, 1, false);
	int tries = 0;

	while (!spoil(cow, replica))
		ck_assert_int_lt(++tries, TRIES);
	SERVERS_AWAIT(replica_log_has(cow, "Connection with replica"), "it is disconnected");
	ck_assert(replica_info_has(cow, WHY));
	servers_ok(cow, "SET after 1");
	writer_stop(writer);
	replica_catch_up(cow, replica);
	replica_compare(cow, replica);
	servers_free(replica);
	servers_free(cow);
}
END_TEST

/* What it has got by then is not taken for whole. */
START_TEST(test_broken_off)
{
	struct server *cow = start_filled();
	char piece[65536], line[32] = "";
	int fd = servers_socket(cow);
	long long size, got = 0;
	ssize_t n;

	ck_assert_int_eq(send(fd, "SYNC\r\n", 6, MSG_NOSIGNAL), 6);
	do /* empty lines, and then the size */
		n = recv(fd, piece, 1, 0);
	while (n == 1 && *piece != '$');
	write_to_all(cow);
	SERVERS_AWAIT(servers_info(cow, "connected_slaves") == 0, "it is dropped");
	ck_assert(has_given_up(cow));
	for (size_t i = 0; i < sizeof line - 1 && !strchr(line, '\n'); i++)
		ck_assert_int_eq(recv(fd, &line[i], 1, 0), 1);
	size = strtoll(line, NULL, 10);
	ck_assert_int_gt(size, KEYS * VALUE);
	while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
		got += n;
	ck_assert_int_lt(got, size);
	ck_assert(replica_info_has(cow, WHY));
	close(fd);
	servers_ok(cow, "SET after 1");
	servers_free(cow);
}
END_TEST

TCase *tests_of_spoiled(void)
{
	TCase *tc = tcase_create("spoiled");

	tcase_add_test(tc, test_slow_replica);
	tcase_add_test(tc, test_broken_off);
	return tc;
}
