/* SPDX-License-Identifier: BSD-2-Clause */
/* info.h - INFO: Redis' names where there are such, and the arena's. */
#ifndef COWKV_INFO_H
#define COWKV_INFO_H

#include "buffer.h"
#include "slice.h"

/* Print a section; all of them if it has no name, or is "all", "everything" or "default". An unknown one is empty. */
void info_print(struct buffer *to, struct slice section);

#endif
