/* SPDX-License-Identifier: BSD-2-Clause */
/* counters.h - what INFO counts since the start, or since CONFIG RESETSTAT. Keys are counted in
   db.h. */
#ifndef COWKV_COUNTERS_H
#define COWKV_COUNTERS_H

#include <stdint.h>

struct counters {
	uint64_t commands;              /* run */
	uint64_t connections, rejected; /* accepted; turned away */
	/* Replicas that asked for all data; for the rest of the stream, and got it; and did not
	   get it. */
	uint64_t sync_full, sync_partial_ok, sync_partial_err;
};
extern struct counters counters;

#endif
