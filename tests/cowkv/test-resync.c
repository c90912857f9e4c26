/* SPDX-License-Identifier: BSD-2-Clause */
/* test-resync.c - replication after a restart of cowkv, whose file has the position in the
   stream. */
#include "config.h"

#include "../common.h"
#include "replicas.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* No PINGs: else a master may know more than what was written to it. */
static const char *const master_args[] = {"--repl-diskless-sync-delay",
					  "0",
					  "--enable-debug-command",
					  "yes",
					  "--repl-ping-replica-period",
					  "3600",
					  "--repl-backlog-size",
					  "64mb",
					  NULL};

static char dir[64]; /* of the cowkv that is started again */

static void make_dir(void)
{
	strcpy(dir, "/tmp/cowkv-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* A field of INFO, as text. */
static void field(struct server *s, const char *name, char *value, size_t size)
{
	redisReply *r = servers_call(s, "INFO replication");
	const char *p = strstr(r->str, name);

	ck_assert_msg(p && p[strlen(name)] == ':', "no %s", name);
	p += strlen(name) + 1;
	snprintf(value, size, "%.*s", (int)strcspn(p, "\r"), p);
	freeReplyObject(r);
}

static void synced(struct server *master, long long full, long long partial)
{
	ck_assert_int_eq(servers_info(master, "sync_full"), full);
	ck_assert_int_eq(servers_info(master, "sync_partial_ok"), partial);
}

/* Stop a replica, start it again, and wait until it has all. */
static struct server *start_again(struct server *cow, struct server *redis)
{
	servers_end(cow, SIGTERM);
	servers_free(cow);
	cow = replica_start(COWKV, redis, dir);
	replica_catch_up(redis, cow);
	return cow;
}

/* ---- a replica that is started again ---- */

enum stop { STOPS, IS_KILLED, COUNT_STOPS };

/* Killed, it has the data of its last save, while the master went on. */
START_TEST(test_replica_goes_on)
{
	struct server *redis = servers_start(REDIS, master_args), *cow;

	make_dir();
	pid_t writer = writer_start(redis, 1, false);
	cow = replica_start(COWKV, redis, dir);
	replica_wait(cow, true);
	usleep(200000);
	if (_i == IS_KILLED) {
		redisReply *r = servers_call(cow, "BGSAVE");
		ck_assert_int_eq(r->type, REDIS_REPLY_STATUS);
		freeReplyObject(r);
		SERVERS_AWAIT(!servers_info(cow, "rdb_bgsave_in_progress"), "it has saved");
		usleep(100000);
	}
	servers_end(cow, _i == IS_KILLED ? SIGKILL : SIGTERM);
	servers_free(cow);
	synced(redis, 1, 0);
	usleep(100000);
	cow = replica_start(COWKV, redis, dir);
	replica_wait(cow, true);
	synced(redis, 1, 1);
	usleep(100000);
	writer_stop(writer);
	replica_catch_up(redis, cow);
	replica_compare(redis, cow);
	servers_free(cow);
	servers_free(redis);
	remove_dir();
}
END_TEST

/* What could not be run here would be missing for ever if it went on. */
START_TEST(test_replica_that_differs)
{
	struct server *redis = servers_start(REDIS, master_args);

	make_dir();
	struct server *cow = replica_start(COWKV, redis, dir);
	replica_wait(cow, true);
	servers_ok(redis, "SET a 1");
	ck_assert_int_eq(servers_number(redis, "PFADD p 1 2 3"), 1);
	replica_catch_up(redis, cow);
	ck_assert_int_eq(servers_number(cow, "EXISTS p"), 0);
	cow = start_again(cow, redis);
	synced(redis, 2, 0);
	replica_compare(redis, cow);
	/* Now they are the same. */
	cow = start_again(cow, redis);
	synced(redis, 2, 1);
	servers_free(cow);
	servers_free(redis);
	remove_dir();
}
END_TEST

/* The stream goes on with another database than ours, and would not say so. */
START_TEST(test_place_in_another_database)
{
	struct server *redis = servers_start(REDIS, master_args);
	char command[256];

	make_dir();
	struct server *other = replica_start(REDIS, redis, NULL);
	servers_ok(redis, "SET a 1");
	replica_catch_up(redis, other);
	servers_ok(redis, "SELECT 1");
	servers_ok(redis, "SET b 1");
	ck_assert_int_eq(servers_number(redis, "DEL b"), 1);
	SERVERS_AWAIT(!servers_info(redis, "rdb_bgsave_in_progress"), "its child has ended");
	servers_save(redis);
	snprintf(command, sizeof command, "cp %s/dump.rdb %s/dump.rdb", redis->dir, dir);
	ck_assert_int_eq(system(command), 0);
	struct server *cow = replica_start(COWKV, redis, dir);
	replica_wait(cow, true);
	synced(redis, 2, 0);
	servers_ok(redis, "SELECT 0");
	servers_ok(redis, "SET c 1");
	replica_catch_up(redis, cow);
	ck_assert_int_eq(servers_number(cow, "EXISTS a c"), 2);
	servers_free(cow);
	servers_free(other);
	servers_free(redis);
	remove_dir();
}
END_TEST

/* ---- a master that is started again ---- */

/* Stopped, it goes on under another name; killed, its replica has more than it, of which it knows
   nothing. */
START_TEST(test_master_goes_on)
{
	char before[64], after[64];
	struct server *redis;

	make_dir();
	struct server *cow = servers_start_in(COWKV, dir, NULL);
	pid_t writer = writer_start(cow, 1, false);
	redis = replica_start(REDIS, cow, NULL);
	replica_wait(redis, true);
	usleep(200000);
	writer_stop(writer);
	servers_save(cow);
	servers_ok(cow, "SET last 1");
	servers_ok(cow, "SET expires 1 PX 5000");
	replica_catch_up(cow, redis);
	field(cow, "master_replid", before, sizeof before);
	long long offset = servers_info(cow, "master_repl_offset");
	servers_end(cow, _i == IS_KILLED ? SIGKILL : SIGTERM);
	servers_free(cow);
	usleep(5100000);
	cow = servers_start_in(COWKV, dir, NULL);
	field(cow, "master_replid2", after, sizeof after);
	ck_assert_str_eq(before, after);
	field(cow, "master_replid", after, sizeof after);
	ck_assert_str_ne(before, after);
	if (_i == STOPS)
		ck_assert_int_eq(servers_info(cow, "second_repl_offset"), offset + 1);
	else
		ck_assert_int_le(servers_info(cow, "second_repl_offset"), offset);
	/* It is not the one that it was even if it comes to the same offset. */
	servers_ok(cow, "SET other 1");
	while (servers_info(cow, "master_repl_offset") <= offset)
		servers_ok(cow, "SET other 1");
	servers_ok(redis, "REPLICAOF 127.0.0.1 %d", cow->port);
	replica_catch_up(cow, redis);
	synced(cow, _i == IS_KILLED, _i == STOPS);
	ck_assert_int_eq(servers_info(cow, "sync_partial_err"), _i == IS_KILLED);
	ck_assert_int_eq(servers_number(redis, "EXISTS last"), _i == STOPS);
	/* It was told of the key that expired while nobody served it. */
	ck_assert_int_eq(servers_number(redis, "DBSIZE"), servers_number(cow, "DBSIZE"));
	replica_compare(cow, redis);
	servers_free(redis);
	servers_free(cow);
	remove_dir();
}
END_TEST

/* What was a master comes back as the replica of the one that took over; and nobody trusts what a
   lone server has written. */
START_TEST(test_roles_change)
{
	make_dir();
	struct server *cow = servers_start_in(COWKV, dir, NULL);

	servers_ok(cow, "SET a 1");
	servers_end(cow, SIGTERM); /* without a replica its changes were not counted */
	servers_free(cow);
	cow = servers_start_in(COWKV, dir, NULL);
	ck_assert_int_eq(servers_info(cow, "second_repl_offset"), -1);
	ck_assert_int_eq(servers_info(cow, "repl_backlog_active"), 0);
	struct server *redis = replica_start(REDIS, cow, NULL);
	replica_catch_up(cow, redis);
	servers_ok(cow, "SET b 1");
	replica_catch_up(cow, redis);
	servers_end(cow, SIGTERM);
	servers_free(cow);
	servers_ok(redis, "REPLICAOF NO ONE");
	servers_ok(redis, "CONFIG SET repl-diskless-sync-delay 0");
	servers_ok(redis, "SET c 1");
	cow = replica_start(COWKV, redis, dir);
	replica_catch_up(redis, cow);
	synced(redis, 0, 1);
	ck_assert_int_eq(servers_number(cow, "EXISTS a b c"), 3);
	replica_compare(redis, cow);
	/* Other data by the way of DEBUG: those are at no place of the stream. */
	servers_ok(cow, "DEBUG RELOAD NOSAVE");
	cow = start_again(cow, redis);
	synced(redis, 1, 1);
	servers_free(cow);
	servers_free(redis);
	remove_dir();
}
END_TEST

/* ---- INFO ---- */

/* The names of the fields of a section, and what may be compared of the values. */
static void names(struct server *s, char *list, size_t size)
{
	redisReply *r = servers_call(s, "INFO replication");
	size_t n = 0;

	for (const char *p = r->str; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		int name = (int)strcspn(p, ":\r");
		if (strncmp(p, "repl_last_error:", 16) == 0) /* ours alone */
			continue;
		n += (size_t)snprintf(list + n, size - n, "%.*s\n", name, p);
		if (strncmp(p, "slave0:", 7) == 0) /* ip=..,port=..,state=.. */
			n += (size_t)snprintf(list + n, size - n, "%.*s %.*s\n", 12, p + 7,
					      (int)(strstr(p, ",offset") - strstr(p, ",state")),
					      strstr(p, ",state"));
	}
	freeReplyObject(r);
}

START_TEST(test_info)
{
	char of[2][2048];
	struct server *masters[2], *replicas[2];

	for (int i = 0; i < 2; i++) {
		enum server_kind kind = i ? COWKV : REDIS;
		masters[i] = servers_start(kind, i ? NULL : master_args);
		names(masters[i], of[i], sizeof *of);
	}
	ck_assert_str_eq(of[0], of[1]);
	for (int i = 0; i < 2; i++) {
		enum server_kind kind = i ? COWKV : REDIS;
		replicas[i] = replica_start(kind, masters[i], NULL);
		replica_wait(replicas[i], true);
		SERVERS_AWAIT(replica_info_has(masters[i], "state=online"), "online");
		names(masters[i], of[i], sizeof *of);
	}
	ck_assert_str_eq(of[0], of[1]);
	for (int i = 0; i < 2; i++)
		names(replicas[i], of[i], sizeof *of);
	ck_assert_str_eq(of[0], of[1]);
	for (int i = 0; i < 2; i++) {
		servers_free(masters[i]);
		replica_wait(replicas[i], false);
		names(replicas[i], of[i], sizeof *of);
	}
	ck_assert_str_eq(of[0], of[1]);
	for (int i = 0; i < 2; i++)
		servers_free(replicas[i]);
}
END_TEST

/* What is counted as what. */
START_TEST(test_counts)
{
	static const char *const said[] = {
	    "PSYNC ? -1\r\n",
	    "PSYNC ? 5\r\n",
	    "PSYNC x y\r\n",
	    "PSYNC x\r\n",
	    "PSYNC 0123456789012345678901234567890123456789 1\r\n",
	    "PSYNC \"\" 1\r\n",
	    "SYNC\r\n",
	};
	static const char *const counts[] = {"sync_full", "sync_partial_ok", "sync_partial_err"};
	struct server *servers[] = {servers_start(REDIS, master_args), servers_start(COWKV, NULL)};

	int fds[2][COUNT(said)];

	for (size_t i = 0; i < 2 * COUNT(said); i++) {
		const char *text = said[i / 2];
		fds[i % 2][i / 2] = servers_socket(servers[i % 2]);
		ck_assert_int_gt(send(fds[i % 2][i / 2], text, strlen(text), MSG_NOSIGNAL), 0);
	}
	for (size_t i = 0; i < 2 * COUNT(said); i++) {
		char c;
		ck_assert_int_eq(recv(fds[i % 2][i / 2], &c, 1, 0), 1);
		close(fds[i % 2][i / 2]);
	}
	for (size_t k = 0; k < COUNT(counts); k++)
		ck_assert_int_eq(servers_info(servers[0], counts[k]),
				 servers_info(servers[1], counts[k]));
	ck_assert_int_eq(servers_info(servers[1], "sync_full"), 5);
	servers_ok(servers[1], "CONFIG RESETSTAT");
	for (size_t k = 0; k < COUNT(counts); k++)
		ck_assert_int_eq(servers_info(servers[1], counts[k]), 0);
	for (int s = 0; s < 2; s++)
		servers_free(servers[s]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv replication beyond a restart");
	TCase *tc = tcase_create("resync");

	if (!servers_need_redis())
		return 77;
	tcase_add_loop_test(tc, test_replica_goes_on, 0, COUNT_STOPS);
	tcase_add_test(tc, test_replica_that_differs);
	tcase_add_test(tc, test_place_in_another_database);
	tcase_add_loop_test(tc, test_master_goes_on, 0, COUNT_STOPS);
	tcase_add_test(tc, test_roles_change);
	tcase_add_test(tc, test_info);
	tcase_add_test(tc, test_counts);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
