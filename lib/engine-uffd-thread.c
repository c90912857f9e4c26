/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-uffd-thread.c - engine "uffd" with COWARENA_SYSCALL_SAFE: a thread resolves the faults.
 *
 * No signal is raised: who writes to an armed page waits in the kernel, and that may be in the midst of
 * read(2) or recv(2), until the thread here has been told of the fault and has disarmed the page.
 * A fault costs two changes of threads more than one by signal, and they are resolved one after the
 * other.
 *
 * The thread runs what the signal handler would run, under the same rules (I3): it writes to no arena,
 * and takes no lock that anybody holds who does.
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "fault.h"
#include "records.h"

#include <errno.h>

#define FAULTS 16 /* taken from the kernel at once */

struct resolver {
	struct cowarena *arena;
	pthread_t thread;
	int stop; /* os_notifier() */
};

static void resolve_fault(struct cowarena *arena, char *address)
{
	char *page = address - (uintptr_t)address % arena_page_size(arena);

	/* Disarming a page wakes who waits for it. If there is nothing to disarm, the write is tried
	   again, and fails as it would have without us. */
	if (!fault_handle(arena, address))
		os_uffd_wake(arena->uffd, page);
}

static void *resolver_main(void *p)
{
	struct resolver *r = p;
	void *faults[FAULTS];
	int n;

	os_thread_begins();
	while ((n = os_uffd_next(r->arena->uffd, r->stop, faults, FAULTS)) > 0)
		for (int i = 0; i < n; i++)
			resolve_fault(r->arena, faults[i]);
	if (n < 0)
		error_log("userfaultfd has failed: writers to the arena will wait for ever");
	return NULL;
}

static int start(struct cowarena *arena)
{
	struct resolver *r = records_take(sizeof *r);

	if (!r)
		return error_set(ENOMEM, "no memory for the arena's own record: " ERROR_NO_ROOM);
	r->arena = arena;
	r->stop = os_notifier();
	if (r->stop < 0) {
		records_give(r, sizeof *r);
		return error_set(errno, "no file descriptor left: raise ulimit -n");
	}
	int failed = os_thread(&r->thread, "cowarena-faults", resolver_main, r);
	if (failed) {
		os_close(r->stop);
		records_give(r, sizeof *r);
		return error_set(failed, "engine uffd: no thread can be started for its faults: "
					 "raise ulimit -u");
	}
	arena->resolver = r;
	return 0;
}

static int open_engine(struct cowarena *arena)
{
	if (engine_open_uffd(arena, UFFD_EVENTS) || engine_uffd_register(arena))
		return -1;
	if (start(arena) == 0)
		return 0;
	int e = errno;
	os_close(arena->uffd);
	arena->uffd = -1;
	errno = e;
	return -1;
}

static void abandon(struct cowarena *arena)
{
	if (arena->resolver)
		os_close(arena->resolver->stop);
	records_give(arena->resolver, sizeof *arena->resolver);
	arena->resolver = NULL;
	os_close(arena->uffd);
}

/* Nobody writes to the arena any more. */
static void close_engine(struct cowarena *arena)
{
	struct resolver *r = arena->resolver;

	os_notify(r->stop);
	pthread_join(r->thread, NULL);
	abandon(arena);
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
	return engine_uffd.disarm(arena, first, n);
}

static size_t mappings(struct cowarena *arena)
{
	return engine_uffd.mappings(arena);
}

/* Without can_write: who finds no memory gets SIGBUS from the kernel, which is none of ours. */
const struct engine engine_uffd_thread = {
    .name = "uffd",
    .syscall_safe = true,
    .merge_gap = 16, /* as with signals */
    .open = open_engine,
    .close = close_engine,
    .abandon = abandon,
    .commit = commit,
    .arm = arm,
    .disarm = disarm,
    .mappings = mappings,
};
