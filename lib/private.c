/* SPDX-License-Identifier: BSD-2-Clause */
/* private.c - see private.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "engine.h"
#include "point.h"
#include "private.h"
#include "sharing.h"
#include "track.h"
#include "versions.h"

#include <errno.h>
#include <string.h>

#define DROPS 1024
#define KEPT_SHARE 16 /* pages that stay own at a cut: no more than this part of the heap */

/* ---- opening ---- */

void private_init(struct cowarena *arena)
{
	arena->privates = (struct privates){.pagemap.fd = -1, .watch.fd = -1, .hold.fd = -1};
}

static size_t drops_bytes(void)
{
	return os_round_up(DROPS * sizeof(struct os_run), os_page_size());
}

/* Beside the heap's own mapping. */
static int map_past(struct cowarena *arena)
{
	char *past = os_reserve(arena->reserved, chunks_size(), NULL);

	if (!past)
		return -1;
	if (os_map_shared(past, arena->reserved, &arena->file) ||
	    os_keep_from_children(past, arena->reserved) ||
	    os_protect(past, arena->reserved, OS_READ_WRITE)) {
		os_unmap(past, arena->reserved);
		return -1;
	}
	os_dump(past, arena->reserved, false);
	arena->past = past;
	return 0;
}

static bool is_wanted(const struct cowarena *arena)
{
	return !(arena->flags & COWARENA_FAITHFUL) && arena->frames.held_max == SIZE_MAX;
}

enum refusal { NONE, NOT_WANTED, MEMORY_COUNTS, NO_PAGEMAP, NO_COW, NO_ROOM };

/* errno tells the rest. */
static enum refusal try_open(struct cowarena *arena)
{
	struct privates *p = &arena->privates;

	if (!is_wanted(arena))
		return NOT_WANTED;
	if (os_counts_private_memory())
		return MEMORY_COUNTS;
	if (os_pagemap_open(&p->pagemap))
		return NO_PAGEMAP;
	enum refusal refusal = os_try_cow(&p->pagemap) ? NO_COW : NONE;
	if (!refusal) {
		p->drops = os_map_anonymous(drops_bytes());
		refusal = p->drops && map_past(arena) == 0 ? NONE : NO_ROOM;
	}
	if (refusal) {
		int e = errno;
		private_close(arena);
		errno = e;
		return refusal;
	}
	os_keep_from_children(p->drops, drops_bytes());
	p->cannot_watch = os_watch_open(&p->watch, &p->pagemap) != 0;
	return NONE;
}

/* What the system has refused. */
static int refused(const char *why)
{
	if (errno == EMFILE || errno == ENFILE)
		return error_set(errno, "engine kernel: no file descriptor left: raise ulimit -n");
	return error_system(ENOTSUP, "engine kernel: %s (%s): use engine hybrid", why,
			    error_name(errno));
}

static int open_hold(struct cowarena *arena)
{
	struct privates *p = &arena->privates;
	int e = errno;

	p->can_wait = os_hold_open(&p->hold, &p->holds_system_calls) == 0;
	errno = e;
	if (!(arena->flags & COWARENA_SYSCALL_SAFE) || p->holds_system_calls)
		return 0;
	error_set(EPERM, "engine kernel: system calls that store into the heap while a snapshot is "
			 "taken fail with EFAULT: to let them wait takes CAP_SYS_PTRACE, or the "
			 "sysctl vm.unprivileged_userfaultfd set to 1");
	if (arena->flags & COWARENA_STRICT_ENGINE) {
		private_close(arena);
		errno = EPERM;
		return -1;
	}
	errno = e;
	return 0;
}

int private_open(struct cowarena *arena)
{
	switch (try_open(arena)) {
	case NONE:
		return open_hold(arena);
	case NOT_WANTED:
		return error_set(ENOTSUP, "engine kernel: COWARENA_FAITHFUL and options.held_limit "
					  "take a trap at each first write: use engine hybrid");
	case MEMORY_COUNTS:
		return error_set(ENOTSUP,
				 "engine kernel: with vm.overcommit_memory=2 a private mapping "
				 "counts like memory that is used: set it to 0, or use engine "
				 "hybrid");
	case NO_PAGEMAP:
		return refused("/proc/self/pagemap cannot be opened");
	case NO_COW:
		return refused("private mappings do not behave here as they should, as under "
			       "mlockall(MCL_FUTURE)");
	default:
		return error_system(ENOMEM, "engine kernel: no address space for a second mapping "
					    "of the heap: " ERROR_NO_ROOM);
	}
}

void private_open_if_possible(struct cowarena *arena)
{
	int e = errno;

	if (!private_works(arena))
		try_open(arena);
	errno = e;
}

void private_close(struct cowarena *arena)
{
	struct privates *p = &arena->privates;

	if (p->drops)
		os_unmap(p->drops, drops_bytes());
	p->drops = NULL;
	private_drop_inherited(arena);
}

void private_never_wait(struct cowarena *arena)
{
	os_file_close(&arena->privates.hold);
	arena->privates.can_wait = arena->privates.holds_system_calls = false;
}

void private_drop_inherited(struct cowarena *arena)
{
	os_file_close(&arena->privates.pagemap);
	os_file_close(&arena->privates.watch);
	os_file_close(&arena->privates.hold);
}

bool private_works(const struct cowarena *arena)
{
	return arena->privates.drops;
}

bool private_takes_system_calls(const struct cowarena *arena)
{
	return arena->engine->private_at_cut && arena->privates.holds_system_calls;
}

void private_abandon(struct cowarena *arena)
{
	private_drop_inherited(arena);
	private_init(arena);
	arena->past = arena->base;
}

/* ---- which chunks ---- */

/* The next run of private pages after [.., *end). False when there is none. */
static bool next_private(struct cowarena *arena, size_t *first, size_t *end)
{
	const struct chunks *c = &arena->chunks;
	size_t per = chunks_pages(c), count = os_round_up(arena_pages(arena), per) / per;
	size_t i = os_round_up(*end, per) / per;

	while (i < count && !chunks_private_pages(c, i))
		i++;
	if (i >= count)
		return false;
	*first = i * per;
	do
		*end = i * per + chunks_private_pages(c, i);
	while (*end == ++i * per && i < count && chunks_private_pages(c, i));
	return true;
}

static void set_private_pages(struct cowarena *arena, size_t chunk, size_t n)
{
	struct chunk *c = &arena->chunks.at[chunk];
	uint32_t before = atomic_load_explicit(&c->private_pages, memory_order_relaxed);

	if (!before != !n)
		atomic_fetch_add_explicit(&arena->privates.chunks, n ? 1 : (size_t)-1,
					  memory_order_relaxed);
	TEST_POINT();
	/* Release: pairs with chunks_private_pages(). */
	atomic_store_explicit(&c->private_pages, (uint32_t)n, memory_order_release);
	TEST_POINT();
}

int private_map(struct cowarena *arena, size_t first, size_t n)
{
	size_t per = chunks_pages(&arena->chunks), end = first + n;

	if (arena_has_absent(arena)) { /* it would show pages that are absent as zeros */
		errno = EBUSY;
		return -1;
	}
	for (size_t at = first; at < end; at = chunks_end(&arena->chunks, at))
		atomic_store(&arena->chunks.at[at / per].claimed, true);
	TEST_POINT();
	struct privates *p = &arena->privates;
	bool quiet = p->cutting && !p->held;
	if (p->cutting && !quiet && !os_file_is_ours(&p->pagemap)) /* the program has closed it */
		os_pagemap_open(&p->pagemap);
	const struct os_file *pagemap = quiet ? NULL : &arena->privates.pagemap;
	if (os_map_cow(arena_address(arena, first), n << arena->page_shift, &arena->file,
		       first << arena->page_shift, pagemap))
		return -1;
	/* What has been added to a chunk may be written to from now on: it is watched with the
	   rest, by the next cut. */
	if (first % per)
		arena->chunks.at[first / per].watched = false;
	for (size_t at = first & ~(per - 1); at < end; at += per)
		set_private_pages(arena, at / per, end - at < per ? end - at : per);
	return 0;
}

/* ---- what the file holds goes to frames ---- */

static uint32_t find_filed(struct cowarena *arena, size_t page)
{
	const struct frames *f = &arena->frames;
	uint32_t root = arena->table.pages[page].versions;
	uint32_t frame = versions_upto(f, root, PAGE_STAMP_MAX);

	while (frame != FRAME_NONE && version_place(frames_version(f, frame)) != VERSION_IN_FILE)
		frame = versions_upto(f, root, frames_version(f, frame)->first - 1);
	return frame;
}

/* The file's page is about to change (P3). Page locked. */
static void unfile(struct cowarena *arena, size_t page)
{
	uint32_t frame = find_filed(arena, page);
	struct version *v = frames_version(&arena->frames, frame);
	uint64_t last = version_last(v);

	frames_charge(&arena->frames, 1 + sharing_count(arena, page, v->first, last));
	track_copy(frames_data(&arena->frames, frame), arena_past(arena, page),
		   arena_page_size(arena));
	sharing_end(arena, page, v->first, last);
	TEST_POINT();
	/* Release: who finds the new place finds the content. And a reader that has seen anything
	   of what comes into the file next finds the new place afterwards (snapshot-read.c). */
	version_end(v, last, VERSION_IN_FRAME);
	atomic_thread_fence(memory_order_seq_cst);
	TEST_POINT();
	bitmap_unset(&arena->table.filed, page);
	atomic_fetch_sub_explicit(&arena->frames.bare, 1, memory_order_relaxed);
}

static void unfile_page(struct cowarena *arena, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t state = page_lock(entry);

	unfile(arena, page);
	page_unlock(entry, state);
}

/* ---- own pages that go ---- */

/* False when the program has closed the descriptor meanwhile, which has let everybody go. */
static bool is_held_still(struct cowarena *arena)
{
	return arena->privates.held != HELD_BY_WAITING || os_file_is_ours(&arena->privates.hold);
}

void private_drop(struct cowarena *arena)
{
	struct privates *p = &arena->privates;

	/* If that is refused they are found again, and hold what the file does; or more, if those
	   who write are not held any more. */
	if (p->dropping && is_held_still(arena))
		os_drop_own(p->drops, p->dropping);
	p->dropping = 0;
}

static void queue_drop(struct cowarena *arena, size_t page)
{
	struct privates *p = &arena->privates;
	struct os_run *last = &p->drops[p->dropping - 1];
	char *at = arena_address(arena, page);
	size_t size = arena_page_size(arena);

	if (p->dropping && last->start + last->bytes == at) {
		last->bytes += size;
		return;
	}
	if (p->dropping == DROPS)
		private_drop(arena);
	p->drops[p->dropping++] = (struct os_run){.start = at, .bytes = size};
}

static void disown(struct cowarena *arena, size_t page)
{
	bitmap_unset(&arena->table.own, page);
	atomic_fetch_sub_explicit(&arena->privates.own, 1, memory_order_relaxed);
	if (bitmap_test(&arena->table.hollow, page))
		bitmap_unset(&arena->table.hollow, page);
	else
		frames_uncharge(&arena->frames, 1);
	queue_drop(arena, page);
}

/* ---- holding those who write ---- */

/* Engine kernel: by userfaultfd's wait, where that is to be had. */
static enum held way_to_hold(struct cowarena *arena)
{
	struct privates *p = &arena->privates;

	/* The program has closed it, perhaps. */
	if (p->can_wait && !os_file_is_ours(&p->hold)) {
		p->holds_system_calls = false;
		os_hold_open(&p->hold, &p->holds_system_calls);
	}
	return p->hold.fd >= 0 ? HELD_BY_WAITING : HELD_BY_PROTECTION;
}

static void begin_to_hold(struct cowarena *arena)
{
	arena->privates.held = way_to_hold(arena);
	if (arena->privates.held == HELD_BY_WAITING)
		private_unwatch(arena);
}

static int hold(struct cowarena *arena, size_t first, size_t n)
{
	char *at = arena_address(arena, first);
	size_t bytes = n << arena->page_shift;

	return arena->privates.held == HELD_BY_WAITING ? os_hold(&arena->privates.hold, at, bytes)
						       : os_protect(at, bytes, OS_READ);
}

/* Where it is refused a fault does it. */
static void let_go(struct cowarena *arena, size_t first, size_t n)
{
	char *at = arena_address(arena, first);
	size_t bytes = n << arena->page_shift;

	if (arena->privates.held == HELD_BY_WAITING)
		os_let_go(&arena->privates.hold, at, bytes);
	else
		os_protect(at, bytes, OS_READ_WRITE);
}

/* The next shared part from page *end on that engine kernel makes private at this cut. */
static bool next_to_become_private(struct cowarena *arena, size_t *first, size_t *end)
{
	size_t pages = arena_pages(arena);

	while (arena->engine->private_at_cut && *end < pages) {
		*first = *end;
		*end = chunks_part_end(&arena->chunks, *first, pages);
		if (!chunks_is_private(&arena->chunks, *first) &&
		    bitmap_next(&arena->table.dirty, *first) < *end)
			return true;
	}
	return false;
}

/* If that is one part, it changes at one instant, and need not be held. */
static bool are_several(struct cowarena *arena)
{
	size_t first, end = 0;

	return next_to_become_private(arena, &first, &end) &&
	       next_to_become_private(arena, &first, &end);
}

static int hold_all(struct cowarena *arena)
{
	size_t first, end;

	for (end = 0; next_private(arena, &first, &end);)
		if (hold(arena, first, end - first))
			return -1;
	if (!are_several(arena))
		return 0;
	for (end = 0; next_to_become_private(arena, &first, &end);) {
		/* The mapping of what is held so lets go of nobody; faults do, if need be. */
		if (arena->privates.held == HELD_BY_PROTECTION)
			atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
		if (hold(arena, first, end - first))
			return -1;
	}
	return 0;
}

static void let_all_go(struct cowarena *arena)
{
	if (arena->privates.held == HELD_BY_WAITING)
		let_go(arena, 0, arena_pages(arena));
	else
		for (size_t first, end = 0; next_private(arena, &first, &end);)
			let_go(arena, first, end - first);
}

/* A refusal, as for a mapping that a lost descriptor watches still, makes it the other way, unless
   system calls were to wait. */
static int hold_somehow(struct cowarena *arena)
{
	begin_to_hold(arena);
	int result = hold_all(arena);
	if (result && arena->privates.held == HELD_BY_WAITING &&
	    !(arena->flags & COWARENA_SYSCALL_SAFE)) {
		let_all_go(arena);
		arena->privates.holds_system_calls = false;
		arena->privates.held = HELD_BY_PROTECTION;
		result = hold_all(arena);
	}
	return result;
}

/* ---- the cut ---- */

static bool anything_open(struct cowarena *arena)
{
	size_t first, end = 0;

	return atomic_load_explicit(&arena->privates.chunks, memory_order_relaxed) ||
	       next_to_become_private(arena, &first, &end);
}

/* Drop own pages that have come to rest, if there are too many. */
static void sweep(struct cowarena *arena)
{
	struct privates *p = &arena->privates;
	const struct bitmap *own = &arena->table.own;
	size_t pages = arena_pages(arena), most = pages / KEPT_SHARE;
	size_t own_now = atomic_load_explicit(&p->own, memory_order_relaxed), surplus;

	/* What more than fills that room is not worth keeping. */
	p->keeps_none = p->written > most;
	surplus = p->keeps_none ? own_now : own_now > most ? own_now - most : 0;
	for (int turn = 0; turn < 2 && surplus; turn++) {
		size_t i = bitmap_next(own, p->swept);
		for (; i < pages && surplus; i = bitmap_next(own, i + 1))
			if (!bitmap_test(&arena->table.dirty, i)) {
				disown(arena, i);
				surplus--;
			}
		p->swept = i < pages ? i : 0;
	}
}

int private_begin_cut(struct cowarena *arena, bool quiescent)
{
	struct privates *p = &arena->privates;

	if (!private_works(arena))
		return 0;
	p->cutting = true;
	private_fill_up(arena);
	if (!quiescent && anything_open(arena) && !os_is_alone() && hold_somehow(arena))
		return -1;
	TEST_POINT();
	if (private_collect(arena))
		return -1;
	sweep(arena);
	/* Now, and not before the kernel was asked: what is written to there from now on is not in
	   the snapshot. What is refused is armed later, page by page. */
	size_t first, end = 0;
	if (p->held && !are_several(arena) && next_to_become_private(arena, &first, &end))
		private_map(arena, first, end - first);
	return 0;
}

/* P4: what was rolled back and not written since is clean from now on. */
static void unfile_clean(struct cowarena *arena)
{
	struct pagetable *t = &arena->table;

	for (size_t i = bitmap_next(&t->filed, 0); i < t->filed.bits;
	     i = bitmap_next(&t->filed, i + 1))
		if (!bitmap_test(&t->dirty, i))
			unfile_page(arena, i);
}

int private_end_cut(struct cowarena *arena)
{
	struct privates *p = &arena->privates;

	if (!private_works(arena))
		return 0;
	private_drop(arena);
	unfile_clean(arena);
	int result = is_held_still(arena) ? 0 : -1;
	if (p->held)
		let_all_go(arena);
	p->held = HELD_NOT;
	p->cutting = false;
	p->written = 0;
	atomic_store_explicit(&p->traps, 0, memory_order_relaxed);
	return result;
}

/* What the last snapshot has kept of the page. */
static const void *kept(struct cowarena *arena, size_t page, uint64_t epoch)
{
	const struct frames *f = &arena->frames;
	uint32_t frame = versions_find(f, arena->table.pages[page].versions, epoch - 1);

	return frame != FRAME_NONE && version_place(frames_version(f, frame)) == VERSION_IN_FRAME
		   ? frames_data(f, frame)
		   : arena_past(arena, page);
}

bool private_wants_keeping(struct cowarena *arena, size_t page)
{
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	if (private_is_watched(arena, page)) /* folded, and left own all the same */
		return false;
	if (arena->table.pages[page].heat == page_heat(epoch, 0)) /* kept by the last snapshot */
		return !track_same(arena_address(arena, page), kept(arena, page, epoch),
				   arena_page_size(arena));
	return atomic_load_explicit(&arena->privates.own, memory_order_relaxed) <=
	       arena_pages(arena) / KEPT_SHARE;
}

bool private_keep(struct cowarena *arena, size_t page)
{
	struct pagetable *t = &arena->table;
	struct page *entry = &t->pages[page];
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	size_t size = arena_page_size(arena);
	/* The file's page, if it is free to change: that takes no more memory. */
	bool to_file = !bitmap_test(&t->filed, page);
	uint32_t frame = to_file ? frames_take_bare(&arena->frames) : frames_take(&arena->frames);

	if (frame == FRAME_NONE)
		return false;
	uint64_t state = page_lock(entry);
	if (to_file) {
		track_copy(arena_past(arena, page), arena_address(arena, page), size);
		bitmap_set(&t->filed, page);
	} else {
		frames_charge(&arena->frames, 1);
		track_copy(frames_data(&arena->frames, frame), arena_address(arena, page), size);
	}
	timeline_publish(arena, page, page_stamp(state), frame,
			 to_file ? VERSION_IN_FILE : VERSION_IN_FRAME);
	entry->heat = page_heat(epoch, 0);
	chunks_touch(&arena->chunks, page, 1, epoch);
	stats_add(&arena->counters.shard[0].pages[COWARENA_PAGE_SHADOWED], 1);
	page_unlock(entry, epoch << PAGE_STAMP_SHIFT);
	return true;
}

/* ---- folding ---- */

/* The file gets what the own page holds. */
static void fold_page(struct cowarena *arena, size_t page, bool drop)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t state = page_lock(entry);

	if (!private_equals_file(arena, page)) {
		if (bitmap_test(&arena->table.filed, page))
			unfile(arena, page);
		track_copy(arena_past(arena, page), arena_address(arena, page),
			   arena_page_size(arena));
	}
	if (drop)
		disown(arena, page);
	page_unlock(entry, state);
}

void private_fold(struct cowarena *arena, size_t first, size_t n)
{
	const struct privates *p = &arena->privates;
	const struct pagetable *t = &arena->table;
	_Atomic uint64_t *copies = &arena->counters.shard[0].pages[COWARENA_PAGE_SHADOWED];

	for (size_t i = bitmap_next(&t->own, first); i < first + n;
	     i = bitmap_next(&t->own, i + 1)) {
		/* Clean: the file has it, or a write that nobody has noted yet must stay so. */
		if (!bitmap_test(&t->dirty, i))
			continue;
		bool drop = p->keeps_none || !private_is_watched(arena, i);
		fold_page(arena, i, drop);
		stats_add(copies, !drop);
		if (!p->cutting) /* the cut has watched it again before */
			private_watch_again(arena, i, 1);
	}
}

static void unfile_range(struct cowarena *arena, size_t first, size_t n)
{
	const struct bitmap *filed = &arena->table.filed;

	for (size_t i = bitmap_next(filed, first); i < first + n; i = bitmap_next(filed, i + 1))
		unfile_page(arena, i);
}

void private_forget(struct cowarena *arena, size_t first, size_t n)
{
	struct pagetable *t = &arena->table;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	unfile_range(arena, first, n);
	for (size_t i = bitmap_next(&t->own, first); i < first + n; i = bitmap_next(&t->own, i + 1))
		disown(arena, i);
	private_drop(arena);
	private_watch_again(arena, first, n);
	/* They change, as by a write. */
	for (size_t i = first; i < first + n; i++)
		if (chunks_is_private(&arena->chunks, i))
			private_stamp_written(arena, i, epoch);
}

/* Map a chunk as the file is again, after its own pages have gone there: armed, as snapshots need
   it, or without a snapshot writable, so that all of it is dirty. -1 with errno: the chunk is
   private still. */
static int share(struct cowarena *arena, size_t chunk)
{
	const struct bitmap *own = &arena->table.own;
	bool live = atomic_load(&arena->timeline.live);
	size_t first = chunk << arena->chunks.pages_shift;
	size_t n = chunks_private_pages(&arena->chunks, chunk);
	size_t bytes = n << arena->page_shift;
	uint64_t epoch = atomic_load(&arena->timeline.epoch);

	begin_to_hold(arena);
	int result = hold(arena, first, n);
	if (!result)
		result = private_collect_range(arena, first, first + n);
	if (!result) {
		arena->chunks.at[chunk].watched = false;
		for (size_t i = bitmap_next(own, first); i < first + n; i = bitmap_next(own, i + 1))
			fold_page(arena, i, true);
		private_drop(arena);
		unfile_range(arena, first, n); /* stores go to the file from now on */
		result = is_held_still(arena) ? os_map_alias(arena_address(arena, first), bytes,
							     arena_past(arena, first), &arena->file,
							     first << arena->page_shift,
							     live ? OS_READ : OS_READ_WRITE)
					      : -1;
	}
	if (result || arena->privates.held == HELD_BY_WAITING)
		let_go(arena, first, n);
	arena->privates.held = HELD_NOT;
	if (result)
		return -1;
	set_private_pages(arena, chunk, 0);
	atomic_store(&arena->chunks.at[chunk].claimed, false);
	if (live) /* dirty pages are armed too */
		atomic_store_explicit(&arena->half_armed, true, memory_order_relaxed);
	for (size_t i = first; i < first + n && !live; i++)
		private_stamp_written(arena, i, epoch);
	return 0;
}

int private_share_all(struct cowarena *arena)
{
	size_t per = chunks_pages(&arena->chunks);

	for (size_t first, end = 0; next_private(arena, &first, &end);)
		for (size_t chunk = first / per; chunk * per < end; chunk++)
			if (share(arena, chunk))
				return -1;
	if (arena->engine->armed)
		arena->engine->armed(arena);
	return 0;
}

/* Who stores to prepared memory by a system call must not be held by a protection: the call would
   fail. With engine kernel it may. */
static bool may_hold(struct cowarena *arena, size_t chunk)
{
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	return arena->engine->private_at_cut || !chunks_is_prepared(&arena->chunks, chunk, epoch);
}

bool private_share_next(struct cowarena *arena, size_t *at)
{
	size_t first, end = *at;
	sigset_t signals;
	bool shared = false;

	arena_lock_snapshots(arena, &signals);
	while (!atomic_load(&arena->timeline.live) && next_private(arena, &first, &end)) {
		size_t chunk = first >> arena->chunks.pages_shift;
		*at = end = chunks_end(&arena->chunks, first);
		gate_close(&arena->gate);
		bool may = may_hold(arena, chunk);
		shared = may && share(arena, chunk) == 0;
		gate_open(&arena->gate);
		if (may)
			break;
	}
	if (!shared && *at && arena->engine->armed) { /* count what the engine counts */
		gate_close(&arena->gate);
		arena->engine->armed(arena);
		gate_open(&arena->gate);
	}
	arena_unlock_snapshots(arena, &signals);
	return shared;
}

int private_flush(struct cowarena *arena)
{
	const struct bitmap *own = &arena->table.own;
	sigset_t signals;
	int result = 0;

	arena_lock_snapshots(arena, &signals);
	arena->privates.has_forked = true;
	private_fill_up(arena);
	if (atomic_load(&arena->privates.chunks)) {
		gate_close(&arena->gate);
		/* What is shared is in the file already; what is clean must not change there. */
		result = private_collect(arena);
		for (size_t i = bitmap_next(own, 0); !result && i < own->bits;
		     i = bitmap_next(own, i + 1))
			if (bitmap_test(&arena->table.dirty, i))
				fold_page(arena, i, false);
		gate_open(&arena->gate);
	}
	arena_unlock_snapshots(arena, &signals);
	return result;
}

/* ---- the second mapping's page table ---- */

bool private_fill_past(struct cowarena *arena)
{
	struct privates *p = &arena->privates;
	struct chunk *chunks = arena->chunks.at;
	size_t count = arena->chunks.count;

	if (!atomic_load(&p->past_wanted))
		return false;
	for (size_t n = 0; n < count; n++, p->filled = (p->filled + 1) % count)
		if (atomic_load(&chunks[p->filled].past) == PAST_WANTED) {
			atomic_store(&chunks[p->filled].past, PAST_FILLED);
			os_map_resident(arena->past + p->filled * arena->chunks.bytes,
					arena->chunks.bytes);
			return atomic_fetch_sub(&p->past_wanted, 1) > 1;
		}
	return false;
}
