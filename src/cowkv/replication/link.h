/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - the link to our master.
 *
 * link-keep.c has it made, each second if need be. The master is asked to go on where its stream
 * broke off (link-handshake.c). If it cannot, it sends a snapshot (link-receive.c). Then a client
 * has the connection, whose commands are the stream (link-follow.c).
 */
#ifndef COWKV_LINK_H
#define COWKV_LINK_H

#include "base/random-id.h"
#include "net/client.h"

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
	struct buffer held; /* a transaction whose end has not come: it does not count yet */
	time_t down_since, next_try, pause;
	unsigned tries;

	/* The snapshot. */
	char id[RANDOM_ID + 1];
	int64_t offset;
	int file; /* without a name, so that it is gone however we end */
	uint64_t size, received;
	char mark[RANDOM_ID], tail[RANDOM_ID]; /* what ends it; the last bytes that came */
	bool marked;                           /* a mark ends it, and its size is not known */
};
extern struct link link_;

/* Whether our master's stream comes in. */
bool link_up(void);

/* Hang up, whatever the step. Hang up, and log why. */
void link_hang_up(void);
__attribute__((format(printf, 1, 2))) void link_give_up(const char *format, ...);

/* A try has failed after much work: wait before the next one, longer each time. */
void link_fail_late(void);

/* ---- link-follow.c ---- */

/* Make a client of the connection: it runs the stream. */
void link_begin_stream(void);

/* Tell our master the offset up to which its stream has been run. */
void link_acknowledge(void);

/* ---- link-receive.c ---- */

/* Take the line before the snapshot; take what has come of the snapshot since, in link_.in. */
void receive_begin(const char *line);
void receive_some(void);

/* ---- link-handshake.c ---- */

/* Connect, and shake hands. */
void link_start(void);

/* ---- link-keep.c ---- */

/* Each second: make the link if there is none, give it up if nothing comes. */
void link_cron(void);

/* Be a replica of that master; NULL: of none. */
void link_to(const char *host, uint64_t port);

#endif
