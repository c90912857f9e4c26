/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-sync.c - the commands of replicas: REPLCONF, PSYNC, SYNC. Our master also sends
   REPLCONF. */
#include "config.h"

#include "base/counters.h"
#include "base/log.h"
#include "base/settings.h"
#include "commands/command.h"
#include "data/stream.h"
#include "replication/link.h"
#include "replication/replicas.h"

#include <inttypes.h>
#include <string.h>

/* Returns false after an error reply. An address that INFO could not print in a line is ignored. */
static bool take_address(struct client *c, struct replica *r, struct slice s)
{
	if (s.len >= sizeof r->address) {
		reply_error(c,
			    "ERR REPLCONF ip-address provided by replica instance is too long: "
			    "%zu bytes",
			    s.len);
		return false;
	}
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~' || s.data[i] == ',')
			return true;
	memcpy(r->address, s.data, s.len);
	r->address[s.len] = 0;
	return true;
}

static void replconf(struct client *c)
{
	if (c->argc % 2 == 0) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	/* Our master asks for our offset, or sends something that needs no answer. */
	if (c == link_.master) {
		if (slice_is(c->argv[1], "getack"))
			link_acknowledge();
		return;
	}
	if (replica_is(c) && !slice_is(c->argv[1], "ack")) {
		client_close(c); /* an answer must not get into the stream */
		return;
	}
	struct replica *r = replica_of(c);
	for (size_t i = 1; i < c->argc; i += 2) {
		struct slice name = c->argv[i], value = c->argv[i + 1];
		int64_t n;
		if (slice_is(name, "ack")) {
			if (slice_integer(value, &n) && n > r->offset)
				r->offset = n;
			if (replica_is(c))
				replica_has_loaded(r);
			return; /* gets no answer */
		}
		if (slice_is(name, "getack")) /* only our master may ask */
			return;
		if (slice_is(name, "listening-port")) {
			if (!command_integer(c, value, &n, NULL))
				return;
			r->port = n < 0 || n > 65535 ? 0 : (uint64_t)n;
		} else if (slice_is(name, "capa")) {
			r->eof |= slice_is(value, "eof");
		} else if (slice_is(name, "ip-address")) {
			if (!take_address(c, r, value))
				return;
		} else if (!slice_is(name, "rdb-only") && !slice_is(name, "rdb-filter-only")) {
			reply_error(c, "ERR Unrecognized REPLCONF option: %.*s",
				    (int)(name.len < 128 ? name.len : 128), name.data);
			return;
		}
	}
	reply_status(c, "OK");
}

static void wait_for_transfer(struct client *c, bool psync)
{
	log_line(LOG_NOTICE, "Full resync requested by replica %s", c->peer);
	counters.sync_full++;
	stream_open_backlog();
	replicas_add(c, REPLICA_WAITS, psync);
	/* The cron begins the transfer, so that replicas that come at about the same time share a
	   snapshot. */
}

/* Whether a replica may synchronise now. If not, an error reply has been sent. */
static bool may_sync(struct client *c)
{
	if (config_is_replica() && !link_up()) {
		reply_error(c, "NOMASTERLINK Can't SYNC while not connected with my master");
		return false;
	}
	if (buffer_size(&c->out)) {
		reply_error(c, "ERR SYNC and PSYNC are invalid with pending output");
		return false;
	}
	return true;
}

static void psync(struct client *c)
{
	int64_t offset;

	if (!may_sync(c) || !command_integer(c, c->argv[2], &offset, NULL))
		return;
	/* A replica names the first byte that it wants; a stream begins with byte 1. */
	if (offset > 0 && stream_has(c->argv[1], offset - 1)) {
		counters.sync_partial_ok++;
		log_line(LOG_NOTICE,
			 "Partial resynchronization request from %s accepted. Sending %" PRId64
			 " bytes of backlog starting from offset %" PRId64 ".",
			 c->peer, stream.offset - offset + 1, offset);
		buffer_print(&c->out, "+CONTINUE %s\r\n", stream.id);
		replicas_add(c, REPLICA_ONLINE, true)->offset = offset - 1;
		stream_copy(&c->out, offset - 1);
		client_wants_to_send(c);
		return;
	}
	/* '?' is not a request for part of the stream. */
	counters.sync_partial_err += !c->argv[1].len || *c->argv[1].data != '?';
	wait_for_transfer(c, true);
}

static void sync_(struct client *c)
{
	if (may_sync(c))
		wait_for_transfer(c, false);
}

const struct command sync_commands[] = {
    {"replconf", replconf, -1, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {"psync", psync, -3, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {"sync", sync_, 1, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {0},
};
