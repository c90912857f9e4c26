/* SPDX-License-Identifier: BSD-2-Clause */
/* servers.h - for tests of cowkv: start a cowkv or a real redis-server, talk to it, and stop it. */
#ifndef COWARENA_TESTS_COWKV_SERVERS_H
#define COWARENA_TESTS_COWKV_SERVERS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum server_kind { COWKV, REDIS };

/* Bytes that came in: data[at .. len - 1] are still to be looked at. */
struct bytes {
	char *data;
	size_t at, len, room;
};

struct server {
	enum server_kind kind;
	pid_t pid;
	int port;
	char dir[64];       /* its working directory, with its log in it */
	bool shares_dir;    /* which is another's, and stays */
	redisContext *link; /* one connection to it; NULL without one */
	struct bytes in;    /* of what was read from the link in the raw */
};

/* Where a real redis-server is: its path, to be executed under the name redis-server; NULL, with
   *why, if nowhere. */
const char *servers_redis(const char **why);

/* For main(): lines come out as they are written; false, having said why the test is skipped,
   if there is none. */
bool servers_need_redis(void);

/*
 * Start one on a free port of 127.0.0.1 with these arguments besides (up to a NULL; NULL for none),
 * and wait until it answers. It works in a directory of its own, or in `dir`. It ends with the
 * process that started it. servers_start() fails the test if that does not work.
 */
struct server *servers_start(enum server_kind kind, const char *const args[]);
struct server *servers_start_in(enum server_kind kind, const char *dir, const char *const args[]);

/* Connect anew: the link, or a socket to use in the raw. */
void servers_connect(struct server *s);
int servers_socket(const struct server *s);

/* Send a signal (0: none), wait until it has ended, and return what waitpid() said. The directory
   stays. */
int servers_end(struct server *s, int signo);

void servers_print_log(const struct server *s);

/* End it if it runs, and remove its directory. */
void servers_free(struct server *s);

/* Run a server that is expected to leave at once; what it said is in output (size bytes). Returns
   what waitpid() said. */
int servers_run(enum server_kind kind, const char *const args[], char *output, size_t size);

/* Run a command, in the format of redisCommand(); fails the test if there is no answer. The caller
   frees it: freeReplyObject(). */
redisReply *servers_call(struct server *s, const char *format, ...);

/* The same, for what answers with a number (or a text that is one), and with "OK" or any other
   text. */
long long servers_number(struct server *s, const char *format, ...);
void servers_ok(struct server *s, const char *format, ...);

/* Wait until a condition is true that costs a question to a server. */
#define SERVERS_AWAIT(condition, what)                                                             \
	for (unsigned long tries_ = 0; !(condition); tries_ += 9, usleep(9000))                    \
		if (!await_nap(&tries_))                                                           \
	ck_abort_msg("this did not come: %s", what)

/* SAVE, when no save in the background is running any more. */
void servers_save(struct server *s);

/* A number of INFO; -1 if it has no such field. */
long long servers_info(struct server *s, const char *field);

/* The bytes of one whole reply, which stay until the next call: without them being interpreted. */
const char *servers_raw_reply(struct server *s, size_t *len);
void servers_send(struct server *s, const char *data, size_t len);

/* Length of the reply that data begins with; 0 if it is not all there. */
size_t servers_reply_length(const char *data, size_t len);

#endif
