/* SPDX-License-Identifier: BSD-2-Clause */
/* commands.h - all commands that clients can use. */
#ifndef COWKV_COMMANDS_H
#define COWKV_COMMANDS_H

/* Register all commands. Called once, before the first client comes. */
void commands_init(void);

#endif
