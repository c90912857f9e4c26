/* SPDX-License-Identifier: BSD-2-Clause */
/* error.h - failures as sentences, and the log. */
#ifndef COWARENA_ERROR_H
#define COWARENA_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Set errno and the thread's message: what failed and what to do about it. Returns -1, so that
 * `return error_set(...)` reads well. Not for the fault path.
 */
int error_set(int errnum, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Set errno and the thread's message, as error_set() does. Returns NULL. */
void *error_null(int errnum, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What to do when the kernel has no room: for addresses, for mappings, for locked memory. */
#define ERROR_NO_ROOM "raise ulimit -v (-d, -l), or vm.max_map_count"

/* The name of an errno, as in errno.h. (strerror(3) reads the locale, which may lie in an
   arena that is not there.) */
const char *error_name(int errnum);

/*
 * Whether errno is one with which sandboxes refuse system calls. If so, the message names the call
 * that os_failed_call() tells, and the remedy; errno is as it was.
 */
bool error_refused(void);

/*
 * Report a system call that has failed and left errno. Where a sandbox refuses the call, the
 * message says so and errno stays; otherwise this is error_set().
 */
int error_system(int errnum, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Send a line to the log. Async-signal-safe. */
void error_log(const char *message);

/* Report a bug of the caller that must not be survived, and abort. The line names `address`, and
   the function that found the bug. */
_Noreturn void error_misuse(const char *function, const char *message, const void *address);
_Noreturn void error_fatal(const char *message, const void *address);

#endif
