/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handlers.h - our handlers of SIGSEGV and SIGBUS, and the handlers of others below and above them.
 *
 * Each time that we come in front of another handler, we do so with a handler function that is not
 * in use yet: a level. A level passes what is not ours to exactly the action that it displaced. So
 * who was installed over a level and saved "what was there before" holds that level; to call it or
 * to put it back leads on below, whatever we have installed in front since.
 */
#ifndef COWARENA_HANDLERS_H
#define COWARENA_HANDLERS_H

#include <signal.h>
#include <stdbool.h>

enum { HANDLERS_SEGV, HANDLERS_BUS, HANDLERS_SIGNALS };

/*
 * Asked first at each signal: whether it was a fault of ours, and is mended. Async-signal-safe.
 * by_kernel: no handler of another's stands in between (os_called_by_kernel).
 */
typedef bool handlers_mend(int which, siginfo_t *info, void *context, bool by_kernel);

/*
 * Make a handler of ours the one that is called first, if none is. -1 with errno and message:
 * EAGAIN (no level is left), EPERM (the handler did not take). The caller keeps other threads out
 * of these three functions.
 */
int handlers_install(int which, handlers_mend *mend);

/* Put back what was there before; but where another handler is in front of ours, ours stay. */
void handlers_remove(int which);

/* Whether a handler of ours is called first. -1 with errno EBUSY and message. */
int handlers_check(int which);

#endif
