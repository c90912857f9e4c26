/* SPDX-License-Identifier: BSD-2-Clause */
/* test-clients.c - many clients of a cowkv, slow clients, and misbehaving ones. */
#include "config.h"

#include "../common.h"
#include "servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MB (1 << 20)

/* What it says on a connection of its own; "" if it hangs up at once. */
static const char *greeting(int fd, const char *said)
{
	static char text[1024];
	size_t len = 0;

	if (*said)
		send(fd, said, strlen(said), MSG_NOSIGNAL);
	for (ssize_t n; (n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0;) {
		len += (size_t)n;
		if (memchr(text, '\n', len))
			break;
	}
	text[len] = 0;
	return text;
}

/* Whether the other side hangs up, in a while. */
static bool hangs_up(int fd)
{
	char data[4096];
	ssize_t n;

	while ((n = recv(fd, data, sizeof data, 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

/* ---- how many, and who ---- */

START_TEST(test_maxclients)
{
	static const char *const args[] = {"--maxclients", "5", NULL};
	struct server *s = servers_start(COWKV, args); /* one is ours */
	int fds[4];

	for (int i = 0; i < 4; i++) {
		fds[i] = servers_socket(s);
		ck_assert_str_eq(greeting(fds[i], "PING\r\n"), "+PONG\r\n");
	}
	int more = servers_socket(s);
	ck_assert_str_eq(greeting(more, ""), "-ERR max number of clients reached\r\n");
	ck_assert(hangs_up(more));
	ck_assert_int_eq(servers_info(s, "connected_clients"), 5);
	ck_assert_int_eq(servers_info(s, "rejected_connections"), 1);
	close(more);
	close(fds[0]);
	while (servers_info(s, "connected_clients") != 4)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	fds[0] = servers_socket(s);
	ck_assert_str_eq(greeting(fds[0], "PING\r\n"), "+PONG\r\n");
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	servers_free(s);
}
END_TEST

/* An address of this machine that is not a loopback's. */
static bool other_address(struct in_addr *address)
{
	struct ifaddrs *all;
	bool found = false;

	ck_assert_int_eq(getifaddrs(&all), 0);
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
			continue;
		*address = ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		found = ntohl(address->s_addr) >> 24 != 127;
	}
	freeifaddrs(all);
	return found;
}

static void says_from_outside(struct in_addr address, const char *const args[],
			      const char *expected)
{
	struct server *s = servers_start(COWKV, args);
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr = address};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	const char *said = greeting(fd, "PING\r\n");
	ck_assert_msg(strncmp(said, expected, strlen(expected)) == 0, "%s", said);
	ck_assert(*expected != '-' || strncmp(expected, "-DENIED", 7) || hangs_up(fd));
	close(fd);
	servers_free(s);
}

START_TEST(test_protected)
{
	struct in_addr address;
	char bind_to[64];

	if (!other_address(&address)) {
		printf("SKIP: this machine has no address but the loopback's\n");
		return;
	}
	snprintf(bind_to, sizeof bind_to, "127.0.0.1 %s", inet_ntoa(address));
	const char *const closed[] = {"--bind", bind_to, NULL},
			  *const open[] = {"--bind", bind_to, "--protected-mode", "no", NULL},
			  *const secret[] = {"--bind", bind_to, "--requirepass", "x", NULL};
	says_from_outside(address, closed, "-DENIED");
	says_from_outside(address, open, "+PONG");
	says_from_outside(address, secret, "-NOAUTH");
}
END_TEST

START_TEST(test_kill)
{
	struct server *s = servers_start(COWKV, NULL);
	int fd = servers_socket(s), other = servers_socket(s);
	long long id;

	ck_assert_int_eq(sscanf(greeting(fd, "CLIENT ID\r\n"), ":%lld", &id), 1);
	ck_assert_int_eq(servers_number(s, "CLIENT KILL ID %lld", id), 1);
	ck_assert(hangs_up(fd));
	close(fd);
	/* Oneself: told first. */
	struct sockaddr_in me;
	socklen_t size = sizeof me;
	char text[100];
	ck_assert_int_eq(getsockname(other, (struct sockaddr *)&me, &size), 0);
	snprintf(text, sizeof text, "CLIENT KILL 127.0.0.1:%d\r\nPING\r\n", ntohs(me.sin_port));
	ck_assert_str_eq(greeting(other, text), "+OK\r\n");
	ck_assert(hangs_up(other));
	close(other);
	fd = servers_socket(s);
	ck_assert_str_eq(greeting(fd, "CLIENT KILL TYPE normal SKIPME no\r\n"), ":2\r\n");
	ck_assert(hangs_up(fd));
	close(fd);
	servers_connect(s);
	ck_assert_int_eq(servers_info(s, "connected_clients"), 1);
	servers_free(s);
}
END_TEST

/* ---- slow ones, and fast ones ---- */

START_TEST(test_slow_reader)
{
	struct server *s = servers_start(COWKV, NULL);
	size_t size = 8 * MB;
	char *value = malloc(size);
	int fds[4];

	ck_assert_ptr_nonnull(value);
	memset(value, 'x', size);
	servers_ok(s, "SET large %b", value, size);
	long long before = servers_info(s, "mem_clients_normal");
	for (int i = 0; i < 4; i++) {
		fds[i] = servers_socket(s);
		for (int k = 0; k < 1000; k++)
			ck_assert_int_eq(send(fds[i], "GET large\r\n", 11, MSG_NOSIGNAL), 11);
	}
	for (int i = 0; i < 200; i++) { /* others are served, and no more is made than they take */
		servers_ok(s, "SET k%d v", i);
		ck_assert_int_lt(servers_info(s, "mem_clients_normal"), before + 4 * 20 * MB);
	}
	/* Who reads after all gets all. */
	size_t want = 3 * (size + 12);
	while (want) {
		ssize_t n = recv(fds[0], value, want < size ? want : size, 0);
		ck_assert_int_gt(n, 0);
		want -= (size_t)n;
	}
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	while (servers_info(s, "connected_clients") > 1)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert_int_lt(servers_info(s, "mem_clients_normal"), before + 2 * MB);
	free(value);
	servers_free(s);
}
END_TEST

/* All is sent before anything is read, as far as that goes. */
START_TEST(test_huge_pipeline)
{
	size_t n = scaled(200000, 2000000, 30000), sent = 0, answered = 0, len;
	struct server *s = servers_start(COWKV, NULL);
	char text[64], data[65536];
	int fd = servers_socket(s);

	len = (size_t)snprintf(text, sizeof text,
			       "*4\r\n$7\r\nHINCRBY\r\n$1\r\nh\r\n$1\r\nf\r\n$1\r\n1\r\n");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (answered < n) {
		struct pollfd p = {.fd = fd, .events = POLLIN | (sent < n * len ? POLLOUT : 0)};
		ck_assert_int_gt(poll(&p, 1, -1), 0);
		if (p.revents & POLLOUT) {
			size_t at = sent % len;
			char *some = data;
			size_t have = 0;
			for (size_t i = at; have < 60000 && sent + have < n * len;
			     have++, i = (i + 1) % len)
				some[have] = text[i];
			ssize_t k = send(fd, some, have, MSG_NOSIGNAL);
			sent += k > 0 ? (size_t)k : 0;
			if (k > 0)
				continue;
		}
		ssize_t k = recv(fd, data, sizeof data, 0);
		ck_assert(k > 0 || (k < 0 && errno == EAGAIN));
		for (ssize_t i = 0; i < k; i++)
			answered += data[i] == '\n';
	}
	close(fd);
	ck_assert_int_eq(servers_number(s, "HGET h f"), (long long)n);
	servers_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cowkv's clients");
	TCase *tc = tcase_create("clients");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tcase_add_test(tc, test_maxclients);
	tcase_add_test(tc, test_protected);
	tcase_add_test(tc, test_kill);
	tcase_add_test(tc, test_slow_reader);
	tcase_add_test(tc, test_huge_pipeline);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
