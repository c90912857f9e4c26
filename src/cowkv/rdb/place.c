/* SPDX-License-Identifier: BSD-2-Clause */
/* place.c - see place.h. */
#include "config.h"

#include "base/log.h"
#include "base/random-id.h"
#include "base/settings.h"
#include "data/stream.h"
#include "rdb/place.h"

#include <inttypes.h>
#include <string.h>

/* Whether the position can be used. In a database other than 0, the stream may go on without
   another SELECT. */
static bool is_place(const struct rdb_read_result *file)
{
	return strspn(file->repl_id, "0123456789abcdefABCDEF") == RANDOM_ID &&
	       file->repl_offset >= 0 && file->repl_offset <= OFFSET_MAX && file->repl_db == 0;
}

void place_adopt(const struct rdb_read_result *file)
{
	/* Keys that expired before the position was known were dropped without a DEL in the
	   stream. */
	if (stream.backlog || !is_place(file) || file->expired)
		return;
	stream_follow(file->repl_id, file->repl_offset);
	/* A master begins a new stream here: it may have sent other changes after the file was
	   made. */
	if (!config_is_replica())
		stream_new_id();
	stream_know();
	log_line(LOG_NOTICE, "The data stand at %s:%" PRId64 " in a stream of replication",
		 file->repl_id, file->repl_offset);
}
