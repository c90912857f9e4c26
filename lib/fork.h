/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork.h - what happens to arenas in a child of fork().
 *
 * Nothing of an arena is inherited (its memory is a shared file mapping, which the child would
 * share with its parent): a child that touches it is told so and dies (trap.c). A child that needs
 * an arena gets a copy of its own at the same address: with COWARENA_FORK_COPY, of the arena as it
 * was at the fork; otherwise as it is when the child asks for it. The copy has the live heap and no
 * snapshots.
 */
#ifndef COWARENA_FORK_H
#define COWARENA_FORK_H

#include <stdint.h>

/* Install the fork handlers, which look after all arenas in arenas.h. An arena's trap_add() comes
   first. -1 with errno and message. */
int fork_prepare(void);

/* How long a parent waits for a sign of life of its child. Tests shorten it. */
extern uint64_t fork_patience_ns;

#endif
