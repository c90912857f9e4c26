/* SPDX-License-Identifier: BSD-2-Clause */
/* replication.c - see replication.h. */
#include "config.h"

#include "link.h"
#include "replicas.h"
#include "replication.h"
#include "settings.h"
#include "stream.h"

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
