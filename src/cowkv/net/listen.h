/* SPDX-License-Identifier: BSD-2-Clause */
/* listen.h - accepts connections. */
#ifndef COWKV_LISTEN_H
#define COWKV_LISTEN_H

#include <stdbool.h>

struct client_kind;

/* Bind config.bind and config.port. If that fails, logs why and returns false. */
bool listen_open(void);

/* Accept clients, and make them of this kind. */
void listen_start(const struct client_kind *kind);

/* Called every second. Accepts clients again if descriptors had run out. */
void listen_cron(void);
void listen_close(void);

#endif
