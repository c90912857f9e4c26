/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - the server's log: one line per message, in the form of Redis' log. */
#ifndef COWKV_LOG_H
#define COWKV_LOG_H

enum log_level { LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

/* Write a line. May be called by any thread. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* Write lines to this file instead of standard output. Returns 0, or -1 with errno. */
int log_open(const char *path);

#endif
