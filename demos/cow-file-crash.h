/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-file-crash.h - cut the power at every write of an update, and look at what is left.
 *
 * All writes of a design go through a device that keeps a log of them. After an update the file is
 * put back to what it was before, and gets what a disk may hold when the power goes after k
 * writes, for each k:
 *
 *	clean      the first k writes
 *	torn       the same, but of the last one only its first or its last sectors
 *	reordered  all that came before the last fsync, and of the writes since then all but one;
 *	           or each of them whole, in part, or not at all, by chance
 *
 * Then the content is read as after a restart, and compared with plain copies of the old and the
 * new one. At last the update is made again: it has to work after a cut, too.
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
	uint64_t blocks, changes, updates; /* of content, of each update, and how many of those */
	uint64_t chances;                  /* cuts by chance at each write */
};

struct outcome {
	uint64_t cuts[KINDS][STATES];
	uint64_t written, fsyncs; /* of all updates: blocks, and calls */
	uint64_t ns[UPDATES_MAX]; /* each update, without a cut */
	struct sharing sharing;   /* after the last one */
};

/* Try a design in a file of that directory. Dies if it does not do what it promises. */
struct outcome try_design(const struct design *design, const struct plan *plan, int dir);

/* An empty file, open. */
int open_in(int dir, const char *name);

/* What pread() or pwrite() of a block has returned: if it is not all of it, the demo ends. */
void block_done(ssize_t done);
__attribute__((noreturn)) void file_failed(void);

#endif
