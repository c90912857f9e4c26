/* SPDX-License-Identifier: BSD-2-Clause */
/* save.c - see save.h. */
#include "config.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "base/thread.h"
#include "data/stream.h"
#include "rdb/crc64.h"
#include "rdb/place.h"
#include "rdb/save-file.h"
#include "rdb/save.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY 5 /* seconds without saves by rules after a failure */
#define MIB 1048576.0

struct save_state save_state = {.last_seconds = -1};

/* The running save. */
static struct {
	pthread_t thread;
	atomic_bool ended;
	ev_async told;
	struct save_file file;
	struct rdb_cut cut;
	uint64_t held;
	bool fine;
} saver;

static bool failed(const char *error)
{
	snprintf(save_state.error, sizeof save_state.error, "%s", error);
	save_state.last_failed = true;
	return false;
}

static void succeeded(uint64_t changes, uint64_t keys)
{
	save_state.last_failed = false;
	save_state.last = time(NULL);
	save_state.keys = keys;
	db_changes -= changes < db_changes ? changes : db_changes;
}

/* ---- in the background ---- */

static void *run(void *unused)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	(void)unused;
	saver.fine = save_file_write(&saver.file, &saver.cut.data, &saver.cut);
	/* Nothing of what was copied has gone yet. The kernel is asked, which takes long. */
	saver.held = cowarena_stats_get(heap, &stats) ? 0 : stats.held_bytes;
	rdb_cut_release(&saver.cut);
	atomic_store(&saver.ended, true);
	ev_async_send(main_loop, &saver.told);
	return NULL;
}

static void complete(void)
{
	pthread_join(saver.thread, NULL);
	rdb_cut_done(&saver.cut);
	save_file_end(&saver.file);
	save_state.running = false;
	save_state.last_seconds = time(NULL) - save_state.started;
	save_state.cow_bytes = saver.held;
	if (saver.held > save_state.cow_peak)
		save_state.cow_peak = saver.held;
	if (!saver.fine) {
		failed(saver.file.error);
		log_line(LOG_WARNING, "Background saving error: %s", save_state.error);
		return;
	}
	succeeded(save_state.changes_at_cut, saver.file.keys);
	log_line(LOG_NOTICE, "DB saved on disk");
	log_line(LOG_NOTICE, "Copy-on-write: %.1f MB at the end, peak %.1f MB",
		 (double)saver.held / MIB, (double)save_state.cow_peak / MIB);
	log_line(LOG_NOTICE, "Background saving terminated with success");
}

static void on_end(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	/* save_wait() may have completed this save already. */
	if (save_state.running && atomic_load(&saver.ended))
		complete();
}

bool save_begin(void)
{
	char error[sizeof save_state.error] = "Background save already in progress";

	if (save_state.running)
		return false;
	save_state.scheduled = false;
	save_state.tried = time(NULL);
	if (!save_file_begin(&saver.file)) {
		snprintf(error, sizeof error, "%s", saver.file.error);
	} else if (rdb_cut_take(&saver.cut, error, sizeof error)) {
		atomic_store(&saver.ended, false);
		int e = thread_start(&saver.thread, run, NULL);
		if (!e) {
			save_state.running = true;
			save_state.started = save_state.tried;
			save_state.changes_at_cut = db_changes;
			save_state.snapshot_usec = saver.cut.usec;
			save_state.cow_peak = 0;
			log_line(LOG_NOTICE, "Background saving started (snapshot: %" PRIu64 " us)",
				 saver.cut.usec);
			return true;
		}
		snprintf(error, sizeof error, "no thread: %s", strerror(e));
		rdb_cut_release(&saver.cut);
		rdb_cut_done(&saver.cut);
	}
	save_file_end(&saver.file);
	log_line(LOG_WARNING, "Can't save in background: %s", error);
	return failed(error);
}

void save_wait(void)
{
	if (save_state.running)
		complete();
}

/* ---- in the foreground ---- */

/* Writes from the live heap, which nobody changes while the main thread is here. */
bool save_now(void)
{
	struct save_file file;
	time_t began = time(NULL);

	save_state.tried = began;
	const struct rdb_data data = rdb_live();
	bool fine = save_file_begin(&file) && save_file_write(&file, &data, NULL);
	save_file_end(&file);
	save_state.last_seconds = time(NULL) - began;
	if (!fine) {
		log_line(LOG_WARNING, "Write error saving DB on disk: %s", file.error);
		return failed(file.error);
	}
	succeeded(db_changes, file.keys);
	log_line(LOG_NOTICE, "DB saved on disk");
	return true;
}

/* ---- by rules ---- */

void save_cron(void)
{
	time_t now = time(NULL);

	if (save_state.running) {
		struct cowarena_stats stats = {.sz = sizeof stats};
		if (cowarena_stats_peek(heap, &stats) == 0 &&
		    stats.held_bytes > save_state.cow_peak)
			save_state.cow_peak = stats.held_bytes;
		return;
	}
	if (save_state.last_failed && now - save_state.tried <= RETRY)
		return;
	if (save_state.scheduled) {
		save_begin();
		return;
	}
	for (size_t i = 0; i < config.save_rules; i++) {
		const struct save_rule *r = &config.save[i];
		if (db_changes < r->changes || now - save_state.last <= (time_t)r->seconds)
			continue;
		log_line(LOG_NOTICE, "%" PRIu64 " changes in %" PRIu64 " seconds. Saving...",
			 r->changes, r->seconds);
		save_begin();
		return;
	}
}

/* ---- loading ---- */

void save_init(void)
{
	if (!crc64_init()) {
		log_line(LOG_WARNING, "The checksum of RDB files comes out wrong");
		abort();
	}
	save_state.last = time(NULL);
	ev_async_init(&saver.told, on_end);
	ev_async_start(main_loop, &saver.told);
}

static struct rdb_read_result loaded;

/* A replica with the data of this file has the expired key too, so the stream must delete it. */
static void on_expired(struct slice key)
{
	const struct slice argv[] = {SLICE("DEL"), key};

	place_adopt(&loaded);
	stream_command(argv, 2);
}

bool save_load(void)
{
	const struct rdb_read_options options = {.keep_expired = *config.master_host != 0,
						 .expired = on_expired};
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	if (!rdb_read_file(config.dbfilename, &options, &loaded)) {
		if (errno == ENOENT)
			return true;
		log_line(LOG_WARNING, "The file '%s' cannot be loaded: %s", config.dbfilename,
			 loaded.error);
		log_line(LOG_WARNING, "Not starting, so that nothing is saved over it");
		return false;
	}
	place_adopt(&loaded);
	/* With huge pages, the first snapshot has little to protect and is quick. */
	cowarena_compact(heap);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (loaded.skipped)
		log_line(LOG_NOTICE, "%" PRIu64 " keys without elements were skipped",
			 loaded.skipped);
	log_line(LOG_NOTICE,
		 "Done loading RDB, keys loaded: %" PRIu64 ", keys expired: %" PRIu64 ".",
		 loaded.keys, loaded.expired);
	log_line(LOG_NOTICE, "DB loaded from disk: %.3f seconds",
		 (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
	return true;
}
