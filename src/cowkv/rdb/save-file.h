/* SPDX-License-Identifier: BSD-2-Clause */
/* save-file.h - the data into a file, so that there is either the file from before or all of the
   new one. */
#ifndef COWKV_SAVE_FILE_H
#define COWKV_SAVE_FILE_H

#include "rdb/rdb.h"

struct save_file {
	int dir;        /* the directory: that of the process may be another by the end */
	char name[256]; /* in it */
	struct rdb_write_options options;
	char repl_id[RDB_REPL_ID + 1];
	uint64_t keys; /* written */
	char error[256];
};

/* Look where to write, and how: as the settings are now. Main thread. */
bool save_file_begin(struct save_file *f);

/* Write. Any thread. cut: of which the data are; NULL for the live heap. */
bool save_file_write(struct save_file *f, const struct rdb_data *data, const struct rdb_cut *cut);

/* Main thread. */
void save_file_end(struct save_file *f);

#endif
