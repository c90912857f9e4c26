/* SPDX-License-Identifier: BSD-2-Clause */
/* commands.c - all tables of commands. This file knows each of the files that have commands, and none of them knows it. */
#include "config.h"

#include "command.h"
#include "commands.h"

extern const struct command connection_commands[], expiry_commands[], hash_commands[],
    key_commands[], list_commands[], pubsub_commands[], replication_commands[], save_commands[],
    scan_commands[], server_commands[], set_commands[], string_commands[], substring_commands[],
    transaction_commands[], zset_commands[], zset_range_commands[];

/* COMMAND LIST tells them in this order. */
static const struct command *const tables[] = {
    connection_commands, server_commands,      key_commands,         string_commands,
    list_commands,       hash_commands,        set_commands,         zset_commands,
    save_commands,       transaction_commands, replication_commands, expiry_commands,
    scan_commands,       substring_commands,   zset_range_commands,  pubsub_commands,
};

void commands_init(void)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		command_add(tables[i]);
}
