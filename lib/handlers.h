/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handlers.h - our handlers of SIGSEGV and SIGBUS, and other handlers below and above them.
 *
 * Each time the library installs itself over another handler, it does so with a handler function
 * that is not in use yet: a level. A level passes faults that are not ours to exactly the action
 * that it displaced. A handler that is installed over a level has saved the level as its previous
 * action; calling or restoring that action leads on below, whatever the library has installed in
 * front since.
 */
#ifndef COWARENA_HANDLERS_H
#define COWARENA_HANDLERS_H

#include <signal.h>
#include <stdbool.h>

enum { HANDLERS_SEGV, HANDLERS_BUS, HANDLERS_SIGNALS };

/*
 * Called first at each signal: resolve the fault if it is ours; false if it is not.
 * Async-signal-safe. by_kernel: no other handler has called ours (os_called_by_kernel).
 */
typedef bool handlers_mend(int which, siginfo_t *info, void *context, bool by_kernel);

/*
 * Make a handler of ours the one that is called first, unless one is already. -1 with errno and
 * message: EAGAIN (no level is left), EPERM (the handler did not take). The caller serialises these
 * three functions.
 */
int handlers_install(int which, handlers_mend *mend);

/* Restore the action that was there before; where another handler is in front of ours, ours
   stays. */
void handlers_remove(int which);

/* Whether a handler of ours is called first. -1 with errno EBUSY and message. */
int handlers_check(int which);

#endif
