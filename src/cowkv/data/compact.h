/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compact.h - huge pages for the heap, so that a snapshot is taken in no time.
 *
 * A snapshot write-protects what was written since the last one. Page by page that is some 20 ms
 * for 1 GiB; by huge pages it is a fraction of a millisecond. To make them, the kernel copies the
 * heap, which takes 0.1 to 0.2 s for 1 GiB: so a thread has it done, when data have been added, and
 * after each snapshot.
 */
#ifndef COWKV_COMPACT_H
#define COWKV_COMPACT_H

void compact_init(void);

/* Once a second: begin, if it is worth it and no snapshot is there. */
void compact_cron(void);

/* Wait until what is running has ended. */
void compact_wait(void);

#endif
