/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h - who arms pages: the contract.
 *
 * An engine write-protects (arms) ranges of pages and lifts the protection (disarms), so that a
 * write to an armed page reaches fault_handle(), in the writing thread, before it changes anything.
 * What happens to the page then is no business of the engine. All ranges are [first, first + n), in
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
	/* Instead of arming after the cut, preserve every page during it. */
	bool copies_at_cut;
	/* System calls may write into armed pages. */
	bool syscall_safe;
	/* Faults arrive as SIGBUS, not as SIGSEGV. */
	bool bus;
	/* Arm a clean gap of up to so many pages along with the dirty runs at its sides,
	   rather than making one more call. */
	size_t merge_gap;

	/* Find out, by trying, whether this system lets the engine serve the arena, whose range is
	   mapped. -1 with errno and message. stop() ends a thread of the engine's, which may be
	   waiting at the gate; close(), after that, undoes the rest; abandon() lets go of what a
	   child of fork() has inherited. Each may be NULL. */
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
	/* Pages were armed, and table.dirty has all that are writable: count anew what the engine
	   counts. Gate closed. May be NULL. */
	void (*armed)(struct cowarena *arena);

	/* Disarm a range, of which some pages may be disarmed already; but first note it with
	   pagetable_mark_dirty(). Not only at a fault: whoever finds that no snapshot needs a
	   page any more (as will one who saves a snapshot, of what he has passed) may disarm
	   it ahead. Async-signal-safe; the pages are locked. -1 with errno: then any part may
	   be disarmed (which is why all is marked), and the caller comes back with a wider
	   range. */
	int (*disarm)(struct cowarena *arena, size_t first, size_t n);

	/* Whether the kernel can give memory for a write to a disarmed page.
	   Async-signal-safe; inside the gate. NULL where the lack of it does not arrive as a
	   fault of ours. */
	bool (*can_write)(struct cowarena *arena, size_t page);

	/* Whether pages may have lost their protection without the engine: the program has closed
	   the descriptor that it hangs on. Answered after a page was read, "no" holds for the time
	   of reading too. NULL where that cannot be. */
	bool (*lost)(struct cowarena *arena);
	/* Whether engine_renew() is needed before pages can be armed. NULL where that cannot be. */
	bool (*must_renew)(struct cowarena *arena);

	/* How far a fault at [*first, *first + *n) should be widened, to save what the engine
	   is short of. Async-signal-safe. May be NULL. */
	void (*widen)(struct cowarena *arena, size_t *first, size_t *n);

	/* Make a quiet chunk, all of it in use, fit to be mapped by one huge entry: then it
	   must be one mapping, and not registered with userfaultfd. Gate closed, snapshot lock
	   held. False when it cannot be, now. NULL where it never can. */
	bool (*cool)(struct cowarena *arena, size_t chunk);

	/* Kernel mappings that the arena's range takes now. */
	size_t (*mappings)(struct cowarena *arena);
};

/* The record of the arena's engine, whichever that will be, with nothing open. -1 with errno. */
int engine_prepare(struct cowarena *arena);
void engine_forget(struct cowarena *arena);

/* Undo what the engine's open() has done. */
void engine_close(struct cowarena *arena);

/* In a child of fork(): close what hangs on the parent's descriptors; and be as
   engine_prepare() has made it. */
void engine_drop_inherited(struct cowarena *arena);
void engine_shed(struct cowarena *arena);

/* Open the arena's userfaultfd. -1 with errno and a message that names engine uffd. */
int engine_open_uffd(struct cowarena *arena, enum uffd_mode mode);
/* Watch the arena's whole range by that userfaultfd. On failure the descriptor is closed. */
int engine_uffd_register(struct cowarena *arena);

/* The userfaultfd is the arena's no more. [fault path] */
bool engine_uffd_lost(struct cowarena *arena);

/*
 * Disarming a range has failed. If that is since the userfaultfd is lost, make the range writable
 * without it, and return 0: its snapshots are lost with it, but never the live heap. Else -1.
 * [fault path]
 */
int engine_uffd_release(struct cowarena *arena, size_t first, size_t n);

/*
 * The program has closed the engine's descriptor: open it anew, or let another engine serve. If
 * protection was lost with it, all snapshots are given up, and all pages become writable, and
 * dirty. Heap lock held. -1 with errno and message.
 */
int engine_renew(struct cowarena *arena);

extern const struct engine engine_mprotect, engine_uffd, engine_uffd_thread, engine_hybrid,
    engine_eager;

#endif
