/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replication-place.c - where the data stand in the stream: what a file of them says, and what becomes of that at a start.
 *
 * The offset counts what has been run, and nothing else, and files are begun between commands: so what a file says is exact,
 * whenever it was made.
 */
#include "config.h"

#include "log.h"
#include "random-id.h"
#include "replication-parts.h"
#include "settings.h"

#include <inttypes.h>
#include <string.h>

bool replication_position(char id[RDB_REPL_ID + 1], int64_t *offset)
{
	/* Without a backlog changes were not counted, as there was nobody to follow them. */
	if (!stream.backlog || stream.differs)
		return false;
	memcpy(id, stream.id, sizeof stream.id);
	*offset = stream.offset;
	return true;
}

void replication_is_other(void)
{
	stream.differs = true;
}

/* Whether the place can be believed. Of another database than 0 the stream may go on with, and would not say so again. */
static bool is_place(const struct rdb_read_result *file)
{
	return strspn(file->repl_id, "0123456789abcdefABCDEF") == RANDOM_ID &&
	       file->repl_offset >= 0 && file->repl_offset <= OFFSET_MAX && file->repl_db == 0;
}

void replication_adopt(const struct rdb_read_result *file)
{
	/* Keys that went before the place was known went without a word. */
	if (stream.backlog || !is_place(file) || file->expired)
		return;
	stream_follow(file->repl_id, file->repl_offset);
	/* A master goes its own way from here: it may have gone another one after the file was made. */
	if (!config_is_replica())
		stream_new_id();
	link_know();
	log_line(LOG_NOTICE, "The data stand at %s:%" PRId64 " in a stream of replication",
		 file->repl_id, file->repl_offset);
}
