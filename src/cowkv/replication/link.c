/* SPDX-License-Identifier: BSD-2-Clause */
/* link.c - the link to our master (link.h): its state, and its end. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "replication/link.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define PAUSE_MAX 16 /* seconds between attempts that fail late */

struct link link_ = {.fd = -1, .file = -1};

bool link_up(void)
{
	return link_.step == STEP_STREAM;
}

void link_hang_up(void)
{
	if (link_.fd >= 0) {
		ev_io_stop(main_loop, &link_.io);
		close(link_.fd);
	}
	if (link_.file >= 0)
		close(link_.file);
	link_.fd = link_.file = -1;
	buffer_free(&link_.in);
	link_.step = STEP_NONE;
}

void link_give_up(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	log_line(LOG_WARNING, "Replication from %s:%" PRIu64 ": %s", config.master_host,
		 config.master_port, text);
	link_hang_up();
}

void link_fail_late(void)
{
	link_.pause = !link_.pause ? 1 : link_.pause < PAUSE_MAX ? 2 * link_.pause : PAUSE_MAX;
	link_.next_try = loop_now() + link_.pause;
}
