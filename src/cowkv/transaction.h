/* SPDX-License-Identifier: BSD-2-Clause */
/* transaction.h - MULTI, EXEC, DISCARD. */
#ifndef COWKV_TRANSACTION_H
#define COWKV_TRANSACTION_H

#include "client.h"

/* Put the command that the client sent into its queue. False if that holds too much already. */
bool transaction_queue(struct client *c, const struct command *command);

/* Forget the queue; the client is in no transaction then. */
void transaction_discard(struct client *c);

#endif
