/* SPDX-License-Identifier: BSD-2-Clause */
/* test-leaving.c - how a cowkv starts, refuses to start, and leaves. */
#include "config.h"

#include "../common.h"
#include "servers.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void leaves(int signo, const char *command)
{
	struct server *s = servers_start(COWKV, NULL);

	servers_ok(s, "SET a 1");
	if (command) {
		redisReply *r = redisCommand(s->link, command);
		ck_assert(!r); /* it hangs up */
	}
	int status = servers_end(s, signo);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	servers_free(s);
}

START_TEST(test_leaving)
{
	leaves(SIGTERM, NULL);
	leaves(SIGINT, NULL);
	leaves(0, "SHUTDOWN");
	leaves(0, "SHUTDOWN NOSAVE");
	leaves(0, "SHUTDOWN SAVE NOW FORCE");
}
END_TEST

/* What would come after the save is not run: else it would be answered, and lost. */
START_TEST(test_nothing_after_the_save)
{
	static const char text[] = "SET a 1\r\nSHUTDOWN SAVE\r\nSET a 2\r\nPING\r\n";
	struct server *s = servers_start(COWKV, NULL);
	int fd = servers_socket(s);
	char said[64];
	size_t n = 0;

	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	for (ssize_t got; (got = recv(fd, said + n, sizeof said - 1 - n, 0)) > 0;)
		n += (size_t)got;
	said[n] = 0;
	ck_assert_str_eq(said, "+OK\r\n");
	close(fd);
	servers_end(s, 0);
	struct server *again = servers_start_in(COWKV, s->dir, NULL);
	ck_assert_int_eq(servers_number(again, "GET a"), 1);
	servers_free(again);
	servers_free(s);
}
END_TEST

static void is_mistaken(const char *const args[], const char *said)
{
	char output[2048];
	int status = servers_run(COWKV, args, output, sizeof output);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 2, "%s %s: status %#x, %s",
		      args[0], args[1] ? args[1] : "", status, output);
	ck_assert_msg(strstr(output, said) != NULL, "%s: %s", args[0], output);
	ck_assert_msg(strstr(output, "Try 'cowkv --help'") != NULL, "%s", output);
}

START_TEST(test_wrong_settings)
{
	static const struct {
		const char *args[3], *said;
	} lines[] = {
	    {{"--nosuch", "1"}, "unknown setting nosuch"},
	    {{"--port"}, "a value is missing behind --port"},
	    {{"--port", "--bind"}, "a value is missing behind --port"},
	    {{"--port", "x"}, "port wants a number from 1 to 65535, not x"},
	    {{"--port", "0"}, "port wants a number from 1 to 65535, not 0"},
	    {{"--port", "65536"}, "port wants a number from 1 to 65535"},
	    {{"--port", "-1"}, "port wants a number"},
	    {{"--port", "99999999999999999999999"}, "port wants a number"},
	    {{"--maxmemory", "1x"}, "with k, kb, m, mb, g or gb behind it"},
	    {{"--capacity", "1"}, "capacity wants a number from 16777216"},
	    {{"--daemonize", "maybe"}, "daemonize wants yes or no, not maybe"},
	    {{"--save", "60"}, "save wants pairs of seconds and changes, not 60"},
	    {{"--save", "60 -1"}, "save wants pairs"},
	    {{"--save", "0 1"}, "save wants pairs"},
	    {{"--replicaof", "localhost"}, "replicaof wants a host and a port"},
	    {{"--replicaof", "localhost x"}, "replicaof wants a host and a port"},
	    {{"--dbfilename", "a/b"}, "dbfilename wants a file name without a path"},
	    {{"/nonexistent/file"}, "/nonexistent/file: No such file or directory"},
	    {{"-x"}, "unexpected argument -x"},
	    {{"--port", "1234", "extra"}, "unexpected argument extra"},
	};
	static const char *const files[][2] = {
	    {"nosuch 1\n", ":1: unknown setting nosuch"},
	    {"# fine\n\nport 20000\nport x\n", ":4: port wants a number from 1 to 65535, not x"},
	    {"port\n", ":1: port wants a number"},
	    {"save 60 1\nsave 60\n", ":2: save wants pairs"},
	};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		const char *const args[] = {lines[i].args[0], lines[i].args[1], lines[i].args[2],
					    NULL};
		is_mistaken(args, lines[i].said);
	}
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		char path[] = "/tmp/cowkv-config-XXXXXX";
		int fd = mkstemp(path);
		ck_assert_int_eq(write(fd, files[i][0], strlen(files[i][0])),
				 (ssize_t)strlen(files[i][0]));
		close(fd);
		const char *const args[] = {path, NULL};
		is_mistaken(args, files[i][1]);
		unlink(path);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv comes and goes");
	TCase *tc = tcase_create("leaving");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_add_test(tc, test_leaving);
	tcase_add_test(tc, test_nothing_after_the_save);
	tcase_add_test(tc, test_wrong_settings);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
