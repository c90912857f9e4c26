/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.c - the stream of changes (replication-parts.h), and what of clients' commands belongs to it. */
#include "config.h"

#include "command.h"
#include "log.h"
#include "loop.h"
#include "random-id.h"
#include "replication-parts.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#define KEEP ((size_t)64 << 10) /* of a buffer that is empty */

struct stream stream;

void stream_rename(const char *id)
{
	memcpy(stream.former_id, stream.id, sizeof stream.id);
	stream.former_end = stream.offset;
	memcpy(stream.id, id, sizeof stream.id);
}

void stream_new_id(void)
{
	char id[RANDOM_ID + 1];

	random_id(id);
	stream_rename(id);
	stream.select = true;
	stream.differs = false;
}

void stream_follow(const char *id, int64_t offset)
{
	memcpy(stream.id, id, sizeof stream.id);
	strcpy(stream.former_id, NO_ID);
	stream.former_end = -1;
	stream.offset = stream.backlog_first = offset;
	stream.differs = false;
}

void stream_reset(void)
{
	char id[RANDOM_ID + 1];

	random_id(id);
	stream_follow(id, stream.offset);
}

void stream_open_backlog(void)
{
	if (stream.backlog)
		return;
	stream.backlog = malloc((size_t)BACKLOG_SIZE);
	if (!stream.backlog)
		abort();
	stream.backlog_first = stream.offset;
}

void stream_add(const char *data, size_t n)
{
	for (size_t at = 0, part; stream.backlog && at < n; at += part) {
		size_t place = (size_t)((stream.offset + (int64_t)at) % BACKLOG_SIZE);
		part =
		    n - at < (size_t)BACKLOG_SIZE - place ? n - at : (size_t)BACKLOG_SIZE - place;
		memcpy(stream.backlog + place, data + at, part);
	}
	stream.offset += (int64_t)n;
	if (stream.offset - stream.backlog_first > BACKLOG_SIZE)
		stream.backlog_first = stream.offset - BACKLOG_SIZE;
	replicas_send(data, n);
}

static bool same_id(struct slice a, const char *b)
{
	return a.len == RANDOM_ID && memcmp(a.data, b, RANDOM_ID) == 0;
}

bool stream_has(struct slice id, int64_t offset)
{
	if (!stream.backlog || offset < stream.backlog_first || offset > stream.offset)
		return false;
	return same_id(id, stream.id) ||
	       (same_id(id, stream.former_id) && offset <= stream.former_end);
}

void stream_copy(struct client *c, int64_t offset)
{
	while (offset < stream.offset) {
		int64_t place = offset % BACKLOG_SIZE, n = BACKLOG_SIZE - place;
		n = n < stream.offset - offset ? n : stream.offset - offset;
		buffer_add(&c->out, stream.backlog + place, (size_t)n);
		offset += n;
	}
	client_wants_to_send(c);
}

/* ---- commands into the stream ---- */

static void add_head(struct buffer *to, char prefix, size_t n)
{
	to->len += reply_head(buffer_reserve(to, REPLY_HEAD), prefix, (int64_t)n);
}

static void add_command(struct buffer *to, const struct slice *argv, size_t argc)
{
	add_head(to, '*', argc);
	for (size_t i = 0; i < argc; i++) {
		add_head(to, '$', argv[i].len);
		buffer_add(to, argv[i].data, argv[i].len);
		buffer_add(to, "\r\n", 2);
	}
}

void replication_send(const struct slice *argv, size_t argc)
{
	static const struct slice select_0[] = {{"SELECT", 6}, {"0", 1}};
	static struct buffer text; /* kept: there is one for each command that changes data */

	/* A replica passes its master's bytes on as they are: replication_applied(). */
	if (!stream.backlog || config_is_replica())
		return;
	if (stream.select)
		add_command(&text, select_0, 2);
	stream.select = false;
	add_command(&text, argv, argc);
	stream_add(text.data, text.len);
	buffer_take(&text, text.len);
	buffer_trim(&text, KEEP);
}

/* ---- commands of replicas, and of our master ---- */

/* Its replies would get between the bytes of the stream. */
static bool replica_may_run(struct client *c, const struct command *command)
{
	if (command && command->fn == replica_replconf)
		return true;
	if (command && (command->fn == replica_psync || command->fn == replica_sync))
		return false; /* it has asked already */
	log_line(LOG_WARNING, "Disconnecting replica %s: it sends commands", c->peer);
	client_close(c);
	return false;
}

/* What does not work here, though it did there, would make the data differ from the master's. Such a stream is not
   followed, or if it is no more than a command that we do not know, the log tells (replication_applied()). */
static bool master_may_run(struct client *c, const struct command *command)
{
	if (!command)
		return true;
	if (command->flags & COMMAND_ADMIN && command->fn != replica_replconf) {
		log_line(LOG_WARNING, "Our master sends %s, which is not for it to say",
			 command->name);
		return false;
	}
	if (slice_is(SLICE("select"), command->name) && c->argc == 2 &&
	    !slice_equal(c->argv[1], SLICE("0")))
		link_refuse("it has several databases");
	else if (!(command->flags & COMMAND_READONLY) &&
		 !heap_room_to_load(command_memory(c, command)))
		link_refuse("its data does not fit into our --capacity");
	else
		return true;
	return false;
}

bool replication_may_run(struct client *c, const struct command *command)
{
	if (c->kind == CLIENT_REPLICA)
		return replica_may_run(c, command);
	return c->kind != CLIENT_MASTER || master_may_run(c, command);
}

void replication_applied(struct client *c, size_t n)
{
	static time_t told;

	if (c->kind != CLIENT_MASTER || c->dead)
		return;
	bool failed = reply_failed(c);
	stream.differs |= failed;
	if (failed && told != loop_now()) {
		told = loop_now();
		log_line(LOG_WARNING,
			 "A command of our master cannot be run here (%.*s): the data are not the "
			 "same any more",
			 (int)(c->argc && c->argv[0].len < 64 ? c->argv[0].len : 0),
			 c->argc ? c->argv[0].data : "");
	}
	link_applied(c, c->in.data + c->in.at, n);
}

void replication_init(void)
{
	if (!*stream.id)
		random_id(stream.id);
	strcpy(stream.former_id, NO_ID);
	stream.former_end = -1;
	transfer_init();
}

void replication_close(void)
{
	link_close();
	transfer_wait();
}
