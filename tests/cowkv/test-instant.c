/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-instant.c - BGSAVE writes the state of one instant, as a real redis-server reads it: while
 * clients write, the file has all that they had written by then, and nothing that they wrote later.
 */
#include "config.h"

#include "../common.h"
#include "ordered.h"

#include <stdio.h>
#include <unistd.h>

#define KEYS 20000 /* besides: so that a save takes some time */
#define VALUE 100
#define ROUNDS_EACH 4  /* rounds in which the writers keep their keys */
#define MOST_ROUNDS 20 /* times as many as wanted */

static uint64_t seed;

/* What was seen at the cuts of all writers. */
struct cuts {
	unsigned after_log, after_a, after_h, after_b; /* what they had done last */
	unsigned in_pipeline;
	unsigned rounds, moved; /* rounds in which all of them wrote on after the cut */
};

static void fill(struct server *cow)
{
	char value[VALUE];

	for (int i = 0; i < KEYS; i++) {
		for (size_t k = 0; k < VALUE; k++)
			value[k] = (char)('a' + (rng(&seed) >> 40) % 26);
		redisAppendCommand(cow->link, "SET key:%d %b", i, value, sizeof value);
	}
	for (int i = 0; i < KEYS; i++) {
		redisReply *r;
		ck_assert_int_eq(redisGetReply(cow->link, (void **)&r), REDIS_OK);
		ck_assert_int_eq(r->type, REDIS_REPLY_STATUS);
		freeReplyObject(r);
	}
}

static bool is_saved(struct server *cow)
{
	redisReply *r = servers_call(cow, "INFO persistence");

	ck_assert(r->type == REDIS_REPLY_STRING);
	bool ended = strstr(r->str, "rdb_bgsave_in_progress:0") != NULL;
	ck_assert_msg(!ended || strstr(r->str, "rdb_last_bgsave_status:ok"), "%s", r->str);
	freeReplyObject(r);
	return ended;
}

static void save(struct server *cow)
{
	servers_ok(cow, "BGSAVE");
	AWAIT(is_saved(cow));
	ck_assert(is_saved(cow));
}

static void check(struct ordered_state s, unsigned writer, struct cuts *cuts)
{
	if (s.log < s.a || s.log > s.a + 1 || s.a < s.b || s.a > s.b + 1 || s.h < s.b || s.h > s.a)
		ck_abort_msg("writer %u: log to %lld, a %lld, h to %lld, b %lld", writer, s.log,
			     s.a, s.h, s.b);
	cuts->after_log += s.log > s.a;
	cuts->after_a += s.a > s.h;
	cuts->after_h += s.h > s.b;
	cuts->after_b += s.log == s.b;
	cuts->in_pipeline += s.log % ORDERED_PIPELINE != 0;
}

static void one_round(struct server *cow, struct server *redis, struct cuts *cuts)
{
	long long done[ORDERED_WRITERS];
	bool moved = true;

	ordered_resume();
	ordered_wait(1 + (long long)(rng(&seed) >> 40) % 8);
	save(cow);
	for (unsigned w = 0; w < ORDERED_WRITERS; w++)
		done[w] = ordered_done(w);
	ordered_pause();
	servers_ok(redis, "DEBUG RELOAD NOSAVE");
	ck_assert_int_ge(servers_number(redis, "DBSIZE"), KEYS);
	for (unsigned w = 0; w < ORDERED_WRITERS; w++) {
		struct ordered_state state = ordered_look(redis, w);
		check(state, w, cuts);
		moved &= done[w] > state.log;
	}
	cuts->moved += moved;
	cuts->rounds++;
}

/* Cuts within a pipeline are rare where the clients are slow, and the server is not. */
static bool is_enough(const struct cuts *cuts, enum ordered_way way, size_t rounds)
{
	return cuts->rounds >= MOST_ROUNDS * rounds ||
	       (cuts->rounds >= rounds && (way == ORDERED_SINGLY || cuts->in_pipeline));
}

static struct cuts all_rounds(enum ordered_way way, size_t rounds)
{
	static const char *const args[] = {"--enable-debug-command", "yes", NULL};
	struct server *cow = servers_start(COWKV, NULL);
	struct server *redis = servers_start_in(REDIS, cow->dir, args);
	struct cuts cuts = {0};

	seed = seed_of_run(0x1457a47);
	fill(cow);
	ordered_start(cow, way);
	long long copied = servers_info(cow, "copied");
	while (!is_enough(&cuts, way, rounds)) {
		one_round(cow, redis, &cuts);
		if (cuts.rounds % ROUNDS_EACH == 0)
			ordered_anew(cow);
	}
	copied = servers_info(cow, "copied") - copied;
	printf(
	    "%zu saves, all writers went on during %u; %lld pages copied; cut after log %u, a %u, "
	    "h %u, b %u times, in a pipeline %u times\n",
	    rounds, cuts.moved, copied, cuts.after_log, cuts.after_a, cuts.after_h, cuts.after_b,
	    cuts.in_pipeline);
	/* Else there would have been little to get wrong. */
	ck_assert_int_ge(copied, cuts.rounds);
	ck_assert_uint_ge(2 * cuts.moved, cuts.rounds);
	ordered_end();
	servers_free(redis);
	servers_free(cow);
	return cuts;
}

START_TEST(test_singly)
{
	struct cuts cuts = all_rounds(ORDERED_SINGLY, scaled(100, 1000, 30));

	ck_assert_uint_ge(cuts.after_log, 1);
	ck_assert_uint_ge(cuts.after_a, 1);
	ck_assert_uint_ge(cuts.after_h, 1);
	ck_assert_uint_ge(cuts.after_b, 1);
}
END_TEST

START_TEST(test_pipelined)
{
	struct cuts cuts = all_rounds(ORDERED_PIPELINED, scaled(20, 300, 20));

	ck_assert_uint_ge(cuts.in_pipeline, 1);
}
END_TEST

/* Nothing of a transaction, or all of it. */
START_TEST(test_transactions)
{
	struct cuts cuts = all_rounds(ORDERED_TRANSACTIONS, scaled(20, 300, 20));

	ck_assert_uint_eq(cuts.after_log + cuts.after_a + cuts.after_h, 0);
	ck_assert_uint_ge(cuts.in_pipeline, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv's instants");
	TCase *tc = tcase_create("instant");

	if (!servers_need_redis())
		return 77;
	tcase_add_test(tc, test_singly);
	tcase_add_test(tc, test_pipelined);
	tcase_add_test(tc, test_transactions);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
