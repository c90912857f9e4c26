/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-disk.h - what a disk may hold of a store after a power cut.
 *
 * disk_record() is an os_store_hook that keeps a log of what the library does to the file. From the
 * log disk_make() makes a file as it may be after a cut at any of these calls: what was not synced
 * is there, or not, in any combination, in parts of 512 bytes, and now and then of 32; the file may
 * be longer without the data (zeros); its name may be lost. What was pending at a sync that failed
 * may be lost though later ones succeed.
 */
#ifndef COWARENA_TESTS_STORE_DISK_H
#define COWARENA_TESTS_STORE_DISK_H

#include "os.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Forget the log. */
void disk_forget(void);

/* A hook; it lets each call through unless disk_fail_at() says otherwise. */
int disk_record(const struct os_store_call *call);

/* Have the n-th change of the file from now on (1: the next) fail with errnum, a write after a part
   of it was done; 0: none. Returns whether the last one has failed. */
bool disk_fail_at(size_t n, int errnum, uint64_t seed);

/* How many calls there were so far. */
size_t disk_calls(void);

/*
 * Make the file as it may be if the power is cut after so many calls, of which the last has not
 * ended unless all have. Returns whether it has its name.
 */
bool disk_make(const char *path, size_t calls, uint64_t *rng);

#endif
