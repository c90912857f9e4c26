/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compact.h - puts the heap in huge pages, which makes snapshots quick.
 *
 * A snapshot write-protects what was written since the last one. Page by page that takes some 20 ms
 * for 1 GiB; by huge pages, a fraction of a millisecond. To make huge pages the kernel copies the
 * heap, 0.1 to 0.2 s for 1 GiB. So a thread does it, after the data have grown and after each
 * snapshot.
 */
#ifndef COWKV_COMPACT_H
#define COWKV_COMPACT_H

void compact_init(void);

/* Called once a second. Starts the thread if it is worth it and there is no snapshot. */
void compact_cron(void);

/* Wait until the thread has ended, if it runs. */
void compact_wait(void);

#endif
