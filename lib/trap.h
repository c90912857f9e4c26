/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.h - brings a fault from its signal to its arena, or passes it on to others.
 *
 * trap.c looks up the address, and checks that the fault was a write to protected memory. Faults
 * that are not ours go on to the handler that was installed before (I5, handlers.h). Our faults go
 * through one of two back ends, chosen at build time: libsigsegv's dispatcher (trap-sigsegv.c), or
 * a plain call (trap-sigaction.c).
 */
#ifndef COWARENA_TRAP_H
#define COWARENA_TRAP_H

#include <stdbool.h>
#include <stddef.h>

struct cowarena;
struct trap_span;

/* Resolve the fault if it is ours; false when it is not. Async-signal-safe. */
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

/* Whether this process is a child that inherited the span by fork(): the span's memory is not
   there. */
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
