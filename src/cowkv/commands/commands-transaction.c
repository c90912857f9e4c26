/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-transaction.c - MULTI, EXEC, DISCARD. (There is no WATCH.) */
#include "config.h"

#include "commands/command.h"
#include "data/stream.h"

static void multi(struct client *c)
{
	if (c->queue.open) {
		reply_error(c, "ERR MULTI calls can not be nested");
		return;
	}
	c->queue.open = true;
	reply_status(c, "OK");
}

static void discard(struct client *c)
{
	if (!c->queue.open) {
		reply_error(c, "ERR DISCARD without MULTI");
		return;
	}
	queue_clear(&c->queue);
	reply_status(c, "OK");
}

static void exec(struct client *c)
{
	static const struct slice begin = {"MULTI", 5}, end = {"EXEC", 4};
	bool writes = false;

	if (!c->queue.open) {
		reply_error(c, "ERR EXEC without MULTI");
		return;
	}
	if (c->queue.spoiled) {
		queue_clear(&c->queue);
		reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
		return;
	}
	struct slice *argv = c->argv;
	size_t argc = c->argc;
	for (size_t i = 0; i < c->queue.n; i++)
		writes |= (c->queue.at[i].command->flags & COMMAND_WRITE) != 0;
	if (writes)
		stream_command(&begin, 1);
	c->queue.open = false; /* commands run from here on, instead of being queued */
	reply_array(c, c->queue.n);
	for (size_t i = 0; i < c->queue.n; i++) {
		c->argv = c->queue.at[i].argv;
		c->argc = c->queue.at[i].argc;
		command_call(c, c->queue.at[i].command);
	}
	c->argv = argv;
	c->argc = argc;
	if (writes)
		stream_command(&end, 1);
	queue_clear(&c->queue);
}

const struct command transaction_commands[] = {
    {"multi", multi, 1, COMMAND_NOW | COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {"exec", exec, 1, COMMAND_NOW | COMMAND_LOADING | COMMAND_RUNS_QUEUE, 0, 0, 0, NULL},
    {"discard", discard, 1, COMMAND_NOW | COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {0},
};
