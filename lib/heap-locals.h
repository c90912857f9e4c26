/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap-locals.h - local heaps: each thread allocates and frees in slabs of its own, without a lock.
 *
 * The slabs of a local heap, and its lists of them, are in the arena (struct local_heap): a
 * snapshot has them, a rollback restores them. The record of its owner, and of how other threads
 * are kept out, is here and not in the arena.
 *
 * The owner enters and leaves its local heap by storing to `busy`. Another thread that wants to
 * work on it holds the heap lock, sets `stop`, and waits until the owner is outside. Each side
 * stores and then looks at what the other has stored (Dekker), which takes a barrier between the
 * two. The owner, who enters all the time, has none: the other side makes the kernel execute one in
 * every running thread of the process (K27). Either that barrier comes after the owner's store to
 * `busy`, and the other side sees the store; or it comes before the owner's look at `stop`, and the
 * owner sees that. Where there is no such system call, the owner has a barrier of its own.
 *
 *	who                                    may work on the local heap
 *	its owner                              inside it, or holding the heap lock
 *	another thread, holding the heap lock  having stopped it, or when it has no owner
 *
 * An owner that is stopped continues under the heap lock, and so waits there. It does not hold that
 * lock inside.
 *
 * A block that a thread frees in another thread's local heap goes into a box there. The box is
 * emptied under the heap lock: by the owner, when it needs a slab or the box is half full; by
 * whoever finds it full; and before a snapshot or a rollback, so that all of the heap is in the
 * arena then.
 *
 * A thread that ends leaves its local heap to the next thread that comes. There are LOCALS of them;
 * a thread for which none is left works under the heap lock, in the local heap that no thread owns.
 */
#ifndef COWARENA_HEAP_LOCALS_H
#define COWARENA_HEAP_LOCALS_H

#include "arena.h"
#include "point.h"

#define BOX 256
#define SEATS 2 /* arenas whose local heap a thread finds at once; a power of two */

struct local {
	/* The owner's. */
	_Alignas(64) _Atomic uint32_t busy;
	_Atomic uint32_t stop;
	_Atomic bool fenced; /* the owner has a barrier of its own */
	uint8_t index;
	struct local_heap *heap; /* NULL after a rollback to a time before it was made */
	uint64_t owner; /* the owner's number, or 0; heap lock, and to change it `lock` too */

	/* Anybody's. */
	_Alignas(64) struct lock lock;
	_Atomic uint32_t boxed;
	void *box[BOX];
};

struct seat {
	uint64_t key; /* of the heap */
	struct local *local;
};

/* In the static thread-local storage (initial-exec): finding a seat costs an instruction. */
extern _Thread_local struct seat heap_seats[SEATS] __attribute__((tls_model("initial-exec")));

static inline struct seat *local_seat(const struct cowarena *arena)
{
	return &heap_seats[arena->heap.key % SEATS];
}

/* Enter the calling thread's own local heap. NULL when it has none yet, or must use the heap
   lock. */
static inline struct local *local_enter(const struct cowarena *arena)
{
	const struct seat *seat = local_seat(arena);
	struct local *l = seat->local;

	if (seat->key != arena->heap.key)
		return NULL;
	atomic_store_explicit(&l->busy, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* the compiler keeps the order */
	/* After the store, so that a thread that was held up before it sees what was set
	   meanwhile. */
	if (atomic_load_explicit(&l->fenced, memory_order_relaxed))
		atomic_store(&l->busy, 1);
	TEST_POINT();
	/* This load also shows us what the other side did before it let us in again. */
	if (!atomic_load(&l->stop) && l->heap)
		return l;
	atomic_store_explicit(&l->busy, 0, memory_order_release);
	return NULL;
}

/* Release: whoever finds us outside sees what we have done. */
static inline void local_leave(struct local *l)
{
	TEST_POINT();
	atomic_store_explicit(&l->busy, 0, memory_order_release);
}

/* Whether the box should be emptied before other threads find it full, and have to stop the
   owner. */
static inline bool local_is_filling(const struct local *l)
{
	return atomic_load_explicit(&l->boxed, memory_order_relaxed) >= BOX / 2;
}

/* Make the local heap that no thread owns. -1 without memory. */
int locals_init(struct cowarena *arena);
void locals_destroy(struct cowarena *arena);

/* From now on no thread has a local heap, until the thread asks for one. */
void locals_leave(struct cowarena *arena);

/* Heap lock held: the calling thread's local heap, made if need be; or the one that no thread
   owns. */
struct local *local_mine(struct cowarena *arena);

/* Heap lock held: local_stop() brings another thread's local heap to rest and empties its box;
   local_go() lets the owner go on. */
void local_stop(struct cowarena *arena, struct local *l);
void local_go(struct local *l);

/* Put a block of slab d into the box of the slab's owner. False when the box is full, when the
   local heap is the caller's own or no thread's, or when the slab has another owner by now. */
bool local_send(struct cowarena *arena, const struct unit *d, uint8_t owner, void *p);

/* Heap lock held, and the local heap at rest or the caller's own: free the blocks in its box, which
   are all in its slabs. */
void local_empty_box(struct cowarena *arena, struct local *l);

/* Heap lock held: empty the boxes of all local heaps without an owner. No thread puts anything into
   these boxes. */
void locals_empty_left_behind(struct cowarena *arena);

#endif
