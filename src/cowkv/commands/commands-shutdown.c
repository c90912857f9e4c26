/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-shutdown.c - SHUTDOWN, and how the server leaves (leave.h). */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "commands/command.h"
#include "commands/leave.h"
#include "rdb/save.h"

bool server_leave(enum leave how)
{
	if (how == LEAVE_SAVING || (how == LEAVE_AS_CONFIGURED && config.save_rules)) {
		save_wait();
		if (!save_now()) {
			log_line(LOG_WARNING, "Not leaving: the data could not be saved: %s",
				 save_state.error);
			return false;
		}
	}
	loop_leave();
	return true;
}

static void shutdown_command(struct client *c)
{
	enum leave how = LEAVE_AS_CONFIGURED;
	bool abort_only = c->argc > 1;

	for (size_t i = 1; i < c->argc; i++)
		abort_only &= slice_is(c->argv[i], "abort");
	if (abort_only) {
		reply_error(c, "ERR No shutdown in progress.");
		return;
	}
	for (size_t i = 1; i < c->argc; i++) {
		if (slice_is(c->argv[i], "save") && how != LEAVE_WITHOUT)
			how = LEAVE_SAVING;
		else if (slice_is(c->argv[i], "nosave") && how != LEAVE_SAVING)
			how = LEAVE_WITHOUT;
		else if (!slice_is(c->argv[i], "now") && !slice_is(c->argv[i], "force")) {
			reply_error(c, ERROR_SYNTAX);
			return;
		}
	}
	if (!server_leave(how))
		reply_error(c, "ERR Errors trying to SHUTDOWN. Check logs.");
}

const struct command shutdown_commands[] = {
    {"shutdown", shutdown_command, -1, COMMAND_ADMIN | COMMAND_LOADING | COMMAND_NO_MULTI, 0, 0, 0,
     NULL},
    {0},
};
