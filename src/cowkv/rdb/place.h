/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * place.h - where the data stand in the stream of changes (stream.h): what becomes of what a file
 * of them says.
 *
 * The offset counts what has been run, and nothing else, and files are begun between commands: so
 * what a file says is exact, whenever it was made.
 */
#ifndef COWKV_PLACE_H
#define COWKV_PLACE_H

#include "rdb/rdb.h"

/* The data of the file that is loaded at the start stand where the file says, as far as it has been
   read. Calls after the first do nothing. */
void place_adopt(const struct rdb_read_result *file);

#endif
