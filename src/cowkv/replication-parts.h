/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replication-parts.h - what the files of replication.h share.
 *
 * replication.c is the stream of changes: its identity, its offset, and the backlog of what was sent last.
 * replication-master.c has the replicas, replication-transfer.c sends them their snapshots.
 * replication-replica.c is the link to a master, replication-receive.c the snapshot that it sends.
 * replication-place.c is where the data stand in the stream, in files of them.
 * replication-info.c tells about all that, and has the commands of operators.
 */
#ifndef COWKV_REPLICATION_PARTS_H
#define COWKV_REPLICATION_PARTS_H

#include "replication.h"
#include "stream.h"

#include <stdatomic.h>

/* ---- replicas ---- */

enum replica_state {
	REPLICA_SHAKES_HANDS, /* has said REPLCONF, perhaps */
	REPLICA_WAITS,        /* for the next transfer */
	REPLICA_RECEIVES,     /* its snapshot, from the thread of the transfer */
	REPLICA_LOADS,        /* has it all; is sent the stream when it acknowledges */
	REPLICA_ONLINE
};

struct replica {
	struct client *client;
	struct replica *before, *after; /* of all, in the order in which they came */
	enum replica_state state;
	char address[256]; /* that it wants to be known by; "": where it comes from */
	uint64_t port;
	bool eof;       /* can take a snapshot whose size is not known before */
	bool psync;     /* knows +FULLRESYNC */
	bool acked;     /* has loaded its snapshot, before we knew that all of it was sent */
	int64_t offset; /* of its last acknowledgement */
	time_t heard;   /* signs of life that are not to be seen in client->last */
	time_t over_soft;
	struct target *target; /* of the transfer that it receives */
};

/* All that are in a state of REPLICA_WAITS or later. Their clients are of CLIENT_REPLICA. */
extern struct replica *replicas;

/* One replica of a transfer. The thread has a descriptor of its own, so that the client may go at any time. */
struct target {
	struct client *client; /* the main thread's; NULL when it has gone */
	int fd;
	bool eof, psync;
	_Atomic bool gone;
	bool failed; /* the thread's */
};

/* Beyond that a replica is too far behind; and beyond the other if it stays so. */
#define REPLICA_OUT_HARD ((size_t)256 << 20)
#define REPLICA_OUT_SOFT ((size_t)64 << 20)

/* Bytes of the stream for all that have their snapshot, or are receiving it. */
void replicas_send(const char *data, size_t n);

/* All of them have to ask anew. */
void replicas_close(void);

/* The commands of replicas. */
void replica_psync(struct client *c);
void replica_sync(struct client *c);
void replica_replconf(struct client *c);

/* It acknowledges, and does so when its snapshot is loaded. */
void replica_has_loaded(struct client *c);

bool transfer_running(void);

/* Why the last snapshot that they have not got was given up; "" if there was none. */
const char *transfer_error(void);

/* Take a snapshot and send it to all replicas that wait. */
void transfer_begin(void);
void transfer_init(void);
void transfer_wait(void);

/* ---- the link to a master ---- */

void link_cron(void);
void link_close(void);
/* Tell our master how far we are. */
void link_acknowledge(void);
/* Of its commands, these bytes have been run, or queued. */
void link_applied(struct client *c, const char *data, size_t n);
/* It sends what we cannot run: not to be followed until it is something else. */
void link_refuse(const char *why);
/* Follow that master; NULL: none. */
void link_to(const char *host, uint64_t port);
void link_lost(struct client *c);
void link_info(struct buffer *to);
bool link_up(void);
/* In a word, for ROLE. */
const char *link_state(void);

#endif
