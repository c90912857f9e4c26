/* SPDX-License-Identifier: BSD-2-Clause */
/* command.h - commands: what a table of them says, and how one is found and run. commands.c knows
   all tables. */
#ifndef COWKV_COMMAND_H
#define COWKV_COMMAND_H

#include "data/db.h"
#include "net/reply.h"

enum command_flags {
	COMMAND_WRITE = 1,
	COMMAND_READONLY = 2,
	COMMAND_DENYOOM = 4, /* refused when memory is short */
	COMMAND_ADMIN = 8,
	COMMAND_NO_AUTH = 16,  /* before the password was said */
	COMMAND_NO_MULTI = 32, /* not in a transaction */
	COMMAND_NOW = 64,      /* runs though a transaction is being queued (EXEC, DISCARD, ...) */
	COMMAND_FAST = 128,
	COMMAND_LOADING = 256,   /* while data is being loaded from a master */
	COMMAND_RUNS_QUEUE = 512 /* runs what the transaction has queued: EXEC */
};

struct command {
	const char *name; /* lower case */
	void (*fn)(struct client *c);
	int arity; /* arguments with the name; -n: n or more */
	unsigned flags;
	int first, last, step; /* which arguments are keys; 0 for none; last -1: up to the end */
	const struct subcommand *subs; /* NULL if the name is one command */
};

/*
 * A name can stand for several commands, which the second argument tells apart. `subs` is a table
 * of these commands, up to an entry without a name; fn is command_sub(). The arity counts both
 * names. HELP is a subcommand of each.
 */
struct subcommand {
	const char *name;
	int arity;
	void (*fn)(struct client *c);
};
void command_sub(struct client *c);

/* The subcommand of this name; NULL if there is none. */
const struct subcommand *subcommand_find(const struct subcommand *subs, struct slice name);
/* A name in capitals, as much of it as there is room for. */
void subcommand_upper(char *to, size_t size, const char *name);

/* Let clients use the commands of a table, up to an entry without a name. */
void command_add(const struct command *table);
const struct command *command_find(struct slice name);

/* How many commands there are, and each of them: COMMAND lists them. */
size_t command_count(void);
const struct command *command_at(size_t i);

/* Run the request in c->argv: check whether it may run, put it into the queue of a transaction if
   there is one, else run it, and add what it has changed to the stream of changes. */
void command_run(struct client *c);

/* Who sends a command, if not a normal client. */
struct command_source {
	/* Whether the client may say this command (NULL: there is no command of that name). If not,
	   nothing is run, and nothing is answered. */
	bool (*may_run)(struct client *c, const struct command *command);
	/* The client is our master. Its commands run though replicas take no writes and though
	   memory is short, and they see keys that have expired. */
	bool is_master;
};
void command_run_from(struct client *c, const struct command_source *source);

/* Run a command without checks: EXEC runs those that were checked when they were queued. */
void command_call(struct client *c, const struct command *command);

/* About how much memory a command can take for its arguments; EXEC, for those of all that it
   runs. */
size_t command_memory(const struct client *c, const struct command *command);

/*
 * For commands that change data. A command counts what it has changed. The request goes into the
 * stream as the client said it. If that would do something else at a replica (random members, times
 * from now on), the command says what goes into the stream instead: nothing if argc is 0.
 */
void command_changed(uint64_t n);
void command_send_instead(const struct slice *argv, size_t argc);

/* ---- what many commands begin with ---- */

/* The value of a key, to read or to write. NULL if there is no such key, or if the value is of
   another type: then *wrong is set, and the client is told. */
void *command_read(struct client *c, struct slice key, enum value_type type, bool *wrong);
void *command_write(struct client *c, struct slice key, enum value_type type, bool *wrong);

/* The value of a key, which is made if there is none (not strings). NULL only after an error
   reply. */
void *command_make(struct client *c, struct slice key, enum value_type type);

/* Delete the key if the value has no elements any more. */
void command_drop_empty(struct slice key, const void *value);

/* Run a command KEY ELEMENT... that removes elements from a value, and answers how many there were.
   remove: takes one out of the value; returns whether it was there. */
void command_remove(struct client *c, enum value_type type,
		    bool (*remove)(void *value, struct slice element));

/* The number that an argument is. Returns false after an error reply: `error`, or the usual one if
   that is NULL. */
bool command_integer(struct client *c, struct slice arg, int64_t *n, const char *error);
bool command_double(struct client *c, struct slice arg, double *d, const char *error);

/* An integer from min to max. Returns false after an error reply. */
bool command_integer_within(struct client *c, struct slice arg, int64_t min, int64_t max,
			    int64_t *n);

/* How many elements LPOP and its like shall take: argv[2], or 1 if that is not there. */
bool command_pop_count(struct client *c, int64_t *n);

#endif
