/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.c - see loop.h. */
#include "config.h"

#include "base/loop.h"

struct ev_loop *main_loop;
bool loop_leaving;

bool loop_open(void)
{
	main_loop = ev_default_loop(EVFLAG_AUTO);
	return main_loop != NULL;
}

void loop_leave(void)
{
	loop_leaving = true;
	ev_break(main_loop, EVBREAK_ALL);
}
