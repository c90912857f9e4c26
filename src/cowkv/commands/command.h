/* SPDX-License-Identifier: BSD-2-Clause */
/* command.h - what a table of commands contains, and how a command is found and run. commands.c
   knows all tables. */
#ifndef COWKV_COMMAND_H
#define COWKV_COMMAND_H

#include "data/db.h"
#include "net/reply.h"

enum command_flags {
	COMMAND_WRITE = 1,
	COMMAND_READONLY = 2,
	COMMAND_DENYOOM = 4, /* refused when memory is short */
	COMMAND_ADMIN = 8,
	COMMAND_NO_AUTH = 16,  /* runs before the password is given */
	COMMAND_NO_MULTI = 32, /* not in a transaction */
	COMMAND_NOW = 64,      /* runs while a transaction is being queued (EXEC, DISCARD, ...) */
	COMMAND_FAST = 128,
	COMMAND_LOADING = 256,   /* runs while data are loaded from a master */
	COMMAND_RUNS_QUEUE = 512 /* runs a queued transaction: EXEC */
};

struct command {
	const char *name; /* lower case */
	void (*fn)(struct client *c);
	int arity; /* number of arguments with the name; -n: n or more */
	unsigned flags;
	int first, last, step; /* which arguments are keys; 0 for none; last -1: up to the end */
	const struct subcommand *subs; /* NULL if the name is one command */
};

/*
 * Some names stand for several commands, which the second argument tells apart. `subs` is a table
 * of them that ends with an entry without a name, and fn is command_sub(). The arity counts both
 * names. HELP is a subcommand of each such name.
 */
struct subcommand {
	const char *name;
	int arity;
	void (*fn)(struct client *c);
};
void command_sub(struct client *c);

/* Find a subcommand by its name; NULL if there is none. */
const struct subcommand *subcommand_find(const struct subcommand *subs, struct slice name);
/* Write a name in capitals, as far as there is room. */
void subcommand_upper(char *to, size_t size, const char *name);

/* Register the commands of a table, which ends with an entry without a name. */
void command_add(const struct command *table);
const struct command *command_find(struct slice name);

/* The number of commands, and each of them: COMMAND lists them. */
size_t command_count(void);
const struct command *command_at(size_t i);

/* Run the request in c->argv. Checks whether it may run; queues it in an open transaction, or else
   runs it and adds what it has changed to the stream of changes. */
void command_run(struct client *c);

/* What is special about the sender of a command, if it is not a normal client. */
struct command_source {
	/* Whether the client may send this command (NULL: no command has that name). If not,
	   nothing is run and nothing is answered. */
	bool (*may_run)(struct client *c, const struct command *command);
	/* The sender is our master. Its commands run although a replica takes no writes and
	   although memory is short, and they see expired keys. */
	bool is_master;
};
void command_run_from(struct client *c, const struct command_source *source);

/* Run a command without checks: EXEC runs those that were checked when they were queued. */
void command_call(struct client *c, const struct command *command);

/* About how much memory a command may take for its arguments; for EXEC, those of all commands that
   it runs. */
size_t command_memory(const struct client *c, const struct command *command);

/*
 * For commands that change data. A command counts its changes. The request goes into the stream as
 * the client sent it. If it would do something else at a replica (random members, relative times),
 * the command sends another one instead; none if argc is 0.
 */
void command_changed(uint64_t n);
void command_send_instead(const struct slice *argv, size_t argc);

/* ---- what many commands begin with ---- */

/* Get the value of a key, to read or to write it. Returns NULL if there is no such key. If the
   value is of another type, also sets *wrong, and sends an error reply. */
void *command_read(struct client *c, struct slice key, enum value_type type, bool *wrong);
void *command_write(struct client *c, struct slice key, enum value_type type, bool *wrong);

/* Get the value of a key, or make it if there is none (not for strings). NULL only after an error
   reply. */
void *command_make(struct client *c, struct slice key, enum value_type type);

/* Delete the key if its value has become empty. */
void command_drop_empty(struct slice key, const void *value);

/* Run a command KEY ELEMENT... that removes elements from a value, and reply how many there were.
   `remove` removes one, and returns whether it was there. */
void command_remove(struct client *c, enum value_type type,
		    bool (*remove)(void *value, struct slice element));

/* Parse an argument as a number. Returns false after an error reply, which is `error` unless that
   is NULL. */
bool command_integer(struct client *c, struct slice arg, int64_t *n, const char *error);
bool command_double(struct client *c, struct slice arg, double *d, const char *error);

/* Parse an integer from min to max. Returns false after an error reply. */
bool command_integer_within(struct client *c, struct slice arg, int64_t min, int64_t max,
			    int64_t *n);

/* How many elements LPOP and its kin are to take: argv[2], or 1 without it. Returns false after an
   error reply. */
bool command_pop_count(struct client *c, int64_t *n);

#endif
