/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - the stream of changes: each command that has changed data, as bytes. The name and the
 * offset of the stream say where the data stand.
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
	/* The stream that this one goes on from, valid up to this offset: replicas of the master
	   that this server was a replica of need no full synchronisation. */
	char former_id[RANDOM_ID + 1];
	int64_t former_end;
	int64_t offset; /* bytes sent since the stream began */

	char *backlog;         /* the last of them, as a ring; NULL until somebody follows */
	int64_t backlog_first; /* offset of its first byte */
	bool select;           /* SELECT 0 goes first: a replica is new */
	bool differs;          /* the data are not what the stream says: a restart is its end */
	bool known; /* the data are what the stream says: a master may go on from its offset */
};
extern struct stream stream;

#define BACKLOG_SIZE ((int64_t)1 << 20)
#define OFFSET_MAX (INT64_MAX / 2) /* of what others say */

/* Called with all that is added to the stream; NULL: nobody wants it. */
extern void (*stream_sink)(const char *data, size_t n);

/* Once, at the start. */
void stream_init(void);

/* Add a command that has changed data. Does nothing in a replica, which adds the bytes of its
   master as they are. */
void stream_command(const struct slice *argv, size_t argc);

/* Add bytes. */
void stream_add(const char *data, size_t n);

/* Begin another stream at this offset, with a random name; what was sent so far stays valid under
   the former name. */
void stream_new_id(void);

/* Begin another stream at this offset, with this name; what was sent so far stays valid
   likewise. */
void stream_rename(const char *id);

/* Go on with a master's stream, whose data have just been loaded. What was sent so far is no part
   of it. */
void stream_follow(const char *id, int64_t offset);

/* Begin another stream, which has nothing to do with what was sent so far. */
void stream_reset(void);

void stream_open_backlog(void);

/* The data are those of the stream, up to its offset: a master may go on from there. */
void stream_know(void);

/* Where the data stand, for a file of them: false if that is not known, or of no use to anybody. */
bool stream_position(char id[RANDOM_ID + 1], int64_t *offset);

/* The data have become others, and the stream knows nothing of that. */
void stream_differs(void);

/* Whether what comes after that offset can be sent from the backlog, to one who knows the stream by
   this name. */
bool stream_has(struct slice id, int64_t offset);

/* Append what the backlog has after that offset. */
void stream_copy(struct buffer *to, int64_t offset);

#endif
