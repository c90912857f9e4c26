/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.h - the event loop, in which the main thread does all its work. */
#ifndef COWKV_LOOP_H
#define COWKV_LOOP_H

#include <ev.h>
#include <stdbool.h>
#include <time.h>

extern struct ev_loop *main_loop;

/* The server is leaving. No command runs any more: a change after the last save would be lost. */
extern bool loop_leaving;

/* Make the loop. Returns false if that fails. */
bool loop_open(void);

/* Make the main thread leave the loop. */
void loop_leave(void);

/* The time at which the loop last woke up, in seconds. */
static inline time_t loop_now(void)
{
	return (time_t)ev_now(main_loop);
}

#endif
