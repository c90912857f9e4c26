/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.h - replication: the master's part (replicas.h) and the replica's part (link.h). */
#ifndef COWKV_REPLICATION_H
#define COWKV_REPLICATION_H

#include "base/buffer.h"

/* Called once the settings are known. */
void replication_init(void);

/* Called every second. */
void replication_cron(void);

/* Called at the end. No thread of replication runs afterwards. */
void replication_close(void);

/* Print INFO's section. */
void replication_info(struct buffer *to);

#endif
