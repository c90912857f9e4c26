/* SPDX-License-Identifier: BSD-2-Clause */
/* replicas.h - the replicas of this server: clients that are sent the stream of changes. */
#ifndef COWKV_REPLICAS_H
#define COWKV_REPLICAS_H

#include "net/client.h"

enum replica_state {
	REPLICA_SHAKES_HANDS, /* has said REPLCONF, perhaps: still a client like others */
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

/* All replicas, whose state is REPLICA_WAITS or later. */
extern struct replica *replicas;
size_t replicas_count(void);

/* What is known of a client that may become a replica; made at the first call. */
struct replica *replica_of(struct client *c);

/* Whether a client is a replica. */
bool replica_is(const struct client *c);

/* The address that a replica has told; if it has told none, the one that it comes from. */
struct slice replica_address(const struct replica *r);

/* Make a client a replica. */
struct replica *replicas_add(struct client *c, enum replica_state state, bool psync);

/* A replica has acknowledged an offset: it has loaded its snapshot. */
void replica_has_loaded(struct replica *r);

/* Close all replicas: they have to ask anew. */
void replicas_close(void);

/* Why the last snapshot that was given up on its way to replicas was given up; "" if none was. */
const char *replicas_error(void);

void replicas_init(void);

/* Every second. */
void replicas_cron(void);

/* Give up the snapshot that is being sent, and wait for its thread. */
void replicas_stop(void);

#endif
