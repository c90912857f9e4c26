/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replication-replica.c - the link to a master: its beginning and end, and what is done each second.
 *
 * The master is asked to go on where its stream broke off (replication-handshake.c). If it cannot, it sends a snapshot
 * (replication-receive.c). Then a client has the connection, whose commands are the stream.
 */
#include "config.h"

#include "log.h"
#include "loop.h"
#include "replication-link.h"
#include "settings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT 60
#define OUT_MAX ((size_t)64 << 10) /* of what a master does not take */
#define PAUSE_MAX 16               /* seconds, between tries that fail late */

struct link link_ = {.fd = -1, .file = -1};

bool link_up(void)
{
	return link_.step == STEP_STREAM;
}

void link_hang_up(void)
{
	if (link_.fd >= 0) {
		ev_io_stop(main_loop, &link_.io);
		close(link_.fd);
	}
	if (link_.file >= 0)
		close(link_.file);
	link_.fd = link_.file = -1;
	buffer_free(&link_.in);
	link_.step = STEP_NONE;
}

void link_give_up(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_line(LOG_WARNING, "Replication from %s:%" PRIu64 ": %s", config.master_host,
		 config.master_port, text);
	link_hang_up();
}

void link_fail_late(void)
{
	link_.pause = !link_.pause ? 1 : link_.pause < PAUSE_MAX ? 2 * link_.pause : PAUSE_MAX;
	link_.next_try = loop_now() + link_.pause;
}

void link_lost(struct client *c)
{
	if (c != link_.master)
		return;
	log_line(LOG_WARNING, "Connection with master lost.");
	link_.master = NULL;
	link_.step = STEP_NONE;
	/* Of a transaction whose end has not come nothing has been run: all of it is asked for again. */
	buffer_free(&link_.held);
	link_.down_since = loop_now();
}

void link_to(const char *host, uint64_t port)
{
	if (link_.master)
		client_close(link_.master);
	link_hang_up();
	/* Our own history, under its name: a master that has it under that name may go on from it. */
	stream_know();
	free(config.master_host);
	config.master_host = strdup(host ? host : "");
	if (!config.master_host)
		abort();
	config.master_port = port;
	if (!host)
		link_.down_since = 0;
	link_.next_try = link_.pause = 0;
	replicas_close(); /* they have to ask anew */
}

void link_begin_stream(void)
{
	ev_io_stop(main_loop, &link_.io);
	link_.master = client_new(link_.fd, CLIENT_MASTER);
	if (!link_.master)
		abort();
	link_.fd = -1;
	snprintf(link_.master->peer, sizeof link_.master->peer, "master");
	link_.step = STEP_STREAM;
	stream_know();
	/* What came with the last line already. */
	buffer_add(&link_.master->in, link_.in.data + link_.in.at, buffer_size(&link_.in));
	buffer_free(&link_.in);
	if (buffer_size(&link_.master->in))
		client_process(link_.master);
}

/* ---- each second ---- */

void link_acknowledge(void)
{
	char offset[24];

	if (link_.step != STEP_STREAM)
		return;
	/* reply.h does not answer masters: this goes past it. */
	int n = snprintf(offset, sizeof offset, "%" PRId64, stream.offset);
	buffer_print(&link_.master->out, "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$%d\r\n%s\r\n", n,
		     offset);
	client_wants_to_send(link_.master);
}

void link_cron(void)
{
	if (link_.step == STEP_NONE) {
		if (loop_now() >= link_.next_try)
			link_start();
	} else if (link_.step == STEP_STREAM) {
		link_.pause = 0;
		if (loop_now() - link_.master->last > TIMEOUT) {
			log_line(LOG_WARNING, "MASTER timeout: no data nor PING received...");
			client_close(link_.master);
		} else if (buffer_size(&link_.master->out) < OUT_MAX) {
			link_acknowledge();
		}
	} else if (loop_now() - link_.heard > TIMEOUT) {
		link_give_up("it says nothing");
	}
}

void link_applied(struct client *c, const char *data, size_t n)
{
	/* Inside of a transaction nothing has been run yet. If the link broke now, and we went on from behind what has been
	   queued, that would be lost. */
	if (c->queue.open) {
		buffer_add(&link_.held, data, n);
		return;
	}
	if (buffer_size(&link_.held)) {
		stream_add(link_.held.data, buffer_size(&link_.held));
		buffer_free(&link_.held);
	}
	stream_add(data, n);
}

void link_refuse(const char *why)
{
	link_fail_late();
	log_line(LOG_WARNING, "Our master is not followed any more: %s. Next try in %lld s", why,
		 (long long)link_.pause);
	client_close(link_.master);
}

void link_close(void)
{
	link_hang_up();
}

static bool link_syncs(void)
{
	return link_.step == STEP_SIZE || link_.step == STEP_SNAPSHOT;
}

const char *link_state(void)
{
	return link_.step == STEP_NONE         ? "connect"
	       : link_.step == STEP_CONNECTING ? "connecting"
	       : link_.step < STEP_SIZE        ? "handshake"
	       : link_syncs()                  ? "sync"
					       : "connected";
}

/* How much there will be is not known yet, and with a mark at its end not at all. */
static void sync_info(struct buffer *to)
{
	bool begun = link_.step == STEP_SNAPSHOT;
	int64_t size = begun ? (int64_t)link_.size : -1;
	int64_t received = begun ? (int64_t)link_.received : 0;

	buffer_print(to,
		     "master_sync_total_bytes:%" PRId64 "\r\nmaster_sync_read_bytes:%" PRId64
		     "\r\nmaster_sync_left_bytes:%" PRId64 "\r\nmaster_sync_perc:%.2f\r\n"
		     "master_sync_last_io_seconds_ago:%lld\r\n",
		     size, received, begun ? size - received : -1,
		     size > 0 ? 100.0 * (double)received / (double)size : 0.0,
		     (long long)(loop_now() - link_.heard));
}

void link_info(struct buffer *to)
{
	buffer_print(to,
		     "master_host:%s\r\nmaster_port:%" PRIu64 "\r\nmaster_link_status:%s\r\n"
		     "master_last_io_seconds_ago:%lld\r\nmaster_sync_in_progress:%d\r\n"
		     "slave_read_repl_offset:%" PRId64 "\r\nslave_repl_offset:%" PRId64 "\r\n",
		     config.master_host, config.master_port, link_up() ? "up" : "down",
		     link_up() ? (long long)(loop_now() - link_.master->last) : -1, link_syncs(),
		     stream.offset, stream.offset);
	if (link_syncs())
		sync_info(to);
	if (!link_up())
		buffer_print(to, "master_link_down_since_seconds:%lld\r\n",
			     link_.down_since ? (long long)(loop_now() - link_.down_since) : -1);
	buffer_print(to, "slave_priority:100\r\nslave_read_only:1\r\nreplica_announced:1\r\n");
}
