/* SPDX-License-Identifier: BSD-2-Clause */
/* link-handshake.c - connects to a master, and talks to it until its snapshot or its stream
   comes. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/random-id.h"
#include "base/settings.h"
#include "commands/command.h"
#include "data/stream.h"
#include "replication/link.h"
#include "replication/replicas.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)
#define LINE_MAX_LENGTH 4096
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void on_event(struct ev_loop *loop, ev_io *io, int events);

/* ---- connecting ---- */

static void watch(int events)
{
	ev_io_stop(main_loop, &link_.io);
	ev_io_set(&link_.io, link_.fd, events);
	ev_io_start(main_loop, &link_.io);
}

static unsigned count(const struct addrinfo *a)
{
	unsigned n = 0;

	for (; a; a = a->ai_next)
		n++;
	return n;
}

/* A name look-up stops the event loop: give an address where look-ups are slow. */
void link_start(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
	char port[8];
	int yes = 1;

	snprintf(port, sizeof port, "%" PRIu64, config.master_port);
	int e = getaddrinfo(config.master_host, port, &hints, &found);
	if (e) {
		link_give_up("%s", gai_strerror(e));
		return;
	}
	/* A name may have several addresses: each attempt takes the next one. */
	const struct addrinfo *a = found;
	for (unsigned skip = link_.tries++ % count(found); skip; skip--)
		a = a->ai_next;
	link_.fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	e = link_.fd < 0 ? errno : 0;
	if (!e && connect(link_.fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS)
		e = errno;
	freeaddrinfo(found);
	if (e) {
		link_give_up("%s", strerror(e));
		return;
	}
	setsockopt(link_.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	log_line(LOG_NOTICE, "Connecting to MASTER %s:%" PRIu64, config.master_host,
		 config.master_port);
	link_.step = STEP_CONNECTING;
	link_.heard = loop_now();
	ev_io_init(&link_.io, on_event, link_.fd, EV_WRITE);
	ev_io_start(main_loop, &link_.io);
}

/* These few words fit into the socket's own buffer. */
static bool say(size_t argc, const char *const *argv)
{
	struct buffer text = {0};

	buffer_print(&text, "*%zu\r\n", argc);
	for (size_t i = 0; i < argc; i++)
		buffer_print(&text, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
	bool done = write(link_.fd, text.data, text.len) == (ssize_t)text.len;
	buffer_free(&text);
	if (!done)
		link_give_up("cannot send: %s", strerror(errno));
	return done;
}
#define SAY(...)                                                                                   \
	say(COUNT(((const char *const[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

static void say_psync(void)
{
	char offset[24] = "-1";

	if (stream.known)
		snprintf(offset, sizeof offset, "%" PRId64, stream.offset + 1);
	link_.step = STEP_PSYNC;
	SAY("PSYNC", stream.known ? stream.id : "?", offset);
}

/* The last step was answered: send the next one. */
static void go_on(void)
{
	char port[8];

	switch (link_.step) {
	case STEP_CONNECTING:
		link_.step = STEP_PING;
		SAY("PING");
		break;
	case STEP_PING:
		link_.step = STEP_AUTH;
		if (*config.masterauth) {
			SAY("AUTH", config.masterauth);
			break;
		}
		/* fall through */
	case STEP_AUTH:
		link_.step = STEP_PORT;
		snprintf(port, sizeof port, "%" PRIu64, config.port);
		SAY("REPLCONF", "listening-port", port);
		break;
	case STEP_PORT:
		link_.step = STEP_CAPA;
		SAY("REPLCONF", "capa", "eof", "capa", "psync2");
		break;
	default:
		say_psync();
	}
}

/* ---- lines ---- */

/* Take the id of a stream from the start of text. */
static bool take_id(char id[RANDOM_ID + 1], const char *text)
{
	if (strspn(text, "0123456789abcdefABCDEF") != RANDOM_ID)
		return false;
	memcpy(id, text, RANDOM_ID);
	id[RANDOM_ID] = 0;
	return true;
}

static bool on_full(const char *rest)
{
	int64_t offset;

	if (!take_id(link_.id, rest) || rest[RANDOM_ID] != ' ')
		return false;
	rest += RANDOM_ID + 1;
	if (!slice_integer((struct slice){rest, strlen(rest)}, &offset) || offset < 0 ||
	    offset > OFFSET_MAX)
		return false;
	log_line(LOG_NOTICE, "Full resync from master: %s:%" PRId64, link_.id, offset);
	link_.offset = offset;
	link_.step = STEP_SIZE;
	return true;
}

/* The master continues our stream, perhaps under a new id: then the old id stays valid up to
   here. */
static bool on_continue(const char *rest)
{
	char id[RANDOM_ID + 1];

	if (!stream.known)
		return false;
	if (*rest == ' ' && take_id(id, rest + 1) && strcmp(id, stream.id) != 0) {
		stream_rename(id);
		replicas_close(); /* they must learn the new id */
	}
	log_line(LOG_NOTICE, "Successful partial resynchronization with master.");
	link_begin_stream();
	return true;
}

static void on_psync_answer(const char *line)
{
	if (strncmp(line, "+FULLRESYNC ", 12) == 0 && on_full(line + 12))
		return;
	if (strncmp(line, "+CONTINUE", 9) == 0 && on_continue(line + 9))
		return;
	if (strncmp(line, "-NOMASTERLINK", 13) == 0 || strncmp(line, "-LOADING", 8) == 0)
		link_give_up("it is not ready: %.80s", line + 1);
	else
		link_give_up("unexpected answer to PSYNC: %.80s", line);
}

static void on_line(const char *line)
{
	switch (link_.step) {
	case STEP_PING:
		/* The master may want a password first. */
		if (*line == '+' || strncmp(line, "-NOAUTH", 7) == 0 ||
		    strncmp(line, "-NOPERM", 7) == 0)
			go_on();
		else
			link_give_up("it answers PING with '%.80s'", line);
		break;
	case STEP_AUTH:
		if (*line == '+')
			go_on();
		else
			link_give_up("it does not accept --masterauth: %.80s", line);
		break;
	case STEP_PORT:
	case STEP_CAPA:
		go_on(); /* an old master may not know the option */
		break;
	case STEP_PSYNC:
		if (*line)
			on_psync_answer(line);
		break;
	case STEP_SIZE:
		if (*line) /* an empty line is only a sign of life */
			receive_begin(line);
		break;
	default:
		break;
	}
}

static void read_lines(void)
{
	while (link_.fd >= 0 && link_.step < STEP_SNAPSHOT) {
		char *start = link_.in.data + link_.in.at, line[LINE_MAX_LENGTH];
		size_t n = buffer_size(&link_.in);
		char *end = n ? memchr(start, '\n', n) : NULL;

		if (!end) {
			if (n >= LINE_MAX_LENGTH)
				link_give_up("it sends a line without an end");
			return;
		}
		size_t len = (size_t)(end - start);
		if (len >= LINE_MAX_LENGTH) {
			link_give_up("it sends a line of %zu bytes", len);
			return;
		}
		memcpy(line, start, len);
		line[len - (len && line[len - 1] == '\r')] = 0;
		buffer_take(&link_.in, len + 1);
		on_line(line);
	}
	if (link_.fd >= 0 && link_.step == STEP_SNAPSHOT && buffer_size(&link_.in))
		receive_some();
}

static void on_event(struct ev_loop *loop, ev_io *io, int events)
{
	int e = 0;
	socklen_t size = sizeof e;

	(void)loop;
	(void)io;
	link_.heard = loop_now();
	if (link_.step == STEP_CONNECTING) {
		if (getsockopt(link_.fd, SOL_SOCKET, SO_ERROR, &e, &size) || e) {
			link_give_up("%s", strerror(e));
			return;
		}
		watch(EV_READ);
		go_on();
		return;
	}
	if (!(events & EV_READ))
		return;
	ssize_t n = read(link_.fd, buffer_reserve(&link_.in, PIECE), PIECE);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		link_give_up(n ? "%s" : "it hung up%s", n ? strerror(errno) : "");
		return;
	}
	link_.in.len += (size_t)n;
	if (link_.step == STEP_SNAPSHOT)
		receive_some();
	else
		read_lines();
}
