/* SPDX-License-Identifier: BSD-2-Clause */
/* test-replica.c - cowkv as a replica of a real redis-server, and of a master that sends
   nonsense. */
#include "config.h"

#include "replicas.h"
#include "test-replication.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef01234567"

/* No PINGs: else one replica may know more than the other when the master dies. */
static const char *const master_args[] = {"--repl-diskless-sync-delay",
					  "0",
					  "--enable-debug-command",
					  "yes",
					  "--repl-ping-replica-period",
					  "3600",
					  NULL};

START_TEST(test_follows_and_is_promoted)
{
	struct server *redis = servers_start(REDIS, master_args);
	pid_t writer = writer_start(redis, 3, false);

	usleep(200000);
	struct server *cow = replica_start(COWKV, redis, NULL);
	struct server *other = replica_start(REDIS, redis, NULL);
	replica_wait(cow, true);
	replica_wait(other, true);
	usleep(300000);
	/* The links break, perhaps in the middle of a transaction. */
	for (int i = 1; i <= (int)scaled(2, 30, 2); i++) {
		long long before = servers_info(redis, "sync_partial_ok");
		servers_ok(redis, "CLIENT KILL TYPE replica");
		SERVERS_AWAIT(servers_info(redis, "sync_partial_ok") >= before + 2, "CONTINUE");
		replica_wait(cow, true);
	}
	ck_assert_int_eq(servers_info(redis, "sync_full"), 2);
	writer_stop(writer);
	replica_catch_up(redis, cow);
	replica_catch_up(redis, other);
	replica_compare(redis, cow);
	redisReply *r = servers_call(cow, "SET a 1");
	ck_assert(r->type == REDIS_REPLY_ERROR && strncmp(r->str, "READONLY ", 9) == 0);
	freeReplyObject(r);

	/* The master dies. The other replica goes on with the stream of cowkv, which has it from
	   the same master. */
	servers_end(redis, SIGKILL);
	servers_ok(cow, "REPLICAOF NO ONE");
	servers_ok(other, "REPLICAOF 127.0.0.1 %d", cow->port);
	replica_wait(other, true);
	ck_assert(replica_log_has(cow, "Partial resynchronization request from"));
	ck_assert(!replica_log_has(cow, "Full resync requested"));
	servers_ok(cow, "SET promoted 1");
	replica_catch_up(cow, other);
	ck_assert_int_eq(servers_number(other, "GET promoted"), 1);
	replica_compare(cow, other);
	servers_free(other);
	servers_free(cow);
	servers_free(redis);
}
END_TEST

/* Redis <- cowkv <- redis: the last one has the data of the first, also after that has been
   replaced. */
START_TEST(test_in_a_chain)
{
	struct server *first = servers_start(REDIS, master_args), *next;
	struct server *cow = replica_start(COWKV, first, NULL);

	servers_ok(first, "SET first 1");
	replica_wait(cow, true);
	struct server *last = replica_start(REDIS, cow, NULL);
	replica_catch_up(cow, last);
	next = servers_start(REDIS, master_args);
	servers_ok(next, "SET next 2");
	servers_ok(first, "FLUSHALL");
	/* Its data go: the same address has another history from now on. */
	servers_ok(cow, "REPLICAOF 127.0.0.1 %d", next->port);
	SERVERS_AWAIT(replica_info_has(cow, "master_link_status:up"), "the other master");
	SERVERS_AWAIT(servers_number(last, "EXISTS next") == 1, "the data of the other master");
	replica_catch_up(cow, last);
	replica_compare(next, last);
	servers_free(last);
	servers_free(cow);
	servers_free(next);
	servers_free(first);
}
END_TEST

/* ---- a master that sends nonsense ---- */

struct fake {
	int listening, fd;
	int port;
};

static void fake_open(struct fake *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;

	f->fd = -1;
	f->listening = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(f->listening, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(f->listening, 5), 0);
	ck_assert_int_eq(getsockname(f->listening, (struct sockaddr *)&a, &size), 0);
	f->port = ntohs(a.sin_port);
}

static void fake_say(const struct fake *f, const char *data, size_t n)
{
	while (n) { /* it may hang up before it has all */
		ssize_t done = send(f->fd, data, n, MSG_NOSIGNAL);
		if (done <= 0)
			return;
		data += done;
		n -= (size_t)done;
	}
}

/* Until a PSYNC has come, whose arguments are put down. All commands come whole, one by one. */
static void fake_handshake(struct fake *f, char *asked, size_t size)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = accept(f->listening, NULL, NULL);
	ck_assert_int_ge(f->fd, 0);
	for (;;) {
		ssize_t n = recv(f->fd, asked, size - 1, 0);
		ck_assert_int_gt(n, 0);
		asked[n] = 0;
		if (strstr(asked, "PSYNC"))
			return;
		fake_say(f, "+OK\r\n", 5);
	}
}

static void fake_close(struct fake *f)
{
	close(f->fd);
	close(f->listening);
}

/* A snapshot that is announced rightly, with one bit wrong in it (0: none). */
static void fake_snapshot(const struct fake *f, char *rdb, size_t n, size_t bit)
{
	char head[128];
	int len = snprintf(head, sizeof head, "+FULLRESYNC " ID " 1000\r\n$%zu\r\n", n);

	rdb[bit / 8] ^= (char)((bit > 0) << bit % 8);
	fake_say(f, head, (size_t)len);
	fake_say(f, rdb, n);
}

static char *read_whole(const char *path, size_t *n)
{
	FILE *f = fopen(path, "r");
	char *data = malloc(1 << 20);

	ck_assert(f && data);
	*n = fread(data, 1, 1 << 20, f);
	ck_assert_uint_gt(*n, 50);
	fclose(f);
	return data;
}

static const char *const nonsense[] = {
    "+FULLRESYNC " ID " 1000\r\n$4611686018427387904\r\nREDIS0010",
    "+FULLRESYNC " ID " 1000\r\n$99999999999999999999\r\nREDIS0010",
    "+FULLRESYNC " ID " 1000\r\n$-1\r\n",
    "+FULLRESYNC " ID " 1000\r\n$9\r\nREDIS0010",
    "+FULLRESYNC " ID " 1000\r\n$100\r\nREDIS0010 and hangs up",
    "+FULLRESYNC " ID " 1000\r\n-ERR no\r\n",
    "+FULLRESYNC " ID " -1\r\n$9\r\nREDIS0010",
    "+FULLRESYNC " ID " 9223372036854775807\r\n$9\r\nREDIS0010",
    "+FULLRESYNC short 1\r\n$9\r\nREDIS0010",
    "-LOADING\r\n",
    "\n\n\n\x01\x02\xff\r\n",
};

START_TEST(test_damaged_snapshots)
{
	struct server *cow = servers_start(COWKV, NULL), *from = servers_start(COWKV, NULL);
	char before[41], after[41], path[128], asked[512];
	struct fake f;
	size_t n;
	pid_t writers[] = {writer_start(cow, 1, false), writer_start(from, 2, false)};

	usleep(200000);
	for (int i = 0; i < 2; i++)
		writer_stop(writers[i]);
	servers_ok(cow, "SET ours 1");
	servers_ok(from, "SET theirs 1");
	SERVERS_AWAIT(!servers_number(cow, "EXISTS e1 e2 e3"), "keys expire");
	usleep(300000);
	servers_save(from);
	snprintf(path, sizeof path, "%s/dump.rdb", from->dir);
	char *rdb = read_whole(path, &n);
	replica_digest(cow, before);
	fake_open(&f);
	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense + 4; i++) {
		servers_ok(cow, "REPLICAOF 127.0.0.1 %d", f.port);
		fake_handshake(&f, asked, sizeof asked);
		if (i >= 4) {
			fake_say(&f, nonsense[i - 4], strlen(nonsense[i - 4]));
		} else {
			fake_snapshot(&f, rdb, i % 2 ? n * i / 4 : n, (i + 1) * n * 8 / 8);
			char c; /* until it hangs up: then it has tried to load it */
			while (recv(f.fd, &c, 1, 0) > 0)
				;
		}
		close(f.fd);
		f.fd = -1;
		replica_wait(cow, false);
		servers_ok(cow, "REPLICAOF NO ONE");
		replica_digest(cow, after);
		ck_assert_msg(strcmp(before, after) == 0, "other data, after number %zu", i);
	}
	/* And a good one. */
	free(rdb);
	rdb = read_whole(path, &n);
	servers_ok(cow, "REPLICAOF 127.0.0.1 %d", f.port);
	fake_handshake(&f, asked, sizeof asked);
	fake_snapshot(&f, rdb, n, 0);
	replica_wait(cow, true);
	fake_close(&f);
	replica_compare(cow, from);
	free(rdb);
	servers_free(from);
	servers_free(cow);
}
END_TEST

/* A transaction whose end has not come is asked for again from its beginning. */
START_TEST(test_broken_transaction)
{
	static const char first[] = "SET k 1\r\n";
	static const char begin[] = "MULTI\r\nINCR k\r\n", end[] = "INCR k\r\nEXEC\r\n";
	struct server *cow = servers_start(COWKV, NULL);
	char asked[512], text[64], path[128];
	struct fake f;
	size_t n;

	servers_ok(cow, "SET k 0");
	servers_save(cow);
	snprintf(path, sizeof path, "%s/dump.rdb", cow->dir);
	char *rdb = read_whole(path, &n);
	fake_open(&f);
	servers_ok(cow, "REPLICAOF 127.0.0.1 %d", f.port);
	fake_handshake(&f, asked, sizeof asked);
	fake_snapshot(&f, rdb, n, 0);
	fake_say(&f, first, strlen(first));
	fake_say(&f, begin, strlen(begin));
	SERVERS_AWAIT(servers_number(cow, "GET k") == 1, "the first command");
	usleep(50000);
	shutdown(f.fd, SHUT_WR);
	fake_handshake(&f, asked, sizeof asked);
	snprintf(text, sizeof text, "\r\n%zu\r\n", 1000 + strlen(first) + 1);
	ck_assert_msg(strstr(asked, ID) && strstr(asked, text), "it asks %s", asked);
	snprintf(text, sizeof text, "+CONTINUE\r\n%s%s", begin, end);
	fake_say(&f, text, strlen(text));
	SERVERS_AWAIT(servers_number(cow, "GET k") == 3, "both of the transaction");
	/* What is for operators to say is not run. */
	fake_say(&f, "REPLICAOF NO ONE\r\nSET k 4\r\n", 27);
	SERVERS_AWAIT(servers_number(cow, "GET k") == 4, "the last command");
	ck_assert(replica_info_has(cow, "role:slave"));
	/* Another database is none of ours. */
	fake_say(&f, "SELECT 1\r\nSET k 5\r\n", 19);
	replica_wait(cow, false);
	ck_assert_int_eq(servers_number(cow, "GET k"), 4);
	fake_close(&f);
	free(rdb);
	servers_free(cow);
}
END_TEST

TCase *tests_of_replicas(void)
{
	TCase *tc = tcase_create("replica");

	tcase_add_test(tc, test_follows_and_is_promoted);
	tcase_add_test(tc, test_in_a_chain);
	tcase_add_test(tc, test_damaged_snapshots);
	tcase_add_test(tc, test_broken_transaction);
	return tc;
}
