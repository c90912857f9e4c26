/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - what the server says: a line each, in the form of Redis' log. */
#ifndef COWKV_LOG_H
#define COWKV_LOG_H

enum log_level { LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

/* Write a line. Any thread. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* Have lines go to this file instead of standard output. Returns 0, or -1 with errno. */
int log_open(const char *path);

#endif
