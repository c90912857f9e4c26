/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-transaction.c - MULTI, EXEC, DISCARD. (There is no WATCH.) */
#include "config.h"

#include "command.h"
#include "replication.h"
#include "transaction.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_MAX ((size_t)1 << 30) /* of a transaction that waits for its EXEC */

void transaction_discard(struct client *c)
{
	for (size_t i = 0; i < c->queued; i++)
		free(c->queue[i].argv);
	free(c->queue);
	c->queue = NULL;
	c->queued = c->queue_room = c->queue_bytes = 0;
	c->in_multi = c->multi_spoiled = false;
}

bool transaction_queue(struct client *c, const struct command *command)
{
	size_t size = c->argc * sizeof(struct slice);

	for (size_t i = 0; i < c->argc; i++)
		size += c->argv[i].len;
	if (size + sizeof *c->queue > BYTES_MAX - c->queue_bytes)
		return false;
	c->queue_bytes += size + sizeof *c->queue;
	if (c->queued == c->queue_room) {
		size_t room = c->queue_room ? 2 * c->queue_room : 8;
		struct queued *queue = realloc(c->queue, room * sizeof *queue);
		if (!queue)
			abort();
		c->queue = queue;
		c->queue_room = room;
	}
	struct slice *argv = malloc(size);
	if (!argv)
		abort();
	char *text = (char *)(argv + c->argc);
	for (size_t i = 0; i < c->argc; i++) {
		memcpy(text, c->argv[i].data, c->argv[i].len);
		argv[i] = (struct slice){text, c->argv[i].len};
		text += c->argv[i].len;
	}
	c->queue[c->queued++] = (struct queued){command, argv, c->argc};
	return true;
}

static void multi(struct client *c)
{
	if (c->in_multi) {
		reply_error(c, "ERR MULTI calls can not be nested");
		return;
	}
	c->in_multi = true;
	reply_status(c, "OK");
}

static void discard(struct client *c)
{
	if (!c->in_multi) {
		reply_error(c, "ERR DISCARD without MULTI");
		return;
	}
	transaction_discard(c);
	reply_status(c, "OK");
}

static void exec(struct client *c)
{
	static const struct slice begin = {"MULTI", 5}, end = {"EXEC", 4};
	bool writes = false;

	if (!c->in_multi) {
		reply_error(c, "ERR EXEC without MULTI");
		return;
	}
	if (c->multi_spoiled) {
		transaction_discard(c);
		reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
		return;
	}
	struct slice *argv = c->argv;
	size_t argc = c->argc;
	for (size_t i = 0; i < c->queued; i++)
		writes |= (c->queue[i].command->flags & COMMAND_WRITE) != 0;
	if (writes)
		replication_send(&begin, 1);
	c->in_multi = false; /* what runs now is not queued */
	reply_array(c, c->queued);
	for (size_t i = 0; i < c->queued; i++) {
		c->argv = c->queue[i].argv;
		c->argc = c->queue[i].argc;
		command_call(c, c->queue[i].command);
	}
	c->argv = argv;
	c->argc = argc;
	if (writes)
		replication_send(&end, 1);
	transaction_discard(c);
}

const struct command transaction_commands[] = {
    {"multi", multi, 1, COMMAND_NOW | COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {"exec", exec, 1, COMMAND_NOW | COMMAND_LOADING | COMMAND_RUNS_QUEUE, 0, 0, 0, NULL},
    {"discard", discard, 1, COMMAND_NOW | COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {0},
};
