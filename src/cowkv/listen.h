/* SPDX-License-Identifier: BSD-2-Clause */
/* listen.h - where clients come in. */
#ifndef COWKV_LISTEN_H
#define COWKV_LISTEN_H

#include <stdbool.h>

/* Bind config.bind and config.port. False, and a line in the log, if that fails. */
bool listen_open(void);
void listen_start(void); /* accept */
void listen_cron(void);  /* every second: accept again, after descriptors ran out */
void listen_close(void);

#endif
