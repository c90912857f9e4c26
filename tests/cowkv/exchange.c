/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange.c - see exchange.h. */
#include "config.h"

#include "../common.h"
#include "exchange.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BARRIER 20 /* rounds of its loop: more reads than anything here takes */

void exchange_send(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0) /* it may have hung up by now */
			return;
		data += n;
		len -= (size_t)n;
	}
}

void exchange_read(struct server *s, int fd, struct exchange *x)
{
	for (bool idle = false;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (!poll(&p, 1, 0)) {
			if (idle)
				return;
			for (int i = 0; i < BARRIER; i++)
				freeReplyObject(servers_call(s, "PING"));
			idle = true;
			continue;
		}
		idle = false;
		if (x->room - x->len < 65536) {
			x->room = 2 * x->room + 65536;
			x->data = realloc(x->data, x->room);
			ck_assert_ptr_nonnull(x->data);
		}
		ssize_t n = recv(fd, x->data + x->len, x->room - x->len - 1, 0);
		x->closed = n <= 0;
		if (n <= 0)
			return;
		x->len += (size_t)n;
	}
}

struct exchange exchange(struct server *s, const char *data, size_t len)
{
	struct exchange x = {0};
	int fd = servers_socket(s);

	x.data = calloc(1, 1);
	exchange_send(fd, data, len);
	exchange_read(s, fd, &x);
	x.data[x.len] = 0;
	close(fd);
	return x;
}
