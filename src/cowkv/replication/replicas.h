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

/* All that are in a state of REPLICA_WAITS or later. */
extern struct replica *replicas;
size_t replicas_count(void);

/* What is kept of a client that may become a replica; made if there is nothing yet. */
struct replica *replica_of(struct client *c);

/* Whether it is one. */
bool replica_is(const struct client *c);

/* Its address: the one that it told, or the one that it comes from. */
struct slice replica_address(const struct replica *r);

/* From now on a client is sent the stream, or will be. */
struct replica *replicas_add(struct client *c, enum replica_state state, bool psync);

/* It acknowledges, and does so when its snapshot is loaded. */
void replica_has_loaded(struct replica *r);

/* All of them have to ask anew. */
void replicas_close(void);

/* Why the last snapshot that they have not got was given up; "" if there was none. */
const char *replicas_error(void);

void replicas_init(void);

/* Every second. */
void replicas_cron(void);

/* No thread sends to them any more. */
void replicas_stop(void);

#endif
