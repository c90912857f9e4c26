/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.c - one write fault, resolved.
 *
 * For each page, in this order: lock, copy, publish, disarm, unlock with the new stamp. The copy is
 * published before the page is disarmed, so nobody can change the page while a snapshot still
 * reads it there. A reader that copied from the live page looks at its state again afterwards
 * (snapshot.c): it finds the page locked or stamped if the page can have been disarmed in between.
 *
 * Everything here but fault_preserve_all() and fault_settle() runs in a signal handler (I3).
 */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "error.h"
#include "fault.h"
#include "point.h"
#include "track.h"

#include <errno.h>
#include <stdlib.h>

#define WIDER 16 /* how much further to reach after the engine failed to disarm a range */
#define NAPS_MAX 1000
#define NEAR_LIMIT 4

enum outcome { RESOLVED, NO_FRAMES, NOT_DISARMED };

/* Why a range is resolved: a store met it, or somebody asks for it ahead of stores. */
enum occasion { FAULT, AHEAD_OF_WRITES };

/* Pages that are the reason for the work; others in the range are copied ahead. */
struct wanted {
	size_t first, n;
};

/*
 * Which shard of the gate and of the counters to use: threads mostly have shards of their own, and
 * one thread finds its shard in the cache each time. The C library's number of a thread is an
 * address near its stack, the kernel's is small: both are spread.
 */
static unsigned shard_of(uintptr_t thread)
{
	return (unsigned)((thread ^ thread >> 12) * 0x9e3779b1u >> 16) % GATE_SHARDS;
}

static unsigned shard_hint(void)
{
	return shard_of(os_this_thread());
}

/* Make one page of a read-only view its own, while it shows the live page. */
static bool split_sealed(struct cowarena_view *view, char *at, const char *live, size_t size)
{
	/* From the live page, since to read the view's would map some of its neighbours first. */
	track_pause(); /* the byte may be in no block, or without content */
	bool poked = os_poke(&view->poke, at, live, 1) == 0;
	track_resume();
	if (poked)
		return true;
	/* No other way to break the sharing: the page is writable for this moment. */
	if (os_protect(at, size, OS_READ_WRITE))
		return false;
	os_touch(at);
	return os_protect(at, size, OS_READ) == 0;
}

/* Whether the view still shows the live page, which has this stamp. (Of a spoiled snapshot too: it
   does no harm, and the two loops below must agree, while a snapshot may be spoiled in between.) */
static bool shares(const struct cowarena_view *view, size_t page, uint64_t stamp)
{
	return view->snapshot->epoch >= stamp && !bitmap_test(&view->own, page);
}

static size_t views_sharing(struct cowarena *arena, size_t page, uint64_t stamp)
{
	size_t n = 0;

	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next)
		n += shares(v, page, stamp);
	return n;
}

/* Make a page of a view, which has been charged for it, the view's own. The live page is locked and
   armed. False when the kernel refuses. */
static bool make_own(struct cowarena *arena, struct cowarena_view *view, size_t page)
{
	char *at = view->base + (page << arena->page_shift);
	bool done = true;

	if (!view->sealed)
		os_touch(at);
	else
		done = split_sealed(view, at, arena_address(arena, page), arena_page_size(arena));
	if (done)
		bitmap_set(&view->own, page);
	return done;
}

/* The same in all views that share the page. */
static void privatise(struct cowarena *arena, size_t page, uint64_t stamp)
{
	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next) {
		if (!shares(v, page, stamp))
			continue;
		if (!make_own(arena, v, page))
			atomic_store(&v->broken, true);
		atomic_fetch_add_explicit(&v->touched, 1, memory_order_relaxed);
	}
}

/* Count it, and tell whoever wants to be told: inside the gate, or with it closed, as on_page asks for. */
static void happened(struct cowarena *arena, enum cowarena_page_event what, size_t page,
		     struct counter_shard *count)
{
	stats_add(&count->pages[what], 1);
	if (arena->on_page)
		arena->on_page(arena->on_page_ctx, arena_address(arena, page), what);
}

/*
 * Preserve one page, which is locked, for every snapshot that needs it; `as` is what a copy is counted as.
 * Returns false when there is no frame; then nothing has happened.
 */
static bool preserve(struct cowarena *arena, size_t page, uint64_t state,
		     enum cowarena_page_event as, struct counter_shard *count)
{
	uint64_t stamp = page_stamp(state);
	bool fresh = state & PAGE_FRESH, written = as == COWARENA_PAGE_COPIED;

	if (timeline_newest(&arena->timeline) < stamp) { /* no snapshot since it was last written */
		if (written)
			happened(arena, fresh ? COWARENA_PAGE_ZERO : COWARENA_PAGE_REUSED, page,
				 count);
		return true;
	}
	/* Charged in one piece, before anything is touched, so that there is nothing to take
	   back. */
	size_t pages = views_sharing(arena, page, stamp) + !fresh;
	if (!frames_charge(&arena->frames, pages))
		return false;
	uint32_t frame = frames_take(&arena->frames);
	if (frame == FRAME_NONE) {
		frames_uncharge(&arena->frames, pages);
		return false;
	}
	if (!fresh) {
		track_copy(frames_data(&arena->frames, frame), arena_address(arena, page),
			   arena_page_size(arena));
		happened(arena, as, page, count);
	} else if (written) {
		happened(arena, COWARENA_PAGE_ZERO, page, count);
	}
	TEST_POINT();
	privatise(arena, page, stamp);
	TEST_POINT();
	timeline_publish(arena, page, stamp, frame, fresh);
	if (as != COWARENA_PAGE_SHADOWED)
		debug_preserved(arena, page, frame);
	return true;
}

/*
 * Disarm the range even if all of it was found done, if it may be armed all the same: a store has met it,
 * or arming or disarming has failed half-way somewhere. (So a fault on a page that should be writable
 * heals, and cannot loop.) Otherwise it would be a system call for nothing, and worse with userfaultfd,
 * where each page pays another fault of the kernel.
 */
static bool needs_disarm(struct cowarena *arena, bool all_done, enum occasion occasion)
{
	return !all_done || occasion == FAULT ||
	       atomic_load_explicit(&arena->half_armed, memory_order_relaxed);
}

/*
 * Preserve and disarm a range. Inside the gate, or with it closed: the epoch stands still. Pages
 * that were preserved stay so whatever the outcome, and are skipped when the caller comes again.
 */
static enum outcome resolve(struct cowarena *arena, size_t first, size_t n, struct wanted wanted,
			    enum occasion occasion, struct counter_shard *count)
{
	struct page *pages = arena->table.pages;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	uint64_t done = epoch << PAGE_STAMP_SHIFT;
	enum outcome outcome = RESOLVED;
	bool all_done = true;
	size_t locked;

	/* Ascending: the order in which everybody takes several. The new state is what the
	   page will be unlocked with; it is not visible before. */
	for (locked = first; locked < first + n; locked++) {
		uint64_t state = page_lock(&pages[locked]);
		if (state == done)
			continue; /* by another thread since the trap, or in an earlier try */
		enum cowarena_page_event as =
		    locked - wanted.first < wanted.n ? COWARENA_PAGE_COPIED : COWARENA_PAGE_AHEAD;
		if (!preserve(arena, locked, state, as, count)) {
			page_unlock(&pages[locked], state);
			/* What would have been copied ahead is not worth a snapshot. */
			if (locked >= wanted.first + wanted.n)
				n = locked - first;
			else
				outcome = NO_FRAMES;
			/* Those before it are preserved, and not disarmed. */
			if (outcome == NO_FRAMES && !all_done)
				atomic_store_explicit(&arena->half_armed, true,
						      memory_order_relaxed);
			break;
		}
		all_done = false;
	}
	TEST_POINT();
	if (outcome == RESOLVED && needs_disarm(arena, all_done, occasion)) {
		chunks_touch(&arena->chunks, first, n, epoch);
		if (arena->engine->disarm(arena, first, n)) {
			/* Before the pages are unlocked as done, which they may not be. */
			atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
			outcome = NOT_DISARMED;
		}
	}
	TEST_POINT();
	while (locked-- > first)
		page_unlock(&pages[locked], done);
	return outcome;
}

/* Give up a snapshot, unless another thread has done so since `seen` was read: several writers that
   reach the limit together cost one. */
static void spoil(struct cowarena *arena, uint64_t seen, enum fault_spoil how)
{
	if (how == FAULT_SPOIL)
		lock_acquire(&arena->snapshots);
	if (atomic_load(&arena->timeline.spoils) == seen)
		timeline_spoil(arena);
	if (how == FAULT_SPOIL)
		lock_release(&arena->snapshots);
}

/*
 * Resolve [first, first + n), and up to `ahead` pages in all, until it is done: every failure costs
 * a snapshot, or some pages copied ahead (I7).
 */
static void settle(struct cowarena *arena, size_t first, size_t n, size_t ahead,
		   enum occasion occasion, enum fault_spoil how, unsigned hint)
{
	const struct wanted wanted = {first, n};
	struct counter_shard *count = &arena->counters.shard[hint];
	size_t width = 1;

	for (unsigned naps = 0;;) {
		size_t pages = atomic_load_explicit(&arena->pages, memory_order_acquire);
		first = wanted.first;
		n = ahead < pages - first ? ahead : pages - first;
		if (arena->engine->widen)
			arena->engine->widen(arena, &first, &n);
		if (width > 1)
			arena_widen(arena, &first, &n, width);

		uint64_t spoils = atomic_load(&arena->timeline.spoils);
		TEST_POINT();
		gate_enter(&arena->gate, hint);
		enum outcome outcome = resolve(arena, first, n, wanted, occasion, count);
		gate_leave(&arena->gate, hint);
		if (atomic_load_explicit(&arena->frames.low, memory_order_relaxed))
			bell_call(&arena->helper.bell);
		if (outcome == RESOLVED)
			return;
		if (outcome == NO_FRAMES)
			spoil(arena, spoils, how); /* outside the gate: it will be closed */
		else if (width < pages)
			width *= WIDER; /* fewer mappings; the whole heap needs one */
		else if (++naps <= NAPS_MAX)
			os_nap();
		else {
			error_log("the kernel refuses to make the heap writable again");
			abort();
		}
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
 * The page had been disarmed when the fault came. Was it another thread, in between; or does the store
 * fail for a reason that disarming does not mend?
 */
static bool is_mended(struct cowarena *arena, size_t page, unsigned hint)
{
	bool mended = true;

	gate_enter(&arena->gate, hint);
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	/* Disarmed once more, now that nobody can arm it: a snapshot that failed may have, since the handler
	   did so. */
	if (page_stamp(page_peek(&arena->table.pages[page])) == epoch)
		mended = resolve(arena, page, 1, (struct wanted){page, 1}, FAULT,
				 &arena->counters.shard[hint]) != RESOLVED ||
			 arena->engine->can_write(arena, page);
	gate_leave(&arena->gate, hint);
	return mended;
}

bool fault_handle_for(struct cowarena *arena, const void *address, uintptr_t writer)
{
	uint64_t start = os_now();
	size_t page = arena_page(arena, address);

	/* Beyond the heap nothing is promised to be writable: a wild write. Acquire: pairs
	   with range_grow(). */
	if (page >= atomic_load_explicit(&arena->pages, memory_order_acquire))
		return false;
	unsigned hint = shard_of(writer);
	struct counter_shard *count = &arena->counters.shard[hint];
	__builtin_prefetch(&arena->table.pages[page], 1);
	gate_note(&arena->gate, hint, writer, page);
	stats_add(&count->faults, 1);
	bool was_dirty = bitmap_test(&arena->table.dirty, page);
	settle(arena, page, 1, window(arena, page), FAULT, FAULT_SPOIL, hint);
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
		settle(arena, first, piece, piece, AHEAD_OF_WRITES, spoiling, hint);
	}
}

/* Inside the gate. */
static int settle_page(struct cowarena *arena, struct cowarena_view *view, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t state = page_lock(entry);
	int result = 0;

	if (!shares(view, page, page_stamp(state))) {
		; /* the view has its own already */
	} else if (!frames_charge(&arena->frames, 1)) {
		result = ENOMEM;
	} else if (!make_own(arena, view, page)) {
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
	const struct wanted nothing = {first, 0};

	gate_enter(&arena->gate, hint);
	resolve(arena, first, n, nothing, AHEAD_OF_WRITES, &arena->counters.shard[hint]);
	gate_leave(&arena->gate, hint);
}

int fault_preserve_all(struct cowarena *arena)
{
	size_t pages = atomic_load_explicit(&arena->pages, memory_order_relaxed);

	for (size_t first = 0, n; first < pages; first += n) {
		n = pages - first < FAULT_PIECE ? pages - first : FAULT_PIECE;
		if (resolve(arena, first, n, (struct wanted){first, n}, AHEAD_OF_WRITES,
			    &arena->counters.shard[0]) != RESOLVED)
			return -1;
	}
	return 0;
}

bool fault_shadow(struct cowarena *arena, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	uint64_t state = page_lock(entry);
	bool done = preserve(arena, page, state, COWARENA_PAGE_SHADOWED, &arena->counters.shard[0]);

	page_unlock(entry, done ? epoch << PAGE_STAMP_SHIFT : state);
	return done;
}
