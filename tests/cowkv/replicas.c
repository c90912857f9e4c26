/* SPDX-License-Identifier: BSD-2-Clause */
/* replicas.c - see replicas.h. */
#include "config.h"

#include "../common.h"
#include "replicas.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 20
#define KEYS 400

/* ---- writers ---- */

static void append_some(redisContext *c, unsigned *seed)
{
	unsigned r = (unsigned)rand_r(seed), k = (unsigned)rand_r(seed) % KEYS;

	switch (r % 12) {
	case 0:
	case 1:
		redisAppendCommand(c, "SET s%u %u-%0100u", k, r, k);
		break;
	case 2:
		redisAppendCommand(c, "SET e%u %u PX %u", k, r, 1 + r % 40);
		break;
	case 3:
		redisAppendCommand(c, "RPUSH l%u %u x", k % 20, r);
		break;
	case 4:
		redisAppendCommand(c, "LTRIM l%u -50 -1", k % 20);
		break;
	case 5:
		redisAppendCommand(c, "HSET h%u f%u %u", k % 20, k, r);
		break;
	case 6:
		redisAppendCommand(c, "SADD m%u %u %u", k % 20, r % 1000, r % 77);
		break;
	case 7:
		redisAppendCommand(c, "SPOP m%u", k % 20);
		break;
	case 8:
		redisAppendCommand(c, "ZINCRBY z%u %u.5 y%u", k % 20, r % 9, k);
		break;
	case 9:
		redisAppendCommand(c, "EXPIRE s%u %u", k, 1000 + r % 1000);
		break;
	case 10:
		redisAppendCommand(c, "DEL s%u h%u", k, k % 20);
		break;
	default: /* one of them is not answered, but queued */
		redisAppendCommand(c, "MULTI");
		redisAppendCommand(c, "INCR n%u", k);
		redisAppendCommand(c, "INCRBYFLOAT i%u 0.25", k);
		redisAppendCommand(c, "EXEC");
		for (int i = 0; i < 3; i++)
			redisGetReply(c, NULL);
	}
}

static void append_in_order(redisContext *c, unsigned number, unsigned i)
{
	redisAppendCommand(c, "RPUSH log%u %u", number, i);
	redisAppendCommand(c, "SET a%u %u", number, i);
	redisAppendCommand(c, "HSET h%u i %u", number, i);
	redisAppendCommand(c, "SET b%u %u", number, i);
}

__attribute__((noreturn)) static void write_on(int port, unsigned number, bool in_order)
{
	redisContext *c = redisConnect("127.0.0.1", port);
	unsigned seed = number;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 1; c && !c->err; i++) {
		unsigned n = in_order ? 4 : BATCH;
		for (unsigned k = 0; k < n && !in_order; k++)
			append_some(c, &seed);
		if (in_order)
			append_in_order(c, number, i);
		for (void *r; n && redisGetReply(c, &r) == REDIS_OK; n--)
			if (r)
				freeReplyObject(r);
		if (!in_order)
			usleep(1000); /* a real replica has to keep up on the same machine */
	}
	_exit(0);
}

pid_t writer_start(const struct server *s, unsigned number, bool in_order)
{
	fflush(NULL);
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		write_on(s->port, number, in_order);
	return pid;
}

void writer_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* ---- looking ---- */

bool replica_info_has(struct server *s, const char *text)
{
	redisReply *r = servers_call(s, "INFO replication");
	bool has = r->type == REDIS_REPLY_STRING && strstr(r->str, text);

	freeReplyObject(r);
	return has;
}

bool replica_log_has(const struct server *s, const char *text)
{
	char path[128], line[1024];
	bool has = false;

	snprintf(path, sizeof path, "%s/log", s->dir);
	FILE *f = fopen(path, "r");
	while (f && !has && fgets(line, sizeof line, f))
		has = strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return has;
}

struct server *replica_start(enum server_kind kind, const struct server *master, const char *dir)
{
	char port[8], both[24];
	const char *const of_redis[] = {"--replicaof", "127.0.0.1", port, "--enable-debug-command",
					"yes",         NULL};
	const char *const of_cowkv[] = {"--replicaof", both, NULL};

	snprintf(port, sizeof port, "%d", master->port);
	snprintf(both, sizeof both, "127.0.0.1 %d", master->port);
	return servers_start_in(kind, dir, kind == REDIS ? of_redis : of_cowkv);
}

void replica_wait(struct server *replica, bool up)
{
	const char *text = up ? "master_link_status:up" : "master_link_status:down";

	SERVERS_AWAIT(replica_info_has(replica, text), text);
}

void replica_catch_up(struct server *master, struct server *replica)
{
	replica_wait(replica, true);
	SERVERS_AWAIT(servers_info(master, "master_repl_offset") ==
			  servers_info(replica, "slave_repl_offset"),
		      "the replica has all");
}

/* ---- comparing ---- */

void replica_digest(struct server *s, char *digest)
{
	static const char *const args[] = {"--enable-debug-command", "yes", NULL};
	struct server *redis = s;

	if (s->kind == COWKV) {
		servers_save(s);
		redis = servers_start_in(REDIS, s->dir, args);
	}
	redisReply *r = servers_call(redis, "DEBUG DIGEST");
	ck_assert_msg(r->type == REDIS_REPLY_STATUS && r->len == 40, "DEBUG DIGEST: %s", r->str);
	memcpy(digest, r->str, 41);
	freeReplyObject(r);
	if (redis != s)
		servers_free(redis);
}

void replica_compare(struct server *a, struct server *b)
{
	char one[41], other[41];

	/* What has expired is deleted at the master, soon; then it is told. */
	for (int i = 0; i < 600; i++) {
		replica_digest(a, one);
		replica_digest(b, other);
		if (strcmp(one, other) == 0)
			break;
		usleep(100000);
	}
	ck_assert_str_eq(one, other);
	ck_assert_str_ne(one, "0000000000000000000000000000000000000000");
}

static long long at(const redisReply *r, size_t i)
{
	const redisReply *e = r->element[i];

	return e->type == REDIS_REPLY_INTEGER ? e->integer : e->str ? strtoll(e->str, NULL, 10) : 0;
}

void replica_check_order(struct server *s, unsigned writers)
{
	for (unsigned w = 1; w <= writers; w++) {
		redisAppendCommand(s->link, "MULTI");
		redisAppendCommand(s->link, "LLEN log%u", w);
		redisAppendCommand(s->link, "GET a%u", w);
		redisAppendCommand(s->link, "HGET h%u i", w);
		redisAppendCommand(s->link, "GET b%u", w);
		redisAppendCommand(s->link, "LRANGE log%u 0 -1", w);
		redisReply *r = NULL;
		for (int i = 0; i < 6; i++) {
			ck_assert_int_eq(redisGetReply(s->link, (void **)&r), REDIS_OK);
			freeReplyObject(r);
		}
		r = servers_call(s, "EXEC");
		ck_assert_int_eq(r->type, REDIS_REPLY_ARRAY);
		long long n = at(r, 0), a = at(r, 1), h = at(r, 2), b = at(r, 3);
		ck_assert_msg(n - a >= 0 && n - a <= 1 && a - h >= 0 && h - b >= 0 && a - b <= 1,
			      "writer %u: log %lld, a %lld, h %lld, b %lld", w, n, a, h, b);
		for (long long i = 0; i < n; i++)
			if (at(r->element[4], (size_t)i) != i + 1)
				ck_abort_msg("log%u has %lld at %lld", w,
					     at(r->element[4], (size_t)i), i);
		freeReplyObject(r);
	}
}
