/* SPDX-License-Identifier: BSD-2-Clause */
/* replicas.h - the replicas of this server: clients that are sent the stream of changes. */
#ifndef COWKV_REPLICAS_H
#define COWKV_REPLICAS_H

#include "net/client.h"

enum replica_state {
	REPLICA_SHAKES_HANDS, /* may have sent REPLCONF; otherwise a client like others */
	REPLICA_WAITS,        /* waits for the next transfer */
	REPLICA_RECEIVES,     /* receives its snapshot, from the transfer's thread */
	REPLICA_LOADS,        /* has its snapshot; the stream waits for its acknowledgement */
	REPLICA_ONLINE
};

struct replica {
	struct client *client;
	struct replica *before, *after; /* list of all, in the order of their coming */
	enum replica_state state;
	char address[256]; /* address that it announced; "" for the one it comes from */
	uint64_t port;
	bool eof;       /* accepts a snapshot of unknown size */
	bool psync;     /* understands +FULLRESYNC */
	bool acked;     /* has loaded its snapshot before the transfer was seen to end */
	int64_t offset; /* its last acknowledgement */
	time_t heard;   /* last sign of life not counted in client->last */
	time_t over_soft;
	struct target *target; /* in the transfer that it receives, if any */
};

/* All replicas in state REPLICA_WAITS or later. */
extern struct replica *replicas;
size_t replicas_count(void);

/* What is known of a client that may become a replica. Made at the first call. */
struct replica *replica_of(struct client *c);

/* Whether a client is a replica. */
bool replica_is(const struct client *c);

/* The address that a replica has announced, or else the one that it comes from. */
struct slice replica_address(const struct replica *r);

/* Make a client a replica. */
struct replica *replicas_add(struct client *c, enum replica_state state, bool psync);

/* A replica has acknowledged an offset, so it has loaded its snapshot. */
void replica_has_loaded(struct replica *r);

/* Close all replicas: they must ask for the data again. */
void replicas_close(void);

/* Why a snapshot for replicas was last given up; "" if none was. */
const char *replicas_error(void);

void replicas_init(void);

/* Called every second. */
void replicas_cron(void);

/* Give up the snapshot that is being sent, and wait for its thread. */
void replicas_stop(void);

#endif
