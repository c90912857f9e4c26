/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c - see command.h. */
#include "config.h"

#include "base/counters.h"
#include "base/log.h"
#include "base/settings.h"
#include "commands/command.h"
#include "data/stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 512
#define NAME_MAX_LENGTH 32
#define ARGUMENT 64 /* memory for an argument besides its bytes */

static const struct command *all[BUCKETS / 2], *buckets[BUCKETS];
static size_t count;

/* What the running command has done so far. */
static struct {
	uint64_t changes;
	bool instead;
} effect;

static unsigned hash(struct slice name)
{
	unsigned h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < name.len; i++)
		h = (h ^ ((unsigned char)name.data[i] | 0x20)) * 16777619u;
	return h;
}

void command_add(const struct command *table)
{
	for (const struct command *c = table; c->name; c++) {
		unsigned at = hash((struct slice){c->name, strlen(c->name)}) % BUCKETS;
		if (count == sizeof all / sizeof *all)
			abort(); /* make BUCKETS larger */
		while (buckets[at])
			at = (at + 1) % BUCKETS;
		buckets[at] = c;
		all[count++] = c;
	}
}

const struct command *command_find(struct slice name)
{
	if (name.len > NAME_MAX_LENGTH)
		return NULL;
	for (unsigned at = hash(name) % BUCKETS; buckets[at]; at = (at + 1) % BUCKETS)
		if (slice_is(name, buckets[at]->name))
			return buckets[at];
	return NULL;
}

size_t command_count(void)
{
	return count;
}

const struct command *command_at(size_t i)
{
	return all[i];
}

/* ---- what a command has changed ---- */

void command_changed(uint64_t n)
{
	effect.changes += n;
}

void command_send_instead(const struct slice *argv, size_t argc)
{
	effect.instead = true;
	if (argc)
		stream_command(argv, argc);
}

void command_call(struct client *c, const struct command *command)
{
	effect.changes = 0;
	effect.instead = false;
	c->command = command;
	command->fn(c);
	counters.commands++;
	/* A command that sends something instead has sent it by now. */
	if (effect.changes && !effect.instead)
		stream_command(c->argv, c->argc);
	db_changes += effect.changes;
	effect.changes = 0;
}

/* ---- checks ---- */

/* Refuse a request. If it is EXEC, its transaction ends. */
__attribute__((format(printf, 3, 4))) static void
refuse(struct client *c, const struct command *command, const char *format, ...)
{
	char text[512], *said = text;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	c->queue.spoiled = c->queue.open;
	if (!command || !(command->flags & COMMAND_RUNS_QUEUE)) {
		reply_error(c, "%s", text);
		return;
	}
	queue_clear(&c->queue);
	if (strncmp(text, "ERR ", 4) == 0)
		said += 4;
	reply_error(c, "EXECABORT Transaction discarded because of: %s", said);
}

static void unknown(struct client *c)
{
	char args[160] = ""; /* the last one is cut, so that all take about 128 bytes */
	size_t at = 0;

	for (size_t i = 1; i < c->argc && at < 128; i++) {
		size_t len = c->argv[i].len < 128 - at ? c->argv[i].len : 128 - at;
		int n = snprintf(args + at, sizeof args - at, "'%.*s' ", (int)len, c->argv[i].data);
		at += n > 0 ? (size_t)n : 0;
	}
	refuse(c, NULL, "ERR unknown command '%.*s', with args beginning with: %s",
	       c->argv[0].len < 128 ? (int)c->argv[0].len : 128, c->argv[0].data, args);
}

static bool right_count(const struct client *c, int arity)
{
	return arity > 0 ? c->argc == (size_t)arity : c->argc >= (size_t)-arity;
}

/* Whether there is such a command, taking this many arguments. */
static bool exists(struct client *c, const struct command *command)
{
	char name[NAME_MAX_LENGTH + 1];

	if (!command) {
		unknown(c);
		return false;
	}
	if (!right_count(c, command->arity)) {
		refuse(c, command, "ERR wrong number of arguments for '%s' command", command->name);
		return false;
	}
	const struct subcommand *subs = c->argc > 1 ? command->subs : NULL;
	if (!subs || (c->argc == 2 && slice_is(c->argv[1], "help")))
		return true;
	const struct subcommand *sub = subcommand_find(subs, c->argv[1]);
	subcommand_upper(name, sizeof name, command->name);
	if (!sub)
		refuse(c, command, "ERR unknown subcommand '%.*s'. Try %s HELP.",
		       c->argv[1].len < 128 ? (int)c->argv[1].len : 128, c->argv[1].data, name);
	else if (!right_count(c, sub->arity))
		refuse(c, command, "ERR wrong number of arguments for '%s|%s' command",
		       command->name, sub->name);
	else
		return true;
	return false;
}

static size_t bytes(const struct slice *argv, size_t argc)
{
	size_t n = 0;

	for (size_t i = 1; i < argc; i++)
		n += argv[i].len + ARGUMENT;
	return n;
}

size_t command_memory(const struct client *c, const struct command *command)
{
	size_t n = bytes(c->argv, c->argc);

	for (size_t i = 0; i < c->queue.n && command->flags & COMMAND_RUNS_QUEUE; i++)
		n += bytes(c->queue.at[i].argv, c->queue.at[i].argc);
	return 2 * n;
}

/* EXEC has the flags of all that it runs. Queueing a command takes memory, whatever the command. */
static unsigned flags_of(const struct client *c, const struct command *command)
{
	unsigned flags = command->flags;

	if (c->queue.open && !(flags & COMMAND_NOW))
		flags |= COMMAND_DENYOOM;
	for (size_t i = 0; i < c->queue.n && command->flags & COMMAND_RUNS_QUEUE; i++)
		flags |= c->queue.at[i].command->flags & (COMMAND_WRITE | COMMAND_DENYOOM);
	return flags;
}

/* Before a command is refused, look at the arena again: much may have been deleted. */
static bool full(const struct client *c, const struct command *command)
{
	size_t n = command_memory(c, command);

	if (heap_room(n) && !(config.maxmemory && heap_used() > config.maxmemory))
		return false;
	heap_stale();
	return !heap_room(n) || (config.maxmemory && heap_used() > config.maxmemory);
}

/* Whether a command may run now. If not, an error reply has been sent. */
static bool allowed(struct client *c, const struct command *command, bool is_master)
{
	if (!exists(c, command))
		return false;
	unsigned flags = flags_of(c, command);
	if (!c->authenticated && !(command->flags & COMMAND_NO_AUTH)) {
		refuse(c, command, "NOAUTH Authentication required.");
		return false;
	}
	if (flags & COMMAND_WRITE && config_is_replica() && !is_master) {
		refuse(c, command, "READONLY You can't write against a read only replica.");
		return false;
	}
	if (c->queue.open && command->flags & COMMAND_NO_MULTI) {
		refuse(c, command, "ERR Command not allowed inside a transaction");
		return false;
	}
	if (flags & COMMAND_DENYOOM && !is_master && full(c, command)) {
		refuse(c, command, "OOM command not allowed when used memory > 'maxmemory'.");
		return false;
	}
	return true;
}

void command_run_from(struct client *c, const struct command_source *source)
{
	/* Close a connection that looks like HTTP at once: a browser may have been lured to this
	   port. */
	if (slice_is(c->argv[0], "post") || slice_is(c->argv[0], "host:")) {
		log_line(LOG_WARNING,
			 "Client %s speaks HTTP, perhaps sent by somebody else: closed", c->peer);
		buffer_free(&c->out);
		c->dead = true;
		return;
	}
	const struct command *command = command_find(c->argv[0]);

	db_tick();
	if (source->may_run && !source->may_run(c, command))
		return;
	db_expiring = source->is_master ? DB_KEEPS : config_is_replica() ? DB_HIDES : DB_DELETES;
	if (!allowed(c, command, source->is_master))
		return;
	if (c->queue.open && !(command->flags & COMMAND_NOW)) {
		if (queue_add(&c->queue, command, c->argv, c->argc))
			reply_status(c, "QUEUED");
		else
			refuse(c, command, "OOM the transaction is too large");
		return;
	}
	command_call(c, command);
}

void command_run(struct client *c)
{
	static const struct command_source normal = {0};

	command_run_from(c, &normal);
}
