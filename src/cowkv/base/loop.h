/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.h - the event loop, in which the main thread does all its work. */
#ifndef COWKV_LOOP_H
#define COWKV_LOOP_H

#include <ev.h>
#include <stdbool.h>
#include <time.h>

extern struct ev_loop *main_loop;

/* The server is leaving: no command is run any more, as what was saved is the end. */
extern bool loop_leaving;

/* Make the loop. Returns false if there is none to be had. */
bool loop_open(void);

/* Have the main thread leave the loop. */
void loop_leave(void);

/* The time at which the loop woke up last, in seconds. */
static inline time_t loop_now(void)
{
	return (time_t)ev_now(main_loop);
}

#endif
