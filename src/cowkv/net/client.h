/* SPDX-License-Identifier: BSD-2-Clause */
/* client.h - a connection: its input and output, and its state. */
#ifndef COWKV_CLIENT_H
#define COWKV_CLIENT_H

#include "base/buffer.h"
#include "net/queue.h"
#include "net/resp.h"

#include <ev.h>
#include <time.h>

struct client;
struct command;

/* A client is closed when its unread answers exceed this. */
#define CLIENT_OUT_MAX ((size_t)1 << 30)

/* What a client is to the server: normal, a replica, or our master. Whoever makes a client chooses
   its kind. */
struct client_kind {
	const char *name; /* for CLIENT KILL TYPE */
	char flag;        /* in CLIENT LIST */
	bool answered;    /* the client is sent replies */
	bool bounded; /* no more requests are read while the client leaves many answers unread */

	/* Runs the request in c->argv. */
	void (*run)(struct client *c);

	/* Tells a client why its input is not a request. The client is closed after that. */
	void (*garbled)(struct client *c, const char *why);

	/* Called after run(), unless NULL: the request was the first n bytes of c->in. */
	void (*ran)(struct client *c, size_t n);

	/* Whether c->out may be sent now; NULL for always. */
	bool (*may_send)(const struct client *c);

	/* Called when the client becomes another kind, or is about to be freed, unless NULL. */
	void (*gone)(struct client *c);
};

struct client {
	struct client *before, *after; /* the list of all clients */
	uint64_t id;
	int fd;
	const struct client_kind *kind;
	void *kind_data; /* data that the kind keeps for this client; freed with the client */
	ev_io reading, writing;
	struct buffer in, out;
	struct resp request;
	time_t since, last; /* in seconds, as ev_now() */
	char *name, peer[64];

	/* The running command. */
	const struct command *command;
	struct slice *argv;
	size_t argc, argv_room;

	bool authenticated, local; /* local: connected from this machine */
	bool closing;              /* close it when `out` has been sent */
	bool dead;                 /* close it after the running command */
	bool failed;               /* it was sent an error: see reply_failed() */
	bool waiting;              /* it is in the list of clients with something to send */
	struct client *next_waiting;

	struct queue queue; /* open from MULTI to EXEC */
};

extern struct client *clients;
extern size_t client_count;

/* Make a client for a connection. It need not give a password yet. Returns NULL, with fd closed, if
   there is no memory. */
struct client *client_new(int fd, const struct client_kind *kind);

/* Change the kind of a client. */
void client_become(struct client *c, const struct client_kind *kind);

/* Close a client: at once, or after its command if one is running. */
void client_close(struct client *c);

/* Parse and run the requests that have come in. */
void client_process(struct client *c);

/* Have c->out sent before the event loop next waits. The functions of reply.h call this. */
void client_wants_to_send(struct client *c);

/* Send the answers that clients wait for. Called before the event loop waits. */
void client_send_all(void);

/* Called every second. Closes clients that do not read their last answer, and frees unused memory
   of buffers. */
void client_cron(void);

/* Bytes in the buffers of all clients. */
size_t client_memory(void);

#endif
