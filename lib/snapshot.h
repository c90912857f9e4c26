/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot.h - all snapshots at once. */
#ifndef COWARENA_SNAPSHOT_H
#define COWARENA_SNAPSHOT_H

struct cowarena;

/* In a child of fork(): snapshots and views have gone with their frames, only the handles are
   left. */
void snapshot_lose_all(struct cowarena *arena);

/* Close all views, free all snapshots; no frames are recycled, as the pool goes next. */
void snapshot_destroy_all(struct cowarena *arena);

#endif
