/* SPDX-License-Identifier: BSD-2-Clause */
/* save.h - saving, by a snapshot and a thread that writes it to the file; loading. */
#ifndef COWKV_SAVE_H
#define COWKV_SAVE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* What INFO shows. */
struct save_state {
	bool running, last_failed, scheduled; /* scheduled: begin a save as soon as possible */
	time_t last;                          /* when a save last succeeded */
	time_t started;                       /* when the running save began */
	time_t tried;                         /* when a save last began, successful or not */
	int64_t last_seconds;                 /* duration of the last save; -1 if there was none */
	uint64_t changes_at_cut;              /* db_changes when the snapshot was taken */
	uint64_t snapshot_usec;               /* pause for the last snapshot */
	uint64_t cow_bytes;                   /* held by the last save's snapshot at its end */
	uint64_t cow_peak;                    /* most that the running save's snapshot has held */
	uint64_t keys;                        /* keys written by the last save */
	char error[256];                      /* why a save last failed */
};
extern struct save_state save_state;

void save_init(void);

/* Begin to save in the background. Returns false if a save is running already, or on failure, with
   save_state.error. */
bool save_begin(void);

/* Wait until the running save has ended. */
void save_wait(void);

/* Save in the foreground: the server waits. */
bool save_now(void);

/* Called ten times a second. Begins a save if a rule demands it. */
void save_cron(void);

/* Load config.dbfilename at the start. Returns false if the file is damaged: then the server does
   not start, so that nothing overwrites the file. */
bool save_load(void);

#endif
