/* SPDX-License-Identifier: BSD-2-Clause */
/* helper.c - see helper.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "fault.h"
#include "helper.h"
#include "objects.h"
#include "point.h"

#include <errno.h>

#define QUIET 8 /* epochs without a fault that make a chunk cold */
/* Bytes of frames with memory: kept always; the most made ahead of need; kept while there is no
   snapshot. */
#define WARM_MIN ((size_t)256 << 10)
#define WARM_AHEAD ((size_t)128 << 20)
#define WARM_IDLE ((size_t)4 << 20)
#define EINVALS 8   /* refusals after which the system is taken to be unable */
#define COLLAPSES 4 /* between two naps */
#define NAP_NS 1000000
#define IDLE_NS 10000000000u /* time without a snapshot after which the pool shrinks */

uint64_t helper_calm_ns = 1000000000u;

/* ---- frames ---- */

static size_t warm_min(const struct cowarena *arena)
{
	return (WARM_MIN >> arena->page_shift) + 1;
}

static size_t warm_ahead(const struct cowarena *arena)
{
	return WARM_AHEAD >> arena->page_shift;
}

static size_t warm_idle(const struct cowarena *arena)
{
	return WARM_IDLE >> arena->page_shift;
}

/* How many frames each live snapshot has taken, on average. */
static size_t used_each(struct cowarena *arena)
{
	size_t live = atomic_load(&arena->timeline.live);

	size_t taken = atomic_load(&arena->frames.taken), bare = atomic_load(&arena->frames.bare);

	return (taken > bare ? taken - bare : 0) / (live ? live : 1);
}

void helper_note_use(struct cowarena *arena)
{
	size_t used = used_each(arena);

	if (used > arena->helper.wanted)
		arena->helper.wanted = used;
}

void helper_before_take(struct cowarena *arena)
{
	struct helper *h = &arena->helper;
	size_t now = warm_min(arena);

	/* A large epoch is remembered for a while. */
	h->wanted -= h->wanted / 16;
	helper_note_use(arena);
	h->ahead = warm_min(arena);
	/* More is left to the thread, if there is one. */
	if (!atomic_load(&h->bell.heard) && h->wanted > now)
		now = h->wanted < warm_idle(arena) ? h->wanted : warm_idle(arena);
	while (!frames_prefault(&arena->frames, now))
		;
}

/* How many frames should have memory, at least: as many as the rest of this epoch is expected to
   take, or `ahead` when the epoch has taken more than expected. */
static size_t warm_least(struct cowarena *arena)
{
	struct helper *h = &arena->helper;
	size_t used = used_each(arena);
	size_t most = atomic_load(&arena->timeline.live) ? warm_ahead(arena) : warm_idle(arena);
	size_t rest = h->wanted > used ? h->wanted - used : 0;

	rest = rest < h->ahead ? h->ahead : rest;
	return rest < most ? rest : most;
}

/* How many free frames may keep their memory: more while snapshots come and go. */
static size_t warm_most(struct cowarena *arena, bool idle)
{
	size_t wanted = arena->helper.wanted;
	size_t most = idle ? warm_idle(arena) : wanted + wanted / 4 + warm_ahead(arena) / 8;

	return most < warm_least(arena) ? warm_least(arena) : most;
}

bool helper_can_give_back(struct cowarena *arena)
{
	bool idle = !atomic_load(&arena->timeline.live);

	return (idle && atomic_load(&arena->privates.chunks)) ||
	       frames_warm(&arena->frames) > 2 * warm_most(arena, idle);
}

/* One step. Returns whether there is more to do. */
static bool tend_frames(struct cowarena *arena, bool idle)
{
	struct helper *h = &arena->helper;
	struct frames *frames = &arena->frames;
	sigset_t signals;
	bool done;

	arena_lock_snapshots(arena, &signals);
	if (atomic_exchange(&h->bell.called, false))
		h->ahead = h->ahead < warm_ahead(arena) / 2 ? 2 * h->ahead : warm_ahead(arena);
	if (frames_warm(frames) < warm_least(arena))
		done = frames_prefault(frames, warm_least(arena));
	else
		done = frames_trim(frames, warm_most(arena, idle));
	arena_unlock_snapshots(arena, &signals);
	return !done;
}

/* ---- chunks ---- */

static bool worth_collapsing(struct cowarena *arena, size_t chunk, uint32_t quiet)
{
	size_t per = chunks_pages(&arena->chunks), first = chunk * per;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	return !arena_has_absent(arena) &&
	       first + per <= atomic_load_explicit(&arena->pages, memory_order_acquire) &&
	       !atomic_load_explicit(&arena->chunks.at[chunk].huge, memory_order_relaxed) &&
	       chunks_quiet(&arena->chunks, chunk, epoch) >= quiet &&
	       (quiet == 0 || pagetable_uniform(&arena->table, first, per) != PAGES_MIXED) &&
	       os_is_resident(arena_address(arena, first), arena->chunks.bytes);
}

/*
 * With no live snapshot that could need its pages, a chunk that is partly open is opened
 * altogether: then it can be collapsed, and the next snapshot arms it by one entry. (The arena
 * forgets which of the chunk's pages have changed since the last snapshot; the pages that have not
 * are spared their faults.)
 */
static void open_mixed(struct cowarena *arena, size_t chunk)
{
	size_t per = chunks_pages(&arena->chunks), first = chunk * per;
	sigset_t signals;

	if (arena->flags & COWARENA_FAITHFUL ||
	    pagetable_uniform(&arena->table, first, per) != PAGES_MIXED)
		return;
	arena_lock_snapshots(arena, &signals); /* no snapshot is taken meanwhile */
	if (!atomic_load(&arena->timeline.live))
		fault_prepare(arena, first, per, FAULT_SPOIL_LOCKED);
	arena_unlock_snapshots(arena, &signals);
}

/* Let the engine arm the chunk by its mapping. */
static bool cool(struct cowarena *arena, size_t chunk, uint32_t quiet)
{
	sigset_t signals;

	arena_lock_snapshots(arena, &signals);
	gate_close(&arena->gate);
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
	bool cooled = chunks_quiet(&arena->chunks, chunk, epoch) >= quiet &&
		      arena->engine->cool(arena, chunk);
	/* Set with the gate closed: from now on a handler that splits the mapping clears it. */
	if (cooled)
		atomic_store(&arena->chunks.at[chunk].huge, true);
	gate_open(&arena->gate);
	arena_unlock_snapshots(arena, &signals);
	return cooled;
}

/*
 * Collapse a chunk that has been quiet for so many epochs; 0: any chunk. The kernel copies the
 * chunk to a huge page, unless it is on one already (K19); writers that come too early wait there,
 * or undo the copy. Returns whether it was tried.
 */
static bool collapse(struct cowarena *arena, size_t index, uint32_t quiet)
{
	struct chunk *chunk = &arena->chunks.at[index];
	size_t first = index << arena->chunks.pages_shift;

	if (!worth_collapsing(arena, index, quiet))
		return false;
	if (quiet == 0)
		open_mixed(arena, index);
	if (!cool(arena, index, quiet))
		return false;
	TEST_POINT();
	if (os_collapse(arena_past(arena, first), arena->chunks.bytes) == 0) {
		/* Once more: a fault meanwhile may have mapped the huge page in small ones. If not,
		   this does nothing. */
		os_collapse(arena_address(arena, first), arena->chunks.bytes);
		atomic_store(&arena->helper.has_collapsed, true);
	} else {
		/* The kernel also says EINVAL if a handler has split the mapping meanwhile. */
		bool cannot = errno == EINVAL && atomic_exchange(&chunk->huge, false);
		uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);
		atomic_store(&chunk->huge, false);
		atomic_store(&chunk->touched, (uint32_t)epoch); /* do not try again at once */
		if (cannot)
			atomic_fetch_add(&arena->helper.einvals, 1);
	}
	return true;
}

/* Collapse some chunks. Returns whether there are more to look at. */
static bool tend_chunks(struct cowarena *arena)
{
	struct helper *h = &arena->helper;
	unsigned tried = 0;

	while (h->next < h->end && tried < COLLAPSES && !atomic_load(&h->stop))
		tried += collapse(arena, h->next++, QUIET);
	return h->next < h->end;
}

/* A system that cannot collapse always says EINVAL; others say it too. So the system cannot if it
   has said EINVAL some times and has never succeeded. */
static bool can_collapse(struct cowarena *arena)
{
	struct helper *h = &arena->helper;

	return arena->engine->cool &&
	       (atomic_load(&h->einvals) < EINVALS || atomic_load(&h->has_collapsed));
}

static size_t chunks_in_use(struct cowarena *arena)
{
	return atomic_load_explicit(&arena->pages, memory_order_relaxed) >>
	       arena->chunks.pages_shift;
}

int cowarena_compact(cowarena *arena)
{
	sigset_t signals;
	int e = errno;

	arena_in_use(arena, __func__);
	if (!arena)
		return error_set(EINVAL, "arena is NULL");
	private_give_back(arena, true);
	for (size_t i = 0; can_collapse(arena) && i < chunks_in_use(arena); i++)
		collapse(arena, i, 0);
	for (bool done = false; !done;) {
		arena_lock_snapshots(arena, &signals);
		done = frames_trim(&arena->frames, warm_min(arena));
		arena_unlock_snapshots(arena, &signals);
	}
	errno = e;
	return 0;
}

/* ---- the thread ---- */

/* Work until no more is to be done. Threads that take snapshots or faults get the locks in
   between. */
static void tend(struct cowarena *arena, bool idle)
{
	struct helper *h = &arena->helper;
	bool frames, past, chunks;

	h->next = 0;
	h->end = can_collapse(arena) ? chunks_in_use(arena) : 0;
	do {
		frames = tend_frames(arena, idle);
		past = !frames && private_fill_past(arena);
		chunks = !frames && !past && tend_chunks(arena);
		if (frames || past)
			os_nap();
		else if (chunks)
			os_wait_at_most(&h->stop, 0, NAP_NS);
	} while ((frames || past || chunks) && !atomic_load(&h->stop));
}

/* Engine kernel holds nobody between snapshots. */
static bool give_back_own_pages(struct cowarena *arena)
{
	return private_give_back(arena, !arena->engine->private_at_cut);
}

/* Time without a snapshot. */
struct calm {
	uint64_t epoch, since; /* the epoch seen then, 0 for none; and when it was seen first */
	uint64_t look;         /* when to look again for pages that the kernel has copied */
};

static void note_calm(struct cowarena *arena, struct calm *calm, uint64_t now)
{
	uint64_t epoch = atomic_load(&arena->timeline.epoch);

	if (atomic_load(&arena->timeline.live))
		epoch = 0;
	if (!epoch || epoch != calm->epoch)
		*calm = (struct calm){epoch, now, helper_calm_ns};
}

/* After how long to look again though nobody rings; 0: not at all. */
static uint64_t next_look(struct cowarena *arena, const struct calm *calm)
{
	if (!calm->epoch)
		return 0;
	if (atomic_load(&arena->privates.chunks))
		return calm->look;
	return frames_warm(&arena->frames) > warm_idle(arena) ? IDLE_NS : 0;
}

static void *helper_main(void *p)
{
	struct cowarena *arena = p;
	struct helper *h = &arena->helper;
	struct calm calm = {0};

	os_thread_begins();
	for (;;) {
		/* Read before `stop`, which is set before the bell is rung: a ring that comes after
		   the read changes this number. */
		uint32_t rung = atomic_load(&h->bell.rung);
		TEST_POINT();
		if (atomic_load(&h->stop))
			break;
		uint64_t now = os_now();
		note_calm(arena, &calm, now);
		uint64_t length = calm.epoch ? now - calm.since : 0;
		tend(arena, length >= IDLE_NS);
		/* What is written to later is found later: as seldom as there is nothing. */
		if (length >= helper_calm_ns && atomic_load(&arena->privates.chunks))
			calm.look = give_back_own_pages(arena) ? helper_calm_ns
				    : calm.look < IDLE_NS / 2  ? 2 * calm.look
							       : IDLE_NS;
		uint64_t ns = next_look(arena, &calm);
		atomic_store(&h->waits, ns);
		if (ns)
			os_wait_at_most(&h->bell.rung, rung, ns);
		else
			os_wait(&h->bell.rung, rung);
		atomic_store(&h->waits, 0);
	}
	os_thread_ends();
	return NULL;
}

void helper_start(struct cowarena *arena)
{
	struct helper *h = &arena->helper;

	if (atomic_load(&h->started) || arena->flags & COWARENA_NO_HELPER ||
	    atomic_exchange(&h->started, true))
		return;
	atomic_store(&h->bell.heard,
		     os_thread(&h->thread, "cowarena-helper", helper_main, arena) == 0);
}

void helper_after_take(struct cowarena *arena, uint64_t epoch)
{
	bool wanted = epoch % QUIET == 0 || atomic_load(&arena->privates.past_wanted);

	if (wanted && atomic_load(&arena->helper.bell.heard))
		bell_ring(&arena->helper.bell);
}

void helper_after_release(struct cowarena *arena, bool surplus)
{
	struct helper *h = &arena->helper;
	uint64_t waits = atomic_load(&h->waits);
	bool comes = waits && (waits <= helper_calm_ns || !atomic_load(&arena->privates.chunks));

	/* Not for a few frames: ringing costs the releasing thread a system call. */
	if (surplus && atomic_load(&h->bell.heard) && !comes)
		bell_ring(&h->bell);
}

void helper_stop(struct cowarena *arena)
{
	struct helper *h = &arena->helper;

	if (!atomic_exchange(&h->bell.heard, false))
		return;
	atomic_store(&h->stop, 1);
	os_wake_one(&h->stop);
	bell_ring(&h->bell);
	os_thread_join(h->thread);
}
