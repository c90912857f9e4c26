/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.h - a master of replicas (replicas.h), and a replica of a master (link.h). */
#ifndef COWKV_REPLICATION_H
#define COWKV_REPLICATION_H

#include "base/buffer.h"

/* After the settings are known. */
void replication_init(void);

/* Every second. */
void replication_cron(void);

/* At the end: no thread runs any more. */
void replication_close(void);

/* INFO's section. */
void replication_info(struct buffer *to);

#endif
