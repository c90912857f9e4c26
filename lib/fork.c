/* SPDX-License-Identifier: BSD-2-Clause */
/* fork.c - see fork.h. */
#include "config.h"

#include "arena.h"
#include "arenas.h"
#include "error.h"
#include "fault.h"
#include "fork.h"
#include "lazy.h"
#include "range.h"
#include "records.h"
#include "snapshot-read.h"
#include "snapshot.h"
#include "track.h"
#include "trap.h"

#include <errno.h>
#include <string.h>

/*
 * With COWARENA_FORK_COPY the parent takes a snapshot before the fork, and nobody has to stand
 * still. The child copies the file, to which other threads of the parent are writing, and says so.
 * Then the parent sends the pages that have changed since the snapshot, as the snapshot has them. A
 * page that changed before the child had copied it was preserved before that, and so is among them.
 *
 * (Writers must not be held up over a fork: other fork handlers, and the C library itself, take
 * locks that a writer may hold.)
 */
static struct {
	sigset_t signals;
	int cancel;        /* whether the thread could be cancelled */
	int parent, child; /* the two ends of a channel, -1 when it could not be had */
	bool any;
} forking;

#define CHANGES_END UINT64_MAX
/* The child's messages. While the child copies, it shows from time to time that it is alive. */
enum { CHILD_FAILED, CHILD_COPIED, CHILD_COPIES };
#define COPY_PIECE ((size_t)16 << 20)
enum { SNAPSHOT_LOST, SNAPSHOT_SENT };

uint64_t fork_patience_ns = 10000000000u;

/* ---- the child's own copy ---- */

/* Drop the inherited parts of an arena that are of no use: locks that others hold, addresses of
   memory that is not there, the parent's descriptors. */
static void shed(struct cowarena *arena)
{
	engine_abandon(arena);
	arena->engine = &engine_mprotect; /* an engine with nothing to open */
	os_file_close(&arena->poke);
	atomic_store(&arena->poke_tried, false);
	memset(&arena->helper, 0, sizeof arena->helper);
	memset(&arena->gate, 0, sizeof arena->gate);
	memset(&arena->chunks, 0, sizeof arena->chunks);
	memset(&arena->table, 0, sizeof arena->table);
	memset(&arena->snapshots, 0, sizeof arena->snapshots);
	memset(&arena->streams, 0, sizeof arena->streams);
	memset(&arena->rearm, 0, sizeof arena->rearm);
	arena->past = arena->base;
	engine_shed(arena);
	atomic_store(&arena->half_armed, false);
	heap_inherit(arena);
	snapshot_lose_all(arena);
}

/* Send a message to the parent. -1 when the parent has gone on, or a sandbox forbids it. */
static int say(unsigned char what)
{
	return os_send(forking.child, &what, 1);
}

static int read_file(struct cowarena *arena, const struct os_file *file, size_t n, bool talks)
{
	for (size_t at = 0, piece; at < n; at += piece) {
		piece = n - at < COPY_PIECE ? n - at : COPY_PIECE;
		if (os_read_part(file, at, arena->base + at, piece))
			return -1;
		if (talks && say(CHILD_COPIES))
			return -1;
	}
	return 0;
}

static int no_copy(int errnum)
{
	switch (errnum) {
	case EBADF:
		return error_set(
		    EBADF, "the descriptor of an arena's memory has been closed in this child of a "
			   "fork(), as daemons do that close all: call "
			   "cowarena_after_fork_in_child() before, or close only what is your own");
	case ESTALE:
		return error_set(ESTALE,
				 "the parent of the fork() has destroyed an arena: let it wait, or "
				 "create the arena with COWARENA_FORK_COPY");
	case EPIPE:
	case ECONNRESET:
		return error_set(
		    ENOMEM, "the parent of the fork() has gone, or has not waited for its child");
	default:
		errno = errnum;
		return error_system(ENOMEM, "no memory for the child's copy of an arena (%s)",
				    error_name(errnum));
	}
}

/* Give the copy memory of its own, with the bytes of the inherited file; all of it writable,
   whatever the engine will be. -1 with errno and message. */
static int copy_memory(struct cowarena *arena, size_t pages, bool talks)
{
	/* The parent may have committed more since. In faithful mode the pages beyond the heap are
	   armed as the heap grows into them, and must not be writable before. */
	if (arena->flags & COWARENA_FAITHFUL)
		arena->committed = pages;
	size_t committed = arena->committed << arena->page_shift;

	track_defined(arena->base, pages << arena->page_shift);
	if (range_map(arena, arena->reserved, arena->base))
		return error_system(
		    errno, "no room in the child of the fork() for its copy of an arena (%s)",
		    error_name(errno));
	if (frames_renew(&arena->frames) || pagetable_commit(&arena->table, arena->committed) ||
	    engine_mprotect.commit(arena, 0, arena->committed, false) ||
	    read_file(arena, &arena->fork_file, pages << arena->page_shift, talks))
		return no_copy(errno);
	os_dump(arena->base, committed, true);
	atomic_store(&arena->pages, pages);
	pagetable_enter(&arena->table, 0, pages, atomic_load(&arena->timeline.epoch), false);
	return 0;
}

/* Turn the file's bytes into the snapshot's. -1 with errno and message. */
static int receive_changes(struct cowarena *arena)
{
	uint64_t page;
	unsigned char verdict;

	for (;;) {
		if (os_receive(forking.child, &page, sizeof page))
			break;
		if (page == CHANGES_END) {
			if (os_receive(forking.child, &verdict, 1) || verdict != SNAPSHOT_SENT)
				break;
			return 0;
		}
		if (os_receive(forking.child, arena_address(arena, page), arena_page_size(arena)))
			break;
	}
	return error_set(ENOMEM, "the parent of the fork() could not keep what the arena was, or "
				 "has not waited for its child");
}

/* snapshot: the parent's snapshot to copy; or NULL to copy the file as it is. */
static int copy(struct cowarena *arena, const struct cowarena_snapshot *snapshot)
{
	size_t pages = snapshot ? snapshot->pages : atomic_load(&arena->pages);
	int result = copy_memory(arena, pages, snapshot != NULL);

	if (!snapshot)
		return result;
	if (say(result ? CHILD_FAILED : CHILD_COPIED) && !result)
		return no_copy(errno);
	return result ? result : receive_changes(arena);
}

/* Without a copy: callers of the heap are told so, even where no fault would arrive. */
static void shut(struct cowarena *arena)
{
	if (arena->is_shut)
		return;
	arena->fork_base = arena->base;
	heap_shut(arena);
}

/* Undo the copy. (engine_shed() forgets what was open: an engine with nothing open may be abandoned
   again.) */
static int undo(struct cowarena *arena, char *base)
{
	int e = errno;

	engine_close(arena);
	range_unmap(arena);
	engine_shed(arena);
	arena->engine = arena->fork_engine;
	arena->base = base;
	arena->file = arena->fork_file;
	shut(arena);
	errno = e;
	return -1;
}

/*
 * In a child there is a gap where each arena was, and the kernel likes to put the next mapping into
 * just such a gap: memory for the copy of one arena would take the place of another. So all places
 * are reserved before the first copy.
 */
static void hold_places(void)
{
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next) {
		if (!trap_inherited(a->trap))
			continue;
		a->is_shut = false;
		a->base = a->fork_base;
		range_hold_place(a);
	}
}

/* Give up the places of arenas without a copy: a thread that touches one must be told why. */
static void leave_places(void)
{
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next) {
		if (!trap_inherited(a->trap))
			continue;
		if (a->holds_place)
			range_leave_place(a);
		shut(a);
	}
}

/*
 * A copy is made in two steps. During the first, arenas have no memory yet, and one of them may be
 * the malloc of the process: nothing may be called that allocates, or reads what was allocated,
 * like the locale; starting a thread does both. The second step begins when all arenas have their
 * memory.
 */
static int fill(struct cowarena *arena, const struct cowarena_snapshot *snapshot)
{
	char *base = arena->base;

	/* (With a snapshot the parent waits for an answer, which copy() sends.) */
	if (!snapshot && !os_file_is_ours(&arena->file))
		return no_copy(EBADF);
	if (!snapshot && !arena->file_is_whole)
		return no_copy(ENOMEM);
	arena->fork_engine = arena->engine;
	arena->fork_file = arena->file;
	shed(arena);
	arena->file = OS_NO_FILE;
	return copy(arena, snapshot) || heap_attached(arena) ? undo(arena, base) : 0;
}

/* Open the wanted engine, or else make do with engine sigsegv. */
static int open_engine(struct cowarena *arena)
{
	const struct engine *wanted = arena->fork_engine;

	if (!wanted->open || wanted->open(arena) == 0)
		arena->engine = wanted;
	else if (arena->flags & COWARENA_STRICT_ENGINE)
		return -1;
	if (arena->engine->commit(arena, 0, arena->committed, false))
		return no_copy(errno);
	return 0;
}

static int attach(struct cowarena *arena)
{
	struct trap_span *span = NULL;

	if (open_engine(arena) == 0)
		span =
		    trap_add(arena->base, arena->reserved, arena->engine->bus, fault_handle, arena);
	if (!span)
		return undo(arena, arena->base);
	heap_track(arena);
	trap_remove(arena->trap);
	arena->trap = span;
	os_file_close(&arena->fork_file);
	return 0;
}

int cowarena_after_fork_in_child(void)
{
	int result = 0, cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	arenas_lock();
	hold_places();
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		a->is_copied = trap_inherited(a->trap);
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		if (a->is_copied && fill(a, NULL)) {
			result = -1;
			a->is_copied = false;
		}
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		if (a->is_copied && attach(a))
			result = -1;
	int e = errno;
	leave_places();
	errno = e;
	arenas_unlock();
	pthread_setcancelstate(cancel, NULL);
	return result;
}

/* ---- around a fork ---- */

static void before_fork(void)
{
	int e = errno;

	/* Other fork handlers run with our locks held, and may have cancellation points. */
	int cancel;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	arenas_hold();
	forking.cancel = cancel;
	forking.any = false;
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next) {
		bool whole = !trap_inherited(a->trap) && lazy_finish(a) == 0;
		a->is_copied = a->flags & COWARENA_FORK_COPY && whole;
		forking.any |= a->is_copied;
		/* The child may copy the file (cowarena_after_fork_in_child()). */
		if (!trap_inherited(a->trap))
			a->file_is_whole = whole && !private_flush(a);
	}
	errno = e;
	if (!forking.any)
		return;
	os_block_signals(&forking.signals);
	if (os_channel(&forking.parent, &forking.child))
		forking.parent = forking.child = -1;
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		if (a->is_copied && forking.child >= 0)
			a->fork_snapshot = cowarena_snapshot_take(a, 0);
	errno = e;
}

static void after_fork(void)
{
	int cancel = forking.cancel;

	if (forking.any)
		os_restore_signals(&forking.signals);
	arenas_release();
	pthread_setcancelstate(cancel, NULL);
}

struct changes {
	uint64_t *pages;
	size_t n, room;
};

static void add_change(void *ctx, size_t page, uint32_t frame)
{
	struct changes *c = ctx;

	(void)frame;
	if (c->n < c->room)
		c->pages[c->n] = page;
	c->n++;
}

/* The pages that have changed since the snapshot. False when there is no memory for the list. */
static bool list_changes(struct cowarena *arena, struct cowarena_snapshot *s, struct changes *c)
{
	sigset_t signals;

	/* Allocate without the lock, then list with it; repeat until the list fits. */
	do {
		records_give(c->pages, c->room * sizeof *c->pages);
		c->room = c->n + c->n / 8 + 64;
		c->n = 0;
		c->pages = records_take(c->room * sizeof *c->pages);
		if (!c->pages)
			return false;
		arena_lock_snapshots(arena, &signals);
		if (!atomic_load(&s->spoiled))
			timeline_each(arena, s, add_change, c);
		arena_unlock_snapshots(arena, &signals);
	} while (c->n > c->room);
	return true;
}

/* Send the pages that the child has to replace, unless the child has gone. */
static void send_changes(struct cowarena *arena, struct cowarena_snapshot *s)
{
	size_t size = arena_page_size(arena);
	struct changes c = {0};
	uint64_t end = CHANGES_END;
	char *content = records_take(size);
	bool whole = content && list_changes(arena, s, &c);
	int gone = 0;

	for (size_t i = 0; whole && i < c.n && !gone; i++) {
		snapshot_copy(s, content, (size_t)c.pages[i] << arena->page_shift, size);
		gone = os_send(forking.parent, &c.pages[i], sizeof c.pages[i]) ||
		       os_send(forking.parent, content, size);
	}
	records_give(c.pages, c.room * sizeof *c.pages);
	records_give(content, size);
	unsigned char verdict = whole && snapshot_intact(s) == 0 ? SNAPSHOT_SENT : SNAPSHOT_LOST;
	if (!gone && os_send(forking.parent, &end, sizeof end) == 0)
		os_send(forking.parent, &verdict, 1);
}

/* Wait until the child has copied the arena. False when the child has failed, has gone, or shows no
   life. */
static bool child_has_copied(bool *gone)
{
	unsigned char answer = CHILD_FAILED;

	do {
		errno = 0;
		if (os_receive(forking.parent, &answer, 1)) {
			*gone = true;
			if (errno == EAGAIN)
				error_log(
				    "a child of fork() shows no sign of life (is it stopped by "
				    "a debugger?): it will have no copy of an arena");
			return false;
		}
	} while (answer == CHILD_COPIES);
	return answer == CHILD_COPIED;
}

static bool was_armed(const struct cowarena *arena, size_t page, uint64_t epoch)
{
	uint64_t state = page_peek(&arena->table.pages[page]);

	return page_stamp(state) == epoch && !(state & PAGE_FRESH);
}

/* Reopen some pages from page *at on; nobody takes a snapshot meanwhile. False when nothing is left
   to do. */
static bool reopen_some(struct cowarena *arena, uint64_t epoch, size_t *at)
{
	sigset_t signals;
	size_t n = 0;

	arena_lock_snapshots(arena, &signals);
	/* A later snapshot, taken by another thread, needs the pages. */
	bool needed = timeline_newest(&arena->timeline) >= epoch;
	size_t end = needed ? 0 : atomic_load(&arena->pages);
	while (*at < end && !was_armed(arena, *at, epoch))
		++*at;
	while (*at + n < end && n < FAULT_PIECE && was_armed(arena, *at + n, epoch))
		n++;
	if (n)
		fault_reopen(arena, *at, n);
	arena_unlock_snapshots(arena, &signals);
	*at += n;
	return n;
}

/*
 * The fork's snapshot has armed the pages written in its epoch, and the program does not know of
 * that snapshot: system calls would fail. Unless there is a later snapshot by now, nobody needs
 * these pages.
 */
static void reopen(struct cowarena *arena, uint64_t epoch)
{
	size_t at = 0;

	while (reopen_some(arena, epoch, &at))
		;
}

static void after_fork_in_parent(void)
{
	int e = errno;
	bool gone = false;

	if (forking.any) {
		os_close(forking.child);
		os_channel_wait_at_most(forking.parent, fork_patience_ns);
	}
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next) {
		struct cowarena_snapshot *s = a->fork_snapshot;
		if (!s)
			continue;
		a->fork_snapshot = NULL;
		if (!gone && child_has_copied(&gone))
			send_changes(a, s);
		uint64_t epoch = s->epoch;
		cowarena_snapshot_release(s);
		reopen(a, epoch);
	}
	if (forking.any)
		os_close(forking.parent);
	errno = e;
	after_fork();
}

static void has_no_copy(void)
{
	error_log("a child of fork() has no copy of an arena: no memory, address space or "
		  "descriptor for it, there or in the parent; or the parent has not waited");
}

/* In the child these descriptors would keep the parent's protection alive when the parent has
   closed its own. */
static void drop_inherited(struct cowarena *arena)
{
	engine_drop_inherited(arena);
	private_drop_inherited(arena);
	os_file_close(&arena->poke);
}

/* trap.c's fork handler has run before, and has marked the arenas as inherited. */
static void after_fork_in_child(void)
{
	int e = errno;

	arenas_inherit();
	os_unmap_forget();
	os_threads_forget();
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		shut(a);
	if (forking.any) {
		os_close(forking.parent);
		hold_places();
	}
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next) {
		struct cowarena_snapshot *s = a->fork_snapshot;
		if (!a->is_copied) {
			drop_inherited(a);
			continue;
		}
		a->fork_snapshot = NULL;
		a->is_copied = s && fill(a, s) == 0;
		if (!a->is_copied)
			has_no_copy();
		else
			cowarena_snapshot_release(s);
	}
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		if (a->is_copied && attach(a))
			has_no_copy();
	if (forking.any) {
		leave_places();
		os_close(forking.child);
	}
	errno = e;
	after_fork();
}

int fork_prepare(void)
{
	static bool prepared;
	int result = 0;

	arenas_lock();
	if (!prepared && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child))
		result = error_set(ENOMEM, "no memory for the fork handlers");
	else
		prepared = true;
	arenas_unlock();
	return result;
}
