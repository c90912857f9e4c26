/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-locals.h - local heaps: each thread allocates and frees in slabs of its own, without a lock.
 *
 * The slabs of a local heap, and its lists of them, are in the arena (struct local_heap): a
 * snapshot has them, a rollback brings them back. Whose it is, and how the others are kept out,
 * is here and not in the arena.
 *
 * Its owner enters it and leaves it by storing to `busy`. Who else wants to look into it holds
 * the heap lock, asks for it by `stop`, and waits until the owner is not in it. Each side stores
 * and then looks at what the other has stored (Dekker), which takes a barrier between the two.
 * The owner, who enters all the time, has none: the other side makes the kernel execute one in
 * every thread of the process that runs (K27). Either that comes after the owner's store to
 * `busy`, which is seen then, or before its look at `stop`, which sees it then. Where there is no
 * such system call, the owner has a barrier of its own.
 *
 *	who                                    may work on the local heap
 *	its owner                              inside it, or holding the heap lock
 *	another thread, holding the heap lock  having stopped it, or when it has no owner
 *
 * An owner that is stopped goes on under the heap lock, and so waits there. It does not hold that
 * lock inside.
 *
 * What a thread frees of another's goes into a box there, which is emptied under the heap lock:
 * by the owner, when it is in need of a slab or the box is half full; by whoever finds it full;
 * and before a snapshot or a rollback, so that all of the heap is in the arena then.
 *
 * A thread that ends leaves its local heap to the next one that comes. There are LOCALS of them;
 * a thread too many, as what is left of those that ended, works under the heap lock.
 */
#ifndef COWARENA_HEAP_LOCALS_H
#define COWARENA_HEAP_LOCALS_H

#include "arena.h"
#include "point.h"

#define BOX 256
#define SEATS 2 /* arenas that a thread finds its local heap of at once; a power of two */

struct local {
	/* The owner's. */
	_Alignas(64) _Atomic uint32_t busy;
	_Atomic uint32_t stop;
	_Atomic bool fenced; /* the owner has a barrier of its own */
	uint8_t index;
	struct local_heap *heap; /* NULL after a rollback to when it was not there */
	uint64_t owner; /* a thread's number, or 0; heap lock, and `lock` too to change it */

	/* Anybody's. */
	_Alignas(64) struct lock lock;
	_Atomic uint32_t boxed;
	void *box[BOX];
};

struct seat {
	uint64_t key; /* of the heap */
	struct local *local;
};

/* Of static size and with the program's own threads' storage (initial-exec): to find one costs
   an instruction. */
extern _Thread_local struct seat heap_seats[SEATS] __attribute__((tls_model("initial-exec")));

static inline struct seat *local_seat(const struct cowarena *arena)
{
	return &heap_seats[arena->heap.key % SEATS];
}

/* Enter the calling thread's own local heap. NULL when it has none yet, or has to go by the
   heap lock. */
static inline struct local *local_enter(const struct cowarena *arena)
{
	const struct seat *seat = local_seat(arena);
	struct local *l = seat->local;

	if (seat->key != arena->heap.key)
		return NULL;
	atomic_store_explicit(&l->busy, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* the compiler keeps the order */
	/* After the store: so that who was held up before it does not miss what was said
	   meanwhile. */
	if (atomic_load_explicit(&l->fenced, memory_order_relaxed))
		atomic_store(&l->busy, 1);
	TEST_POINT();
	/* (Which shows us too what the other side did before it let us in again.) */
	if (!atomic_load(&l->stop) && l->heap)
		return l;
	atomic_store_explicit(&l->busy, 0, memory_order_release);
	return NULL;
}

/* Release: what we have done is seen by who finds us outside. */
static inline void local_leave(struct local *l)
{
	TEST_POINT();
	atomic_store_explicit(&l->busy, 0, memory_order_release);
}

/* Whether its box had better be emptied before others find it full, who would have to stop the
   owner. */
static inline bool local_is_filling(const struct local *l)
{
	return atomic_load_explicit(&l->boxed, memory_order_relaxed) >= BOX / 2;
}

/* The one that is nobody's own. -1 without memory. */
int locals_init(struct cowarena *arena);
void locals_destroy(struct cowarena *arena);

/* From now on no thread has a local heap, until it asks for one. */
void locals_leave(struct cowarena *arena);

/* Heap lock held: the calling thread's local heap, which is made if need be; or the one that
   is nobody's own. */
struct local *local_mine(struct cowarena *arena);

/* Heap lock held: bring another's local heap to rest, empty its box; and let its owner go on. */
void local_stop(struct cowarena *arena, struct local *l);
void local_go(struct local *l);

/* Put a block of slab d into the box of its owner. False when that is full, or nobody's, or
   the caller's own, or when the slab has another owner by now. */
bool local_send(struct cowarena *arena, const struct unit *d, uint8_t owner, void *p);

/* Heap lock held, and the local heap at rest or the caller's: free what is in its box, which
   is of its slabs. */
void local_empty_box(struct cowarena *arena, struct local *l);

/* Heap lock held: empty the boxes of all local heaps without an owner. Nobody puts anything
   into these. */
void locals_empty_left_behind(struct cowarena *arena);

#endif
