/* SPDX-License-Identifier: BSD-2-Clause */
/* transfer-send.c - the thread of a transfer (transfer.h), which writes the snapshot to the sockets
   of replicas. */
#include "config.h"

#include "base/loop.h"
#include "replication/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A replica that reads nothing for this long is given up; sooner if there are others, which wait
   for it since all receive the same bytes. */
#define STALL_MS 60000
#define STALL_OTHERS_MS 20000
#define TURN_MS 100 /* between two checks whether waiting is still of use */

/* Whether the snapshot is wrong by now: it was given up (--cow-limit), or the view is broken. */
static bool is_spoiled(const struct transfer *t)
{
	return cowarena_view_check(t->cut.data.view) != 0;
}

static bool send_all(struct transfer *t, struct target *to, const char *data, size_t n)
{
	int stalled = 0, most = t->n > 1 ? STALL_OTHERS_MS : STALL_MS;

	while (n && !atomic_load(&to->gone)) {
		ssize_t done = write(to->fd, data, n);
		if (done > 0) {
			data += done;
			n -= (size_t)done;
			stalled = 0;
			continue;
		}
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		struct pollfd p = {.fd = to->fd, .events = POLLOUT};
		if (poll(&p, 1, TURN_MS) == 0 && ((stalled += TURN_MS) >= most || is_spoiled(t)))
			return false;
	}
	return n == 0;
}

static void send_to(struct transfer *t, struct target *to, const void *data, size_t n)
{
	if (!to->failed && !send_all(t, to, data, n))
		to->failed = true;
}

/* Send to all targets. Returns false if none of them takes it. */
static bool to_targets(void *ctx, const void *data, size_t n)
{
	struct transfer *t = ctx;
	bool any = false;

	for (size_t i = 0; i < t->n; i++) {
		send_to(t, &t->targets[i], data, n);
		any |= !t->targets[i].failed;
	}
	t->bytes += n;
	errno = EPIPE;
	return any;
}

/* Send an empty line each second, which may precede the snapshot, to show that we are alive. */
static void sign_of_life(struct transfer *t)
{
	time_t now = time(NULL);

	if (now == t->told)
		return;
	t->told = now;
	for (size_t i = 0; i < t->n; i++)
		if (write(t->targets[i].fd, "\n", 1) < 0 && errno != EAGAIN)
			t->targets[i].failed = true;
}

struct count {
	struct transfer *transfer;
	uint64_t bytes;
};

static bool to_nobody(void *ctx, const void *data, size_t n)
{
	struct count *count = ctx;
	struct transfer *t = count->transfer;
	bool any = false;

	(void)data;
	count->bytes += n;
	sign_of_life(t);
	for (size_t i = 0; i < t->n; i++)
		any |= !atomic_load(&t->targets[i].gone);
	errno = EPIPE;
	return any;
}

static void greet(struct transfer *t, struct target *to, uint64_t size)
{
	char text[160];
	int n = 0;

	if (to->psync)
		n = snprintf(text, sizeof text, "+FULLRESYNC %s %" PRId64 "\r\n", t->id, t->offset);
	if (to->eof)
		n += snprintf(text + n, sizeof text - (size_t)n, "$EOF:%s\r\n", t->mark);
	else
		n += snprintf(text + n, sizeof text - (size_t)n, "$%" PRIu64 "\r\n", size);
	send_to(t, to, text, (size_t)n);
}

static bool needs_size(const struct transfer *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->targets[i].eof)
			return true;
	return false;
}

void *transfer_run(void *transfer)
{
	struct transfer *t = transfer;
	struct rdb_write_options options = {
	    .compress = t->compress, .repl_id = t->id, .repl_offset = t->offset};
	struct count count = {t, 0};
	struct rdb_sink nobody = {to_nobody, &count}, all = {to_targets, t};

	t->result = RDB_WRITTEN;
	if (needs_size(t))
		t->result = rdb_write(&nobody, &t->cut.data, &options, NULL);
	for (size_t i = 0; i < t->n && t->result == RDB_WRITTEN; i++)
		greet(t, &t->targets[i], count.bytes);
	if (t->result == RDB_WRITTEN)
		t->result = rdb_write(&all, &t->cut.data, &options, &t->keys);
	for (size_t i = 0; i < t->n; i++)
		if (t->result == RDB_WRITTEN && t->targets[i].eof)
			send_to(t, &t->targets[i], t->mark, RANDOM_ID);
	if (t->result == RDB_NOT_TAKEN && is_spoiled(t))
		t->result = RDB_SPOILED; /* the reason why no target took it */
	rdb_cut_release(&t->cut);
	ev_async_send(main_loop, &t->done);
	return NULL;
}
