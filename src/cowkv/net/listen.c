/* SPDX-License-Identifier: BSD-2-Clause */
/* listen.c - see listen.h. */
#include "config.h"

#include "base/counters.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "net/client.h"
#include "net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES 8
#define BACKLOG 511
#define AT_ONCE 1000 /* connections accepted before other events have their turn */

static const char too_many[] = "-ERR max number of clients reached\r\n";
static const char protected_text[] =
    "-DENIED cowkv is running in protected mode because no password is set. In this mode "
    "connections are only "
    "accepted from the loopback interface. To connect from elsewhere, set a password "
    "(--requirepass), or switch "
    "protected mode off (--protected-mode no), if nobody but you can reach this port.\r\n";

static ev_io watchers[ADDRESSES];
static int fds[ADDRESSES];
static size_t n_fds;
static bool resting;
static const struct client_kind *kind;

/* Listen at one address. Returns 0, or errno. */
static int listen_at(const struct addrinfo *a)
{
	int yes = 1, fd;

	if (n_fds == ADDRESSES)
		return ENOSPC;
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
	    bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
		int e = errno;
		close(fd);
		return e;
	}
	fds[n_fds++] = fd;
	return 0;
}

bool listen_open(void)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM},
			*found;
	char port[8], names[512], *rest = names;

	snprintf(port, sizeof port, "%u", (unsigned)config.port);
	snprintf(names, sizeof names, "%s", config.bind);
	for (char *name; (name = strtok_r(rest, " ,", &rest)) != NULL;) {
		int e = getaddrinfo(name, port, &hints, &found);
		if (e) {
			log_line(LOG_WARNING, "Cannot listen at '%s': %s", name, gai_strerror(e));
			return false;
		}
		e = listen_at(found);
		freeaddrinfo(found);
		if (e) {
			log_line(LOG_WARNING, "Cannot listen at %s, port %s: %s", name, port,
				 strerror(e));
			return false;
		}
	}
	if (!n_fds)
		log_line(LOG_WARNING, "No address to listen at: --bind ADDR");
	return n_fds != 0;
}

static bool is_local(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;

	if (a->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* Send the reason if that is possible at once, and hang up. */
static void refuse(int fd, const char *why)
{
	counters.rejected++;
	if (write(fd, why, strlen(why)) < 0)
		log_line(LOG_VERBOSE, "A client was refused and left at once");
	close(fd);
}

/* Accept no connections until listen_cron(). */
static void rest(void)
{
	static time_t told;

	if (told + 60 < time(NULL)) {
		log_line(LOG_WARNING, "No more connections for now: %s", strerror(errno));
		told = time(NULL);
	}
	for (size_t i = 0; i < n_fds; i++)
		ev_io_stop(main_loop, &watchers[i]);
	resting = true;
}

void listen_cron(void)
{
	for (size_t i = 0; resting && i < n_fds; i++)
		ev_io_start(main_loop, &watchers[i]);
	resting = false;
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	for (int i = 0; i < AT_ONCE; i++) {
		struct sockaddr_storage address;
		socklen_t size = sizeof address;
		char host[48] = "?", port[8] = "0";
		int yes = 1, fd = accept4(io->fd, (struct sockaddr *)&address, &size,
					  SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			/* Without a descriptor or memory the connection stays pending, and this
			   function would be called again at once. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				rest();
			return;
		}
		bool local = is_local(&address);
		if (client_count >= config.maxclients) {
			refuse(fd, too_many);
			continue;
		}
		if (config.protected_mode && !*config.requirepass && !local) {
			refuse(fd, protected_text);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
		struct client *c = client_new(fd, kind);
		if (!c)
			continue;
		c->authenticated = !*config.requirepass;
		c->local = local;
		getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
			    NI_NUMERICHOST | NI_NUMERICSERV);
		snprintf(c->peer, sizeof c->peer, "%s:%s", host, port);
		counters.connections++;
	}
}

void listen_start(const struct client_kind *of_clients)
{
	kind = of_clients;
	for (size_t i = 0; i < n_fds; i++) {
		ev_io_init(&watchers[i], on_connection, fds[i], EV_READ);
		ev_io_start(main_loop, &watchers[i]);
	}
}

void listen_close(void)
{
	for (size_t i = 0; i < n_fds; i++) {
		ev_io_stop(main_loop, &watchers[i]);
		close(fds[i]);
	}
	n_fds = 0;
}
