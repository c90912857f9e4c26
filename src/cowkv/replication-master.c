/* SPDX-License-Identifier: BSD-2-Clause */
/* replication-master.c - replicas: how they come, what they acknowledge, and when they are too slow. */
#include "config.h"

#include "command.h"
#include "counters.h"
#include "log.h"
#include "loop.h"
#include "replication-parts.h"
#include "settings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of Redis' defaults (repl-timeout, repl-ping-replica-period); so are the REPLICA_OUT (client-output-buffer-limit). */
#define TIMEOUT 60
#define PING_PERIOD 10
#define SOFT_SECONDS 60

struct replica *replicas;
static struct replica *last;

static struct replica *become(struct client *c)
{
	if (!c->replica) {
		c->replica = calloc(1, sizeof *c->replica);
		if (!c->replica)
			abort();
		c->replica->client = c;
	}
	c->replica->heard = loop_now();
	return c->replica;
}

/* From now on it is sent the stream, or will be. */
static struct replica *enlist(struct client *c, enum replica_state state, bool psync)
{
	struct replica *r = become(c);

	c->kind = CLIENT_REPLICA;
	r->state = state;
	r->psync = psync;
	r->before = last;
	*(last ? &last->after : &replicas) = r;
	last = r;
	return r;
}

static void strike_off(struct replica *r)
{
	*(r->before ? &r->before->after : &replicas) = r->after;
	*(r->after ? &r->after->before : &last) = r->before;
}

void replicas_send(const char *data, size_t n)
{
	for (struct replica *r = replicas, *after; r; r = after) {
		struct client *c = r->client;
		after = r->after;
		if (r->state < REPLICA_RECEIVES)
			continue;
		if (buffer_size(&c->out) + n > REPLICA_OUT_HARD) {
			log_line(LOG_WARNING, "Disconnecting replica %s: it is too far behind",
				 c->peer);
			client_close(c);
			continue;
		}
		buffer_add(&c->out, data, n);
		client_wants_to_send(c);
	}
}

void replicas_close(void)
{
	for (struct replica *r = replicas, *after; r; r = after) {
		after = r->after;
		client_close(r->client);
	}
}

void replica_has_loaded(struct client *c)
{
	struct replica *r = c->replica;

	if (r->state == REPLICA_RECEIVES)
		r->acked = true;
	if (r->state != REPLICA_LOADS)
		return;
	r->state = REPLICA_ONLINE;
	log_line(LOG_NOTICE, "Synchronization with replica %s succeeded", c->peer);
	client_wants_to_send(c);
}

/* False after an error reply. What could not be printed in a line is not taken. */
static bool take_address(struct client *c, struct slice s)
{
	struct replica *r = c->replica;

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

void replica_replconf(struct client *c)
{
	if (c->argc % 2 == 0) {
		reply_error(c, ERROR_SYNTAX);
		return;
	}
	/* Our master asks for our offset, or tells something that needs no answer. */
	if (c->kind == CLIENT_MASTER) {
		if (slice_is(c->argv[1], "getack"))
			link_acknowledge();
		return;
	}
	if (c->kind == CLIENT_REPLICA && !slice_is(c->argv[1], "ack")) {
		client_close(c); /* no answer may get into the stream */
		return;
	}
	struct replica *r = become(c);
	for (size_t i = 1; i < c->argc; i += 2) {
		struct slice name = c->argv[i], value = c->argv[i + 1];
		int64_t n;
		if (slice_is(name, "ack")) {
			if (slice_integer(value, &n) && n > r->offset)
				r->offset = n;
			if (c->kind == CLIENT_REPLICA)
				replica_has_loaded(c);
			return; /* is not answered */
		}
		if (slice_is(name, "getack")) /* of a master, and we are none of its */
			return;
		if (slice_is(name, "listening-port")) {
			if (!command_integer(c, value, &n, NULL))
				return;
			r->port = n < 0 || n > 65535 ? 0 : (uint64_t)n;
		} else if (slice_is(name, "capa")) {
			r->eof |= slice_is(value, "eof");
		} else if (slice_is(name, "ip-address")) {
			if (!take_address(c, value))
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
	enlist(c, REPLICA_WAITS, psync);
	/* Begun by the cron: those who come at the same time share one snapshot. */
}

/* Whether it may ask now; if not, it has been told why. */
static bool may_sync(struct client *c)
{
	if (c->kind != CLIENT_NORMAL)
		return false;
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

void replica_psync(struct client *c)
{
	int64_t offset;

	if (!may_sync(c) || !command_integer(c, c->argv[2], &offset, NULL))
		return;
	/* What it wants first is byte number `offset`, the first of all being 1. */
	if (offset > 0 && stream_has(c->argv[1], offset - 1)) {
		counters.sync_partial_ok++;
		log_line(LOG_NOTICE,
			 "Partial resynchronization request from %s accepted. Sending %" PRId64
			 " bytes of backlog starting from offset %" PRId64 ".",
			 c->peer, stream.offset - offset + 1, offset);
		buffer_print(&c->out, "+CONTINUE %s\r\n", stream.id);
		enlist(c, REPLICA_ONLINE, true)->offset = offset - 1;
		stream_copy(&c->out, offset - 1);
		client_wants_to_send(c);
		return;
	}
	/* With '?' it knows that it needs all. */
	counters.sync_partial_err += !c->argv[1].len || *c->argv[1].data != '?';
	wait_for_transfer(c, true);
}

void replica_sync(struct client *c)
{
	if (may_sync(c))
		wait_for_transfer(c, false);
}

void replication_forget(struct client *c)
{
	if (c->kind == CLIENT_MASTER)
		link_lost(c);
	if (!c->replica)
		return;
	if (c->kind == CLIENT_REPLICA) {
		log_line(LOG_NOTICE, "Connection with replica %s lost.", c->peer);
		strike_off(c->replica);
	}
	if (c->replica->target) {
		c->replica->target->client = NULL;
		atomic_store(&c->replica->target->gone, true);
	}
	free(c->replica);
	c->replica = NULL;
}

bool replication_may_send(const struct client *c)
{
	return c->kind != CLIENT_REPLICA || c->replica->state < REPLICA_RECEIVES ||
	       c->replica->state == REPLICA_ONLINE;
}

/* Whether a replica must go: it does not answer, or does not take what it is sent. */
static const char *is_lost(struct client *c)
{
	struct replica *r = c->replica;
	size_t held = buffer_size(&c->out);

	if (held > REPLICA_OUT_HARD)
		return "it is too far behind";
	if (held <= REPLICA_OUT_SOFT)
		r->over_soft = 0;
	else if (!r->over_soft)
		r->over_soft = loop_now();
	else if (loop_now() - r->over_soft > SOFT_SECONDS)
		return "it has been far behind for too long";
	/* While it loads it sends empty lines, which are no commands. */
	time_t heard = c->last > r->heard ? c->last : r->heard;
	if ((r->state == REPLICA_LOADS || (r->state == REPLICA_ONLINE && r->psync)) &&
	    loop_now() - heard > TIMEOUT)
		return "it has not acknowledged anything for too long";
	return NULL;
}

void replication_cron(void)
{
	static const struct slice ping[] = {{"PING", 4}};
	static unsigned seconds;
	bool waits = false, any = false;

	for (struct replica *r = replicas, *after; r; r = after) {
		struct client *c = r->client;
		after = r->after;
		const char *why = is_lost(c);
		if (why) {
			log_line(LOG_WARNING, "Disconnecting replica %s: %s", c->peer, why);
			client_close(c);
			continue;
		}
		any = true;
		if (r->state != REPLICA_WAITS)
			continue;
		waits = true;
		/* While another transfer runs: we are still there. */
		buffer_add(&c->out, "\n", 1);
		client_wants_to_send(c);
	}
	if (waits && !transfer_running())
		transfer_begin();
	/* Not to nobody: one who has followed us to the end may be our master next, and have us go on from there. */
	if (any && ++seconds % PING_PERIOD == 0)
		stream_command(ping, 1);
	if (config_is_replica())
		link_cron();
}
