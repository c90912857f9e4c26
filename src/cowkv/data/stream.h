/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - the stream of changes: the commands that have changed data, as bytes. The id and the
 * offset of the stream identify a state of the data.
 *
 * The backlog keeps the last bytes, for replicas that have missed some. The files of replication/
 * send the stream to replicas, and receive it from a master.
 */
#ifndef COWKV_STREAM_H
#define COWKV_STREAM_H

#include "base/buffer.h"
#include "base/random-id.h"
#include "base/slice.h"

struct stream {
	char id[RANDOM_ID + 1];
	/* The stream that this one continues, valid up to former_end. With it, replicas of this
	   server's former master need no full synchronisation. */
	char former_id[RANDOM_ID + 1];
	int64_t former_end;
	int64_t offset; /* bytes sent since the stream began */

	char *backlog;         /* the last bytes, as a ring; NULL until somebody follows */
	int64_t backlog_first; /* offset of the backlog's first byte */
	bool select;           /* SELECT 0 goes first, since a replica is new */
	bool differs;          /* the data have departed from the stream: files get no position */
	bool known; /* the data are at `offset` of the stream: a master may continue from there */
};
extern struct stream stream;

#define BACKLOG_SIZE ((int64_t)1 << 20)
#define OFFSET_MAX (INT64_MAX / 2) /* the largest that a peer may claim */

/* Called with all that is added to the stream, unless it is NULL. */
extern void (*stream_sink)(const char *data, size_t n);

/* Called once, at the start. */
void stream_init(void);

/* Add a command that has changed data. Does nothing in a replica, which adds its master's bytes
   unchanged. */
void stream_command(const struct slice *argv, size_t argc);

/* Add bytes as they are. */
void stream_add(const char *data, size_t n);

/* Begin a new stream at this offset, with a random id. What was sent so far stays valid under the
   former id. */
void stream_new_id(void);

/* As stream_new_id(), but with this id. */
void stream_rename(const char *id);

/* Continue a master's stream, whose data have just been loaded. What was sent so far is not part of
   it. */
void stream_follow(const char *id, int64_t offset);

/* Begin a new stream, unrelated to what was sent so far. */
void stream_reset(void);

void stream_open_backlog(void);

/* Note that the data are those of the stream at its offset, so that a master may continue from
   there. */
void stream_know(void);

/* The position in the stream to store in a file of the data. Returns false if it is unknown, or of
   no use to anybody. */
bool stream_position(char id[RANDOM_ID + 1], int64_t *offset);

/* Note that the data have changed without the stream. */
void stream_differs(void);

/* Whether the backlog can serve a follower that knows the stream by this id and has all up to
   `offset`. */
bool stream_has(struct slice id, int64_t offset);

/* Append what the backlog has after `offset`. */
void stream_copy(struct buffer *to, int64_t offset);

#endif
