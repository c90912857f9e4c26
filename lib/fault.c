/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.c - resolves a write fault.
 *
 * The cases that a locked page can be in, and what is done in each. Capitals name the event that is
 * counted and reported to cowarena_on_page():
 *
 *	the page                        no snapshot needs it     a live snapshot needs it
 *	------------------------------------------------------------------------------------------
 *	stamped with this epoch         nothing: another thread was faster, or an earlier try
 *	never written (PAGE_FRESH)
 *	  the store's                   ZERO                     ZERO; a version that says "zeros"
 *	  a neighbour                   -                        -; a version that says "zeros"
 *	written before
 *	  the store's                   REUSED                   COPIED; a frame
 *	  a neighbour, done ahead       -                        AHEAD; a frame
 *	  hot, while a snapshot is cut  (does not happen)        SHADOWED; a frame
 *
 * Each open view that still shows the live page gets a page of its own before the version is
 * published. The full cost of a page is charged at once, before anything is done. If the charge
 * fails, a snapshot is given up for the store's page, and a neighbour is left armed.
 *
 * Each step is a function:
 *
 *	choose_range()       the store's page, and neighbours: ahead, or when mappings are scarce
 *	  -- inside the gate: the epoch and the list of views stand still --
 *	preserve_range()     in ascending order: lock the page, preserve_page()
 *	disarm_range()       one call of the engine
 *	unlock_range()       with the new stamp
 *	  -- outside --
 *	recover()            from what failed; then all steps again
 *
 * The copy is published before the page is disarmed, so nobody can change the page while a snapshot
 * still reads it there. A reader that has copied from the live page checks the page's state again
 * afterwards (snapshot-read.c). If the page can have been disarmed in between, the reader finds it
 * locked or newly stamped.
 *
 * Everything that fault_handle() calls here runs in a signal handler (I3).
 */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "point.h"
#include "sharing.h"
#include "track.h"

#include <errno.h>
#include <stdlib.h>

#define WIDER 16 /* the range widens by this factor after a failure to disarm it */
#define NAPS_MAX 1000
#define NEAR_LIMIT 4

enum outcome { RESOLVED, NO_FRAMES, NOT_DISARMED };

/* Why a range is resolved: a store has faulted there, or a caller prepares it ahead of stores. */
enum occasion { FAULT, AHEAD_OF_WRITES };

struct range_of_pages {
	size_t first, n;
};

/* One fault, or one request to prepare pages ahead of faults. Handed from step to step. */
struct fault {
	struct cowarena *arena;
	struct range_of_pages wanted; /* the reason for the work; other pages are done ahead */
	size_t ahead; /* pages to do, from the first wanted page on, if all goes well */
	enum occasion occasion;
	enum fault_spoil spoiling;
	unsigned hint;     /* shard of the gate and of the counters */
	bool is_scattered; /* a store that continues no walk */

	/* This try. */
	struct range_of_pages range; /* the pages to do; then the locked pages */
	uint64_t epoch;
	bool all_done; /* every page was done in this epoch before */

	/* All tries. */
	size_t width; /* in pages: the range is widened to multiples of it */
	unsigned naps;
};

/*
 * The shard of the gate and of the counters that a thread uses. Most threads have a shard of their
 * own, and a thread finds its shard in the cache each time. The C library's number of a thread is
 * an address near its stack, the kernel's is small: the hash spreads both.
 */
static unsigned shard_of(uintptr_t thread)
{
	return (unsigned)((thread ^ thread >> 12) * 0x9e3779b1u >> 16) % GATE_SHARDS;
}

static unsigned shard_hint(void)
{
	return shard_of(os_this_thread());
}

/* Count an event, and report it to the function given to cowarena_on_page(). Inside the gate, or
   with it closed: cowarena_on_page() relies on that. */
static void count_and_tell(struct cowarena *arena, enum cowarena_page_event what, size_t page,
			   struct counter_shard *count)
{
	stats_add(&count->pages[what], 1);
	if (arena->on_page)
		arena->on_page(arena->on_page_ctx, arena_address(arena, page), what);
}

/* What a locked clean page is. The live address has it, and in the page table, while the chunk is
   armed; the second mapping always has it. */
static void copy_past(struct cowarena *arena, size_t page, void *to)
{
	size_t size = arena_page_size(arena);

	if (!private_is_claimed(&arena->chunks, page)) {
		TEST_POINT();
		track_copy(to, arena_address(arena, page), size);
		TEST_POINT();
		if (!private_is_claimed(&arena->chunks, page))
			return;
	}
	track_copy(to, arena_past(arena, page), size);
}

/*
 * Preserve one locked page for every snapshot that needs it. A copy is counted as `as`. False, with
 * nothing changed, when no frame can be had.
 */
static bool preserve_page(struct cowarena *arena, size_t page, uint64_t state,
			  enum cowarena_page_event as, struct counter_shard *count)
{
	uint64_t stamp = page_stamp(state);
	bool fresh = state & PAGE_FRESH, written = as == COWARENA_PAGE_COPIED;

	if (!timeline_needs(&arena->timeline, page, stamp)) {
		if (written)
			count_and_tell(arena, fresh ? COWARENA_PAGE_ZERO : COWARENA_PAGE_REUSED,
				       page, count);
		if (!fresh && timeline_newest(&arena->timeline) >= stamp)
			stats_add(&count->saved_free, 1);
		return true;
	}
	/* Charge everything in one piece, before anything is touched: so nothing has to be
	   undone. */
	size_t pages = sharing_count(arena, page, stamp, UINT64_MAX) + !fresh;
	if (!frames_charge(&arena->frames, pages))
		return false;
	uint32_t frame = frames_take(&arena->frames);
	if (frame == FRAME_NONE) {
		frames_uncharge(&arena->frames, pages);
		return false;
	}
	if (!fresh) {
		copy_past(arena, page, frames_data(&arena->frames, frame));
		count_and_tell(arena, as, page, count);
	} else if (written) {
		count_and_tell(arena, COWARENA_PAGE_ZERO, page, count);
	}
	TEST_POINT();
	sharing_end(arena, page, stamp, UINT64_MAX);
	TEST_POINT();
	timeline_publish(arena, page, stamp, frame, fresh ? VERSION_OF_ZEROS : VERSION_IN_FRAME);
	if (as != COWARENA_PAGE_SHADOWED)
		debug_preserved(arena, page, frame);
	return true;
}

/*
 * Lock and preserve the pages of the range; on return the range is what is locked. Preserved pages
 * stay preserved whatever the outcome, and the next try passes over them.
 */
static enum outcome preserve_range(struct fault *f)
{
	struct cowarena *arena = f->arena;
	struct page *pages = arena->table.pages;
	struct counter_shard *count = &arena->counters.shard[f->hint];
	uint64_t done = f->epoch << PAGE_STAMP_SHIFT;
	size_t first = f->range.first, end = first + f->range.n, page;
	enum outcome outcome = RESOLVED;

	f->all_done = true;
	/* In ascending order, as everybody locks several pages. The new state becomes visible only
	   when the page is unlocked. */
	for (page = first; page < end; page++) {
		uint64_t state = page_lock(&pages[page]);
		if (state == done)
			continue;
		bool wanted = page - f->wanted.first < f->wanted.n;
		if (!preserve_page(arena, page, state,
				   wanted ? COWARENA_PAGE_COPIED : COWARENA_PAGE_AHEAD, count)) {
			page_unlock(&pages[page], state);
			/* A page copied ahead is not worth a snapshot. */
			if (page < f->wanted.first + f->wanted.n)
				outcome = NO_FRAMES;
			break;
		}
		f->all_done = false;
	}
	f->range.n = page - first;
	/* The pages below the one that failed are preserved, but not disarmed. */
	if (outcome == NO_FRAMES && !f->all_done)
		atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
	return outcome;
}

/*
 * A range that was found done is disarmed all the same if it may still be armed: a store has
 * faulted there, or arming or disarming has failed half-way somewhere. So a fault on a page that
 * should be writable is mended, and cannot loop. Otherwise disarming is a system call for nothing,
 * and with userfaultfd it costs each page another fault in the kernel (K10).
 */
static bool needs_disarm(const struct fault *f)
{
	return !f->all_done || f->occasion == FAULT ||
	       atomic_load_explicit(&f->arena->half_armed, memory_order_relaxed);
}

static enum outcome disarm_range(const struct fault *f)
{
	struct cowarena *arena = f->arena;

	chunks_touch(&arena->chunks, f->range.first, f->range.n, f->epoch);
	if (arena->engine->disarm(arena, f->range.first, f->range.n) == 0)
		return RESOLVED;
	/* Set before the pages are unlocked as done: some of them may still be armed. */
	atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
	return NOT_DISARMED;
}

static void unlock_range(const struct fault *f)
{
	for (size_t i = f->range.first + f->range.n; i-- > f->range.first;)
		page_unlock(&f->arena->table.pages[i], f->epoch << PAGE_STAMP_SHIFT);
}

/* One kind of pages: those that are armed one by one. */
static enum outcome resolve_traps(struct fault *f)
{
	enum outcome outcome = preserve_range(f);
	TEST_POINT();
	if (outcome == RESOLVED && needs_disarm(f))
		outcome = disarm_range(f);
	TEST_POINT();
	unlock_range(f);
	return outcome;
}

/* The other kind: the kernel copies them, and the file keeps what they were. A store that has met
   a protection all the same has waited for a cut to end, or for a call that has failed. */
static enum outcome resolve_private(struct fault *f)
{
	struct cowarena *arena = f->arena;

	if (f->occasion != FAULT)
		return RESOLVED;
	return os_protect(arena_address(arena, f->range.first), f->range.n << arena->page_shift,
			  OS_READ_WRITE)
		   ? NOT_DISARMED
		   : RESOLVED;
}

/* Inside the gate, or with it closed: the epoch stands still, and no chunk that is private becomes
   shared. */
static enum outcome resolve_range(struct fault *f)
{
	const struct chunks *c = &f->arena->chunks;
	struct range_of_pages all = f->range;
	size_t end = all.first + all.n;
	enum outcome outcome = RESOLVED;

	f->epoch = atomic_load_explicit(&f->arena->timeline.epoch, memory_order_relaxed);
	if (f->is_scattered && f->arena->engine->privatise)
		f->arena->engine->privatise(f->arena, f->wanted.first);
	for (size_t at = all.first, stop; at < end && outcome == RESOLVED; at = stop) {
		bool private = chunks_is_private(c, at);
		stop = chunks_part_end(c, at, end);
		f->range = (struct range_of_pages){at, stop - at};
		outcome = private ? resolve_private(f) : resolve_traps(f);
	}
	return outcome;
}

/* Give up a snapshot, unless another thread has done so since `seen` was read: several writers that
   reach the limit together cost one snapshot. */
static void spoil(struct cowarena *arena, uint64_t seen, enum fault_spoil how)
{
	if (how == FAULT_SPOIL)
		lock_acquire(&arena->snapshots);
	if (atomic_load(&arena->timeline.spoils) == seen)
		timeline_spoil(arena);
	if (how == FAULT_SPOIL)
		lock_release(&arena->snapshots);
}

static void choose_range(struct fault *f)
{
	struct cowarena *arena = f->arena;
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_acquire);
	size_t first = f->wanted.first;
	size_t n = f->ahead < pages - first ? f->ahead : pages - first;

	if (arena->engine->widen)
		arena->engine->widen(arena, &first, &n);
	if (f->width > 1)
		arena_widen(arena, &first, &n, f->width);
	f->range = (struct range_of_pages){first, n};
}

/* Give the next try a better chance. spoils: how many snapshots had been given up before the try
   that failed. */
static void recover(struct fault *f, enum outcome outcome, uint64_t spoils)
{
	if (outcome == NO_FRAMES) {
		spoil(f->arena, spoils, f->spoiling); /* outside the gate, which spoiling closes */
	} else if (f->width < atomic_load_explicit(&f->arena->pages, memory_order_relaxed)) {
		f->width *= WIDER; /* fewer mappings; the whole heap needs one */
	} else if (++f->naps <= NAPS_MAX) {
		os_nap();
	} else {
		error_log("the kernel refuses to make the heap writable again");
		abort();
	}
}

/* Repeat the steps until the range is done. Each failure costs a snapshot, or some pages done ahead
   (I7). */
static void resolve(struct fault *f)
{
	struct cowarena *arena = f->arena;

	f->width = 1;
	for (;;) {
		choose_range(f);
		uint64_t spoils = atomic_load(&arena->timeline.spoils);
		TEST_POINT();
		gate_enter(&arena->gate, f->hint);
		enum outcome outcome = resolve_range(f);
		gate_leave(&arena->gate, f->hint);
		if (atomic_load_explicit(&arena->frames.low, memory_order_relaxed))
			bell_call(&arena->helper.bell);
		if (outcome == RESOLVED)
			return;
		recover(f, outcome, spoils);
	}
}

/* How far to copy ahead of a fault. */
static size_t window(struct cowarena *arena, size_t page)
{
	size_t held = atomic_load_explicit(&arena->frames.held, memory_order_relaxed);

	/* Near the limit each page counts. */
	if (arena->frames.held_max - held < NEAR_LIMIT * arena->copy_ahead)
		return 1;
	return streams_window(&arena->streams, page, arena->copy_ahead);
}

/*
 * The page was already disarmed when the fault came. Either another thread disarmed it in between,
 * or the store fails for a reason that disarming does not mend.
 */
static bool is_mended(struct cowarena *arena, size_t page, unsigned hint)
{
	struct fault again = {.arena = arena,
			      .wanted = {page, 1},
			      .range = {page, 1},
			      .occasion = FAULT,
			      .hint = hint};
	bool mended = true;

	gate_enter(&arena->gate, hint);
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	/* Disarm the page once more, now that nobody can arm it: a snapshot that failed may have
	   armed it since the handler disarmed it. */
	if (page_stamp(page_peek(&arena->table.pages[page])) == epoch)
		mended = resolve_range(&again) != RESOLVED || !arena->engine->can_write ||
			 arena->engine->can_write(arena, page);
	gate_leave(&arena->gate, hint);
	return mended;
}

bool fault_handle_for(struct cowarena *arena, const void *address, uintptr_t writer)
{
	uint64_t start = os_now();
	size_t page = arena_page(arena, address);

	/* A write beyond the heap is a wild write. Acquire: pairs with range_grow(). */
	if (page >= atomic_load_explicit(&arena->pages, memory_order_acquire))
		return false;
	unsigned hint = shard_of(writer);
	struct counter_shard *count = &arena->counters.shard[hint];
	__builtin_prefetch(&arena->table.pages[page], 1);
	gate_note(&arena->gate, hint, writer, page);
	stats_add(&count->faults, 1);
	bool was_dirty = bitmap_test(&arena->table.dirty, page);
	size_t ahead = window(arena, page);
	struct fault f = {.arena = arena,
			  .wanted = {page, 1},
			  .ahead = ahead,
			  .occasion = FAULT,
			  .spoiling = FAULT_SPOIL,
			  .hint = hint,
			  .is_scattered = ahead == 1 && !was_dirty};
	resolve(&f);
	if (was_dirty && arena->engine->can_write && !is_mended(arena, page, hint))
		return false;
	uint64_t ns = os_now() - start;
	stats_add(&count->histogram[stats_bucket(ns)], 1);
	stats_max(&count->fault_ns_max, ns);
	return true;
}

bool fault_handle(struct cowarena *arena, const void *address)
{
	return fault_handle_for(arena, address, os_this_thread());
}

void fault_prepare(struct cowarena *arena, size_t first, size_t n, enum fault_spoil spoiling)
{
	unsigned hint = shard_hint();

	for (size_t piece; n; first += piece, n -= piece) {
		piece = n < FAULT_PIECE ? n : FAULT_PIECE;
		resolve(&(struct fault){.arena = arena,
					.wanted = {first, piece},
					.ahead = piece,
					.occasion = AHEAD_OF_WRITES,
					.spoiling = spoiling,
					.hint = hint});
	}
}

/* Inside the gate. */
static int settle_page(struct cowarena *arena, struct cowarena_view *view, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t state = page_lock(entry);
	int result = 0;

	if (bitmap_test(&view->own, page)) {
		; /* the view has its own already */
	} else if (!frames_charge(&arena->frames, 1)) {
		result = ENOMEM;
	} else if (!sharing_split(arena, view, page)) {
		frames_uncharge(&arena->frames, 1);
		result = EAGAIN;
	} else {
		atomic_fetch_add_explicit(&view->touched, 1, memory_order_relaxed);
	}
	page_unlock(entry, state);
	return result;
}

int fault_settle(struct cowarena *arena, struct cowarena_view *view, size_t first, size_t n)
{
	unsigned hint = shard_hint();
	int result = 0;

	for (size_t i = first; i < first + n && !result; i++) {
		gate_enter(&arena->gate, hint);
		result = settle_page(arena, view, i);
		gate_leave(&arena->gate, hint);
	}
	return result;
}

void fault_reopen(struct cowarena *arena, size_t first, size_t n)
{
	unsigned hint = shard_hint();
	struct fault f = {.arena = arena,
			  .wanted = {first, 0}, /* no store has asked for them */
			  .range = {first, n},
			  .occasion = AHEAD_OF_WRITES,
			  .hint = hint};

	gate_enter(&arena->gate, hint);
	resolve_range(&f);
	gate_leave(&arena->gate, hint);
}

int fault_preserve_all(struct cowarena *arena)
{
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);

	for (size_t first = 0, n; first < pages; first += n) {
		n = pages - first < FAULT_PIECE ? pages - first : FAULT_PIECE;
		struct fault f = {.arena = arena,
				  .wanted = {first, n},
				  .range = {first, n},
				  .occasion = AHEAD_OF_WRITES};
		if (resolve_range(&f) != RESOLVED)
			return -1;
	}
	return 0;
}

bool fault_shadow(struct cowarena *arena, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	uint64_t state = page_lock(entry);
	bool done =
	    preserve_page(arena, page, state, COWARENA_PAGE_SHADOWED, &arena->counters.shard[0]);

	page_unlock(entry, done ? epoch << PAGE_STAMP_SHIFT : state);
	return done;
}
