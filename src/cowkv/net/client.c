/* SPDX-License-Identifier: BSD-2-Clause */
/* client.c - see client.h. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "net/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE ((size_t)16 << 10)
#define IN_MAX ((size_t)1 << 30)   /* bytes of a request, as Redis' client-query-buffer-limit */
#define OUT_SOFT ((size_t)1 << 20) /* with more unread answers, no requests are read */
#define KEEP ((size_t)64 << 10)    /* room that an empty buffer keeps */
#define KEEP_ARGS 64
#define SEND_MAX ((size_t)1 << 20) /* bytes sent before other clients have their turn */
#define CLOSING_MAX 60             /* seconds that a client has to read its last answer */

struct client *clients;
size_t client_count;

static struct client *waiting, *running;
static uint64_t next_id = 1;

static void on_readable(struct ev_loop *loop, ev_io *io, int events);
static void on_writable(struct ev_loop *loop, ev_io *io, int events);

struct client *client_new(int fd, const struct client_kind *kind)
{
	struct client *c = calloc(1, sizeof *c);

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->kind = kind;
	c->id = next_id++;
	c->since = c->last = loop_now();
	c->authenticated = true;
	resp_next(&c->request);
	ev_io_init(&c->reading, on_readable, fd, EV_READ);
	ev_io_init(&c->writing, on_writable, fd, EV_WRITE);
	c->reading.data = c->writing.data = c;
	ev_io_start(main_loop, &c->reading);
	c->after = clients;
	if (clients)
		clients->before = c;
	clients = c;
	client_count++;
	return c;
}

static void leave_kind(struct client *c)
{
	if (c->kind->gone)
		c->kind->gone(c);
}

void client_become(struct client *c, const struct client_kind *kind)
{
	leave_kind(c);
	c->kind = kind;
}

static void release(struct client *c)
{
	leave_kind(c);
	queue_clear(&c->queue);
	ev_io_stop(main_loop, &c->reading);
	ev_io_stop(main_loop, &c->writing);
	*(c->before ? &c->before->after : &clients) = c->after;
	if (c->after)
		c->after->before = c->before;
	client_count--;
	close(c->fd);
	for (struct client **at = &waiting; c->waiting && *at; at = &(*at)->next_waiting) {
		if (*at == c) {
			*at = c->next_waiting;
			break;
		}
	}
	buffer_free(&c->in);
	buffer_free(&c->out);
	resp_free(&c->request);
	free(c->argv);
	free(c->name);
	free(c->kind_data);
	free(c);
}

void client_close(struct client *c)
{
	if (c == running)
		c->dead = true;
	else
		release(c);
}

/* ---- requests ---- */

static bool take_arguments(struct client *c)
{
	const struct resp *r = &c->request;

	if (r->argc > c->argv_room) {
		struct slice *argv = realloc(c->argv, r->argc * sizeof *argv);
		if (!argv)
			return false;
		c->argv = argv;
		c->argv_room = r->argc;
	}
	for (size_t i = 0; i < r->argc; i++)
		c->argv[i] = (struct slice){c->in.data + c->in.at + r->args[i].at, r->args[i].len};
	c->argc = r->argc;
	return true;
}

/* Run the request just parsed. */
static void run(struct client *c)
{
	struct client *outer = running;

	running = c;
	if (!take_arguments(c))
		c->dead = true;
	else if (c->argc)
		c->kind->run(c);
	running = outer;
	if (c->argv_room > KEEP_ARGS) {
		free(c->argv);
		c->argv = NULL;
		c->argv_room = 0;
	}
}

void client_process(struct client *c)
{
	const char *error;

	/* When the server is leaving, the last save has been made: a command that ran now would be
	   answered and lost. */
	while (!c->dead && !c->closing && !loop_leaving && buffer_size(&c->in)) {
		if (c->kind->bounded && buffer_size(&c->out) > OUT_SOFT) {
			ev_io_stop(main_loop, &c->reading); /* until answers are read */
			break;
		}
		enum resp_result result =
		    resp_parse(&c->request, c->in.data + c->in.at, buffer_size(&c->in),
			       !c->authenticated, &error);
		if (result == RESP_MORE)
			break;
		if (result == RESP_ERROR) {
			log_line(LOG_VERBOSE, "Protocol error (%s) from client %s", error, c->peer);
			c->kind->garbled(c, error);
			c->closing = true;
			c->dead = !c->kind->answered;
			break;
		}
		size_t n = c->request.at;
		run(c);
		if (c->kind->ran)
			c->kind->ran(c, n);
		buffer_take(&c->in, n);
		resp_next(&c->request);
	}
	buffer_trim(&c->in, KEEP);
	if (c->dead && c != running)
		release(c);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *c = io->data;
	size_t want = READ_SIZE;

	(void)events;
	/* A long argument is coming: read it in few pieces, into room that is made once. */
	if (c->request.bulk > 0 && (size_t)c->request.bulk > READ_SIZE)
		want = c->request.at + (size_t)c->request.bulk + 2 > buffer_size(&c->in)
			   ? c->request.at + (size_t)c->request.bulk + 2 - buffer_size(&c->in)
			   : READ_SIZE;
	if (want > (size_t)1 << 20)
		want = (size_t)1 << 20;
	ssize_t n = read(c->fd, buffer_reserve(&c->in, want), want);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	if (c->closing) /* no command runs any more */
		return;
	c->in.len += (size_t)n;
	c->last = (time_t)ev_now(loop);
	if (buffer_size(&c->in) > IN_MAX) {
		log_line(LOG_WARNING, "Client %s sent a request of more than %zu bytes: closed",
			 c->peer, IN_MAX);
		client_close(c);
		return;
	}
	client_process(c);
}

/* ---- answers ---- */

static bool may_send(const struct client *c)
{
	return !c->kind->may_send || c->kind->may_send(c);
}

void client_wants_to_send(struct client *c)
{
	if (c->waiting || ev_is_active(&c->writing))
		return;
	c->waiting = true;
	c->next_waiting = waiting;
	waiting = c;
}

/* Send what can be sent without waiting. Returns false if the client is gone. */
static bool send_some(struct client *c)
{
	for (size_t sent = 0; buffer_size(&c->out) && (sent < SEND_MAX || loop_leaving);) {
		size_t some = buffer_size(&c->out) < SEND_MAX ? buffer_size(&c->out) : SEND_MAX;
		ssize_t n = write(c->fd, c->out.data + c->out.at, some);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			client_close(c);
			return false;
		}
		buffer_take(&c->out, (size_t)n);
		sent += (size_t)n;
	}
	if (buffer_size(&c->out)) {
		ev_io_start(main_loop, &c->writing);
		return true;
	}
	ev_io_stop(main_loop, &c->writing);
	buffer_trim(&c->out, KEEP);
	if (c->closing) {
		client_close(c);
		return false;
	}
	return true;
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events)
{
	struct client *c = io->data;

	(void)events;
	if (!may_send(c)) {
		ev_io_stop(loop, io);
		return;
	}
	if (!send_some(c) || ev_is_active(&c->reading) || buffer_size(&c->out) > OUT_SOFT)
		return;
	ev_io_start(loop, &c->reading);
	client_process(c); /* requests that came in meanwhile */
}

void client_send_all(void)
{
	while (waiting) {
		struct client *c = waiting;
		waiting = c->next_waiting;
		c->waiting = false;
		if (!may_send(c))
			continue;
		if (send_some(c) && !ev_is_active(&c->reading) && !c->closing &&
		    buffer_size(&c->out) <= OUT_SOFT) {
			/* The client was paused, and has read its answers. */
			ev_io_start(main_loop, &c->reading);
			client_process(c);
		}
	}
}

void client_cron(void)
{
	for (struct client *c = clients, *after; c; c = after) {
		after = c->after;
		if (c->closing && loop_now() - c->last > CLOSING_MAX) {
			client_close(c);
			continue;
		}
		buffer_trim(&c->in, KEEP);
		buffer_trim(&c->out, KEEP);
	}
}

size_t client_memory(void)
{
	size_t n = 0;

	for (struct client *c = clients; c; c = c->after)
		n += sizeof *c + c->in.room + c->out.room + c->queue.bytes +
		     c->argv_room * sizeof *c->argv + c->request.room * sizeof *c->request.args;
	return n;
}
