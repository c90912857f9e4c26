/* SPDX-License-Identifier: BSD-2-Clause */
/* servers.h - for tests of cowkv: starts a cowkv or a real redis-server, talks to it, and stops
   it. */
#ifndef COWARENA_TESTS_COWKV_SERVERS_H
#define COWARENA_TESTS_COWKV_SERVERS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum server_kind { COWKV, REDIS };

/* Bytes that came in. data[at .. len - 1] have not been used yet. */
struct bytes {
	char *data;
	size_t at, len, room;
};

struct server {
	enum server_kind kind;
	pid_t pid;
	int port;
	char dir[64];       /* its working directory, with its log in it */
	bool shares_dir;    /* the directory is another server's, and stays */
	redisContext *link; /* a connection to the server, or NULL */
	struct bytes in;    /* what was read from the link as raw bytes */
};

/* The path of a real redis-server, which is to be executed under the name redis-server. Returns
   NULL, with *why, if there is none. */
const char *servers_redis(const char **why);

/* For main(): makes standard output line-buffered. Returns false if there is no redis-server, after
   a line that says why the test is skipped. */
bool servers_need_redis(void);

/*
 * Start a server on a free port of 127.0.0.1, with these additional arguments (ended by NULL; NULL
 * for none), and wait until it answers. It works in a directory of its own, or in `dir`, and ends
 * with the process that started it. servers_start() fails the test if that does not work.
 */
struct server *servers_start(enum server_kind kind, const char *const args[]);
struct server *servers_start_in(enum server_kind kind, const char *dir, const char *const args[]);

/* Connect the link again; connect a socket for raw bytes. */
void servers_connect(struct server *s);
int servers_socket(const struct server *s);

/* Send a signal (0: none), wait until the server has ended, and return the status from waitpid().
   The directory stays. */
int servers_end(struct server *s, int signo);

void servers_print_log(const struct server *s);

/* End a server if it runs, and remove its directory. */
void servers_free(struct server *s);

/* Run a server that is expected to leave at once. `output` (size bytes) gets what it printed.
   Returns the status from waitpid(). */
int servers_run(enum server_kind kind, const char *const args[], char *output, size_t size);

/* Run a command, in the format of redisCommand(). Fails the test if there is no answer. The caller
   frees the reply with freeReplyObject(). */
redisReply *servers_call(struct server *s, const char *format, ...);

/* Run a command that answers with a number (or the text of one); run a command that must not
   fail. */
long long servers_number(struct server *s, const char *format, ...);
void servers_ok(struct server *s, const char *format, ...);

/* Wait for a condition that asks a server. */
#define SERVERS_AWAIT(condition, what)                                                             \
	for (unsigned long tries_ = 0; !(condition); tries_ += 9, usleep(9000))                    \
		if (!await_nap(&tries_))                                                           \
	ck_abort_msg("this did not come: %s", what)

/* SAVE, after a save in the background has ended. */
void servers_save(struct server *s);

/* A number of INFO; -1 if it has no such field. */
long long servers_info(struct server *s, const char *field);

/* The bytes of one whole reply, not interpreted. They are valid until the next call. */
const char *servers_raw_reply(struct server *s, size_t *len);
void servers_send(struct server *s, const char *data, size_t len);

/* The length of the reply at the start of data; 0 if the reply is incomplete. */
size_t servers_reply_length(const char *data, size_t len);

#endif
