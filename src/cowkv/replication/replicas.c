/* SPDX-License-Identifier: BSD-2-Clause */
/* replicas.c - the list of replicas (replicas.h): sends them what they need, and gives up those
   that are too slow. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "commands/command.h"
#include "data/stream.h"
#include "replication/replicas.h"
#include "replication/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The defaults of Redis' repl-timeout, repl-ping-replica-period and client-output-buffer-limit. */
#define TIMEOUT 60
#define PING_PERIOD 10
/* A replica is disconnected when its unread bytes exceed OUT_HARD, or exceed OUT_SOFT for some
   time. */
#define OUT_HARD ((size_t)256 << 20)
#define OUT_SOFT ((size_t)64 << 20)
#define SOFT_SECONDS 60

struct replica *replicas;
static struct replica *last;
static struct transfer transfer;

size_t replicas_count(void)
{
	size_t n = 0;

	for (const struct replica *r = replicas; r; r = r->after)
		n++;
	return n;
}

const char *replicas_error(void)
{
	return transfer.error;
}

struct replica *replica_of(struct client *c)
{
	struct replica *r = c->kind_data;

	if (!r) {
		r = c->kind_data = calloc(1, sizeof *r);
		if (!r)
			abort();
		r->client = c;
	}
	r->heard = loop_now();
	return r;
}

bool replica_is(const struct client *c)
{
	const struct replica *r = c->kind_data;

	return r && r->state != REPLICA_SHAKES_HANDS;
}

struct slice replica_address(const struct replica *r)
{
	const char *peer = r->client->peer, *colon = strrchr(peer, ':');

	if (*r->address)
		return (struct slice){r->address, strlen(r->address)};
	return (struct slice){peer, colon ? (size_t)(colon - peer) : strlen(peer)};
}

/* ---- their clients ---- */

/* A replica may only acknowledge: a reply to anything else would get into the stream. */
static bool may_say(struct client *c, const struct command *command)
{
	if (command && strcmp(command->name, "replconf") == 0)
		return true;
	if (command && (strcmp(command->name, "psync") == 0 || strcmp(command->name, "sync") == 0))
		return false; /* it has asked already */
	log_line(LOG_WARNING, "Disconnecting replica %s: it sends commands", c->peer);
	client_close(c);
	return false;
}

static void run(struct client *c)
{
	static const struct command_source replica = {.may_run = may_say};

	command_run_from(c, &replica);
}

/* Not while a transfer's thread writes to the socket, nor before the replica has found the end of
   its snapshot. */
static bool may_send(const struct client *c)
{
	const struct replica *r = c->kind_data;

	return r->state < REPLICA_RECEIVES || r->state == REPLICA_ONLINE;
}

static void strike_off(struct replica *r)
{
	*(r->before ? &r->before->after : &replicas) = r->after;
	*(r->after ? &r->after->before : &last) = r->before;
}

static void gone(struct client *c)
{
	struct replica *r = c->kind_data;

	log_line(LOG_NOTICE, "Connection with replica %s lost.", c->peer);
	strike_off(r);
	if (r->target) {
		r->target->replica = NULL;
		atomic_store(&r->target->gone, true);
	}
}

static const struct client_kind replica_client = {.name = "replica",
						  .flag = 'S',
						  .answered = true,
						  .run = run,
						  .garbled = reply_garbled,
						  .may_send = may_send,
						  .gone = gone};

struct replica *replicas_add(struct client *c, enum replica_state state, bool psync)
{
	struct replica *r = replica_of(c);

	client_become(c, &replica_client);
	r->state = state;
	r->psync = psync;
	r->before = last;
	*(last ? &last->after : &replicas) = r;
	last = r;
	return r;
}

void replicas_close(void)
{
	for (struct replica *r = replicas, *after; r; r = after) {
		after = r->after;
		client_close(r->client);
	}
}

/* ---- the stream ---- */

/* Called with what is added to the stream: for all replicas that have their snapshot, or receive
   it. */
static void send_stream(const char *data, size_t n)
{
	for (struct replica *r = replicas, *after; r; r = after) {
		struct client *c = r->client;
		after = r->after;
		if (r->state < REPLICA_RECEIVES)
			continue;
		if (buffer_size(&c->out) + n > OUT_HARD) {
			log_line(LOG_WARNING, "Disconnecting replica %s: it is too far behind",
				 c->peer);
			client_close(c);
			continue;
		}
		buffer_add(&c->out, data, n);
		client_wants_to_send(c);
	}
}

void replica_has_loaded(struct replica *r)
{
	if (r->state == REPLICA_RECEIVES)
		r->acked = true;
	if (r->state != REPLICA_LOADS)
		return;
	r->state = REPLICA_ONLINE;
	log_line(LOG_NOTICE, "Synchronization with replica %s succeeded", r->client->peer);
	client_wants_to_send(r->client);
}

/* ---- their snapshots ---- */

static void has_received(struct replica *r, bool eof)
{
	/* If a mark ends the snapshot, hold the stream back until the replica has found the
	   mark. */
	r->state = eof ? REPLICA_LOADS : REPLICA_ONLINE;
	r->heard = loop_now();
	if (r->acked)
		replica_has_loaded(r);
	client_wants_to_send(r->client);
}

static void on_end(struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct target *target = &t->targets[i];
		struct replica *r = target->replica;
		if (!r)
			continue;
		r->target = NULL;
		if (target->failed || t->result != RDB_WRITTEN)
			client_close(r->client);
		else
			has_received(r, target->eof);
	}
}

static void drop_waiting(void)
{
	for (struct replica *r = replicas, *after; r; r = after) {
		after = r->after;
		if (r->state == REPLICA_WAITS)
			client_close(r->client);
	}
}

/* All replicas that wait receive the same snapshot. */
static void collect(void)
{
	size_t n = 0;

	for (const struct replica *r = replicas; r; r = r->after)
		n += r->state == REPLICA_WAITS;
	transfer.targets = calloc(n ? n : 1, sizeof *transfer.targets);
	transfer.n = 0;
	for (struct replica *r = replicas; r && transfer.targets; r = r->after) {
		int fd = r->state == REPLICA_WAITS ? dup(r->client->fd) : -1;
		if (fd < 0)
			continue;
		struct target *t = &transfer.targets[transfer.n++];
		*t = (struct target){.replica = r, .fd = fd, .eof = r->eof, .psync = r->psync};
		r->acked = false;
		r->target = t;
		r->state = REPLICA_RECEIVES;
		/* At most signs of life. */
		buffer_take(&r->client->out, buffer_size(&r->client->out));
	}
}

static void begin_transfer(void)
{
	client_send_all();
	if (!transfer_take(&transfer)) {
		drop_waiting();
		return;
	}
	collect();
	transfer_start(&transfer);
}

/* ---- each second ---- */

/* Why a replica must go: it does not answer, or does not read. NULL if it may stay. */
static const char *is_lost(struct client *c)
{
	struct replica *r = c->kind_data;
	size_t held = buffer_size(&c->out);

	if (held > OUT_HARD)
		return "it is too far behind";
	if (held <= OUT_SOFT)
		r->over_soft = 0;
	else if (!r->over_soft)
		r->over_soft = loop_now();
	else if (loop_now() - r->over_soft > SOFT_SECONDS)
		return "it has been far behind for too long";
	/* A replica that is loading sends empty lines, which are no commands. */
	time_t heard = c->last > r->heard ? c->last : r->heard;
	if ((r->state == REPLICA_LOADS || (r->state == REPLICA_ONLINE && r->psync)) &&
	    loop_now() - heard > TIMEOUT)
		return "it has not acknowledged anything for too long";
	return NULL;
}

void replicas_cron(void)
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
		/* It waits for another transfer to end: send a sign of life. */
		buffer_add(&c->out, "\n", 1);
		client_wants_to_send(c);
	}
	if (waits && !transfer.running)
		begin_transfer();
	/* Only if there is a replica. A former replica that has our whole stream may be our master
	   next, and continue it for us. */
	if (any && ++seconds % PING_PERIOD == 0)
		stream_command(ping, 1);
}

void replicas_init(void)
{
	stream_sink = send_stream;
	transfer_init(&transfer, on_end);
}

void replicas_stop(void)
{
	transfer_stop(&transfer);
}
