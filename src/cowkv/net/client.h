/* SPDX-License-Identifier: BSD-2-Clause */
/* client.h - a connection: what came in, what goes out, and what it has said before. */
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

/* What a client is to the server: normal, a replica, our master. Whoever makes a client chooses its
   kind. */
struct client_kind {
	const char *name; /* for CLIENT KILL TYPE */
	char flag;        /* in CLIENT LIST */
	bool answered;    /* the client is sent replies */
	bool bounded; /* no more requests are read while the client leaves many answers unread */

	/* Run the request in c->argv. */
	void (*run)(struct client *c);

	/* The client has sent what is no request, and is closed for that: tell it why. */
	void (*garbled)(struct client *c, const char *why);

	/* NULL, or called after run(): the request was the first n bytes of c->in. */
	void (*ran)(struct client *c, size_t n);

	/* NULL, or whether what is in c->out may go out now. */
	bool (*may_send)(const struct client *c);

	/* NULL, or called when the client becomes another kind, or is about to be freed. */
	void (*gone)(struct client *c);
};

struct client {
	struct client *before, *after; /* of all clients */
	uint64_t id;
	int fd;
	const struct client_kind *kind;
	void *kind_data; /* what the kind keeps of this client, or NULL: freed with the client */
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
	bool closing;              /* it is closed when `out` has been sent */
	bool dead;                 /* it is closed after the command that is running */
	bool failed;               /* it was sent an error: reply_failed() */
	bool waiting;              /* in the list of those with something to send */
	struct client *next_waiting;

	struct queue queue; /* open from MULTI to EXEC */
};

extern struct client *clients;
extern size_t client_count;

/* Make a client of a connection. It need not say a password. Returns NULL, with fd closed, if there
   is no memory. */
struct client *client_new(int fd, const struct client_kind *kind);

/* Have a client be of another kind from now on. */
void client_become(struct client *c, const struct client_kind *kind);

/* Close a client: at once, or if its command is running, after that command. */
void client_close(struct client *c);

/* Parse and run what has come in. */
void client_process(struct client *c);

/* There is something in c->out: send it before the event loop waits again. The functions of reply.h
   call this. */
void client_wants_to_send(struct client *c);

/* Send answers to all clients that wait for some. Called before the event loop waits. */
void client_send_all(void);

/* Every second: close clients that do not take their last answer, and give memory of buffers
   back. */
void client_cron(void);

/* Bytes in all buffers of all clients. */
size_t client_memory(void);

#endif
