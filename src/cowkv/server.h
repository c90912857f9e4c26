/* SPDX-License-Identifier: BSD-2-Clause */
/* server.h - the one server of this process: its settings, its counters, and what its parts ask of each other. */
#ifndef COWKV_SERVER_H
#define COWKV_SERVER_H

#include "slice.h"

#include <ev.h>
#include <time.h>

#define RUN_ID 40
#define SAVE_RULES 16

/* So many changes within so many seconds, and a save begins. */
struct save_rule {
	uint64_t seconds, changes;
};

/* As given on the command line, in a file, or by CONFIG SET. Texts are malloc'd, and never NULL. */
struct config {
	uint64_t port, capacity, cow_limit, maxmemory, maxclients;
	char *bind, *dir, *dbfilename, *requirepass, *masterauth, *logfile;
	struct save_rule save[SAVE_RULES];
	size_t save_rules;
	bool daemonize, rehash_guard, compress, protected_mode;
	char *master_host; /* "" for none */
	uint64_t master_port;
};
extern struct config config;

struct server {
	struct ev_loop *loop;
	char run_id[RUN_ID + 1];
	time_t started;
	uint64_t dirty; /* changes since the last save */
	uint64_t commands, connections, rejected;
	uint64_t sync_full, sync_partial_ok,
	    sync_partial_err; /* what replicas asked for, and got */
	bool leaving;         /* SHUTDOWN, or a signal */
};
extern struct server server;

/* config.c: parse; print_help() and mistakes do not return. */
void config_init(void);
void config_arguments(int argc, char **argv);
/* One setting, as CONFIG SET takes it. Returns NULL, or what is wrong with it; "" if there is none of that name. */
const char *config_set(struct slice name, struct slice value);
/* n names and values, one behind the other: all, or if one is wrong none, and *bad is its name. */
const char *config_set_all(const struct slice *pairs, size_t n, struct slice *bad);
/* Call fn once for each setting whose name matches one of the patterns. */
void config_get(const struct slice *patterns, size_t n,
		void (*fn)(void *ctx, const char *name, const char *value), void *ctx);

/* A random identification, in hexadecimal. */
void server_random_id(char id[RUN_ID + 1]);

/* Leave the event loop; with a save before if there are rules for one, or `save` says so. Returns false, and goes on, if
   that save fails. */
enum leave { LEAVE_AS_CONFIGURED, LEAVE_SAVING, LEAVE_WITHOUT };
bool server_leave(enum leave how);

#endif
