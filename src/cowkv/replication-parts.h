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

#include "random-id.h"
#include "replication.h"

#include <stdatomic.h>

/* ---- the stream ---- */

struct stream {
	char id[RANDOM_ID + 1];
	/* The one that ours goes on from, valid up to this offset: replicas of the master that we were a
	   replica of need no full synchronisation. */
	char former_id[RANDOM_ID + 1];
	int64_t former_end;
	int64_t offset; /* bytes sent since the stream began */

	char *backlog;         /* the last of them, as a ring; NULL until there is a replica */
	int64_t backlog_first; /* offset of its first byte */
	bool select;           /* SELECT 0 goes first: a replica is new */
	bool differs;          /* the data are not what it says: a restart is the end of it */
};
extern struct stream stream;

#define BACKLOG_SIZE ((int64_t)1 << 20)
#define OFFSET_MAX (INT64_MAX / 2) /* of what others say */
#define NO_ID "0000000000000000000000000000000000000000"

/* Begin another stream, at the same offset; what was sent so far stays valid under the former id. */
void stream_new_id(void);

/* The same under a name that is given. */
void stream_rename(const char *id);

/* Go on with a master's stream, whose data have just been loaded. What was sent so far is no part of it. */
void stream_follow(const char *id, int64_t offset);

/* Begin another, which has nothing to do with what was sent so far. */
void stream_reset(void);

/* Bytes of the stream: into the backlog, and to the replicas. */
void stream_add(const char *data, size_t n);

void stream_open_backlog(void);

/* Whether what comes after that offset can be sent from the backlog, to one who knows the stream by this name. */
bool stream_has(struct slice id, int64_t offset);

/* Append it to a client's output. */
void stream_copy(struct client *c, int64_t offset);

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
/* The data are those of the stream, up to its offset: a master may go on from there. */
void link_know(void);
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
