/* SPDX-License-Identifier: BSD-2-Clause */
/* replication-link.h - what replication-replica.c and replication-receive.c know about the link to our master. */
#ifndef COWKV_REPLICATION_LINK_H
#define COWKV_REPLICATION_LINK_H

#include "random-id.h"
#include "replication-parts.h"

enum step {
	STEP_NONE, /* no link: it is made at the next turn of the cron */
	STEP_CONNECTING,
	STEP_PING,
	STEP_AUTH,
	STEP_PORT,
	STEP_CAPA,
	STEP_PSYNC,
	STEP_SIZE, /* the line before the snapshot */
	STEP_SNAPSHOT,
	STEP_STREAM /* `master` has the connection */
};

struct link {
	enum step step;
	int fd;
	ev_io io;
	struct buffer in;
	time_t heard;
	struct client *master;
	struct buffer held; /* of a transaction that has no end yet: it does not count so far */
	time_t down_since, next_try, pause;
	unsigned tries;

	/* The snapshot. */
	char id[RANDOM_ID + 1];
	int64_t offset;
	int file; /* without a name, so that it is gone however we end */
	uint64_t size, received;
	char mark[RANDOM_ID], tail[RANDOM_ID]; /* the mark that ends it; the last bytes that came */
	bool marked;                           /* it has one, and no size */
};
extern struct link link_;

/* Hang up, whatever the step; the same with a reason for the log. */
void link_hang_up(void);
__attribute__((format(printf, 1, 2))) void link_give_up(const char *format, ...);

/* What was done in vain took long: let some time pass before the next try, more each time. */
void link_fail_late(void);

/* Make the link. */
void link_start(void);

/* The client that runs the stream takes the connection over. */
void link_begin_stream(void);

/* The line before the snapshot; then what comes of it is in link_.in. */
void receive_begin(const char *line);
void receive_some(void);

#endif
