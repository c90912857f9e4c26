/* SPDX-License-Identifier: BSD-2-Clause */
/* counters.h - what INFO counts since the start, or since CONFIG RESETSTAT. db.h counts the
   keys. */
#ifndef COWKV_COUNTERS_H
#define COWKV_COUNTERS_H

#include <stdint.h>

struct counters {
	uint64_t commands;              /* commands run */
	uint64_t connections, rejected; /* clients accepted; clients turned away */
	/* Replicas that were sent all data; that continued in the stream; that asked to, but could
	   not. */
	uint64_t sync_full, sync_partial_ok, sync_partial_err;
};
extern struct counters counters;

#endif
