/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h - the contract of the engines, which arm pages.
 *
 * An engine write-protects (arms) ranges of pages and lifts the protection (disarms), so that a
 * write to an armed page reaches fault_handle(), in the writing thread, before it changes anything.
 * The engine does not know what happens to the page then. All ranges are [first, first + n), in
 * pages of the arena, below the arena's high-water mark.
 */
#ifndef COWARENA_ENGINE_H
#define COWARENA_ENGINE_H

#include "os.h"

#include <stdbool.h>
#include <stddef.h>

struct cowarena;

struct engine {
	const char *name;
	/* Preserve every page during the cut, instead of arming pages after it. */
	bool copies_at_cut;
	/* System calls may write into armed pages. */
	bool syscall_safe;
	/* Faults arrive as SIGBUS, not as SIGSEGV. */
	bool bus;
	/* It goes with a heap that comes in as it is touched (lazy.h). */
	bool takes_absent;
	/* Arm a clean gap of up to so many pages along with the dirty runs at its sides,
	   rather than making one more call. */
	size_t merge_gap;

	/* Find out, by trying, whether this system lets the engine serve the arena, whose range is
	   mapped. -1 with errno and message. stop() ends the engine's thread, which may be waiting
	   at the gate; close(), called after stop(), undoes the rest; abandon() drops what a child
	   of fork() has inherited. Each may be NULL. */
	int (*open)(struct cowarena *arena);
	void (*stop)(struct cowarena *arena);
	void (*close)(struct cowarena *arena);
	void (*abandon)(struct cowarena *arena);

	/* Make pages accessible for the first time: writable, or armed. -1 with errno. */
	int (*commit)(struct cowarena *arena, size_t first, size_t n, bool armed);

	/* Arm a range, of which some pages may be armed already. Gate closed. On return no
	   thread can write there without a fault. -1 with errno: then any part of the range may
	   be armed. */
	int (*arm)(struct cowarena *arena, size_t first, size_t n);
	/* Pages were armed, and table.dirty marks all that are writable: count anew what the engine
	   counts. Gate closed. May be NULL. */
	void (*armed)(struct cowarena *arena);

	/* Disarm a range, of which some pages may be disarmed already; first mark it with
	   pagetable_mark_dirty(). Faults are not the only callers: code that finds that no snapshot
	   needs a page any more (fault_reopen()) may disarm it ahead. Async-signal-safe; the pages
	   are locked. -1 with errno: then any part may be disarmed (so all is marked), and the
	   caller comes back with a wider range. */
	int (*disarm)(struct cowarena *arena, size_t first, size_t n);

	/* A store has faulted on a page that a snapshot needs: make its chunk private (private.h),
	   if that serves better from now on. Async-signal-safe; inside the gate; no page is
	   locked. May be NULL. */
	void (*privatise)(struct cowarena *arena, size_t page);
	/* Chunks become private during the cut too. */
	bool private_at_cut;

	/* Whether the kernel can give memory for a write to a disarmed page. Async-signal-safe;
	   inside the gate. NULL where a lack of memory does not arrive as a fault of ours. */
	bool (*can_write)(struct cowarena *arena, size_t page);

	/* Whether pages may have lost their protection behind the engine's back: the program has
	   closed the descriptor that the protection depends on. A "no" that is asked for after a
	   page was read also holds for the time of the read. NULL where that cannot be. */
	bool (*lost)(struct cowarena *arena);
	/* Whether engine_renew() is needed before pages can be armed. NULL where that cannot be. */
	bool (*must_renew)(struct cowarena *arena);

	/* Widen a fault's range [*first, *first + *n) to save what the engine is short of.
	   Async-signal-safe. May be NULL. */
	void (*widen)(struct cowarena *arena, size_t *first, size_t *n);

	/* Prepare a quiet chunk, all of it in use, to be mapped by one huge entry: it must become
	   one mapping, not registered with userfaultfd. Gate closed, snapshot lock held. False when
	   that cannot be done now. NULL where it never can. */
	bool (*cool)(struct cowarena *arena, size_t chunk);

	/* Kernel mappings that the arena's range takes now. */
	size_t (*mappings)(struct cowarena *arena);
};

/* Make the record that the arena's engine will use, with nothing open. -1 with errno. */
int engine_prepare(struct cowarena *arena);
void engine_forget(struct cowarena *arena);

/* Undo what the engine's open() has done; or, in a child of fork(), drop what it has inherited. */
void engine_close(struct cowarena *arena);
void engine_abandon(struct cowarena *arena);

/* In a child of fork(): engine_drop_inherited() closes the parent's userfaultfd, and engine_shed()
   resets the record to what engine_prepare() made. */
void engine_drop_inherited(struct cowarena *arena);
void engine_shed(struct cowarena *arena);

/* Open the arena's userfaultfd. -1 with errno and a message that names engine uffd. */
int engine_open_uffd(struct cowarena *arena, enum uffd_mode mode);
/* Register the arena's whole range with its userfaultfd. On failure the descriptor is closed. */
int engine_uffd_register(struct cowarena *arena);

/* Whether the userfaultfd is no longer the arena's. [fault path] */
bool engine_uffd_lost(struct cowarena *arena);

/*
 * Called when disarming a range has failed. If the userfaultfd is lost, make the range writable
 * without it and return 0: its snapshots are lost with it, the live heap never. Otherwise -1.
 * [fault path]
 */
int engine_uffd_release(struct cowarena *arena, size_t first, size_t n);

/*
 * The program has closed the engine's descriptor: open it anew, or let another engine take over. If
 * protection was lost with the descriptor, all snapshots are given up, and all pages become
 * writable and dirty. Heap lock held. -1 with errno and message.
 */
int engine_renew(struct cowarena *arena);

extern const struct engine engine_mprotect, engine_uffd, engine_uffd_thread, engine_hybrid,
    engine_eager, engine_kernel;

#endif
