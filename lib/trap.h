/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.h - how faults arrive: from the signal to the arena that it belongs to, or on to others.
 *
 * trap.c looks up the address, and checks that it was a write to protected memory. What is not ours
 * goes on to the handler that was installed before (I5, handlers.h).
 * What is ours goes through one of two back ends, chosen at build time: libsigsegv's dispatcher
 * (trap-sigsegv.c), or a plain call (trap-sigaction.c).
 */
#ifndef COWARENA_TRAP_H
#define COWARENA_TRAP_H

#include <stdbool.h>
#include <stddef.h>

struct cowarena;
struct trap_span;

/* Tries to resolve the fault; false means that it is not ours. Async-signal-safe. */
typedef bool trap_handler(struct cowarena *arena, const void *address);

/*
 * From now on write faults in [base, base + n) go to handler(arena, address). They arrive as
 * SIGSEGV, and as SIGBUS too if `bus` is set. The first span of a kind installs the signal
 * handler, the last one to go removes it. NULL with errno and message: ENOMEM, EPERM (the handler
 * did not take).
 */
struct trap_span *trap_add(void *base, size_t n, bool bus, trap_handler *handler,
			   struct cowarena *arena);
void trap_remove(struct trap_span *span);

/* Whether the span was made before a fork() whose child we are: its memory is not there. */
bool trap_inherited(const struct trap_span *span);

/* How many spans there are, at least 1. Async-signal-safe. */
size_t trap_spans(void);

/* ---- the back ends ---- */

/* Prepare delivery to one span, before any fault can happen there. NULL with errno. */
void *trap_backend_open(void *base, size_t n, trap_handler *handler, struct cowarena *arena);
void trap_backend_close(void *backend);

/* Deliver a fault. Async-signal-safe. */
bool trap_backend_deliver(void *backend, void *address);

#endif
