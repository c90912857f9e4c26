/* SPDX-License-Identifier: BSD-2-Clause */
/* test-protocol.c - cowkv's protocol: inline commands, pipelines, errors, and the limits of a
   request. */
#include "config.h"

#include "../common.h"
#include "compare.h"
#include "exchange.h"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server *cowkv;

static void start(const char *const args[])
{
	cowkv = servers_start(COWKV, args);
}

static void stop(void)
{
	/* Whatever it was sent, it lives. */
	servers_connect(cowkv);
	servers_free(cowkv);
}

static void answers(const char *data, size_t len, const char *expected, bool closed)
{
	struct exchange x = exchange(cowkv, data, len);

	ck_assert_msg(strcmp(reply_shown(x.data, x.len), expected) == 0 && x.closed == closed,
		      "'%.40s' (%zu bytes): %s%s instead of %s%s", data, len,
		      reply_shown(x.data, x.len), x.closed ? ", closed" : "", expected,
		      closed ? ", closed" : "");
	free(x.data);
}

/* ---- the corpus ---- */

static size_t read_file(const char *dir, const char *name, char *data, size_t size)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	size_t n = fread(data, 1, size, f);
	fclose(f);
	return n;
}

/* Each file is sent to both, as one connection's bytes; those whose names begin with own- to cowkv
   alone, which is more lenient with zero bytes, and allows fewer arguments. */
START_TEST(test_corpus)
{
	const char *srcdir = getenv("srcdir"), *why;
	struct server *redis = servers_redis(&why) ? servers_start(REDIS, NULL) : NULL;
	char dir[2048];
	unsigned files = 0, bad = 0;

	start(NULL);
	snprintf(dir, sizeof dir, "%s/tests/cowkv/corpus-requests", srcdir ? srcdir : "..");
	DIR *d = opendir(dir);
	ck_assert_msg(d != NULL, "cannot open %s", dir);
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		static char data[1 << 20];
		if (e->d_name[0] == '.')
			continue;
		files++;
		size_t len = read_file(dir, e->d_name, data, sizeof data);
		struct exchange ours = exchange(cowkv, data, len), theirs = {0};
		if (redis && strncmp(e->d_name, "own-", 4) != 0) {
			theirs = exchange(redis, data, len);
			if (ours.len != theirs.len || memcmp(ours.data, theirs.data, ours.len) ||
			    ours.closed != theirs.closed) {
				bad++;
				printf("%s\n    redis: %s%s\n    cowkv: %s%s\n", e->d_name,
				       reply_shown(theirs.data, theirs.len),
				       theirs.closed ? ", closed" : "",
				       reply_shown(ours.data, ours.len),
				       ours.closed ? ", closed" : "");
			}
		}
		free(ours.data);
		free(theirs.data);
	}
	closedir(d);
	ck_assert_uint_gt(files, 20);
	ck_assert_msg(bad == 0, "%u differ", bad);
	servers_free(redis);
	stop();
}
END_TEST

/* ---- limits ---- */

static char *repeated(char c, size_t n, const char *before, const char *behind, size_t *len)
{
	char *text = malloc(n + strlen(before) + strlen(behind) + 1);

	ck_assert_ptr_nonnull(text);
	*len = n + strlen(before) + strlen(behind);
	strcpy(text, before);
	memset(text + strlen(before), c, n);
	strcpy(text + strlen(before) + n, behind);
	return text;
}

START_TEST(test_limits)
{
	static const struct {
		const char *before, *behind;
		size_t n;
		const char *answer;
		bool closed;
	} lines[] = {
	    {"", "", 65536, "", false},
	    {"", "", 65537, "-ERR Protocol error: too big inline request", true},
	    {"*", "", 65535, "", false},
	    {"*", "", 65536, "-ERR Protocol error: too big mbulk count string", true},
	    {"*1\r\n$", "", 65536, "-ERR Protocol error: too big bulk count string", true},
	};
	static const char *const requests[][2] = {
	    {"*1048577\r\n", "-ERR Protocol error: invalid multibulk length"},
	    {"*9223372036854775808\r\n", "-ERR Protocol error: invalid multibulk length"},
	    {"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length"},
	    {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length"},
	    {"*1\r\nPING\r\n", "-ERR Protocol error: expected '$', got 'P'"},
	    {"ECHO \"x\r\n", "-ERR Protocol error: unbalanced quotes in request"},
	    {"PING\r\n*x\r\nPING\r\n", "+PONG -ERR Protocol error: invalid multibulk length"},
	};

	start(NULL);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		size_t len;
		char *text = repeated('1', lines[i].n, lines[i].before, lines[i].behind, &len);
		answers(text, len, lines[i].answer, lines[i].closed);
		free(text);
	}
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		answers(requests[i][0], strlen(requests[i][0]), requests[i][1], true);
	/* What is announced costs nothing until it comes. */
	long long before = servers_info(cowkv, "mem_clients_normal");
	int fds[50];
	for (int i = 0; i < 50; i++) {
		fds[i] = servers_socket(cowkv);
		exchange_send(fds[i], "*1048576\r\n$536870912\r\nx", 23);
	}
	servers_ok(cowkv, "PING");
	ck_assert_int_lt(servers_info(cowkv, "mem_clients_normal"), before + (100 << 20));
	for (int i = 0; i < 50; i++)
		close(fds[i]);
	stop();
}
END_TEST

START_TEST(test_strangers)
{
	static const char *const args[] = {"--requirepass", "secret", NULL};
	static const char *const requests[][2] = {
	    {"*11\r\n", "-ERR Protocol error: unauthenticated multibulk length"},
	    {"*2\r\n$4\r\nECHO\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length"},
	};
	static const char many[] = "AUTH secret\r\n*12\r\n$6\r\nEXISTS\r\n", one[] = "$1\r\nx\r\n";
	static const char in_turn[] = "GET a\r\nAUTH wrong\r\nAUTH secret\r\nGET a\r\n";
	char text[400];
	size_t len;

	start(args);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		answers(requests[i][0], strlen(requests[i][0]), requests[i][1], true);
	answers(
	    in_turn, sizeof in_turn - 1,
	    "-NOAUTH Authentication required. -WRONGPASS invalid username-password pair or user "
	    "is disabled. +OK $-1",
	    false);
	char *bulk = repeated('x', 16384, "*2\r\n$4\r\nECHO\r\n$16384\r\n", "\r\n", &len);
	answers(bulk, len, "-NOAUTH Authentication required.", false);
	free(bulk);
	/* With the password the limits are gone, in the same write. */
	strcpy(text, many);
	for (int i = 0; i < 11; i++)
		strcat(text, one);
	answers(text, strlen(text), "+OK :0", false);
	servers_connect(cowkv);
	servers_ok(cowkv, "AUTH secret");
	servers_free(cowkv);
}
END_TEST

/* ---- pipelines ---- */

static const char pieces[] =
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$11\r\n\r\n$1\r\n*2\r\nx\r\n"
    "GET a\r\n\r\nECHO \"a b\\r\\n\" \r\n*0\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"
    "*1\r\n$4\r\nPING\r\nNOSUCH 'x'\nINCR n\r\n";
static const char answer[] = "+OK $11  $1 *2 x $5 a b  $0  +PONG "
			     "-ERR unknown command 'NOSUCH', with args beginning with: 'x' ";

START_TEST(test_split_anywhere)
{
	char expected[400];
	size_t len = sizeof pieces - 1;

	start(NULL);
	for (size_t at = 0; at <= len; at++) {
		struct exchange x = {0};
		int fd = servers_socket(cowkv);
		exchange_send(fd, pieces, at);
		exchange_read(cowkv, fd, &x);
		ck_assert(!x.closed);
		exchange_send(fd, pieces + at, len - at);
		exchange_read(cowkv, fd, &x);
		snprintf(expected, sizeof expected, "%s :%zu", answer, at + 1);
		ck_assert_msg(strcmp(reply_shown(x.data, x.len), expected) == 0, "at %zu: %s", at,
			      reply_shown(x.data, x.len));
		close(fd);
		free(x.data);
	}
	stop();
}
END_TEST

/* Thousands of commands, in writes of a byte, or a few. */
START_TEST(test_byte_by_byte)
{
	size_t rounds = scaled(400, 5000, 100), len = sizeof pieces - 1, sent = 0;
	int fd, yes = 1;
	struct exchange x = {0};

	start(NULL);
	fd = servers_socket(cowkv);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	for (size_t at; sent < rounds * len; sent += at) {
		at = 1 + sent / len % 5;
		at = at < len - sent % len ? at : len - sent % len;
		exchange_send(fd, pieces + sent % len, at);
		if (sent % 4096 == 0)
			exchange_read(cowkv, fd, &x);
	}
	exchange_read(cowkv, fd, &x);
	x.data[x.len] = 0;
	size_t n = 0, at = 0;
	for (size_t got; (got = servers_reply_length(x.data + at, x.len - at)) != 0; n++)
		at += got;
	ck_assert_uint_eq(n, 7 * rounds);
	ck_assert_uint_eq(at, x.len);
	close(fd);
	free(x.data);
	ck_assert_int_eq(servers_number(cowkv, "GET n"), (long long)rounds);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv's protocol");
	TCase *tc = tcase_create("protocol");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_add_test(tc, test_corpus);
	tcase_add_test(tc, test_limits);
	tcase_add_test(tc, test_strangers);
	tcase_add_test(tc, test_split_anywhere);
	tcase_add_test(tc, test_byte_by_byte);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
