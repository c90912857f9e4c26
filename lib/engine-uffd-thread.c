/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-uffd-thread.c - engine "uffd" with COWARENA_SYSCALL_SAFE: a thread resolves the faults.
 *
 * No signal is raised. A thread that writes to an armed page waits in the kernel, perhaps inside
 * read(2) or recv(2), until the resolver thread has read the fault and disarmed the page. A fault
 * costs two context switches more than by signal, and faults are resolved one after the other. The
 * kernel tells which thread writes (K25).
 *
 * A fault on a page reserved for that purpose tells the resolver to end: a second descriptor would
 * be one more that the program can close. When the program closes the userfaultfd, the kernel lets
 * all writers go as soon as the resolver has come back from reading. Before it reads again, the
 * resolver checks that the descriptor is still ours, and ends if it is not.
 *
 * The thread runs what the signal handler would run, under the same rules (I3): it writes to no
 * arena, and takes no lock whose holders write to one.
 */
#include "config.h"

#include "engine-state.h"
#include "error.h"
#include "fault.h"
#include "records.h"

#include <errno.h>

#define FAULTS 16 /* taken from the kernel at once */

struct resolver {
	struct cowarena *arena;
	pthread_t thread;
	char *bell;        /* an armed page: a store to it wakes the thread */
	_Atomic bool stop; /* set before the bell rings */
	_Atomic bool gone; /* the thread reads no more faults */
};

static void resolve_fault(struct cowarena *arena, struct os_fault fault)
{
	char *address = fault.address;
	char *page = address - (uintptr_t)address % arena_page_size(arena);

	/* Disarming a page wakes the threads that wait for it. If the fault is not ours, they are
	   woken here: the write is tried again, and fails as it would have without the library. */
	if (!fault_handle_for(arena, address, fault.thread))
		os_uffd_wake(engine_uffd_file(arena), page);
}

static int arm_bell(struct resolver *r, bool armed)
{
	return os_uffd_protect(engine_uffd_file(r->arena), r->bell, os_page_size(), armed);
}

static bool is_bell(const struct resolver *r, const void *fault)
{
	return (size_t)((const char *)fault - r->bell) < os_page_size();
}

static void *resolver_main(void *p)
{
	struct resolver *r = p;
	struct os_fault faults[FAULTS];
	bool ended = false;
	int n = 0;

	os_thread_begins();
	while (!ended && (n = os_uffd_next(engine_uffd_file(r->arena), faults, FAULTS)) > 0)
		for (int i = 0; i < n; i++) {
			if (!is_bell(r, faults[i].address))
				resolve_fault(r->arena, faults[i]);
			else if (atomic_load(&r->stop))
				ended = true;
			else /* a stray write of the program */
				arm_bell(r, false);
		}
	/* EBADF: the program has closed the descriptor, and the protection is gone too. */
	if (n < 0 && errno != EBADF)
		error_log("userfaultfd has failed: writers to the arena will wait for ever");
	atomic_store(&r->gone, true);
	arm_bell(r, false);
	os_thread_ends();
	return NULL;
}

/* Make the bell: a shared page, touched first so that it has memory. -1 with errno. */
static int make_bell(struct resolver *r)
{
	size_t n = os_page_size();

	r->bell = os_map_anonymous_shared(n);
	if (!r->bell)
		return -1;
	os_touch(r->bell);
	return os_keep_from_children(r->bell, n) ||
	       os_uffd_register(engine_uffd_file(r->arena), r->bell, n) || arm_bell(r, true);
}

static void free_resolver(struct resolver *r)
{
	int e = errno;

	if (r->bell)
		os_unmap(r->bell, os_page_size());
	records_give(r, sizeof *r);
	errno = e;
}

static int start(struct cowarena *arena)
{
	struct resolver *r = records_take(sizeof *r);

	if (!r)
		return error_set(ENOMEM, "no memory for the arena's own record: " ERROR_NO_ROOM);
	r->arena = arena;
	if (make_bell(r)) {
		free_resolver(r);
		return error_system(ENOMEM, "engine uffd: no memory for a page of the thread that "
					    "resolves faults: " ERROR_NO_ROOM);
	}
	int failed = os_thread(&r->thread, "cowarena-faults", resolver_main, r);
	if (failed) {
		free_resolver(r);
		errno = failed;
		return error_system(failed, "engine uffd: no thread can be started for its faults: "
					    "raise ulimit -u");
	}
	arena->engine_state->own = r;
	return 0;
}

static int open_engine(struct cowarena *arena)
{
	if (engine_open_uffd(arena, UFFD_EVENTS) || engine_uffd_register(arena))
		return -1;
	if (start(arena) == 0)
		return 0;
	os_file_close(engine_uffd_file(arena));
	return -1;
}

static void abandon(struct cowarena *arena)
{
	/* (A child has not inherited the page.) */
	records_give(arena->engine_state->own, sizeof(struct resolver));
	arena->engine_state->own = NULL;
	os_file_close(engine_uffd_file(arena));
}

static void stop(struct cowarena *arena)
{
	struct resolver *r = arena->engine_state->own;

	/* The store to the bell waits until the resolver has read the fault. Nobody reads it once
	   the resolver is gone: either gone is seen here, or it is set after the bell was armed,
	   and the resolver then disarms the bell. */
	atomic_store(&r->stop, true);
	arm_bell(r, true);
	if (atomic_load(&r->gone))
		arm_bell(r, false);
	os_touch(r->bell);
	os_thread_join(r->thread);
	free_resolver(r);
	arena->engine_state->own = NULL;
}

static void close_engine(struct cowarena *arena)
{
	os_file_close(engine_uffd_file(arena));
}

static int commit(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	return engine_uffd.commit(arena, first, n, armed);
}

static int arm(struct cowarena *arena, size_t first, size_t n)
{
	return engine_uffd.arm(arena, first, n);
}

static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	pagetable_mark_dirty(&arena->table, first, n,
			     atomic_load_explicit(&arena->pages, memory_order_relaxed));
	/* When the descriptor is closed, the kernel lifts the protection and lets the writers go. A
	   trial write here would wait for the resolver, which waits for the page's lock. */
	return os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
			       n << arena->page_shift, false) &&
		       !engine_uffd_lost(arena)
		   ? -1
		   : 0;
}

static size_t mappings(struct cowarena *arena)
{
	return engine_uffd.mappings(arena);
}

/* No can_write: a thread that finds no memory gets SIGBUS from the kernel, which is not ours. */
const struct engine engine_uffd_thread = {
    .name = "uffd",
    .syscall_safe = true,
    .merge_gap = 16, /* as in engine-uffd.c */
    .open = open_engine,
    .stop = stop,
    .close = close_engine,
    .abandon = abandon,
    .commit = commit,
    .arm = arm,
    .disarm = disarm,
    .lost = engine_uffd_lost,
    .must_renew = engine_uffd_lost,
    .mappings = mappings,
};
