/* SPDX-License-Identifier: BSD-2-Clause */
/* commands.c - all tables of commands. This file knows all files that have commands; none of them
   knows this file. */
#include "config.h"

#include "commands.h"
#include "commands/command.h"

/* A new table has a line here, ... */
extern const struct command connection_commands[];
extern const struct command expiry_commands[];
extern const struct command hash_commands[];
extern const struct command info_commands[];
extern const struct command key_commands[];
extern const struct command list_commands[];
extern const struct command number_commands[];
extern const struct command pubsub_commands[];
extern const struct command role_commands[];
extern const struct command save_commands[];
extern const struct command scan_commands[];
extern const struct command server_commands[];
extern const struct command set_commands[];
extern const struct command shutdown_commands[];
extern const struct command string_commands[];
extern const struct command substring_commands[];
extern const struct command sync_commands[];
extern const struct command transaction_commands[];
extern const struct command zset_commands[];
extern const struct command zset_range_commands[];

/* ... and its name here. */
static const struct command *const tables[] = {
    connection_commands, expiry_commands,      hash_commands,     info_commands,
    key_commands,        list_commands,        number_commands,   pubsub_commands,
    role_commands,       sync_commands,        save_commands,     scan_commands,
    server_commands,     set_commands,         shutdown_commands, string_commands,
    substring_commands,  transaction_commands, zset_commands,     zset_range_commands,
};

void commands_init(void)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		command_add(tables[i]);
}
