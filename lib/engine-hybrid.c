/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-hybrid.c - engine "hybrid": cold chunks are armed with mprotect(2), warm ones with
 * userfaultfd.
 *
 * mprotect arms a chunk that is mapped by one huge entry at the cost of one entry, and many
 * neighbours at the cost of one call; but each page disarmed alone splits a mapping. userfaultfd
 * disarms and arms scattered pages cheaply, but visits every page once to arm a whole chunk. So
 * each chunk is armed by what suits it:
 *
 *	            a scattered page is written (warm_up)
 *	  [cold] ------------------------------------------> [warm]
 *	  PROT_READ, or PROT_READ|PROT_WRITE                 PROT_READ|PROT_WRITE, registered,
 *	  where it is open; not registered                   armed pages protected in the
 *	     ^                                               page table
 *	     |                                                  |
 *	     +--------------------------------------------------+
 *	            quiet for some epochs (cool, by the helper)
 *
 * A writer that walks through a cold chunk takes 16 or more pages at a fault, and leaves a border
 * or two: that is done by mprotect too, and the chunk stays cold. So memory that is written in
 * order is armed again by one call.
 *
 * Where many scattered pages are written to, a chunk becomes private instead, and the kernel copies
 * its pages (privatise(), private.h). It is cold then, and not armed. It stays private until it is
 * shared again with the gate closed.
 *
 * Who may change what: a chunk leaves CHUNK_COLD under chunks.lock, in a handler, or during the
 * cut. It comes back with the gate closed or with all pages of the heap locked; or it becomes
 * private, under chunks.lock, in a handler. So a handler that has seen CHUNK_WARM may rely on it
 * without a lock, as long as it is inside the gate with a page of the chunk locked, but for one
 * thing: if its call is refused, it looks whether the chunk is private by now, and so writable. A
 * page is marked dirty before it is disarmed, and warm_up() arms what is clean: a page that another
 * handler is about to disarm is open either way once that handler is done, and it has been
 * preserved before it was marked.
 */
#include "config.h"

#include "engine-state.h"
#include "mappings.h"
#include "point.h"
#include "private.h"

#define WALK 16 /* so many pages disarmed at once are worth a border in a cold chunk */

/* Scattered pages written to in an epoch that make chunks private: this part of the heap, or of the
   chunk; half as many while a view is open. */
#define HEAP_SHARE 96
#define HEAP_SHARE_VIEWED 192
#define CHUNK_SHARE 16

static struct chunk *chunk_of(struct cowarena *arena, size_t page)
{
	return &arena->chunks.at[page >> arena->chunks.pages_shift];
}

static enum chunk_state state_of(const struct chunk *chunk)
{
	/* Acquire: pairs with set_state(), so that whoever sees CHUNK_WARM finds the chunk
	   registered. */
	return atomic_load_explicit(&chunk->state, memory_order_acquire);
}

static void set_state(struct cowarena *arena, struct chunk *chunk, enum chunk_state state)
{
	enum chunk_state old = state_of(chunk);

	if ((old == CHUNK_COLD) != (state == CHUNK_COLD))
		atomic_fetch_add_explicit(&arena->chunks.not_cold,
					  state == CHUNK_COLD ? (size_t)-1 : 1,
					  memory_order_relaxed);
	if (state != CHUNK_COLD)
		atomic_store_explicit(&chunk->huge, false, memory_order_relaxed);
	TEST_POINT();
	atomic_store_explicit(&chunk->state, (uint8_t)state, memory_order_release);
	TEST_POINT();
}

static int protect(struct cowarena *arena, size_t first, size_t n, enum os_protection protection)
{
	TEST_POINT();
	return os_protect(arena_address(arena, first), n << arena->page_shift, protection);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t chunk_end(struct cowarena *arena, size_t page)
{
	return chunks_end(&arena->chunks, page);
}

static bool has_hot(struct cowarena *arena, size_t page)
{
	size_t first = page & ~(chunks_pages(&arena->chunks) - 1);

	return bitmap_next(&arena->table.hot, first) < chunk_end(arena, page);
}

/* An estimate of the borders between kernel mappings, rather too high than too low. */
static long borders(struct cowarena *arena)
{
	size_t warm = atomic_load_explicit(&arena->chunks.not_cold, memory_order_relaxed);

	size_t private = atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed);

	return engine_borders(arena) + 2 * (long)(warm + private);
}

/*
 * Write-protect, in a registered range, the pages that are to be armed. At a fault these are the
 * clean pages. During the cut they are all but the hot pages: dirty pages are being armed, may have
 * been armed by their mapping already, and are marked clean only when the cut is done. Single bits
 * are tested because the summaries of the bitmaps may lag behind other handlers.
 */
static int protect_clean(struct cowarena *arena, size_t first, size_t end, bool cutting)
{
	const struct bitmap *hot = &arena->table.hot, *open = cutting ? hot : &arena->table.dirty;

	for (size_t stop; first < end; first = stop + 1) {
		for (stop = first;
		     stop < end && !bitmap_test(open, stop) && !bitmap_test(hot, stop);)
			stop++;
		if (stop > first &&
		    os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
				    (stop - first) << arena->page_shift, true))
			return -1;
	}
	return 0;
}

/* Warm up neighbouring chunks, none of which is warm. chunks.lock held, or the gate closed. */
static int warm_up_run(struct cowarena *arena, size_t first, size_t end, bool cutting)
{
	size_t accessible = smaller(end, arena->chunks.accessible);
	/* Pages not yet in use are writable, but armed in faithful mode. */
	size_t armed =
	    arena->flags & COWARENA_FAITHFUL ? accessible : smaller(end, arena_pages(arena));

	/* A refusal leaves everything as it was: the chunks can stay cold. */
	if (os_uffd_register(engine_uffd_file(arena), arena_address(arena, first),
			     (end - first) << arena->page_shift))
		return -1;
	for (size_t page = first; page < end; page = chunk_end(arena, page))
		set_state(arena, chunk_of(arena, page), CHUNK_TORN);
	/* Both protections are there before the first is lifted. */
	if (protect_clean(arena, first, armed, cutting) ||
	    protect(arena, first, accessible - first, OS_READ_WRITE))
		return -1;
	for (size_t page = first; page < end; page = chunk_end(arena, page))
		set_state(arena, chunk_of(arena, page), CHUNK_WARM);
	return 0;
}

/* Make the chunk of a page warm; with neighbours, when mappings become scarce. */
static int warm_up(struct cowarena *arena, size_t page, bool cutting)
{
	size_t per = chunks_pages(&arena->chunks);
	size_t width = mappings_width(arena, borders(arena));
	size_t all = os_round_up(arena_pages(arena), per);
	size_t first = page & ~(per - 1), end = first + per;

	if (width > 1) {
		width = width < all / per ? width * per : all;
		first -= first % width;
		end = smaller(first + width, all);
	}
	for (size_t stop; first < end; first = stop) {
		stop = first + per;
		if (!chunks_has_borders(&arena->chunks, first))
			continue;
		while (stop < end && chunks_has_borders(&arena->chunks, stop))
			stop += per;
		if (warm_up_run(arena, first, stop, cutting))
			return -1;
	}
	return 0;
}

/* Chunks need not become private: where they cannot, or where each first write is to be a trap,
   warm ones stay with userfaultfd. */
static int open_engine(struct cowarena *arena)
{
	if (engine_open_uffd(arena, UFFD_SIGNALS))
		return -1;
	private_open_if_possible(arena);
	return 0;
}

static void close_engine(struct cowarena *arena)
{
	os_file_close(
	    engine_uffd_file(arena)); /* unregisters, and lifts userfaultfd's protection */
}

static int commit_locked(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	size_t end = first + n;

	arena->chunks.accessible = end;
	/* Only the first chunk can have been used before. */
	if (state_of(chunk_of(arena, first)) == CHUNK_WARM) {
		size_t stop = smaller(end, chunk_end(arena, first));
		if (protect(arena, first, stop - first, OS_READ_WRITE) ||
		    (armed &&
		     os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
				     (stop - first) << arena->page_shift, true) &&
		     !engine_uffd_lost(arena)))
			return -1;
		first = stop;
	}
	return first < end ? protect(arena, first, end - first, armed ? OS_READ : OS_READ_WRITE)
			   : 0;
}

static int commit(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	sigset_t signals;

	os_block_signals(&signals); /* a signal handler may fault, and need the lock */
	lock_acquire(&arena->chunks.lock);
	size_t before = arena->chunks.accessible;
	int result = commit_locked(arena, first, n, armed);
	if (result)
		arena->chunks.accessible = before;
	lock_release(&arena->chunks.lock);
	os_restore_signals(&signals);
	return result;
}

/* The last resort: one protection for all that lies between private chunks, which splits no
   mapping. */
static int arm_whole(struct cowarena *arena, size_t pages)
{
	atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed); /* hot pages */
	for (size_t page = 0; page < pages; page = chunk_end(arena, page))
		if (state_of(chunk_of(arena, page)) == CHUNK_WARM)
			set_state(arena, chunk_of(arena, page), CHUNK_TORN);
	for (size_t page = 0, stop; page < pages; page = stop) {
		stop = chunks_part_end(&arena->chunks, page, pages);
		if (!chunks_is_private(&arena->chunks, page) &&
		    protect(arena, page, stop - page, OS_READ))
			return -1;
	}
	return 0;
}

/* Whether the page's chunk is armed page by page. One with hot pages has to be. */
static bool is_fine_grained(struct cowarena *arena, size_t page)
{
	return state_of(chunk_of(arena, page)) == CHUNK_WARM || has_hot(arena, page);
}

/* Cold chunks are armed whole: their other pages are armed already, or dirty and so to be armed. */
static int arm_parts(struct cowarena *arena, size_t first, size_t end, size_t pages)
{
	for (size_t stop; first < end; first = stop) {
		bool fine = is_fine_grained(arena, first);
		stop = chunk_end(arena, first);
		while (stop < end && is_fine_grained(arena, stop) == fine)
			stop = chunk_end(arena, stop);
		if (fine) {
			stop = smaller(stop, end);
			for (size_t at = first; at < stop; at = chunk_end(arena, at))
				if (state_of(chunk_of(arena, at)) != CHUNK_WARM &&
				    warm_up(arena, at, true))
					return -1;
			if (os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
					    (stop - first) << arena->page_shift, true))
				return -1;
		} else {
			first &= ~(chunks_pages(&arena->chunks) - 1);
			if (protect(arena, first, smaller(stop, pages) - first, OS_READ))
				return -1;
		}
	}
	return 0;
}

static int arm(struct cowarena *arena, size_t first, size_t n)
{
	size_t pages = arena_pages(arena), at = first, end = first + n;
	int result = 0;

	for (size_t stop; at < end && !result; at = stop) {
		stop = chunks_part_end(&arena->chunks, at, end);
		if (chunks_is_private(&arena->chunks, at))
			private_fold(arena, at, stop - at);
		else
			result = arm_parts(arena, at, stop, pages);
	}
	return result && n == pages ? arm_whole(arena, pages) : result;
}

/* Disarm pages that are marked dirty, in a chunk that is not cold. */
static int disarm_warm(struct cowarena *arena, size_t first, size_t n)
{
	return os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
			       n << arena->page_shift, false);
}

/* Whether [first, first + n) continues a writable run, so that it adds no border inside the cold
   chunk or at its edge: a walk that comes from the chunk before may bring only a few pages. */
static bool goes_on(struct cowarena *arena, size_t first, size_t n, size_t pages)
{
	const struct bitmap *dirty = &arena->table.dirty;
	size_t next = first + n;

	return (first > 0 && bitmap_test(dirty, first - 1)) ||
	       (next < pages && bitmap_test(dirty, next));
}

/* In one chunk, chunks.lock held. */
static int disarm_locked(struct cowarena *arena, size_t first, size_t n)
{
	struct pagetable *table = &arena->table;
	size_t pages = arena_pages(arena);
	enum chunk_state state = state_of(chunk_of(arena, first));

	if (chunks_is_private(&arena->chunks, first)) { /* since resolve_range() has looked */
		pagetable_mark_dirty(table, first, n, pages);
		return 0;
	}
	/* All pages are marked open already: another thread was faster, or arming has failed
	   half-way. */
	bool open = pagetable_uniform(table, first, n) == PAGES_DIRTY;
	bool walk = n >= WALK && mappings_width(arena, borders(arena)) == 1;
	if (state == CHUNK_COLD && (open || walk || goes_on(arena, first, n, pages))) {
		engine_add_borders(arena, pagetable_mark_dirty(table, first, n, pages));
		return protect(arena, first, n, OS_READ_WRITE);
	}
	long grown = pagetable_mark_dirty(table, first, n, pages);
	if (state != CHUNK_WARM && warm_up(arena, first, false)) {
		if (state_of(chunk_of(arena, first)) != CHUNK_COLD)
			return -1;
		/* userfaultfd is closed, or a sandbox refuses it: do as engine sigsegv does. */
		engine_add_borders(arena, grown);
		return protect(arena, first, n, OS_READ_WRITE);
	}
	/* In a chunk that was cold, warm_up() has left the marked pages open. */
	return state == CHUNK_COLD ? 0 : disarm_warm(arena, first, n);
}

/* The last resort, with all pages of a run locked: open all of it, by calls that split no mapping.
   The run is all that lies between private chunks, or the whole heap. chunks.lock held. */
static int disarm_whole(struct cowarena *arena, size_t first, size_t n)
{
	size_t pages = arena_pages(arena);
	size_t end = os_round_up(first + n, chunks_pages(&arena->chunks));
	bool all_cold = atomic_load_explicit(&arena->chunks.not_cold, memory_order_relaxed) == 0;

	pagetable_mark_dirty(&arena->table, first, smaller(end, pages) - first, pages);
	for (size_t page = first; page < end; page = chunk_end(arena, page))
		set_state(arena, chunk_of(arena, page), CHUNK_TORN);
	if ((!all_cold && os_uffd_unregister(engine_uffd_file(arena), arena_address(arena, first),
					     (end - first) << arena->page_shift)) ||
	    protect(arena, first, smaller(end, arena->chunks.accessible) - first, OS_READ_WRITE))
		return -1;
	for (size_t page = first; page < end; page = chunk_end(arena, page))
		set_state(arena, chunk_of(arena, page), CHUNK_COLD);
	return 0;
}

/* Whether disarm_whole() may be called. Pages that have come into use since the others were locked
   must be dirty. In faithful mode no page may be about to come into use, since such a page stays
   armed. */
static bool is_whole(struct cowarena *arena, size_t first, size_t n)
{
	size_t pages = arena_pages(arena), end = first + n;

	if (first > 0 && !chunks_is_private(&arena->chunks, first - 1))
		return false;
	if (end < pages && chunks_is_private(&arena->chunks, end))
		return true;
	if (end < pages && bitmap_next_clear(&arena->table.dirty, end) < pages)
		return false;
	return !(arena->flags & COWARENA_FAITHFUL) || arena->chunks.accessible == n;
}

static int disarm_chunk(struct cowarena *arena, size_t first, size_t n)
{
	bool warm = state_of(chunk_of(arena, first)) == CHUNK_WARM;

	if (warm) {
		pagetable_mark_dirty(&arena->table, first, n, arena_pages(arena));
		if (disarm_warm(arena, first, n) == 0)
			return 0;
	}
	lock_acquire(&arena->chunks.lock);
	/* The chunk may have become private a moment ago: then it is writable, and registered no
	   more. */
	int result = !warm                                      ? disarm_locked(arena, first, n)
		     : chunks_is_private(&arena->chunks, first) ? 0
								: -1;
	lock_release(&arena->chunks.lock);
	return result;
}

static int disarm_each(struct cowarena *arena, size_t first, size_t n)
{
	size_t end = first + n;
	int result = 0;

	/* Checked first without the lock, because the heap's own first page is written often. */
	if (first % chunks_pages(&arena->chunks) == 0 &&
	    (n >= chunks_pages(&arena->chunks) || end >= arena_pages(arena))) {
		lock_acquire(&arena->chunks.lock);
		bool whole = is_whole(arena, first, n);
		if (whole)
			result = disarm_whole(arena, first, n);
		lock_release(&arena->chunks.lock);
		if (whole)
			return result;
	}
	for (size_t stop; first < end && !result; first = stop) {
		stop = smaller(end, chunk_end(arena, first));
		result = disarm_chunk(arena, first, stop - first);
	}
	return result;
}

static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	return disarm_each(arena, first, n) ? engine_uffd_release(arena, first, n) : 0;
}

/* ---- chunks that become private ---- */

static size_t dirty_in_chunk(struct cowarena *arena, size_t first, size_t end)
{
	const struct bitmap *dirty = &arena->table.dirty;
	size_t n = 0;

	for (size_t i = bitmap_next(dirty, first); i < end; i = bitmap_next(dirty, i + 1))
		n++;
	return n;
}

/*
 * A trap costs its thread some 5 us more than the kernel's own copy, 9 with a view open. A private
 * chunk costs each cut a look at its page table, and each page that is written to is copied in the
 * cut. So the kernel gets the chunk when many scattered pages were written to in this epoch: in the
 * chunk, or in the whole heap.
 */
static bool is_worth_it(struct cowarena *arena, size_t page)
{
	size_t end = chunk_end(arena, page), first = end - chunks_pages(&arena->chunks);
	size_t share = arena->timeline.views ? HEAP_SHARE_VIEWED : HEAP_SHARE;
	size_t traps = atomic_fetch_add_explicit(&arena->privates.traps, 1, memory_order_relaxed);

	return traps * share >= arena_pages(arena) ||
	       dirty_in_chunk(arena, first, end) * CHUNK_SHARE >= end - first;
}

/* chunks.lock held. */
static void privatise_locked(struct cowarena *arena, size_t page)
{
	size_t n = chunks_pages(&arena->chunks), first = page & ~(n - 1);

	if (chunks_is_private(&arena->chunks, page) || private_map(arena, first, n))
		return;
	/* Not registered any more. */
	set_state(arena, chunk_of(arena, page), CHUNK_COLD);
	atomic_store_explicit(&chunk_of(arena, page)->huge, false, memory_order_relaxed);
}

static void privatise(struct cowarena *arena, size_t page)
{
	const struct cowarena_snapshot *newest = arena->timeline.newest;
	size_t end = chunk_end(arena, page);

	/* The kernel would copy pages that a save has passed. */
	if (newest && atomic_load_explicit(&newest->last_use, memory_order_relaxed))
		return;
	if (!private_works(arena) || arena->on_page || end > arena_pages(arena) ||
	    chunks_is_private(&arena->chunks, page) || goes_on(arena, page, 1, end) ||
	    mappings_width(arena, borders(arena)) > 1 ||
	    page_stamp(page_peek(&arena->table.pages[page])) > timeline_newest(&arena->timeline) ||
	    !is_worth_it(arena, page))
		return;
	lock_acquire(&arena->chunks.lock);
	privatise_locked(arena, page);
	lock_release(&arena->chunks.lock);
}

/* Cold chunks stay armed without the descriptor, and no other chunk becomes cold without it. */
static bool lost(struct cowarena *arena)
{
	return atomic_load_explicit(&arena->chunks.not_cold, memory_order_relaxed) &&
	       engine_uffd_lost(arena);
}

static bool cool(struct cowarena *arena, size_t index)
{
	struct chunk *chunk = &arena->chunks.at[index];
	size_t n = chunks_pages(&arena->chunks), first = index * n;
	enum pages_uniform pages = pagetable_uniform(&arena->table, first, n);
	bool cold = true;

	if (pages == PAGES_MIXED || chunks_is_private(&arena->chunks, first))
		return false;
	lock_acquire(&arena->chunks.lock); /* against commit() */
	if (state_of(chunk) != CHUNK_COLD) {
		set_state(arena, chunk, CHUNK_TORN);
		/* Both protections are there before the first is lifted. */
		cold =
		    protect(arena, first, n, pages == PAGES_CLEAN ? OS_READ : OS_READ_WRITE) == 0 &&
		    os_uffd_unregister(engine_uffd_file(arena), arena_address(arena, first),
				       arena->chunks.bytes) == 0;
		if (cold)
			set_state(arena, chunk, CHUNK_COLD);
		if (cold && pages == PAGES_DIRTY) /* an open island among armed chunks */
			engine_add_borders(arena, 2);
	}
	lock_release(&arena->chunks.lock);
	return cold;
}

static bool can_write(struct cowarena *arena, size_t page)
{
	return engine_uffd.can_write(arena, page);
}

const struct engine engine_hybrid = {
    .name = "hybrid",
    .bus = true,
    .takes_absent = true,
    .merge_gap = 16, /* as with uffd */
    .open = open_engine,
    .close = close_engine,
    .abandon = close_engine,
    .commit = commit,
    .arm = arm,
    .armed = mappings_recount,
    .disarm = disarm,
    .can_write = can_write,
    .lost = lost,
    .must_renew = engine_uffd_lost,
    .privatise = privatise,
    .cool = cool,
    .mappings = mappings_count,
};
