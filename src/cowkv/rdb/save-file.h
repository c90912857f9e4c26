/* SPDX-License-Identifier: BSD-2-Clause */
/* save-file.h - writes the data to a file, which is replaced in one step: a failure leaves the old
   file. */
#ifndef COWKV_SAVE_FILE_H
#define COWKV_SAVE_FILE_H

#include "rdb/rdb.h"

struct save_file {
	int dir;        /* opened at the start, since CONFIG SET may change the process's own */
	char name[256]; /* file name in `dir` */
	struct rdb_write_options options;
	char repl_id[RDB_REPL_ID + 1];
	uint64_t keys; /* keys written */
	char error[256];
};

/* Take the place and the form of the file from the settings as they are now. Main thread only. */
bool save_file_begin(struct save_file *f);

/* Write the file. Any thread. `cut` is the cut that has the data; NULL for the live heap. */
bool save_file_write(struct save_file *f, const struct rdb_data *data, const struct rdb_cut *cut);

/* Main thread only. */
void save_file_end(struct save_file *f);

#endif
