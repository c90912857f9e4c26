/* SPDX-License-Identifier: BSD-2-Clause */
/* replication-send.c - the thread of replication-transfer.c: it writes the snapshot to the sockets of replicas. */
#include "config.h"

#include "loop.h"
#include "random-id.h"
#include "replication-transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* That a replica may take nothing. Others that receive the same wait for it, and not for longer than a minute. */
#define STALL_MS 60000
#define STALL_OTHERS_MS 20000
#define TURN_MS 100 /* between two looks at whether it is worth waiting */

/* Whether what would be sent is wrong: the snapshot was given up (--cow-limit), or the view is
   broken. */
static bool is_spoiled(void)
{
	return cowarena_view_check(transfer.cut.data.view) != 0;
}

static bool send_all(struct target *t, const char *data, size_t n)
{
	int stalled = 0, most = transfer.n > 1 ? STALL_OTHERS_MS : STALL_MS;

	while (n && !atomic_load(&t->gone)) {
		ssize_t done = write(t->fd, data, n);
		if (done > 0) {
			data += done;
			n -= (size_t)done;
			stalled = 0;
			continue;
		}
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		struct pollfd p = {.fd = t->fd, .events = POLLOUT};
		if (poll(&p, 1, TURN_MS) == 0 && ((stalled += TURN_MS) >= most || is_spoiled()))
			return false;
	}
	return n == 0;
}

static void send_to(struct target *t, const void *data, size_t n)
{
	if (!t->failed && !send_all(t, data, n))
		t->failed = true;
}

/* To all; as long as there is one that takes it. */
static bool to_targets(void *ctx, const void *data, size_t n)
{
	bool any = false;

	(void)ctx;
	for (size_t i = 0; i < transfer.n; i++) {
		send_to(&transfer.targets[i], data, n);
		any |= !transfer.targets[i].failed;
	}
	transfer.bytes += n;
	errno = EPIPE;
	return any;
}

/* Each second an empty line, which may come before the snapshot: we are still there. */
static void sign_of_life(void)
{
	time_t now = time(NULL);

	if (now == transfer.told)
		return;
	transfer.told = now;
	for (size_t i = 0; i < transfer.n; i++)
		if (write(transfer.targets[i].fd, "\n", 1) < 0 && errno != EAGAIN)
			transfer.targets[i].failed = true;
}

static bool to_nobody(void *ctx, const void *data, size_t n)
{
	bool any = false;

	(void)data;
	*(uint64_t *)ctx += n;
	sign_of_life();
	for (size_t i = 0; i < transfer.n; i++)
		any |= !atomic_load(&transfer.targets[i].gone);
	errno = EPIPE;
	return any;
}

static void greet(struct target *t, uint64_t size)
{
	char text[160];
	int n = 0;

	if (t->psync)
		n = snprintf(text, sizeof text, "+FULLRESYNC %s %" PRId64 "\r\n", transfer.id,
			     transfer.offset);
	if (t->eof)
		n += snprintf(text + n, sizeof text - (size_t)n, "$EOF:%s\r\n", transfer.mark);
	else
		n += snprintf(text + n, sizeof text - (size_t)n, "$%" PRIu64 "\r\n", size);
	send_to(t, text, (size_t)n);
}

void *transfer_run(void *unused)
{
	struct rdb_write_options options = {
	    .compress = transfer.compress, .repl_id = transfer.id, .repl_offset = transfer.offset};
	struct rdb_sink all = {to_targets, NULL};
	uint64_t size = 0;
	struct rdb_sink count = {to_nobody, &size};

	(void)unused;
	transfer.result = RDB_WRITTEN;
	if (transfer.needs_size)
		transfer.result = rdb_write(&count, &transfer.cut.data, &options, NULL);
	for (size_t i = 0; i < transfer.n && transfer.result == RDB_WRITTEN; i++)
		greet(&transfer.targets[i], size);
	if (transfer.result == RDB_WRITTEN)
		transfer.result = rdb_write(&all, &transfer.cut.data, &options, &transfer.keys);
	for (size_t i = 0; i < transfer.n; i++)
		if (transfer.result == RDB_WRITTEN && transfer.targets[i].eof)
			send_to(&transfer.targets[i], transfer.mark, RANDOM_ID);
	if (transfer.result == RDB_NOT_TAKEN && is_spoiled())
		transfer.result = RDB_SPOILED; /* why nobody took it */
	rdb_cut_release(&transfer.cut);
	ev_async_send(main_loop, &transfer.done);
	return NULL;
}
