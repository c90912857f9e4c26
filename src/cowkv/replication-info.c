/* SPDX-License-Identifier: BSD-2-Clause */
/* replication-info.c - INFO, ROLE, REPLICAOF, and the table of the commands of replication. */
#include "config.h"

#include "command.h"
#include "log.h"
#include "loop.h"
#include "replication-parts.h"
#include "settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const states[] = {"wait_bgsave", "wait_bgsave", "send_bulk", "online", "online"};

size_t replication_replicas(void)
{
	size_t n = 0;

	for (const struct replica *r = replicas; r; r = r->after)
		n++;
	return n;
}

/* The one that it told, or the one in "host:port". */
static struct slice address(const struct replica *r)
{
	const char *peer = r->client->peer, *colon = strrchr(peer, ':');

	if (*r->address)
		return (struct slice){r->address, strlen(r->address)};
	return (struct slice){peer, colon ? (size_t)(colon - peer) : strlen(peer)};
}

static void print_replicas(struct buffer *to)
{
	size_t i = 0;

	for (const struct replica *r = replicas; r; r = r->after) {
		struct slice ip = address(r);
		time_t lag = r->state == REPLICA_ONLINE ? loop_now() - r->heard : 0;
		buffer_print(to,
			     "slave%zu:ip=%.*s,port=%" PRIu64 ",state=%s,offset=%" PRId64
			     ",lag=%lld\r\n",
			     i++, (int)ip.len, ip.data, r->port, states[r->state], r->offset,
			     (long long)lag);
	}
}

void replication_info(struct buffer *to)
{
	buffer_print(to, "role:%s\r\n", config_is_replica() ? "slave" : "master");
	if (config_is_replica())
		link_info(to);
	buffer_print(to, "connected_slaves:%zu\r\n", replication_replicas());
	print_replicas(to);
	buffer_print(
	    to,
	    "master_failover_state:no-failover\r\nmaster_replid:%s\r\nmaster_replid2:%s\r\n"
	    "master_repl_offset:%" PRId64 "\r\nsecond_repl_offset:%" PRId64
	    "\r\nrepl_backlog_active:%d\r\nrepl_backlog_size:%" PRId64
	    "\r\nrepl_backlog_first_byte_offset:%" PRId64 "\r\nrepl_backlog_histlen:%" PRId64
	    "\r\nrepl_last_error:%s\r\n",
	    stream.id, stream.former_id, stream.offset,
	    stream.former_end < 0 ? -1 : stream.former_end + 1, stream.backlog != NULL,
	    BACKLOG_SIZE, stream.backlog ? stream.backlog_first + 1 : 0,
	    stream.backlog ? stream.offset - stream.backlog_first : 0, transfer_error());
}

static void role(struct client *c)
{
	if (config_is_replica()) {
		reply_array(c, 5);
		reply_text(c, "slave");
		reply_text(c, config.master_host);
		reply_int(c, (int64_t)config.master_port);
		reply_text(c, link_state());
		reply_int(c, link_up() ? stream.offset : -1);
		return;
	}
	reply_array(c, 3);
	reply_text(c, "master");
	reply_int(c, stream.offset);
	reply_array(c, replication_replicas());
	for (const struct replica *r = replicas; r; r = r->after) {
		char text[24];
		reply_array(c, 3);
		reply_bulk(c, address(r));
		snprintf(text, sizeof text, "%" PRIu64, r->port);
		reply_text(c, text);
		snprintf(text, sizeof text, "%" PRId64, r->offset);
		reply_text(c, text);
	}
}

static void replicaof(struct client *c)
{
	char host[256];
	int64_t port;

	/* A transaction is in the stream as a whole, or not at all. */
	for (size_t i = 0; i < c->queue.n; i++) {
		if (c->queue.at[i].command->flags & COMMAND_WRITE) {
			reply_error(c, "ERR %s in a transaction that writes", c->command->name);
			return;
		}
	}
	if (slice_is(c->argv[1], "no") && slice_is(c->argv[2], "one")) {
		if (config_is_replica()) {
			link_to(NULL, 0);
			stream_new_id();
			stream_open_backlog();
			log_line(LOG_NOTICE, "MASTER MODE enabled (user request from '%s')",
				 c->peer);
		}
		reply_status(c, "OK");
		return;
	}
	if (!command_integer(c, c->argv[2], &port, "ERR Invalid master port"))
		return;
	if (port < 1 || port > 65535 || c->argv[1].len >= sizeof host || !c->argv[1].len) {
		reply_error(c, "ERR Invalid master port");
		return;
	}
	memcpy(host, c->argv[1].data, c->argv[1].len);
	host[c->argv[1].len] = 0;
	if (strcasecmp(host, config.master_host) == 0 && (uint64_t)port == config.master_port) {
		reply_status(c, "OK Already connected to specified master");
		return;
	}
	link_to(host, (uint64_t)port);
	link_cron(); /* at once */
	log_line(LOG_NOTICE, "REPLICAOF %s:%d enabled (user request from '%s')", host, (int)port,
		 c->peer);
	reply_status(c, "OK");
}

const struct command replication_commands[] = {
    {"replicaof", replicaof, 3, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {"slaveof", replicaof, 3, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {"role", role, 1, COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {"replconf", replica_replconf, -1, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {"psync", replica_psync, -3, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {"sync", replica_sync, 1, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {0},
};
