/* SPDX-License-Identifier: BSD-2-Clause */
/* settings.h - the settings: given on the command line, in a file, or by CONFIG SET. */
#ifndef COWKV_SETTINGS_H
#define COWKV_SETTINGS_H

#include "base/slice.h"

#define SAVE_RULES 16

/* Begin a save after this many changes within this many seconds. */
struct save_rule {
	uint64_t seconds, changes;
};

/* Texts are malloc'd, and never NULL. */
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

/* Whether this server is a replica of another. */
static inline bool config_is_replica(void)
{
	return *config.master_host;
}

/* Give each setting its initial value. */
void config_init(void);

/* Take settings from the command line, and from the file that it names. Does not return after
   --help, or if something is wrong. */
void config_arguments(int argc, char **argv);

/* Change one setting, as CONFIG SET does. Returns NULL, or what is wrong with the value, or "" if
   no setting has that name. */
const char *config_set(struct slice name, struct slice value);
/* Change n settings; `pairs` is a name, a value, a name, ... If one is wrong, none is changed, and
   `bad` is its name. Returns as config_set() does. */
const char *config_set_all(const struct slice *pairs, size_t n, struct slice *bad);
/* Call fn once for each setting whose name matches one of the patterns. */
void config_get(const struct slice *patterns, size_t n,
		void (*fn)(void *ctx, const char *name, const char *value), void *ctx);

#endif
