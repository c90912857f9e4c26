/* SPDX-License-Identifier: BSD-2-Clause */
/* link-follow.c - the client that runs our master's stream (link.h). */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "commands/command.h"
#include "data/stream.h"
#include "replication/link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Our master has sent what cannot be run here. Hang up, and ask for all data again later. */
static void refuse(const char *why)
{
	link_fail_late();
	log_line(LOG_WARNING, "Our master is not followed any more: %s. Next try in %lld s", why,
		 (long long)link_.pause);
	client_close(link_.master);
}

/* A command that works at the master but not here makes the data differ. If that can be foreseen,
   stop following the stream. If the command fails here, ran() logs it. */
static bool may_say(struct client *c, const struct command *command)
{
	if (!command)
		return true;
	if (command->flags & COMMAND_ADMIN && strcmp(command->name, "replconf") != 0) {
		log_line(LOG_WARNING, "Our master sends %s, which is not for it to say",
			 command->name);
		return false;
	}
	if (slice_is(SLICE("select"), command->name) && c->argc == 2 &&
	    !slice_equal(c->argv[1], SLICE("0")))
		refuse("it has several databases");
	else if (!(command->flags & COMMAND_READONLY) &&
		 !heap_room_to_load(command_memory(c, command)))
		refuse("its data does not fit into our --capacity");
	else
		return true;
	return false;
}

static void run(struct client *c)
{
	static const struct command_source master = {.may_run = may_say, .is_master = true};

	command_run_from(c, &master);
}

/* Count bytes of the stream that were run or queued. */
static void count(struct client *c, const char *data, size_t n)
{
	/* A queued transaction has not run yet. If it were counted now and the link broke, we would
	   continue after it, and lose it. */
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

static void ran(struct client *c, size_t n)
{
	static time_t told;

	if (c->dead)
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
	count(c, c->in.data + c->in.at, n);
}

static void gone(struct client *c)
{
	if (c != link_.master)
		return;
	log_line(LOG_WARNING, "Connection with master lost.");
	link_.master = NULL;
	link_.step = STEP_NONE;
	/* An unfinished transaction has not run: ask for all of it again. */
	buffer_free(&link_.held);
	link_.down_since = loop_now();
}

static const struct client_kind master_client = {
    .name = "master", .flag = 'M', .run = run, .garbled = reply_garbled, .ran = ran, .gone = gone};

void link_begin_stream(void)
{
	ev_io_stop(main_loop, &link_.io);
	link_.master = client_new(link_.fd, &master_client);
	if (!link_.master)
		abort();
	link_.fd = -1;
	snprintf(link_.master->peer, sizeof link_.master->peer, "master");
	link_.step = STEP_STREAM;
	stream_know();
	/* These bytes of the stream came together with the last line. */
	buffer_add(&link_.master->in, link_.in.data + link_.in.at, buffer_size(&link_.in));
	buffer_free(&link_.in);
	if (buffer_size(&link_.master->in))
		client_process(link_.master);
}

void link_acknowledge(void)
{
	char offset[24];

	if (link_.step != STEP_STREAM)
		return;
	/* reply.h does not answer masters, so this goes past it. */
	int n = snprintf(offset, sizeof offset, "%" PRId64, stream.offset);
	buffer_print(&link_.master->out, "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$%d\r\n%s\r\n", n,
		     offset);
	client_wants_to_send(link_.master);
}
