/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.h - a master of replicas, and a replica of a master. */
#ifndef COWKV_REPLICATION_H
#define COWKV_REPLICATION_H

#include "client.h"

/* What client.c asks. A client is going: it is no replica, or master, any more. */
void replication_forget(struct client *c);

/* Before a command is run (NULL: there is none of that name): a replica sends no others than those of replication, and our
   master none that an operator would. If not, it counts as run. */
bool replication_may_run(struct client *c, const struct command *command);

/* n bytes of what a client sent have been run: of our master's they count for the offset. */
void replication_applied(struct client *c, size_t n);

/* Whether what is in c->out may go out now: not while another thread sends a replica its snapshot. */
bool replication_may_send(const struct client *c);

/* How many replicas there are. */
size_t replication_replicas(void);

/* Start, after the settings are known; every second; at the end: no thread runs any more. */
void replication_init(void);
void replication_cron(void);
void replication_close(void);

/* INFO's section. */
void replication_info(struct buffer *to);

#endif
