/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.c - what replicas and our master may say; the start and the end of it all (replication-parts.h). */
#include "config.h"

#include "command.h"
#include "log.h"
#include "loop.h"
#include "random-id.h"
#include "replication-parts.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

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
	stream_init();
	stream_sink = replicas_send;
	transfer_init();
}

void replication_close(void)
{
	link_close();
	transfer_wait();
}
