/* SPDX-License-Identifier: BSD-2-Clause */
/* heap-locals.c - see heap-locals.h. */
#include "config.h"

#include "heap-locals.h"

#include "arenas.h"
#include "error.h"
#include "heap-blocks.h"
#include "heap-units.h"
#include "records.h"
#include "threads.h"
#include "track.h"
#include "trap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define SETTLE_NS 1000000
#define SPINS 100

_Thread_local struct seat heap_seats[SEATS] __attribute__((tls_model("initial-exec")));

/* ---- threads ---- */

static void leave_behind(struct cowarena *arena, uint64_t number)
{
	/* An inherited arena's memory is not there, and its lock may be held by no thread of this
	   process. */
	if (trap_inherited(arena->trap))
		return;
	heap_lock(arena);
	for (size_t i = 1; i < LOCALS; i++) {
		struct local *l = arena->heap.locals[i];
		if (!l || l->owner != number)
			continue;
		lock_acquire(&l->lock);
		l->owner = 0;
		lock_release(&l->lock);
	}
	heap_unlock(arena);
}

static void thread_ends(uint64_t number)
{
	memset(heap_seats, 0, sizeof heap_seats);
	arenas_lock_at_end();
	for (struct cowarena *a = arenas_first(); a; a = a->arenas_next)
		leave_behind(a, number);
	arenas_unlock_at_end();
}

/* ---- making and finding ---- */

/* Make the part in the arena, which a rollback may have taken away. False when there is no
   memory. */
static bool furnish(struct cowarena *arena, struct local *l)
{
	uint32_t *at = &heap_header(arena)->locals[l->index];

	if (!*at) {
		uint32_t unit = runs_take(arena, 1, UNIT_SIZE);
		if (!unit)
			return false;
		unit_set_kind(heap_unit(arena, unit), UNIT_META);
		track_defined(heap_address(arena, unit), UNIT_SIZE);
		memset(heap_address(arena, unit), 0, UNIT_SIZE);
		*at = unit;
	}
	l->heap = heap_address(arena, *at);
	return true;
}

static struct local *make(struct cowarena *arena, uint8_t index)
{
	struct local *l = records_take(sizeof *l);

	if (!l)
		return NULL;
	l->index = index;
	atomic_store(&l->fenced, !os_barrier());
	arena->heap.locals[index] = l;
	return l;
}

/* The thread's own local heap, or one without an owner, or a new one. NULL when all are taken. */
static struct local *find(struct cowarena *arena, uint64_t number)
{
	struct local *free = NULL;
	uint8_t unused = 0;

	for (uint8_t i = LOCALS - 1; i > 0; i--) {
		struct local *l = arena->heap.locals[i];
		if (l && l->owner == number)
			return l;
		if (l && !l->owner)
			free = l;
		if (!l)
			unused = i;
	}
	return free ? free : unused ? make(arena, unused) : NULL;
}

struct local *local_mine(struct cowarena *arena)
{
	const struct seat *seat = local_seat(arena);
	if (seat->key == arena->heap.key && seat->local->heap)
		return seat->local;
	uint64_t number = threads_me();
	/* Under Valgrind or ASan, which are told of each block, all allocations use the heap
	   lock. */
	struct local *l = number && !track_is_active() ? find(arena, number) : NULL;

	if (l && !l->heap && !furnish(arena, l))
		l = NULL;
	if (!l)
		return arena->heap.locals[0];
	lock_acquire(&l->lock);
	l->owner = number;
	lock_release(&l->lock);
	*local_seat(arena) = (struct seat){arena->heap.key, l};
	return l;
}

static void new_key(struct cowarena *arena)
{
	static _Atomic uint64_t keys;

	arena->heap.key = atomic_fetch_add(&keys, 1) + 1;
}

void locals_leave(struct cowarena *arena)
{
	new_key(arena);
}

int locals_init(struct cowarena *arena)
{
	new_key(arena);
	threads_hear(thread_ends);
	struct local *l = make(arena, 0);

	return l && furnish(arena, l) ? 0 : -1;
}

void locals_destroy(struct cowarena *arena)
{
	for (size_t i = 0; i < LOCALS; i++)
		records_give(arena->heap.locals[i], sizeof *arena->heap.locals[i]);
}

/* ---- what others free ---- */

bool local_send(struct cowarena *arena, const struct unit *d, uint8_t owner, void *p)
{
	struct local *l = arena->heap.locals[owner];
	uint64_t me = threads_me(); /* the seat may be another arena's at the moment */
	bool sent = false;

	TEST_POINT();
	lock_acquire(&l->lock);
	/* Since the caller looked up the owner, that thread may have ended, another thread have
	   taken the slab, and a third one the local heap. While a local heap has an owner, none of
	   its slabs goes to others. */
	uint32_t n = atomic_load_explicit(&l->boxed, memory_order_relaxed);
	if (l->owner && l->owner != me && unit_owner(d) == owner && n < BOX) {
		l->box[n] = p;
		atomic_store_explicit(&l->boxed, n + 1, memory_order_relaxed);
		sent = true;
	}
	lock_release(&l->lock);
	return sent;
}

void local_empty_box(struct cowarena *arena, struct local *l)
{
	void *box[BOX];
	uint32_t n;

	lock_acquire(&l->lock);
	n = atomic_load_explicit(&l->boxed, memory_order_relaxed);
	memcpy(box, l->box, n * sizeof *box);
	atomic_store_explicit(&l->boxed, 0, memory_order_relaxed);
	lock_release(&l->lock);
	for (uint32_t i = 0; i < n; i++)
		block_free(arena, l, box[i]);
}

void locals_empty_left_behind(struct cowarena *arena)
{
	for (size_t i = 0; i < LOCALS; i++) {
		struct local *l = arena->heap.locals[i];
		if (l && !l->owner && l->heap)
			local_empty_box(arena, l);
	}
}

/* ---- bringing to rest ---- */

static void ask(struct local *l)
{
	atomic_store(&l->stop, 1);
}

/*
 * The barrier in the middle of Dekker's protocol: after it, an owner that is inside is seen, and no
 * other comes in.
 *
 * The kernel could do it when the local heap was made, and may refuse now, if it lacks memory or a
 * seccomp filter was installed meanwhile. Then the owners are told to use a barrier of their own
 * from now on, and this once we wait: no manual promises that other threads see a store by then,
 * but every processor shows it in a thousandth of that time.
 */
static void barrier(struct cowarena *arena)
{
	bool news = false;

	if (os_barrier())
		return;
	for (size_t i = 0; i < LOCALS; i++)
		if (arena->heap.locals[i])
			news |= !atomic_exchange(&arena->heap.locals[i]->fenced, true);
	for (uint64_t start = os_now(); news && os_now() - start < SETTLE_NS;)
		os_nap(); /* a signal may end it early */
}

static void wait_outside(struct local *l)
{
	for (unsigned i = 0; atomic_load(&l->busy); i++)
		if (i > SPINS)
			os_nap();
}

static bool is_others(const struct local *l, uint64_t me)
{
	return l && l->owner && l->owner != me;
}

void local_stop(struct cowarena *arena, struct local *l)
{
	if (!is_others(l, threads_me()))
		return;
	ask(l);
	barrier(arena);
	wait_outside(l);
	local_empty_box(arena, l);
}

void local_go(struct local *l)
{
	/* Release: the owner sees what we did, once it is let in. */
	atomic_store_explicit(&l->stop, 0, memory_order_release);
}

void heap_stop(struct cowarena *arena)
{
	bool others = false;

	heap_lock(arena);
	uint64_t me = threads_me(); /* heap_lock() has given the thread a number */
	for (size_t i = 0; i < LOCALS; i++)
		if (is_others(arena->heap.locals[i], me)) {
			ask(arena->heap.locals[i]);
			others = true;
		}
	if (others)
		barrier(arena);
	for (size_t i = 0; i < LOCALS; i++)
		if (arena->heap.locals[i])
			wait_outside(arena->heap.locals[i]);
	for (size_t i = 0; i < LOCALS; i++)
		if (arena->heap.locals[i])
			local_empty_box(arena, arena->heap.locals[i]);
}

void heap_go(struct cowarena *arena)
{
	for (size_t i = 0; i < LOCALS; i++)
		if (arena->heap.locals[i])
			local_go(arena->heap.locals[i]);
	heap_unlock(arena);
}

void heap_replaced(struct cowarena *arena)
{
	const struct heap_header *h = heap_header(arena);

	for (size_t i = 0; i < LOCALS; i++)
		if (arena->heap.locals[i])
			arena->heap.locals[i]->heap =
			    h->locals[i] ? heap_address(arena, h->locals[i]) : NULL;
	heap_track(arena);
}

int heap_attached(struct cowarena *arena)
{
	for (uint8_t i = 0; i < LOCALS; i++)
		if (heap_header(arena)->locals[i] && !arena->heap.locals[i] && !make(arena, i))
			return error_set(ENOMEM,
					 "no memory for the heap's own records: " ERROR_NO_ROOM);
	heap_replaced(arena);
	return 0;
}

void heap_cut(struct cowarena *arena)
{
	arena->heap.epoch = (uint32_t)atomic_load(&arena->timeline.epoch);
}

void heap_inherit(struct cowarena *arena)
{
	uint64_t me = threads_me();

	pthread_mutex_init(&arena->heap.lock, NULL);
	for (size_t i = 0; i < LOCALS; i++) {
		struct local *l = arena->heap.locals[i];
		if (!l)
			continue;
		atomic_store(&l->busy, 0);
		atomic_store(&l->stop, 0);
		atomic_store(&l->lock.word, 0);
		atomic_store(&l->boxed, 0);
		if (l->owner != me)
			l->owner = 0;
	}
}
