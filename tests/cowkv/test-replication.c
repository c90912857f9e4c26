/* SPDX-License-Identifier: BSD-2-Clause */
/* test-replication.c - cowkv as the master of real redis-servers; and main() of all parts. */
#include "config.h"

#include "replicas.h"
#include "test-replication.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(test_two_replicas_under_load)
{
	struct server *cow = servers_start(COWKV, NULL), *replicas[2];
	pid_t writers[2];

	for (unsigned i = 0; i < 2; i++)
		writers[i] = writer_start(cow, i + 1, false);
	usleep(200000);
	for (int i = 0; i < 2; i++)
		replicas[i] = replica_start(REDIS, cow, NULL);
	for (int i = 0; i < 2; i++)
		replica_wait(replicas[i], true);
	usleep(500000);
	/* The links break: both go on where they were. */
	servers_ok(cow, "CLIENT KILL TYPE replica");
	for (int i = 0; i < 2; i++) {
		SERVERS_AWAIT(replica_log_has(replicas[i], "Successful partial resync"),
			      "CONTINUE");
		replica_wait(replicas[i], true);
	}
	usleep(300000);
	for (int i = 0; i < 2; i++)
		writer_stop(writers[i]);
	for (int i = 0; i < 2; i++) {
		replica_catch_up(cow, replicas[i]);
		replica_compare(cow, replicas[i]);
	}
	/* One is promoted, and serves. */
	servers_ok(replicas[0], "REPLICAOF NO ONE");
	servers_ok(replicas[0], "SET promoted 1");
	ck_assert_int_eq(servers_number(replicas[0], "GET promoted"), 1);
	for (int i = 0; i < 2; i++)
		servers_free(replicas[i]);
	servers_free(cow);
}
END_TEST

/* One that leaves in good order comes back with its data, and gets what it has missed; one that has
   lost them gets everything. */
START_TEST(test_replica_comes_back)
{
	static const char *const sync[] = {"Partial resynchronization request from",
					   "Full resync requested by replica"};
	char dir[] = "/tmp/cowkv-test-XXXXXX", command[128];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (int killed = 0; killed < 2; killed++) {
		struct server *cow = servers_start(COWKV, NULL);
		struct server *replica = replica_start(REDIS, cow, dir);
		pid_t writer = writer_start(cow, 7, false);
		replica_wait(replica, true);
		usleep(200000);
		if (!killed) {
			redisReply *r = redisCommand(replica->link, "SHUTDOWN SAVE");
			ck_assert(!r);
		}
		servers_end(replica, killed ? SIGKILL : 0);
		servers_free(replica);
		if (killed) { /* it keeps the snapshot that it got, with its offset */
			snprintf(command, sizeof command, "%s/dump.rdb", dir);
			unlink(command);
		}
		/* So that only what comes from now on is found in the log. */
		snprintf(command, sizeof command, "%s/log", cow->dir);
		ck_assert_int_eq(truncate(command, 0), 0);
		usleep(100000);
		replica = replica_start(REDIS, cow, dir);
		replica_wait(replica, true);
		SERVERS_AWAIT(replica_log_has(cow, sync[killed]), sync[killed]);
		ck_assert(!replica_log_has(cow, sync[!killed]));
		writer_stop(writer);
		replica_catch_up(cow, replica);
		replica_compare(cow, replica);
		servers_free(replica);
		servers_free(cow);
		snprintf(command, sizeof command, "%s/dump.rdb", dir);
		unlink(command);
	}
	snprintf(command, sizeof command, "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

TCase *tests_of_masters(void)
{
	TCase *tc = tcase_create("master");

	tcase_add_test(tc, test_two_replicas_under_load);
	tcase_add_test(tc, test_replica_comes_back);
	return tc;
}

/* ---- all parts ---- */

static int run_parts(TCase *(*const parts[])(void), size_t n)
{
	Suite *suite = suite_create("cowkv replication");

	for (size_t i = 0; i < n; i++)
		suite_add_tcase(suite, parts[i]());
	return run_suite(suite);
}

int main(void)
{
	static TCase *(*const parts[])(void) = {tests_of_masters, tests_of_replicas,
						tests_in_the_raw, tests_of_spoiled};
	enum { PARTS = sizeof parts / sizeof *parts };
	const char *may_fork = getenv("CK_FORK");
	int status, failed = 0;

	if (!servers_need_redis())
		return 77;
	if (may_fork && strcmp(may_fork, "no") == 0)
		return run_parts(parts, PARTS);
	/* Most of the time goes into waiting for what servers do once a second: so the parts run at
	   the same time. */
	for (size_t i = 0; i < PARTS; i++) {
		pid_t pid = fork();
		if (pid == 0)
			exit(run_parts(&parts[i], 1));
		failed |= pid < 0;
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
