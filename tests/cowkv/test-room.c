/* SPDX-License-Identifier: BSD-2-Clause */
/* test-room.c - a cowkv whose memory is full, or whose answers would fill it. */
#include "config.h"

#include "../common.h"
#include "exchange.h"

#include <stdio.h>

#define MB (1 << 20)

/* Runs a write; returns whether it was refused for lack of memory. */
static bool refused(struct server *s, uint64_t *state, char *value)
{
	static const char *const forms[] = {
	    "SET k%d %b",      "APPEND a%d %b",    "RPUSH l%d %b",    "HSET h%d %b v",
	    "SADD s%d %b",     "ZADD z%d 1 %b",    "MSET x m%d y %b", "SETRANGE r%d 100000 %b",
	    "RENAME k1 n%d%b", "EXPIRE k%d 10000", "LPUSH l%d x %b",  "GETSET k%d %b",
	};
	int k = (int)(rng(state) >> 40) % 20000;
	size_t len = (rng(state) >> 40) % (k % 3 ? 100 : 30000);

	memset(value, 'a' + k % 26, len);
	snprintf(value, 10, "%08d", k); /* so that no two are the same */
	redisReply *r = servers_call(s, forms[(rng(state) >> 40) % (sizeof forms / sizeof *forms)],
				     k, value, len + 8);
	bool was = r->type == REDIS_REPLY_ERROR && strncmp(r->str, "OOM ", 4) == 0;
	freeReplyObject(r);
	return was;
}

/* It fills up, says so, and goes on; what is deleted makes room. */
START_TEST(test_full)
{
	static const char *const args[] = {"--capacity", "64mb", "--save", "", NULL};
	struct server *s = servers_start(COWKV, args);
	uint64_t state = seed_of_run(0xf011);
	char *value = malloc(40000);
	size_t times = scaled(3, 50, 2);

	for (size_t i = 0; i < times; i++) {
		size_t no = 0, n = 0;
		for (; no < 3000 && n < 100000; n++)
			no += refused(s, &state, value);
		ck_assert_uint_ge(no, 3000);
		servers_ok(s, "DEL k1 k2 k3");
		servers_ok(s, "LPOP l1");
		servers_ok(s, "GET k4");
		servers_ok(s, "FLUSHALL");
		servers_ok(s, "SET a 1");
	}
	free(value);
	servers_free(s);
}
END_TEST

/* What FLUSHALL has freed goes back to the system. */
START_TEST(test_flushed)
{
	struct server *s = servers_start(COWKV, NULL);
	char value[1000];

	memset(value, 'x', sizeof value);
	for (int i = 0; i < 40 * 1000; i++)
		redisAppendCommand(s->link, "SET k%d %b", i, value, sizeof value);
	for (int i = 0; i < 40 * 1000; i++) {
		redisReply *r;
		ck_assert_int_eq(redisGetReply(s->link, (void **)&r), REDIS_OK);
		freeReplyObject(r);
	}
	long long full = servers_info(s, "used_memory_rss");
	ck_assert_int_gt(full, 40 * MB);
	servers_ok(s, "FLUSHALL");
	ck_assert_int_lt(servers_info(s, "used_memory_rss"), full - 30 * MB);
	servers_ok(s, "SET a 1");
	servers_free(s);
}
END_TEST

START_TEST(test_huge_answer)
{
	struct server *s = servers_start(COWKV, NULL);
	size_t size = 64 * MB;
	char *value = calloc(1, size), request[2048] = "MGET";

	if (!stressing()) {
		printf("SKIP: it takes a GiB of memory; with COWARENA_STRESS\n");
		free(value);
		servers_free(s);
		return;
	}
	ck_assert_ptr_nonnull(value);
	servers_ok(s, "SET large %b", value, size);
	for (int i = 0; i < 100; i++)
		strcat(request, " large");
	strcat(request, "\r\n");
	struct exchange x = exchange(s, request, strlen(request));
	ck_assert(x.closed && x.len == 0);
	free(x.data);
	ck_assert_int_lt(servers_info(s, "mem_clients_normal"), 200 * MB);
	free(value);
	servers_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv's memory");
	TCase *tc = tcase_create("room");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_add_test(tc, test_full);
	tcase_add_test(tc, test_flushed);
	tcase_add_test(tc, test_huge_answer);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
