/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange.h - bytes to a server, and what comes back. */
#ifndef COWARENA_TESTS_COWKV_EXCHANGE_H
#define COWARENA_TESTS_COWKV_EXCHANGE_H

#include "servers.h"

struct exchange {
	char *data; /* what came back */
	size_t len, room;
	bool closed;
};

/* Send all, unless it has hung up. */
void exchange_send(int fd, const char *data, size_t len);

/* Read until it hangs up; or, when answers to PING on another connection show that it has had time
   to read all we sent, until nothing comes any more. */
void exchange_read(struct server *s, int fd, struct exchange *x);

/* All of it, on a connection of its own. The caller frees x.data, which ends in a zero byte. */
struct exchange exchange(struct server *s, const char *data, size_t len);

#endif
