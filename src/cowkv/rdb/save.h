/* SPDX-License-Identifier: BSD-2-Clause */
/* save.h - saving: a snapshot, and a thread that writes it to the file; loading. */
#ifndef COWKV_SAVE_H
#define COWKV_SAVE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* What INFO tells. */
struct save_state {
	bool running, last_failed;
	time_t last, started, tried; /* of success; of what runs; of what was begun last */
	int64_t last_seconds;        /* of the last one; -1 for none yet */
	uint64_t changes_at_cut;     /* db_changes when the snapshot was taken */
	uint64_t snapshot_usec;      /* pause of the last snapshot */
	uint64_t cow_bytes,
	    cow_peak; /* held for the last save at its end; at most, of the one that runs */
	uint64_t keys;
	bool scheduled;  /* one is to begin as soon as it can */
	char error[256]; /* of the last failure */
};
extern struct save_state save_state;

void save_init(void);

/* Begin to save in the background. Returns false, with save_state.error, if it cannot. One at a
   time. */
bool save_begin(void);

/* Wait until the save that is running has ended. */
void save_wait(void);

/* Save now; the server waits. */
bool save_now(void);

/* Ten times a second: whether a rule says that it is time. */
void save_cron(void);

/* Load config.dbfilename at the start. False if there is a file that is damaged: the server does
   not start then, so that nothing is saved over it. */
bool save_load(void);

#endif
