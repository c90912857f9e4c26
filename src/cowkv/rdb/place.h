/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * place.h - restores the position in the stream of changes (stream.h) from a file of the data.
 *
 * The offset counts only what has been run, and files are begun between commands. So the position
 * in a file is exact, whenever the file was made.
 */
#ifndef COWKV_PLACE_H
#define COWKV_PLACE_H

#include "rdb/rdb.h"

/* Take the position of the file that is loaded at the start, as far as it has been read. Later
   calls do nothing. */
void place_adopt(const struct rdb_read_result *file);

#endif
