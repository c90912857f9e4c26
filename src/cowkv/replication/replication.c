/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.c - see replication.h. */
#include "config.h"

#include "base/settings.h"
#include "data/stream.h"
#include "replication/link.h"
#include "replication/replicas.h"
#include "replication/replication.h"

void replication_init(void)
{
	stream_init();
	replicas_init();
}

void replication_cron(void)
{
	replicas_cron();
	if (config_is_replica())
		link_cron();
}

void replication_close(void)
{
	link_hang_up();
	replicas_stop();
}
