/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange.h - sends raw bytes to a server, and reads what comes back. */
#ifndef COWARENA_TESTS_COWKV_EXCHANGE_H
#define COWARENA_TESTS_COWKV_EXCHANGE_H

#include "servers.h"

struct exchange {
	char *data; /* what came back */
	size_t len, room;
	bool closed;
};

/* Send all bytes, unless the server has hung up. */
void exchange_send(int fd, const char *data, size_t len);

/* Read until the server hangs up, or until nothing more comes although it has had time to read all
   bytes sent: answers to PING on another connection show that. */
void exchange_read(struct server *s, int fd, struct exchange *x);

/* Send and read on a connection of its own. The caller frees x.data, which ends in a zero byte. */
struct exchange exchange(struct server *s, const char *data, size_t len);

#endif
