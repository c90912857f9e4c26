/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-file-crash.h - cuts the power at every write of an update, and looks at what is left.
 *
 * All writes of a design go through a device that logs them. After an update the file is restored,
 * and then, for each k, gets what a disk may hold if the power goes after k writes:
 *
 *	clean      the first k writes
 *	torn       the same, but of the last one only its first or its last sectors
 *	reordered  all that came before the last fsync, and of the writes since then all but one;
 *	           or each of them whole, in part, or not at all, by chance
 *
 * Then the content is read as after a restart, and compared with plain copies of the old and the
 * new content. Finally the update is done again: it must work after a cut, too.
 */
#ifndef COWARENA_DEMOS_COW_FILE_CRASH_H
#define COWARENA_DEMOS_COW_FILE_CRASH_H

#include "cow-file-store.h"

#include <sys/types.h>

#define UPDATES_MAX 1000

enum kind { CLEAN, TORN, REORDERED, KINDS };
enum state { OLD, NEW, MIXED, STATES };
extern const char *const kind_names[];

struct plan {
	uint64_t blocks, changes, updates; /* in the content; in each update; number of updates */
	uint64_t chances;                  /* random cuts at each write */
};

struct outcome {
	uint64_t cuts[KINDS][STATES];
	uint64_t written, fsyncs; /* by all updates: blocks, and calls */
	uint64_t ns[UPDATES_MAX]; /* for each update, without a cut */
	struct sharing sharing;   /* after the last one */
};

/* Try a design in a file of that directory. Dies if it does not keep its promise. */
struct outcome try_design(const struct design *design, const struct plan *plan, int dir);

/* Open an empty file. */
int open_in(int dir, const char *name);

/* Check the result of pread() or pwrite() of a block: the demo ends unless it is the whole
   block. */
void block_done(ssize_t done);
__attribute__((noreturn)) void file_failed(void);

#endif
