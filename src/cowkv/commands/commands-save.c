/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-save.c - SAVE, BGSAVE, LASTSAVE, DEBUG RELOAD; and DEBUG SLEEP. */
#include "config.h"

#include "base/log.h"
#include "base/settings.h"
#include "commands/command.h"
#include "data/stream.h"
#include "rdb/rdb.h"
#include "rdb/save.h"

#define LONGEST_SLEEP 1e6
#define ERROR_RUNNING "ERR Background save already in progress"

static void save(struct client *c)
{
	if (save_state.running)
		reply_error(c, ERROR_RUNNING);
	else if (save_now())
		reply_status(c, "OK");
	else
		reply_error(c, "ERR");
}

/* Whether EXEC runs this command. */
static bool in_exec(const struct client *c)
{
	return c->queue.n && !c->queue.open;
}

static void bgsave(struct client *c)
{
	if (c->argc > 2 || (c->argc == 2 && !slice_is(c->argv[1], "schedule"))) {
		reply_error(c, ERROR_SYNTAX);
	} else if (save_state.running) {
		reply_error(c, ERROR_RUNNING);
	} else if (in_exec(c)) {
		save_state.scheduled = true;
		reply_status(c, "Background saving scheduled");
	} else if (save_begin()) {
		reply_status(c, "Background saving started");
	} else {
		reply_error(c, "ERR");
	}
}

static void lastsave(struct client *c)
{
	reply_int(c, save_state.last);
}

/* ---- DEBUG ---- */

static bool load_again(const struct rdb_read_options *options)
{
	struct rdb_read_result result;

	if (rdb_read_file(config.dbfilename, options, &result))
		return true;
	log_line(LOG_WARNING, "The file '%s' cannot be loaded: %s", config.dbfilename,
		 result.error);
	return false;
}

static void debug_reload(struct client *c)
{
	struct rdb_read_options options = {.keep_expired = config_is_replica()};
	bool flush = true, saving = true;

	for (size_t i = 2; i < c->argc; i++) {
		if (slice_is(c->argv[i], "merge")) {
			options.replace = true;
		} else if (slice_is(c->argv[i], "noflush")) {
			flush = false;
		} else if (slice_is(c->argv[i], "nosave")) {
			saving = false;
		} else {
			reply_error(c, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and "
				       "NOSAVE options.");
			return;
		}
	}
	if (!saving || !flush)
		stream_differs();
	save_wait(); /* a second save would use the same temporary file */
	if (saving && !save_now()) {
		reply_error(c, "ERR");
		return;
	}
	if (flush)
		db_flush();
	heap_stale();
	if (!load_again(&options)) {
		stream_differs();
		reply_error(c, "ERR Error trying to load the RDB dump, check server logs.");
		return;
	}
	db_changes = 0;
	log_line(LOG_WARNING, "DB reloaded by DEBUG RELOAD");
	reply_status(c, "OK");
}

static void debug_sleep(struct client *c)
{
	double seconds;

	if (!command_double(c, c->argv[2], &seconds, NULL))
		return;
	if (seconds > 0 && seconds < LONGEST_SLEEP) {
		time_t whole = (time_t)seconds;
		struct timespec t = {whole, (long)((seconds - (double)whole) * 1e9)};
		nanosleep(&t, NULL);
	}
	reply_status(c, "OK");
}

static void debug(struct client *c)
{
	struct slice sub = c->argv[1];

	if (slice_is(sub, "reload"))
		debug_reload(c);
	else if (slice_is(sub, "sleep") && c->argc == 3)
		debug_sleep(c);
	else
		reply_error(c,
			    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
			    "DEBUG HELP.",
			    (int)(sub.len < 128 ? sub.len : 128), sub.data);
}

const struct command save_commands[] = {
    {"save", save, 1, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, NULL},
    {"bgsave", bgsave, -1, COMMAND_ADMIN, 0, 0, 0, NULL},
    {"lastsave", lastsave, 1, COMMAND_FAST | COMMAND_LOADING, 0, 0, 0, NULL},
    {"debug", debug, -2, COMMAND_ADMIN | COMMAND_LOADING, 0, 0, 0, NULL},
    {0},
};
