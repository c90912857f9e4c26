/* SPDX-License-Identifier: BSD-2-Clause */
/* trap-sigaction.c - delivers faults by a plain call; for builds without libsigsegv. */
#include "config.h"

#include "records.h"
#include "trap.h"

struct target {
	trap_handler *handler;
	struct cowarena *arena;
};

void *trap_backend_open(void *base, size_t n, trap_handler *handler, struct cowarena *arena)
{
	struct target *t = records_take(sizeof *t);

	(void)base, (void)n;
	if (t)
		*t = (struct target){handler, arena};
	return t;
}

void trap_backend_close(void *backend)
{
	records_give(backend, sizeof(struct target));
}

bool trap_backend_deliver(void *backend, void *address)
{
	struct target *t = backend;

	return t->handler(t->arena, address);
}
