/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - the link to our master.
 *
 * link-keep.c makes the link, and each second makes it again if it broke. link-handshake.c asks the
 * master to continue where its stream broke off. If the master cannot, it sends a snapshot
 * (link-receive.c). Then a client takes the connection, and its commands are the stream
 * (link-follow.c).
 */
#ifndef COWKV_LINK_H
#define COWKV_LINK_H

#include "base/random-id.h"
#include "net/client.h"

enum step {
	STEP_NONE, /* no link; link_cron() makes one */
	STEP_CONNECTING,
	STEP_PING,
	STEP_AUTH,
	STEP_PORT,
	STEP_CAPA,
	STEP_PSYNC,
	STEP_SIZE, /* waits for the line before the snapshot */
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
	struct buffer held; /* an unfinished transaction, which is not counted yet */
	time_t down_since, next_try, pause;
	unsigned tries;

	/* The snapshot that is received. */
	char id[RANDOM_ID + 1];
	int64_t offset;
	int file; /* without a name, so that it goes however the process ends */
	uint64_t size, received;
	char mark[RANDOM_ID], tail[RANDOM_ID]; /* the mark that ends it; its last bytes so far */
	bool marked;                           /* a mark ends it; its size is unknown */
};
extern struct link link_;

/* Whether our master's stream is coming in. */
bool link_up(void);

/* Close the link, whatever its step. link_give_up() also logs why. */
void link_hang_up(void);
__attribute__((format(printf, 1, 2))) void link_give_up(const char *format, ...);

/* An attempt failed after much work: wait before the next one, longer each time. */
void link_fail_late(void);

/* ---- link-follow.c ---- */

/* Make a client for the connection, which runs the stream. */
void link_begin_stream(void);

/* Tell our master the offset up to which its stream has been run. */
void link_acknowledge(void);

/* ---- link-receive.c ---- */

/* Take the line before the snapshot. Take what has come of the snapshot, in link_.in. */
void receive_begin(const char *line);
void receive_some(void);

/* ---- link-handshake.c ---- */

/* Connect and begin the handshake. */
void link_start(void);

/* ---- link-keep.c ---- */

/* Called every second. Makes the link if there is none, and gives it up if nothing comes. */
void link_cron(void);

/* Become a replica of that master; of none if host is NULL. */
void link_to(const char *host, uint64_t port);

#endif
