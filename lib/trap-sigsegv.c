/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap-sigsegv.c - delivers faults through GNU libsigsegv's dispatcher.
 *
 * Only the dispatcher is used, never sigsegv_install_handler(): that function installs over earlier
 * handlers without chaining, takes the place of another user of libsigsegv in the same process, and
 * uninstalls itself when a fault is declined. handlers.c installs the handler instead.
 *
 * A dispatcher is a tree without a lock. So each span has a dispatcher of its own, built before the
 * span is in use and never changed: no tree is modified while a thread can fault in it.
 */
#include "config.h"

#include "records.h"
#include "trap.h"

#include <sigsegv.h>

struct target {
	sigsegv_dispatcher dispatcher;
	void *ticket;
	trap_handler *handler;
	struct cowarena *arena;
};

static int on_area_fault(void *address, void *arg)
{
	struct target *t = arg;

	return t->handler(t->arena, address);
}

void *trap_backend_open(void *base, size_t n, trap_handler *handler, struct cowarena *arena)
{
	struct target *t = records_take(sizeof *t);

	if (!t)
		return NULL;
	t->handler = handler;
	t->arena = arena;
	sigsegv_init(&t->dispatcher);
	t->ticket = sigsegv_register(&t->dispatcher, base, n, on_area_fault, t);
	if (!t->ticket) {
		records_give(t, sizeof *t);
		return NULL;
	}
	return t;
}

void trap_backend_close(void *backend)
{
	struct target *t = backend;

	sigsegv_unregister(&t->dispatcher, t->ticket);
	records_give(t, sizeof *t);
}

bool trap_backend_deliver(void *backend, void *address)
{
	struct target *t = backend;

	return sigsegv_dispatch(&t->dispatcher, address);
}
