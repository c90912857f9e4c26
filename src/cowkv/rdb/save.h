/* SPDX-License-Identifier: BSD-2-Clause */
/* save.h - saving: a snapshot, and a thread that writes it to the file; loading. */
#ifndef COWKV_SAVE_H
#define COWKV_SAVE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* What INFO tells. */
struct save_state {
	bool running, last_failed, scheduled; /* scheduled: a save is to begin as soon as it can */
	time_t last;                          /* success */
	time_t started;                       /* of the save that is running */
	time_t tried;            /* when the last save was begun, whether it succeeded or not */
	int64_t last_seconds;    /* that the last save took; -1 if there was none yet */
	uint64_t changes_at_cut; /* db_changes when the snapshot was taken */
	uint64_t snapshot_usec;  /* pause of the last snapshot */
	uint64_t cow_bytes;      /* held by the snapshot of the last save at its end */
	uint64_t cow_peak; /* held at most, so far, by the snapshot of the save that is running */
	uint64_t keys;     /* written by the last save */
	char error[256];   /* why the last save that failed has failed */
};
extern struct save_state save_state;

void save_init(void);

/* Begin to save in the background. Returns false if that fails, with save_state.error, or if a save
   is running already. */
bool save_begin(void);

/* Wait until the save that is running has ended. */
void save_wait(void);

/* Save now; the server waits. */
bool save_now(void);

/* Ten times a second: begin a save if a rule says that it is time. */
void save_cron(void);

/* Load config.dbfilename at the start. False if there is a file that is damaged: the server does
   not start then, so that nothing is saved over it. */
bool save_load(void);

#endif
