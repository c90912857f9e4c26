/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot.h - what is done to all snapshots at once. */
#ifndef COWARENA_SNAPSHOT_H
#define COWARENA_SNAPSHOT_H

struct cowarena;

/* In a child of fork(), where snapshots and views are lost with their frames: only the handles stay
   valid. */
void snapshot_lose_all(struct cowarena *arena);

/* Close all views and free all snapshots. No frames are recycled, as the pool goes next. */
void snapshot_destroy_all(struct cowarena *arena);

#endif
