/* SPDX-License-Identifier: BSD-2-Clause */
/* client.h - a connection: what came in, what goes out, and what it has said before. */
#ifndef COWKV_CLIENT_H
#define COWKV_CLIENT_H

#include "buffer.h"
#include "queue.h"
#include "resp.h"

#include <ev.h>
#include <time.h>

struct command;
struct replica;

/* Of answers that a client does not take: it is closed beyond. */
#define CLIENT_OUT_MAX ((size_t)1 << 30)

enum client_kind {
	CLIENT_NORMAL,
	CLIENT_REPLICA, /* that we send our changes */
	CLIENT_MASTER,  /* that sends us its own */
	CLIENT_NOBODY   /* none: for commands that the server itself runs */
};

struct client {
	struct client *before, *after; /* of all clients */
	uint64_t id;
	int fd;
	enum client_kind kind;
	ev_io reading, writing;
	struct buffer in, out;
	struct resp request;
	time_t since, last; /* seconds of ev_now() */
	char *name, peer[64];

	/* The command that is running. */
	const struct command *command;
	struct slice *argv;
	size_t argc, argv_room;

	bool authenticated, local; /* local: from this machine */
	bool closing;              /* when `out` has gone */
	bool dead;                 /* after the command that is running */
	bool failed;               /* reply_failed() */
	bool waiting;              /* in the list of those with something to send */
	struct client *next_waiting;

	struct queue queue; /* open from MULTI to EXEC */

	struct replica *replica; /* replication.h; CLIENT_REPLICA only */
};

extern struct client *clients;
extern size_t client_count;

/* A connection that was accepted, or made. NULL, with fd closed, if there is no memory. */
struct client *client_new(int fd, enum client_kind kind);

/* Close it; at once, or if it is the one whose command is running, after that. */
void client_close(struct client *c);

/* Parse and run what has come in. */
void client_process(struct client *c);

/* There is something in c->out: it is sent before the loop waits again. The functions of reply.h call this. */
void client_wants_to_send(struct client *c);

/* Before the loop waits: send what clients have been answered. */
void client_send_all(void);

/* Every second: close those that hold too much, or said nothing. */
void client_cron(void);

/* Bytes in all buffers of all clients. */
size_t client_memory(void);

#endif
