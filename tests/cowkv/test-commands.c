/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-commands.c - cowkv answers as a real redis-server does.
 *
 * Sequences of commands are in sequences/: one command per line; a line that begins with # is a
 * comment; an empty line starts again with empty servers and new connections; "~ N" waits for N ms.
 * Where cowkv differs on purpose (sequences/deviations.txt), the line after a command says how: "=
 * " and the beginning of cowkv's reply.
 */
#include "config.h"

#include "../common.h"
#include "compare.h"
#include "random-commands.h"

#include <stdio.h>
#include <time.h>

#define BATCH 100

static const char *const sequences[] = {
    "strings", "numbers", "keys",         "expiry", "lists", "hashes", "sets",
    "zsets",   "scans",   "transactions", "server", "auth",  "saving", "deviations",
};

static struct server *redis, *cowkv;

static void start(void)
{
	static const char *const quiet[] = {"--save", "", NULL};
	static const char *const open[] = {"--enable-debug-command", "yes",
					   "--enable-protected-configs", "yes", NULL};

	redis = servers_start(REDIS, open);
	cowkv = servers_start(COWKV, quiet);
}

static void stop(void)
{
	servers_free(redis);
	servers_free(cowkv);
	redis = cowkv = NULL;
}

static void begin_anew(void)
{
	servers_connect(redis);
	servers_connect(cowkv);
	servers_ok(redis, "FLUSHALL");
	servers_ok(cowkv, "FLUSHALL");
}

/* Run it on cowkv only, whose reply is known. */
static bool deviates(const struct command *c, const char *expected)
{
	size_t len;

	command_send(cowkv, c);
	const char *reply = servers_raw_reply(cowkv, &len), *shown = reply_shown(reply, len);
	bool same = strncmp(shown, expected, strlen(expected)) == 0;
	if (!same)
		printf("%s\n    expected: %s\n    cowkv: %s\n", c->shown, expected, shown);
	return same;
}

/* The next line; NULL at the end. */
static char *next_line(FILE *f, char *line, size_t size)
{
	do
		if (!fgets(line, (int)size, f))
			return NULL;
	while (*line == '#');
	line[strcspn(line, "\n")] = 0;
	return line;
}

static unsigned run(FILE *f)
{
	static char line[4096], after[4096];
	static struct command c;
	unsigned bad = 0;
	bool more = next_line(f, line, sizeof line);

	begin_anew();
	while (more) {
		more = next_line(f, after, sizeof after);
		if (!*line) {
			begin_anew();
		} else if (*line == '~') {
			nanosleep(&(struct timespec){.tv_nsec = atol(line + 1) * 1000000}, NULL);
		} else {
			bool known = more && strncmp(after, "= ", 2) == 0;
			ck_assert(command_parse(&c, line) && c.argc > 0);
			bad += !(known ? deviates(&c, after + 2) : servers_agree(redis, cowkv, &c));
			if (known)
				more = next_line(f, after, sizeof after);
		}
		strcpy(line, after);
	}
	return bad;
}

static bool knows(const char *command)
{
	redisReply *r = servers_call(cowkv, "COMMAND INFO %s", command);
	bool does = r->elements == 1 && r->element[0]->type == REDIS_REPLY_ARRAY;

	freeReplyObject(r);
	return does;
}

START_TEST(test_sequence)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof path, "%s/tests/cowkv/sequences/%s.txt", srcdir ? srcdir : "..",
		 sequences[_i]);
	FILE *f = fopen(path, "r");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	start();
	if (strcmp(sequences[_i], "saving") == 0 && !knows("BGSAVE")) {
		printf("SKIP: this cowkv does not save\n");
		fclose(f);
		stop();
		return;
	}
	unsigned bad = run(f);
	fclose(f);
	servers_connect(redis); /* one may have been hung up on */
	servers_connect(cowkv);
	ck_assert_msg(contents_agree(redis, cowkv), "%s: other contents", sequences[_i]);
	stop();
	ck_assert_msg(bad == 0, "%s: %u replies differ", sequences[_i], bad);
}
END_TEST

START_TEST(test_random)
{
	uint64_t state = seed_of_run(0xc0deca7 + (uint64_t)_i);
	size_t batches = scaled(150, 20000, 40);
	static struct command batch[BATCH];
	unsigned bad = 0;

	start();
	struct random_commands *r = random_commands_new(&state, _i ? 1000 : 40);
	for (size_t b = 0; b < batches && bad < 20; b++) {
		for (size_t i = 0; i < BATCH; i++) {
			random_command(r, &batch[i]);
			command_send(redis, &batch[i]);
			command_send(cowkv, &batch[i]);
		}
		for (size_t i = 0; i < BATCH; i++) {
			size_t a_len, b_len;
			const char *x = servers_raw_reply(redis, &a_len),
				   *y = servers_raw_reply(cowkv, &b_len);
			bad += !replies_agree(&batch[i], x, a_len, y, b_len);
		}
	}
	random_commands_free(r);
	ck_assert_msg(bad == 0, "%u replies differ", bad);
	servers_connect(redis);
	servers_connect(cowkv);
	ck_assert_msg(contents_agree(redis, cowkv), "other contents");
	stop();
}
END_TEST

static void draw_text(uint64_t *state, const char *letters, size_t most, char *text)
{
	size_t len = (rng(state) >> 20) % (most + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = letters[(rng(state) >> 20) % strlen(letters)];
	text[len] = 0;
}

/* Patterns, whole ones and broken ones. */
START_TEST(test_patterns)
{
	static struct command c;
	uint64_t state = seed_of_run(0x9a77e);
	size_t patterns = scaled(4000, 100000, 1000), bad = 0;
	char text[16];

	start();
	for (int i = 0; i < 300; i++) {
		c = (struct command){0};
		draw_text(&state, "aabbcB-]^\\*[?", 5, text);
		command_add(&c, "SET");
		command_add(&c, text);
		command_add(&c, "");
		bad += !servers_agree(redis, cowkv, &c);
	}
	for (size_t i = 0; i < patterns && bad < 20; i++) {
		c = (struct command){0};
		draw_text(&state, "aabbc**?[[]]^-\\", 10, text);
		command_add(&c, "KEYS");
		command_add(&c, text);
		bad += !servers_agree(redis, cowkv, &c);
	}
	ck_assert_msg(bad == 0, "%zu replies differ", bad);
	stop();
}
END_TEST

/* What is drawn at random cannot be compared: what is drawn from one is taken from the other. */
START_TEST(test_drawn)
{
	uint64_t state = seed_of_run(0x5eed);
	char member[16];

	start();
	for (int i = 0; i < 500; i++) {
		snprintf(member, sizeof member, "%d", (int)(rng(&state) % 1000));
		servers_ok(redis, "SADD s %s", member);
		servers_ok(cowkv, "SADD s %s", member);
	}
	for (int i = 0; servers_number(redis, "SCARD s"); i++) {
		redisReply *r = servers_call(cowkv, i % 2 ? "SPOP s" : "SPOP s %d", i % 7);
		ck_assert_int_eq(r->type, i % 2 ? REDIS_REPLY_STRING : REDIS_REPLY_ARRAY);
		for (size_t k = 0; k < (i % 2 ? 1 : r->elements); k++) {
			const redisReply *one = i % 2 ? r : r->element[k];
			ck_assert_int_eq(servers_number(redis, "SREM s %b", one->str, one->len), 1);
		}
		freeReplyObject(r);
		r = servers_call(cowkv, i % 2 ? "RANDOMKEY" : "SRANDMEMBER s");
		if (i % 2 == 0 && r->type == REDIS_REPLY_STRING)
			ck_assert_int_eq(servers_number(redis, "SISMEMBER s %b", r->str, r->len),
					 1);
		freeReplyObject(r);
		ck_assert_int_eq(servers_number(redis, "SCARD s"),
				 servers_number(cowkv, "SCARD s"));
	}
	ck_assert(contents_agree(redis, cowkv));
	stop();
}
END_TEST

int main(void)
{
	if (!servers_need_redis())
		return 77;
	Suite *suite = suite_create("cowkv's commands");
	TCase *tc = tcase_create("sequences");
	tcase_add_loop_test(tc, test_sequence, 0, (int)(sizeof sequences / sizeof *sequences));
	suite_add_tcase(suite, tc);
	tc = tcase_create("random");
	tcase_add_loop_test(tc, test_random, 0, 2);
	tcase_add_test(tc, test_patterns);
	tcase_add_test(tc, test_drawn);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
