/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-role.c - REPLICAOF, which says whose replica this server is, and ROLE, which tells. */
#include "config.h"

#include "base/log.h"
#include "base/settings.h"
#include "commands/command.h"
#include "data/stream.h"
#include "replication/link.h"
#include "replication/replicas.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The state of the link, in a word. */
static const char *link_state(void)
{
	return link_.step == STEP_NONE         ? "connect"
	       : link_.step == STEP_CONNECTING ? "connecting"
	       : link_.step < STEP_SIZE        ? "handshake"
	       : link_up()                     ? "connected"
					       : "sync";
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
	reply_array(c, replicas_count());
	for (const struct replica *r = replicas; r; r = r->after) {
		char text[24];
		reply_array(c, 3);
		reply_bulk(c, replica_address(r));
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

	/* The stream has a transaction as a whole, or not at all. */
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
	link_cron(); /* connect at once */
	log_line(LOG_NOTICE, "REPLICAOF %s:%d enabled (user request from '%s')", host, (int)port,
		 c->peer);
	reply_status(c, "OK");
}

const struct command role_commands[] = {
    {"replicaof", replicaof, 3, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {"slaveof", replicaof, 3, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {"role", role, 1, COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {0},
};
