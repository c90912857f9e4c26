/* SPDX-License-Identifier: BSD-2-Clause */
/* replication-info.c - the section on replication of INFO. */
#include "config.h"

#include "base/loop.h"
#include "base/settings.h"
#include "data/stream.h"
#include "replication/link.h"
#include "replication/replicas.h"
#include "replication/replication.h"

#include <inttypes.h>

/* ---- of a replica ---- */

static bool syncs(void)
{
	return link_.step == STEP_SIZE || link_.step == STEP_SNAPSHOT;
}

/* The size of the snapshot is not known yet, or not at all if a mark ends it. */
static void print_sync(struct buffer *to)
{
	bool begun = link_.step == STEP_SNAPSHOT;
	int64_t size = begun ? (int64_t)link_.size : -1;
	int64_t received = begun ? (int64_t)link_.received : 0;

	buffer_print(to,
		     "master_sync_total_bytes:%" PRId64 "\r\nmaster_sync_read_bytes:%" PRId64
		     "\r\nmaster_sync_left_bytes:%" PRId64 "\r\nmaster_sync_perc:%.2f\r\n"
		     "master_sync_last_io_seconds_ago:%lld\r\n",
		     size, received, begun ? size - received : -1,
		     size > 0 ? 100.0 * (double)received / (double)size : 0.0,
		     (long long)(loop_now() - link_.heard));
}

static void print_link(struct buffer *to)
{
	buffer_print(to,
		     "master_host:%s\r\nmaster_port:%" PRIu64 "\r\nmaster_link_status:%s\r\n"
		     "master_last_io_seconds_ago:%lld\r\nmaster_sync_in_progress:%d\r\n"
		     "slave_read_repl_offset:%" PRId64 "\r\nslave_repl_offset:%" PRId64 "\r\n",
		     config.master_host, config.master_port, link_up() ? "up" : "down",
		     link_up() ? (long long)(loop_now() - link_.master->last) : -1, syncs(),
		     stream.offset, stream.offset);
	if (syncs())
		print_sync(to);
	if (!link_up())
		buffer_print(to, "master_link_down_since_seconds:%lld\r\n",
			     link_.down_since ? (long long)(loop_now() - link_.down_since) : -1);
	buffer_print(to, "slave_priority:100\r\nslave_read_only:1\r\nreplica_announced:1\r\n");
}

/* ---- of a master; a replica can be one too ---- */

static const char *const states[] = {"wait_bgsave", "wait_bgsave", "send_bulk", "online", "online"};

static void print_replicas(struct buffer *to)
{
	size_t i = 0;

	for (const struct replica *r = replicas; r; r = r->after) {
		struct slice ip = replica_address(r);
		time_t lag = r->state == REPLICA_ONLINE ? loop_now() - r->heard : 0;
		buffer_print(to,
			     "slave%zu:ip=%.*s,port=%" PRIu64 ",state=%s,offset=%" PRId64
			     ",lag=%lld\r\n",
			     i++, (int)ip.len, ip.data, r->port, states[r->state], r->offset,
			     (long long)lag);
	}
}

void replication_info(struct buffer *to)
{
	buffer_print(to, "role:%s\r\n", config_is_replica() ? "slave" : "master");
	if (config_is_replica())
		print_link(to);
	buffer_print(to, "connected_slaves:%zu\r\n", replicas_count());
	print_replicas(to);
	buffer_print(
	    to,
	    "master_failover_state:no-failover\r\nmaster_replid:%s\r\nmaster_replid2:%s\r\n"
	    "master_repl_offset:%" PRId64 "\r\nsecond_repl_offset:%" PRId64
	    "\r\nrepl_backlog_active:%d\r\nrepl_backlog_size:%" PRId64
	    "\r\nrepl_backlog_first_byte_offset:%" PRId64 "\r\nrepl_backlog_histlen:%" PRId64
	    "\r\nrepl_last_error:%s\r\n",
	    stream.id, stream.former_id, stream.offset,
	    stream.former_end < 0 ? -1 : stream.former_end + 1, stream.backlog != NULL,
	    BACKLOG_SIZE, stream.backlog ? stream.backlog_first + 1 : 0,
	    stream.backlog ? stream.offset - stream.backlog_first : 0, replicas_error());
}
