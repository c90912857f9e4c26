/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kv-load.c - a client that fills a server, or measures how late its answers are.
 *
 *	kv-load PORT fill KEYS BYTES [FROM]
 *	kv-load PORT writes KEYS BYTES RATE FILE
 *	kv-load PORT save
 *
 * `fill` sets key:000000000000, or number FROM, up to KEYS, to values of BYTES. `save` does a
 * BGSAVE, and prints when it began and when it ended, in ms of the monotonic clock. `writes`
 * overwrites random keys, RATE a second, until it gets SIGTERM. It is an open loop: a request is
 * sent when it is due, whether the one before has been answered or not, and its latency counts from
 * when it was due. So a server that stands still is charged for all requests that were due
 * meanwhile (G. Tene: "coordinated omission"). FILE gets a line for each 10 ms: milliseconds of the
 * monotonic clock, the longest latency of requests due then, in us. At the end `writes` prints n,
 * p50, p99, p99.9 and max in us.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 65536 /* requests on their way */
#define AT_ONCE 512  /* requests in one write when filling */
#define SLICE_NS UINT64_C(10000000)
#define BUFFER (1 << 20)

static int fd;
static char *value;
static size_t value_size;
static volatile sig_atomic_t stopped;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "kv-load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void connect_to(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int yes = 1;

	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static size_t print_set(char *to, uint64_t key)
{
	size_t n = (size_t)sprintf(to, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012" PRIu64 "\r\n$%zu\r\n",
				   key, value_size);

	memcpy(to + n, value, value_size);
	memcpy(to + n + value_size, "\r\n", 2);
	return n + value_size + 2;
}

static void send_all(const char *data, size_t n)
{
	while (n) {
		ssize_t done = write(fd, data, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			die("write");
		data += done;
		n -= (size_t)done;
	}
}

/* Read the answers that have come; each is "+OK\r\n". Returns how many are complete. */
static size_t receive(bool wait)
{
	static char text[BUFFER];
	size_t answers = 0;
	ssize_t n = recv(fd, text, sizeof text, wait ? 0 : MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		die("the server has gone");
	for (ssize_t i = 0; i < n; i++) {
		answers += text[i] == '\n';
		if (text[i] == '-') {
			fprintf(stderr, "kv-load: %.*s\n", (int)(n - i < 80 ? n - i : 80),
				text + i);
			exit(EXIT_FAILURE);
		}
	}
	return answers;
}

static void fill(uint64_t from, uint64_t keys)
{
	char *batch = malloc(AT_ONCE * (value_size + 80));
	uint64_t answered = from;

	for (uint64_t key = from; key < keys;) {
		size_t n = 0;
		for (size_t i = 0; i < AT_ONCE && key < keys; i++)
			n += print_set(batch + n, key++);
		send_all(batch, n);
		while (key - answered > (uint64_t)AT_ONCE * 8)
			answered += receive(true);
	}
	while (answered < keys)
		answered += receive(true);
	free(batch);
}

/* ---- the steady load ---- */

static uint64_t *latencies; /* us */
static size_t count, room;

static void note(uint64_t us)
{
	if (count == room) {
		room = room ? 2 * room : 1 << 16;
		latencies = realloc(latencies, room * sizeof *latencies);
		if (!latencies)
			die("memory");
	}
	latencies[count++] = us;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void writes(uint64_t keys, uint64_t rate, FILE *out)
{
	static uint64_t due[WINDOW]; /* when each request on its way was due */
	uint64_t start = now_ns(), sent = 0, answered = 0, random = 88172645463325252;
	uint64_t slice = 0, worst = 0;
	char request[value_size + 80];

	while (!stopped) {
		uint64_t now = now_ns();
		while (sent - answered < WINDOW && start + sent * 1000000000 / rate <= now) {
			random ^= random << 13; /* Marsaglia, "Xorshift RNGs", 2003 */
			random ^= random >> 7;
			random ^= random << 17;
			due[sent % WINDOW] = start + sent * 1000000000 / rate;
			send_all(request, print_set(request, random % keys));
			sent++;
		}
		uint64_t next = start + sent * 1000000000 / rate;
		struct timespec left = {0, next > now ? (long)(next - now) : 0};
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (sent - answered == WINDOW)
			left.tv_nsec = 1000000;
		if (ppoll(&p, 1, &left, NULL) <= 0)
			continue;
		size_t n = receive(false);
		now = now_ns();
		for (; n; n--, answered++) {
			uint64_t us = (now - due[answered % WINDOW]) / 1000;
			note(us);
			if (due[answered % WINDOW] / SLICE_NS != slice) {
				if (slice)
					fprintf(out, "%" PRIu64 " %" PRIu64 "\n",
						slice * SLICE_NS / 1000000, worst);
				slice = due[answered % WINDOW] / SLICE_NS;
				worst = 0;
			}
			worst = us > worst ? us : worst;
		}
	}
	if (!count)
		die("no answers");
	qsort(latencies, count, sizeof *latencies, ascending);
	printf("%zu %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", count, latencies[count / 2],
	       latencies[count - 1 - count / 100], latencies[count - 1 - count / 1000],
	       latencies[count - 1]);
}

/* ---- a save ---- */

/* Ask for INFO until the save has ended. No process is started meanwhile: that would be a load of
   its own. */
static void save(void)
{
	static char text[BUFFER];
	struct timespec pause = {0, 100000000};
	const char *state = NULL;

	nanosleep(&pause, NULL);
	uint64_t begun = now_ns();
	send_all("BGSAVE\r\n", 8);
	receive(true);
	while (!state || !strstr(state, "rdb_bgsave_in_progress:0")) {
		size_t n = 0;
		nanosleep(&pause, NULL);
		send_all("INFO persistence\r\n", 18);
		do {
			ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
			if (got <= 0)
				die("the server has gone");
			n += (size_t)got;
			text[n] = 0;
			state = strstr(text, "rdb_bgsave_in_progress:");
		} while (!state || !strstr(state, "rdb_last_cow_size:") || text[n - 1] != '\n');
	}
	printf("%" PRIu64 " %" PRIu64 "\n", begun / 1000000, now_ns() / 1000000);
	if (!strstr(text, "rdb_last_bgsave_status:ok")) {
		errno = 0;
		die("the save has failed");
	}
}

int main(int argc, char **argv)
{
	bool saves = argc == 3 && strcmp(argv[2], "save") == 0;

	if (saves) {
		connect_to((unsigned)atoi(argv[1]));
		save();
		return EXIT_SUCCESS;
	}
	if (argc < 5 || (strcmp(argv[2], "fill") != 0 && argc < 7)) {
		fprintf(stderr, "usage: kv-load PORT fill KEYS BYTES [FROM]\n"
				"       kv-load PORT writes KEYS BYTES RATE FILE\n"
				"       kv-load PORT save\n");
		return 2;
	}
	uint64_t keys = strtoull(argv[3], NULL, 10);
	value_size = strtoul(argv[4], NULL, 10);
	value = malloc(value_size + 1);
	for (size_t i = 0; i < value_size; i++) /* text that does not compress well */
		value[i] = (char)('!' + (i * 2654435761u >> 24) % 90);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, stop);
	connect_to((unsigned)atoi(argv[1]));
	if (strcmp(argv[2], "fill") == 0) {
		fill(argc > 5 ? strtoull(argv[5], NULL, 10) : 0, keys);
		return EXIT_SUCCESS;
	}
	FILE *out = fopen(argv[6], "w");
	if (!out)
		die(argv[6]);
	writes(keys, strtoull(argv[5], NULL, 10), out);
	return fclose(out) ? EXIT_FAILURE : EXIT_SUCCESS;
}
