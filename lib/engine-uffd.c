/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine-uffd.c - engine "uffd": pages are armed with userfaultfd's write protection.
 *
 * The protection lies in the page tables, not in the mappings: there is no limit to how scattered
 * it may be, and no mapping is split or merged. Faults arrive as SIGBUS in the thread that writes.
 * The engine asks for user-mode faults only, which needs no privilege; system calls that write into
 * armed memory fail with EFAULT, as with mprotect (K12).
 *
 * engine-uffd-thread.c uses the same protection, with faults that a thread reads.
 *
 * The ioctl takes the kernel's lock of the address space shared, not exclusive, so the ioctl alone
 * does not keep writers out while several ranges are armed. The closed gate does: a write to a page
 * that is not armed yet belongs before the cut, and a later write waits.
 */
#include "config.h"

#include "engine-state.h"
#include "error.h"

#include <errno.h>
#include <string.h>

#define LIFT_NAPS 20 /* a millisecond */

int engine_open_uffd(struct cowarena *arena, enum uffd_mode mode)
{
	if (os_uffd_open(engine_uffd_file(arena), mode) == 0)
		return 0;
	bool no_privilege = errno == EPERM && strcmp(os_failed_call(), "userfaultfd(2)") == 0;
	if (!no_privilege && error_refused())
		return -1;
	switch (errno) {
	case EPERM:
		if (mode == UFFD_EVENTS)
			return error_set(
			    EPERM, "engine uffd: to let system calls write into armed memory takes "
				   "the privilege of a userfaultfd(2) for kernel faults: "
				   "CAP_SYS_PTRACE, or sysctl vm.unprivileged_userfaultfd=1");
		return error_set(
		    EPERM, "engine uffd: userfaultfd(2) is forbidden, as container runtimes do "
			   "by seccomp: allow it there, or use engine sigsegv");
	case EMFILE:
	case ENFILE:
		return error_set(errno, "engine uffd: no file descriptor left: raise ulimit -n");
	default:
		return error_set(
		    ENOTSUP, "engine uffd: the kernel cannot write-protect shared memory by "
			     "userfaultfd(2): Linux 5.19 or later is needed, or engine sigsegv");
	}
}

int engine_uffd_register(struct cowarena *arena)
{
	if (os_uffd_register(engine_uffd_file(arena), arena->base, arena->reserved) == 0)
		return 0;
	os_file_close(engine_uffd_file(arena));
	return error_system(ENOMEM, "engine uffd: the arena's range could not be registered");
}

bool engine_uffd_lost(struct cowarena *arena)
{
	return !os_file_is_ours(engine_uffd_file(arena));
}

/* The kernel lifts the protection when the last descriptor is closed (K23): within a moment, or
   when a process that has inherited one ends (K24). */
static bool is_lifted(struct cowarena *arena, size_t page)
{
	for (int naps = 0; naps < LIFT_NAPS; naps++) {
		if (os_can_write(arena_address(arena, page), arena_page_size(arena)))
			return true;
		os_nap();
	}
	return false;
}

/* A chunk that is private by now is writable, and what is mapped there must stay. */
static int map_chunk_anew(struct cowarena *arena, size_t page)
{
	size_t first = page & ~(chunks_pages(&arena->chunks) - 1);
	int result = 0;

	lock_acquire(&arena->chunks.lock);
	if (!chunks_is_private(&arena->chunks, page))
		result = os_map_alias(arena_address(arena, first), arena->chunks.bytes,
				      arena_past(arena, first), &arena->file,
				      first << arena->page_shift, OS_READ_WRITE);
	lock_release(&arena->chunks.lock);
	return result;
}

int engine_uffd_release(struct cowarena *arena, size_t first, size_t n)
{
	char *p = arena_address(arena, first);
	size_t end = first + n;

	if (!engine_uffd_lost(arena) || os_protect(p, n << arena->page_shift, OS_READ_WRITE))
		return -1;
	if (!private_works(arena)) {
		if (is_lifted(arena, first))
			return 0;
		/* (What lies above is left alone: the heap may be growing there at this moment.) */
		size_t bytes = arena->committed << arena->page_shift;
		return os_map_anew(arena->base, bytes, bytes);
	}
	for (; first < end; first = chunks_end(&arena->chunks, first))
		if (!is_lifted(arena, first) && map_chunk_anew(arena, first))
			return -1;
	return 0;
}

static int open_engine(struct cowarena *arena)
{
	return engine_open_uffd(arena, UFFD_SIGNALS) ? -1 : engine_uffd_register(arena);
}

static void close_engine(struct cowarena *arena)
{
	os_file_close(engine_uffd_file(arena)); /* unregisters, and lifts all protection */
}

static int commit(struct cowarena *arena, size_t first, size_t n, bool armed)
{
	char *p = arena_address(arena, first);

	if (os_protect(p, n << arena->page_shift, OS_READ_WRITE))
		return -1;
	/* If the userfaultfd is lost, the pages are used unprotected, as without a snapshot. */
	return armed && os_uffd_protect(engine_uffd_file(arena), p, n << arena->page_shift, true) &&
		       !engine_uffd_lost(arena)
		   ? -1
		   : 0;
}

static int arm(struct cowarena *arena, size_t first, size_t n)
{
	return os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
			       n << arena->page_shift, true);
}

static int disarm(struct cowarena *arena, size_t first, size_t n)
{
	pagetable_mark_dirty(&arena->table, first, n,
			     atomic_load_explicit(&arena->pages, memory_order_relaxed));
	return os_uffd_protect(engine_uffd_file(arena), arena_address(arena, first),
			       n << arena->page_shift, false)
		   ? engine_uffd_release(arena, first, n)
		   : 0;
}

/* A store that finds no memory raises the same signal as a store to an armed page. */
static bool can_write(struct cowarena *arena, size_t page)
{
	return os_can_write(arena_address(arena, page), arena_page_size(arena));
}

static size_t mappings(struct cowarena *arena)
{
	(void)arena;
	return 2;
}

const struct engine engine_uffd = {
    .name = "uffd",
    .bus = true,
    .merge_gap = 16, /* a call costs 1 us, a page 0.06 us */
    .open = open_engine,
    .close = close_engine,
    .abandon = close_engine,
    .commit = commit,
    .arm = arm,
    .disarm = disarm,
    .can_write = can_write,
    .lost = engine_uffd_lost,
    .must_renew = engine_uffd_lost,
    .mappings = mappings,
};
