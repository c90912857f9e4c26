/* SPDX-License-Identifier: BSD-2-Clause */
/* link-keep.c - makes the link to our master (link.h), gives it up when nothing comes, and makes it
   again. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "data/stream.h"
#include "replication/link.h"
#include "replication/replicas.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT 60                 /* seconds */
#define OUT_MAX ((size_t)64 << 10) /* with this much unsent, a master is sent no more */

void link_to(const char *host, uint64_t port)
{
	if (link_.master)
		client_close(link_.master);
	link_hang_up();
	/* Offer our own stream under its id: a master that knows the id may continue from there. */
	stream_know();
	free(config.master_host);
	config.master_host = strdup(host ? host : "");
	if (!config.master_host)
		abort();
	config.master_port = port;
	if (!host)
		link_.down_since = 0;
	link_.next_try = link_.pause = 0;
	replicas_close(); /* they must ask for the data again */
}

void link_cron(void)
{
	if (link_.step == STEP_NONE) {
		if (loop_now() >= link_.next_try)
			link_start();
	} else if (link_.step == STEP_STREAM) {
		link_.pause = 0;
		if (loop_now() - link_.master->last > TIMEOUT) {
			log_line(LOG_WARNING, "MASTER timeout: no data nor PING received...");
			client_close(link_.master);
		} else if (buffer_size(&link_.master->out) < OUT_MAX) {
			link_acknowledge();
		}
	} else if (loop_now() - link_.heard > TIMEOUT) {
		link_give_up("it says nothing");
	}
}
