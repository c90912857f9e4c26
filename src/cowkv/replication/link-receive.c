/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link-receive.c - receives a master's snapshot into a file, and loads the file when it is
 * complete.
 *
 * A snapshot of our own keeps the old data until the loading has succeeded. If the file is damaged,
 * the server goes on with the old data.
 */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/random-id.h"
#include "base/settings.h"
#include "commands/command.h"
#include "data/stream.h"
#include "rdb/rdb.h"
#include "replication/link.h"
#include "replication/replicas.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- loading ---- */

/* Loading takes a while, and nothing else runs meanwhile: tell the master each second that we are
   alive. */
static ssize_t from_file(void *ctx, void *data, size_t n)
{
	time_t *told = ctx, now = time(NULL);

	if (now != *told && send(link_.fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		*told = now;
	return read(link_.file, data, n);
}

static bool read_file(struct rdb_read_result *result)
{
	const struct rdb_read_options options = {.keep_expired = true, .size = link_.received};
	time_t told = time(NULL);
	const struct rdb_source source = {from_file, &told};

	if (lseek(link_.file, 0, SEEK_SET)) {
		*result = (struct rdb_read_result){.error = "the file cannot be read"};
		return false;
	}
	return rdb_read(&source, &options, result);
}

/* All data are lost. Our replicas must not believe that nothing has happened. */
static void lose_all(void)
{
	log_line(LOG_WARNING, "The data there were could not be kept: there are none now");
	db_flush();
	stream_reset();
	replicas_close();
	stream.known = false;
}

/* Load what was received, and keep the old data until that has succeeded. */
static bool load(void)
{
	struct rdb_read_result result;
	struct db *before = db;

	heap_stale();
	cowarena_snapshot *kept = cowarena_snapshot_take(heap, 0);
	if (!kept)
		log_line(LOG_WARNING,
			 "The data there are cannot be kept while others are loaded: %s",
			 cowarena_errmsg());
	db_flush();
	bool loaded = read_file(&result);
	if (loaded) {
		log_line(LOG_NOTICE, "MASTER <-> REPLICA sync: %" PRIu64 " keys loaded",
			 result.keys);
	} else {
		log_line(LOG_WARNING, "The snapshot of the master cannot be loaded: %s",
			 result.error);
		if (kept && cowarena_rollback(heap, kept) == 0)
			db = before;
		else
			lose_all();
	}
	cowarena_snapshot_release(kept);
	heap_stale();
	return loaded;
}

static void end_snapshot(void)
{
	ev_io_stop(main_loop, &link_.io);
	if (!load()) {
		link_fail_late();
		link_give_up("it is asked again in %lld s", (long long)link_.pause);
		return;
	}
	close(link_.file);
	link_.file = -1;
	/* The data now have another history: our replicas must begin anew. */
	replicas_close();
	stream_follow(link_.id, link_.offset);
	db_changes++;
	link_begin_stream();
	link_acknowledge(); /* at once, since the master's stream waits for it */
}

/* ---- receiving ---- */

static int open_file(void)
{
	char path[64];

	snprintf(path, sizeof path, "temp-replica-%d.rdb", (int)getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		link_give_up("%s: %s", path, strerror(errno));
	else
		unlink(path);
	return fd;
}

void receive_begin(const char *line)
{
	int64_t size = 0;

	link_.marked = strncmp(line, "$EOF:", 5) == 0 && strlen(line) == 5 + RANDOM_ID;
	if (link_.marked) {
		memcpy(link_.mark, line + 5, RANDOM_ID);
	} else if (*line != '$' ||
		   !slice_integer((struct slice){line + 1, strlen(line + 1)}, &size) || size < 0) {
		link_give_up("it said '%.80s' in place of a snapshot", line);
		return;
	}
	link_.size = (uint64_t)size;
	link_.received = 0;
	memset(link_.tail, 0, sizeof link_.tail);
	link_.file = open_file();
	if (link_.file >= 0)
		link_.step = STEP_SNAPSHOT;
}

static bool write_file(const char *data, size_t n)
{
	while (n) {
		ssize_t done = write(link_.file, data, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			int e = errno;
			link_fail_late();
			link_give_up("its snapshot cannot be written: %s", strerror(e));
			return false;
		}
		data += done;
		n -= (size_t)done;
	}
	return true;
}

/* Keep the last bytes received, to compare them with the mark. */
static void keep_tail(const char *data, size_t n)
{
	if (n >= RANDOM_ID) {
		memcpy(link_.tail, data + n - RANDOM_ID, RANDOM_ID);
		return;
	}
	memmove(link_.tail, link_.tail + n, RANDOM_ID - n);
	memcpy(link_.tail + RANDOM_ID - n, data, n);
}

/* A snapshot whose file is larger than the arena would not fit into it: the rest need not come. */
static bool is_too_large(void)
{
	if (link_.received <= config.capacity && (link_.marked || link_.size <= config.capacity))
		return false;
	link_fail_late();
	link_give_up("its snapshot is larger than our --capacity");
	return true;
}

void receive_some(void)
{
	size_t n = buffer_size(&link_.in);

	if (!link_.marked && n > link_.size - link_.received)
		n = (size_t)(link_.size - link_.received);
	if (is_too_large() || !write_file(link_.in.data + link_.in.at, n))
		return;
	keep_tail(link_.in.data + link_.in.at, n);
	link_.received += n;
	buffer_take(&link_.in, n);
	if (!link_.marked && link_.received == link_.size) {
		end_snapshot();
	} else if (link_.marked && link_.received >= RANDOM_ID &&
		   memcmp(link_.tail, link_.mark, RANDOM_ID) == 0) {
		link_.received -= RANDOM_ID;
		if (ftruncate(link_.file, (off_t)link_.received))
			link_give_up("its snapshot cannot be cut: %s", strerror(errno));
		else
			end_snapshot();
	}
}
