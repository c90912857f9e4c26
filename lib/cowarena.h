/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cowarena.h - copy-on-write snapshots of a live heap, inside one process.
 *
 * An arena is a reserved range of addresses with a heap in it. Taking a snapshot write-protects
 * the heap's pages; the first write to a page traps, the trap handler duplicates the page and lets
 * the store go on. What fork() gives to a child process, this gives to the same process, and
 * more: roll back in place, compare, keep many snapshots, release them in any order.
 *
 *	cowarena *arena = cowarena_create(NULL);
 *	int *counter = cowarena_calloc(arena, 1, sizeof *counter);
 *	cowarena_snapshot *snap = cowarena_snapshot_take(arena, 0);
 *	int before;
 *	*counter = 42;                                       // one fault, one page copied
 *	cowarena_snapshot_read(snap, &before, counter, sizeof before);       // before == 0
 *	cowarena_rollback(arena, snap);                                      // *counter == 0
 *	cowarena_snapshot_release(snap);
 *	cowarena_destroy(arena);
 *
 * ============================================================================================
 * Caveats: symptom, cause, cure
 * ============================================================================================
 *
 * POINTERS IN A VIEW
 *   Symptom: a thread that walks a view sees data of the present mixed with data of the past.
 *   Cause:   a view lies at other addresses than the heap, and the pointers stored in it point
 *            into the live heap.
 *   Cure:    translate every pointer before following it: cowarena_view_at(view, node->next).
 *
 * SYSTEM CALLS
 *   Symptom: after a snapshot, read(2), recv(2), readv(2), getrandom(2), ... into arena memory fail
 *            with EFAULT, or stop short; no signal is raised.
 *   Cause:   the kernel writes to the page itself and cannot take our trap.
 *   Cure:    cowarena_prepare_write(arena, buf, n) before the call; it holds until the next
 *            snapshot. Where another thread may take a snapshot in between, read into a buffer
 *            outside the arena and memcpy, or hold that thread off. cowarena_syscall_safe() tells
 *            whether any of this is needed: with COWARENA_SYSCALL_SAFE, and the privilege that it
 *            takes, it is not.
 *                cowarena_prepare_write(arena, buf, n);
 *                got = read(fd, buf, n);
 *   Preparing after an EFAULT and calling again loses data wherever the kernel takes the data
 *   before it copies them:
 *                may be called again             must not: the data are gone
 *                read(2) of files, pipes,        datagrams of any kind, accept(2) with an address,
 *                streams; getdents(2);           read(2) of eventfd, timerfd, signalfd, inotify;
 *                epoll_wait(2); stat(2)          sigtimedwait(2), msgrcv(2), mq_receive(3);
 *                                                wait(2); SCM_RIGHTS, which loses descriptors
 *                                                even without EFAULT; pthread_sigmask(3) has
 *                                                changed the mask
 *   posix_spawn(&obj->pid, ...) and the control blocks of POSIX AIO must not lie in an arena: the C
 *   library stores there with all signals blocked, and the process is killed without a message.
 *
 * OUTPUT WITHOUT COPYING
 *   Symptom: what was sent from a view is not what the snapshot held, and every check says 0.
 *   Cause:   vmsplice(2), MSG_ZEROCOPY, AIO, io_uring, and any write(2) to a file opened with
 *            O_DIRECT, take the page that is mapped when they are called: the live heap's page, as
 *            long as neither side has been written to. Later stores to the heap show in that page.
 *   Cure:    cowarena_view_settle(view, p, n) before the call. (Other system calls that only read
 *            arena memory, such as write(2) and send(2), copy it before they return, and are not
 *            affected.)
 *
 * DMA, IO_URING, PINNED PAGES
 *   Symptom: a snapshot changes while a read is in flight, or later.
 *   Cause:   a device, or the kernel on behalf of io_uring, AIO or O_DIRECT, writes to the physical
 *            page and never meets the write protection. A registered io_uring buffer keeps its
 *            pages for as long as it is registered.
 *   Cure:    let no such operation into arena memory be in flight while a snapshot is taken; with
 *            registered buffers call cowarena_prepare_write() before each operation, not once.
 *
 * ROBUST AND PRIORITY-INHERITING MUTEXES
 *   Symptom: a robust mutex in an arena never says EOWNERDEAD when its owner has ended after a
 *            snapshot; with PTHREAD_PRIO_INHERIT the C library aborts.
 *   Cause:   the kernel writes to the mutex where it may not wait: when a thread ends, or with
 *            faults disabled. COWARENA_SYSCALL_SAFE does not help either.
 *   Cure:    keep such mutexes outside arenas, or call cowarena_prepare_write() for them after
 *            each snapshot. Ordinary mutexes are not affected.
 *
 * FORK
 *   Symptom: the child of a fork() dies by SIGSEGV when it touches the arena.
 *   Cause:   the arena's memory is a shared file mapping. If a child inherited it, parent and
 *            child would share the memory; so it is not inherited at all.
 *   Cure:    use snapshots instead of fork(), or let the child leave the arena alone.
 *            fork() + exec(), posix_spawn() and system() are not affected. A child that needs the
 *            arena gets a copy: always with COWARENA_FORK_COPY, or when it calls
 *            cowarena_after_fork_in_child().
 *
 * DESCRIPTORS
 *   Symptom: after the program has closed all descriptors, as daemons do, snapshots fail with
 *            ESTALE, cowarena_view_open() and cowarena_after_fork_in_child() with EBADF.
 *   Cause:   some of these descriptors were the library's: the arena's memory, and the
 *            userfaultfd that protects it.
 *   Cure:    close only your own descriptors, or create arenas afterwards. The heap itself is not
 *            harmed, and snapshots that are taken afterwards are right; views need an arena that
 *            was created afterwards.
 *
 * THREADS
 *   A snapshot is one cut across all threads, and no writer has to cooperate. It knows nothing of
 *   a data structure that is half updated at that instant: like fork(), it freezes the bytes.
 *   The heap's own bookkeeping is always whole in a snapshot. A rollback changes memory that other
 *   threads may be using: let no other thread use the arena while it runs.
 *
 * STACKS IN THE ARENA
 *   Symptom: the process is killed at once.
 *   Cause:   a thread whose stack lies in an armed page has nowhere to put the signal frame.
 *   Cure:    keep stacks, alternate signal stacks and thread-local storage out of arenas.
 *
 * SIGSEGV, SIGBUS
 *   Symptom: the process is killed by the first write after a snapshot.
 *   Cause:   the writing thread blocks SIGSEGV (engine uffd: SIGBUS), or another handler was
 *            installed over the library's and does not pass faults on.
 *   Cure:    leave these signals unblocked in threads that write to an arena. Install other
 *            handlers before the first arena is created: the library's passes foreign faults on
 *            to them. Where that cannot be done, cowarena_trap_check() finds the problem and
 *            cowarena_trap_reinstall() mends it. Both ask the kernel, so they also help where
 *            sigaction() is a preloaded library's (libjsig.so).
 *   In gdb: handle SIGSEGV SIGBUS nostop noprint pass; and call cowarena_prepare_write() before
 *   setting a variable that lies in an armed page.
 *
 * ============================================================================================
 * Conventions
 * ============================================================================================
 *
 * Failure is NULL, or -1, with errno set; cowarena_errmsg() then gives a sentence that names the
 * remedy. The structs of options and of statistics begin with their own size, `sz`.
 *
 * Unless its description says otherwise, a function may be called from any thread at any time,
 * and must not be called from a signal handler. Plain loads and stores of arena memory are
 * allowed everywhere, in signal handlers too. A function described as signal-safe is so with
 * arguments that it accepts. An object must not be used while or after it is released: until the
 * object's record is reused, which happens late, the function that is given the object writes a
 * line to the log that names both, and calls abort(3). In a child of fork() that has no copy of an
 * arena, each function that needs the arena's memory aborts in the same way; destroying the arena,
 * releasing its snapshots and closing its views work.
 */
#ifndef COWARENA_H
#define COWARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif
#ifdef __cplusplus
extern "C" {
#endif

typedef struct cowarena cowarena;
typedef struct cowarena_snapshot cowarena_snapshot;
typedef struct cowarena_view cowarena_view;
typedef struct cowarena_store cowarena_store;

/* ============================================================================================
 * Arenas
 * ========================================================================================= */

/* Who write-protects the pages. */
enum cowarena_engine {
	COWARENA_ENGINE_AUTO = 0,    /* the best that this system allows: hybrid, kernel, sigsegv */
	COWARENA_ENGINE_SIGSEGV = 1, /* mprotect(2) and SIGSEGV; works everywhere */
	COWARENA_ENGINE_UFFD = 2,    /* userfaultfd(2) write-protection; Linux 5.19 or later */
	COWARENA_ENGINE_EAGER = 3,   /* copies the whole heap at each snapshot; the tests' oracle */
	COWARENA_ENGINE_HYBRID = 4,  /* mprotect(2) for chunks at rest, userfaultfd(2) for those
					that are written to, KERNEL for those that are much */
	COWARENA_ENGINE_KERNEL = 5   /* the kernel copies what is written; see below */
};

/* Bits of cowarena_options.flags. */
enum cowarena_flags {
	COWARENA_STRICT_ENGINE = 1, /* fail when the engine does not work here; do not fall back */
	COWARENA_FAITHFUL = 2,      /* imitate the kernel's copy-on-write fault for fault */
	COWARENA_SYSCALL_SAFE = 4,  /* let system calls write into the heap; see below */
	COWARENA_NO_HELPER = 8,     /* start no thread for work off the critical path */
	COWARENA_FORK_COPY = 16,    /* a child of fork() gets a copy; see below */
	COWARENA_VERIFY = 32        /* check at each use of a snapshot that it is unchanged */
};

/* Which snapshot pays when held_limit is reached. */
enum cowarena_limit_policy {
	COWARENA_LIMIT_FAIL_NEWEST = 0, /* spoil the newest snapshot */
	COWARENA_LIMIT_DROP_OLDEST = 1  /* spoil the oldest snapshot */
};

/*
 * Called when a snapshot is about to be given up, at held_limit or because the program has closed
 * the library's userfaultfd. id: the snapshot's. The call comes before any function says ESTALE for
 * the snapshot, and before its memory is used again. It runs in the thread that met the limit,
 * perhaps in a signal handler, with locks of the library held: so it must be async-signal-safe, and
 * must neither call the library nor touch an arena's memory. It is meant to set a flag, or to write
 * to a pipe. (A thread that it wakes, and that asks at once, may find the snapshot still whole.)
 */
typedef void cowarena_spoiled_fn(void *ctx, uint64_t id);

/* The events that cowarena_on_page() reports: each once for every page that the counter of that
   name counts. */
enum cowarena_page_event {
	COWARENA_PAGE_COPIED,   /* `copied`: first write since a snapshot that needs the old page */
	COWARENA_PAGE_AHEAD,    /* `copied_ahead`: the same for a neighbour of such a page */
	COWARENA_PAGE_SHADOWED, /* `shadowed`: copied while a snapshot was being taken */
	COWARENA_PAGE_REUSED,   /* `reused`: first write, and no snapshot needs the old page */
	COWARENA_PAGE_ZERO,     /* `zero`: first write ever, in faithful mode */
	COWARENA_PAGE_EVENTS    /* the number of events */
};

/*
 * Called when one of these events has happened to the page that starts at `page`. It runs in the
 * thread that writes, mostly in a signal handler and before the store is done, and in threads of
 * the library, several at once, with locks of the library held: so it must be async-signal-safe,
 * and must neither call the library nor write to an arena's memory. It is meant to append to a
 * trace that lies elsewhere.
 */
typedef void cowarena_page_fn(void *ctx, const void *page, enum cowarena_page_event what);

/*
 * Options of an arena. Start from COWARENA_OPTIONS_INIT and set what you need; 0 is always the
 * default. The capacity is rounded up to chunks, and the bookkeeping's space comes on top: blocks
 * can have at least the capacity that was asked for. A chunk is as large as a huge page: 2 MiB
 * where pages have 4 KiB, 32 MiB where they have 16 KiB. (Where a huge page is larger, a chunk is
 * 32 pages.)
 *
 * In faithful mode one fault always handles one page; a page is armed before its first use; and
 * nothing is copied or disarmed ahead of need. `faults`, `copied`, `reused` and `zero` then tell
 * what the same writes would cost after a fork(). (One exception keeps the process alive: when the
 * budget of kernel mappings is spent, a fault takes its neighbours along; see `copied_ahead`.)
 *
 * COWARENA_SYSCALL_SAFE: with engine AUTO or UFFD a thread of the library resolves the faults, and
 * a thread that writes to an armed page waits in the kernel instead of taking a signal. So read(2),
 * recv(2), ... into armed memory work. It takes the privilege of userfaultfd(2) for kernel
 * faults: CAP_SYS_PTRACE, or the sysctl vm.unprivileged_userfaultfd set to 1. Without the privilege
 * another engine serves, unless COWARENA_STRICT_ENGINE is set: ask cowarena_syscall_safe(). A fault
 * costs more, and faults of several threads are resolved one after the other. With engine KERNEL a
 * first write costs what it costs without the flag; it takes the same privilege.
 *
 * COWARENA_ENGINE_KERNEL leaves copying to the kernel: after a snapshot the heap is mapped
 * privately, and the first write to a page takes the kernel's own copy-on-write. No signal is
 * raised, system calls may store into the heap, and a view costs a store nothing. Writers are held
 * only while a snapshot is being taken, and during cowarena_compact(); at a snapshot nobody is in a
 * process with one thread, nor with COWARENA_QUIESCENT. Who is held:
 *
 *   userfaultfd(2)          a store                      a system call that stores there
 *   allowed                 waits in the kernel          fails with EFAULT
 *   with its privilege      waits in the kernel          waits; cowarena_syscall_safe() is true
 *   forbidden               takes one SIGSEGV, which     fails with EFAULT
 *                           must not be blocked
 *
 * (Prepared memory makes no difference.) What the kernel copies is counted when it is found: at a
 * snapshot, a rollback, a diff, and in cowarena_stats_get(), each of which takes for that 3 ns a
 * page of the heap, or 10 to 50 where userfaultfd(2) is forbidden, and once writers have been held
 * by its wait. When the last snapshot was released, the memory of what it has copied goes back
 * after a second, by the helper thread; without that thread, and in a process that has called
 * fork() since, at the next snapshot or by cowarena_compact(). The engine takes neither held_limit
 * nor COWARENA_FAITHFUL (then engine hybrid serves, or, with COWARENA_STRICT_ENGINE, the arena is
 * refused with ENOTSUP), and no cowarena_on_page(). It needs /proc, and no privilege. Where memory
 * is short the kernel ends the process, as after fork(). Keep futexes that are shared between
 * processes (PTHREAD_PROCESS_SHARED) out of such a heap: a thread that sleeps there while the page
 * is copied is not woken.
 *
 * COWARENA_ENGINE_HYBRID does the same with chunks in which many scattered pages are written to
 * between two snapshots, so the sentences about memory and futexes hold for it too, and writers are
 * held there by a signal; but not with held_limit, COWARENA_FAITHFUL or cowarena_on_page(). A
 * second after the last release, and in cowarena_compact(), such chunks become ordinary again, one
 * by one, so that the next snapshot has nothing to copy: that holds those who write to the chunk,
 * for half a millisecond. Chunks with memory that was prepared since the last snapshot stay.
 *
 * Unless COWARENA_NO_HELPER is set, the first snapshot starts a small thread (with ordinary
 * scheduling, on the processors of the process's first thread, whatever the caller has). The thread
 * gives memory to frames before a fault needs them, takes back memory that is not needed any more,
 * and collapses chunks that have been quiet for some snapshots into huge pages (cowarena_compact).
 * Its signals are blocked.
 *
 * COWARENA_FORK_COPY: a child of fork() gets a private copy of the arena, at the same address, as
 * it was at the fork for all threads; without snapshots. The fork takes a snapshot. It returns, in
 * the parent and in the child, when the copy is made, which takes the time of copying all memory of
 * the arena. Other threads go on. Do not fork in a signal handler then, nor in a
 * cowarena_spoiled_fn. posix_spawn(3), system(3) and vfork(2) copy nothing. Where the copy cannot
 * be made, the log says so and the child has none; the same happens when the child shows no sign of
 * life for 10 seconds, for example because a debugger holds it. The parent then goes on as if there
 * had been no snapshot: system calls may write to what they could before. If the fork's snapshot is
 * given up at held_limit, that costs the child its copy, too. All other memory of the child is of a
 * later moment: a pointer outside the arena to a block that another thread allocated during the
 * fork leads to nothing there. So keep the pointers by which a child finds its data in the arena.
 *
 * COWARENA_VERIFY, for finding mistakes: every page is hashed at a snapshot. Reading the snapshot,
 * rolling back to it, closing a read-only view of it and releasing it compare the hashes. A change
 * is reported in one line of the log, with the address, and abort(3) is called. The cost of a
 * snapshot then grows with the size of the heap. And with COWARENA_DEBUG=1 in the environment each
 * arena asserts the library's own invariants at every step.
 */
struct cowarena_options {
	size_t sz;         /* sizeof(struct cowarena_options) */
	size_t capacity;   /* bytes of address space for blocks; 0 = 64 GiB, or what limits allow */
	unsigned engine;   /* enum cowarena_engine */
	unsigned flags;    /* enum cowarena_flags, or-ed */
	size_t copy_ahead; /* the most pages that one fault may copy, 0 = 64, 1 = one */
	size_t held_limit; /* bytes of preserved pages, over all snapshots, 0 = no limit */
	unsigned limit_policy; /* enum cowarena_limit_policy */
	void *base;            /* wanted address, a multiple of a chunk; NULL = anywhere */
};

/* clang-format off */
#define COWARENA_OPTIONS_INIT { sizeof(struct cowarena_options), 0, 0, 0, 0, 0, 0, NULL }
/* clang-format on */

/*
 * Create an arena with an empty heap.
 *
 * options: NULL for defaults.
 * Returns: the arena, or NULL with errno:
 *	EINVAL   an option is out of range, or `sz` is not set
 *	ENOTSUP  COWARENA_STRICT_ENGINE, and the engine does not work on this system
 *	ENOMEM   no room for the address range (capacity, RLIMIT_AS)
 *	EEXIST   something is mapped at `base` already
 *	EFBIG    RLIMIT_FSIZE is below the capacity
 *	EMFILE, ENFILE  no file descriptor left (an arena holds one; with userfaultfd(2)
 *		 two; a read-only view one more)
 *	EPERM    a signal handler cannot be installed (a sanitizer forbids it, or a preloaded
 *		 library keeps it and rt_sigaction(2) is refused); userfaultfd(2), or
 *		 its use for system calls, is forbidden, and COWARENA_STRICT_ENGINE
 *	EPERM, EACCES, ENOSYS, EINVAL  a sandbox refuses a system call, which the message names
 * Cost: a few system calls. The first arena installs handlers for SIGSEGV and SIGBUS. Since: 0.1
 */
cowarena *cowarena_create(const struct cowarena_options *options);

/*
 * Destroy an arena: its heap, its open views, its snapshots. Every pointer into it dies.
 *
 * arena: NULL does nothing.
 * Threads: no other thread may use the arena or its memory any more. Since: 0.1
 */
void cowarena_destroy(cowarena *arena);

/*
 * In a child of fork(): give every arena that was inherited, and has no copy yet, a private copy of
 * its memory, at the same address. The copy is of the memory as the parent has it during the call.
 * So let the parent keep still from the fork() until then, like a parent that waits, or that has
 * left by _exit(2) (daemon(3)). A child that closes all descriptors, as daemons do, calls this
 * before. With COWARENA_FORK_COPY none of this is needed.
 *
 * Snapshots and views stay behind: functions that are given one of those fail with ESTALE; release
 * them.
 * Returns: 0, also in a process that is no such child; or -1 with errno ENOMEM, EMFILE, ENFILE,
 * EEXIST (the child has mapped something else there), EBADF (the child has closed the descriptor of
 * the memory), ESTALE (the parent has destroyed the arena); then the arenas not done are as before.
 * Cost: a copy of all the memory of the arenas. Since: 0.1
 */
int cowarena_after_fork_in_child(void);

/*
 * The name of the engine that serves the arena: "hybrid", "sigsegv", "uffd", "eager" or
 * "kernel". When that
 * is not the engine that was asked for, cowarena_errmsg() said why right after cowarena_create().
 *
 * Returns: a static string; NULL with errno EINVAL when arena is NULL.
 * Signals: safe. Since: 0.1
 */
const char *cowarena_engine_name(const cowarena *arena);

/*
 * Whether system calls may write into the heap at any time without cowarena_prepare_write(): with
 * COWARENA_SYSCALL_SAFE, and with engine kernel, if the system grants the privilege. That does not
 * cover what the kernel writes where it may not wait: robust and priority-inheriting mutexes, and
 * what devices and io_uring write to pages that they hold (see the caveats above).
 *
 * Signals: safe. Since: 0.1
 */
bool cowarena_syscall_safe(const cowarena *arena);

/*
 * Set the function that is called for each snapshot that is given up from now on.
 *
 * fn: NULL for none, the default. Returns: 0; or -1 with errno EINVAL (NULL arena).
 * Threads: safe; a call that has begun may still be running on return. Since: 0.1
 */
int cowarena_on_spoiled(cowarena *arena, cowarena_spoiled_fn *fn, void *ctx);

/*
 * Set the function that is called from now on for each page that is copied, or written first
 * without a copy: so a program sees which memory it dirties after a snapshot, and when.
 *
 * fn: NULL for none, the default. Returns: 0; or -1 with errno EINVAL (NULL arena), ENOTSUP (engine
 * kernel, where no code of the library runs at a first write).
 * Threads: safe; on return no call of the previous function is running, and none begins. Signals:
 * not safe, nor in fn. Cost: what fn takes, added to the fault; without fn nothing. Since: 0.1
 */
int cowarena_on_page(cowarena *arena, cowarena_page_fn *fn, void *ctx);

/* ============================================================================================
 * The heap
 * ============================================================================================
 *
 * These functions work like those of libc whose names they carry, with the arena first. Blocks
 * never move unless cowarena_realloc() moves them. The bookkeeping lies inside the arena, so that
 * snapshots and rollback carry it, but never in or beside a block: freeing a block touches none of
 * the block's pages.
 *
 * A pointer that is not the start of a live block of the arena (foreign, interior, freed already)
 * is a bug that must not be survived: cowarena_free(), _realloc() and _usable_size() write one line
 * to the log (see cowarena_set_log) and call abort(3).
 *
 * Threads: all are safe; each allocates small blocks without a lock. Signals: none is safe.
 * Since: 0.1
 */

/*
 * Allocate size bytes, aligned to 16. Contents are undefined.
 *
 * size: 0 gives a block of its own, without a usable byte promised.
 * Returns: the block, or NULL with errno ENOMEM (capacity reached, or no memory), EINVAL (NULL
 * arena).
 * Cost: O(1) up to 16 KiB; above, a search among the free runs of 4 KiB units.
 */
void *cowarena_alloc(cowarena *arena, size_t size);

/*
 * Allocate n elements of size bytes each, zeroed.
 *
 * Returns: as cowarena_alloc(); also ENOMEM when n * size overflows.
 */
void *cowarena_calloc(cowarena *arena, size_t n, size_t size);

/*
 * Change the size of a block, in place where possible, and keep the contents up to the smaller
 * size.
 *
 * p: NULL allocates. size: 0 frees p and returns NULL with errno unchanged.
 * Returns: the block; or NULL with errno ENOMEM, and p is as it was.
 */
void *cowarena_realloc(cowarena *arena, void *p, size_t size);

/*
 * Allocate size bytes at a multiple of alignment.
 *
 * alignment: any power of two. Returns: as cowarena_alloc(); EINVAL when it is not a power of two.
 */
void *cowarena_aligned_alloc(cowarena *arena, size_t alignment, size_t size);

/* Free a block. p: NULL does nothing. errno is left as it was. */
void cowarena_free(cowarena *arena, void *p);

/* The bytes that may be used in a block, at least as many as were asked for. p: NULL gives 0. */
size_t cowarena_usable_size(cowarena *arena, const void *p);

/*
 * An allocator as Lua and others take it (lua_Alloc): for nsize 0 it frees and returns NULL,
 * otherwise it allocates or resizes. Making a block smaller never fails.
 *
 * ud: the arena. ptr: a block of the arena, or NULL. osize: ignored. Returns: as
 * cowarena_realloc(). Since: 0.1
 */
void *cowarena_realloc_cb(void *ud, void *ptr, size_t osize, size_t nsize);

/* Copy a string into a block of its own. Returns: as cowarena_alloc(); EINVAL when s is NULL. */
char *cowarena_strdup(cowarena *arena, const char *s);

/*
 * One pointer kept inside the arena, by which the program finds its data again: the root rolls back
 * with the heap, and every snapshot has its own (cowarena_snapshot_root).
 *
 * root: NULL, or a pointer into the arena.
 * Returns: 0; or -1 with errno EINVAL when root points elsewhere.
 */
int cowarena_set_root(cowarena *arena, void *root);

/* The root; NULL when none was set (or, with errno EINVAL, for a NULL arena). Signals: safe. */
void *cowarena_root(const cowarena *arena);

/* Whether p points into the part of the arena that is in use. Signals: safe. Cost: two
   comparisons. */
bool cowarena_contains(const cowarena *arena, const void *p);

/*
 * Preserve and disarm the pages of [p, p + n) now, as if each had been written: before a system
 * call that writes there, or before a known burst of writes. This holds until the next snapshot.
 *
 * Returns: 0; or -1 with errno EINVAL (NULL arena), EFAULT (the range is not in the arena's heap).
 * Cost: one page copy for each page that a snapshot still needs, one system call for 512 pages. The
 * pages are counted in `copied` and `reused`, not in `faults`.
 */
int cowarena_prepare_write(cowarena *arena, void *p, size_t n);

/*
 * Make the arena cheap to keep and to snapshot, now: collapse every chunk whose pages are all
 * clean, or all dirty, into a huge page, and give back the memory of frames that are not in use.
 * While there is no snapshot the other chunks are first made all dirty, and so collapsed too (not
 * in faithful mode). A server that saves every now and then calls this when a save has ended: then
 * its writes take no faults until the next save, and that save has few small pages to arm. The
 * helper thread collapses on its own the chunks that have been quiet for some snapshots; call this
 * after a bulk load, before the first snapshot, or when a busy time is over.
 *
 * The system limits what is done: before Linux 6.1 nothing is collapsed, and engines uffd and eager
 * keep small pages; `huge_bytes` in the statistics tells. No byte of the heap changes.
 * Returns: 0; or -1 with errno EINVAL (NULL arena).
 * Cost: a copy of all that is not on huge pages yet, while other threads go on; threads that write
 * may wait for the copy of one chunk (doc/performance.md).
 */
int cowarena_compact(cowarena *arena);

/*
 * Give memory that is in no block back to the system, where no snapshot needs its content. (Freeing
 * a block of 2 MiB or more does so at once, under the same condition; so does moving a block that
 * grows, from 32 MiB.)
 *
 * Returns: how many bytes went back. arena: NULL gives 0. errno is left as it was.
 * Threads: safe; threads that need the heap lock wait. Cost: a few microseconds for each run of
 * free memory, and the next write to such a page takes a page fault in the kernel. Since: 0.1
 */
size_t cowarena_trim(cowarena *arena);

/*
 * Called for a live block. p: its address; size: what cowarena_usable_size() says. Returns: 0 to go
 * on; any other value ends the walk, and cowarena_heap_walk() returns it. It may use the heap.
 */
typedef int cowarena_heap_walk_fn(void *ctx, void *p, size_t size);

/*
 * List all live blocks, in ascending order: of a snapshot, or of the heap as it is at the
 * beginning of the call.
 *
 * snapshot: of this arena; NULL for the live heap. The addresses are live ones: read what a block
 * of a snapshot held by cowarena_snapshot_read(). Returns: 0, what fn returned, or -1 with errno:
 *	EINVAL   arena or fn is NULL, or the snapshot is of another arena
 *	ESTALE   the snapshot was given up
 *	EUCLEAN  the bookkeeping is damaged
 *	ENOMEM   no memory for a copy of the bookkeeping
 * Threads: safe; allocation elsewhere waits while the bookkeeping of a live heap is copied. Cost:
 * memory of 1.2 % of the heap during the call, and a millisecond for each 100 MiB. Since: 0.1
 */
int cowarena_heap_walk(cowarena *arena, cowarena_snapshot *snapshot, cowarena_heap_walk_fn *fn,
		       void *ctx);

/*
 * Check the heap's bookkeeping: of a snapshot, or of the live heap (NULL). For tests and debugging.
 *
 * Returns: 0 when it is sound; otherwise as cowarena_heap_walk(): the message says what is damaged,
 * and where.
 * Threads and cost: as cowarena_heap_walk(). Since: 0.1
 */
int cowarena_heap_check(cowarena *arena, cowarena_snapshot *snapshot);

/* ============================================================================================
 * Snapshots
 * ========================================================================================= */

/* Flags of cowarena_snapshot_take(). */
enum cowarena_snapshot_flags {
	COWARENA_QUIESCENT = 1 /* the caller promises that no other thread writes during the call */
};

/*
 * Take a snapshot: freeze the heap as it is at one instant, for all threads. Threads that write
 * during the call wait until it is done; no other thread is stopped.
 *
 * flags: 0 or COWARENA_QUIESCENT. With that promise, pages that were written in each of the last
 * epochs are copied now and stay writable: that is cheaper than arming them and taking the faults.
 * If another thread does write during the call, the snapshot may be torn.
 * Returns: the snapshot, or NULL with errno:
 *	EINVAL   NULL arena or an unknown flag
 *	ENOMEM   no memory for the frames that the snapshot could come to need, or the kernel
 *		 refused to arm, or (engine eager) the copy does not fit into held_limit; the
 *		 arena is as before
 * Cost: grows with the pages written since the last snapshot, not with the size of the heap. (Of
 * chunks that are private, see COWARENA_ENGINE_KERNEL, each page takes 3 ns, written or not.)
 */
cowarena_snapshot *cowarena_snapshot_take(cowarena *arena, unsigned flags);

/*
 * Release a snapshot, in any order with respect to others. What only this snapshot kept is
 * recycled.
 *
 * snapshot: NULL does nothing.
 * Returns: 0; or -1 with errno EBUSY while views of it are open, and nothing is released.
 * Cost: grows with the pages that this snapshot is the newest to keep.
 */
int cowarena_snapshot_release(cowarena_snapshot *snapshot);

/* The snapshot's number: starts at 1, grows, is never used twice in an arena. 0 for NULL.
   Signals: safe. */
uint64_t cowarena_snapshot_id(const cowarena_snapshot *snapshot);

/*
 * Whether the snapshot still holds what it held, so that everything read from it before this call
 * is right.
 *
 * Returns: 0; or -1 with errno EINVAL (NULL), ESTALE (the snapshot was given up, and the message
 * says why; or it was taken before the fork() whose child asks).
 * Signals: safe, as long as it succeeds. Cost: two loads, and with userfaultfd a system call.
 * Since: 0.1
 */
int cowarena_snapshot_check(const cowarena_snapshot *snapshot);

/*
 * Copy n bytes that the snapshot holds for the live address src: a memcpy from the past.
 *
 * dst: anywhere, also inside the arena. src: a live address.
 * Returns: 0; or -1 with errno EINVAL (NULL), EFAULT (the range reaches outside the heap as it was
 * at the snapshot; nothing is copied), ESTALE (the snapshot was given up, at the limit of held
 * memory or because the program has closed the library's userfaultfd; the content of dst is
 * undefined).
 * Cost: that of memcpy, and 0.5 us for each page that has changed since; where userfaultfd protects
 * pages, a system call of 0.3 us.
 */
int cowarena_snapshot_read(cowarena_snapshot *snapshot, void *dst, const void *src, size_t n);

/*
 * The root as it was: a live address, to be used with cowarena_snapshot_read() or
 * cowarena_view_at().
 *
 * Returns: the root; NULL when none was set, or with errno as cowarena_snapshot_read().
 */
void *cowarena_snapshot_root(cowarena_snapshot *snapshot);

/*
 * Make the live heap what it was at the snapshot, in place. The snapshot is not consumed, and
 * younger ones are not harmed. Blocks allocated since are gone, blocks freed since are back.
 *
 * Returns: 0; or -1 with errno EINVAL (NULL, or a snapshot of another arena), ENOMEM, ESTALE; then
 * nothing has changed.
 * Threads: no other thread may use the arena's memory meanwhile.
 * Cost: grows with the pages written since the snapshot.
 */
int cowarena_rollback(cowarena *arena, cowarena_snapshot *snapshot);

/*
 * Called for each run of bytes that changed. start: a live address. len: in bytes.
 * Returns: 0 to go on; any other value ends the walk, and cowarena_diff() returns it (so better not
 * -1). No lock is held during the call: it may allocate, write, take and release other snapshots.
 */
typedef int cowarena_diff_fn(void *ctx, const void *start, size_t len);

/* Flags of cowarena_diff_with(). */
enum cowarena_diff_flags {
	COWARENA_DIFF_BYTES = 1 /* report runs of bytes that differ, not of whole pages */
};

/*
 * List the runs of pages whose contents differ between two snapshots, in ascending order. A page
 * that was written with its old content is not reported. Pages that came into use after the older
 * snapshot are reported.
 *
 * older, newer: two snapshots of one arena, the older first; NULL as newer is the live heap.
 * Returns: 0, what fn returned if not 0; or -1 with errno EINVAL (NULL, two arenas, or the
 * arguments are swapped), ENOMEM, ESTALE (spoiled; if that happened during the call, what fn was
 * told may be wrong).
 * Threads: against the live heap, writes of other threads during the call may or may not be seen.
 * Cost: grows with the pages written between the two, whose contents are compared.
 */
int cowarena_diff(cowarena_snapshot *older, cowarena_snapshot *newer, cowarena_diff_fn *fn,
		  void *ctx);

/* As cowarena_diff(), with flags (enum cowarena_diff_flags, or-ed; EINVAL for unknown flags). */
int cowarena_diff_with(cowarena_snapshot *older, cowarena_snapshot *newer, unsigned flags,
		       cowarena_diff_fn *fn, void *ctx);

/* ============================================================================================
 * Views
 * ========================================================================================= */

/* Flags of cowarena_view_open(). */
enum cowarena_view_flags {
	COWARENA_VIEW_PRIVATE =
	    1 /* writable, like a fork child's memory: writes stay in the view */
};

/*
 * Map the snapshot's heap as contiguous memory at other addresses. Only pages that have changed
 * since are copied. While a view is open, the first write to a live page also makes the view's page
 * a copy of its own.
 *
 * flags: 0 for a read-only view (a write to it crashes like any wild write), or
 * COWARENA_VIEW_PRIVATE.
 * Returns: the view, or NULL with errno EINVAL, ENOMEM, ESTALE, EBADF (the program has closed the
 * descriptor of the arena's memory).
 * Cost: a few system calls, and a page copy for each page that has changed since the snapshot.
 */
cowarena_view *cowarena_view_open(cowarena_snapshot *snapshot, unsigned flags);

/*
 * Translate a live address into an address in the view.
 *
 * view: NULL gives NULL with errno EINVAL.
 * live: NULL gives NULL, so that lists can be walked without a check of their own.
 * Returns: the address in the view; or NULL with errno EFAULT when live is outside the heap as it
 * was. The result is not const: write through it only in private views.
 * Signals: safe. Cost: a comparison and an addition.
 */
void *cowarena_view_at(const cowarena_view *view, const void *live);

/*
 * Get the live addresses that the view covers: the heap as it was at the snapshot. For each address
 * from *start up to, but not including, *end cowarena_view_at() gives an address in the view, all
 * at one distance.
 *
 * start, end: where to store the two; NULL where one is not wanted.
 * Returns: 0; or -1 with errno EINVAL (view is NULL), ESTALE (in a child of fork(), which does not
 * have the parent's views).
 * Signals: safe, as long as it succeeds. Cost: two additions. Since: 0.1
 */
int cowarena_view_range(const cowarena_view *view, const void **start, const void **end);

/*
 * Whether everything read through the view before this call is right. Data never turn wrong in
 * silence: where the snapshot had to be given up, or a page could not be kept, this says so.
 *
 * Returns: 0; or -1 with errno ESTALE as cowarena_view_close() would, EINVAL (NULL).
 * Cost: two loads, and with userfaultfd a system call.
 */
int cowarena_view_check(const cowarena_view *view);

/*
 * Give a range of the view memory of its own now, before the kernel takes pages of it without
 * copying them: for vmsplice(2), MSG_ZEROCOPY, O_DIRECT, io_uring, AIO, and a plain write(2) to a
 * descriptor opened with O_DIRECT. Such a call holds on to the page that is mapped at that moment,
 * which is the live heap's page as long as neither side has been written to; later stores to the
 * heap then show in what is sent, and nothing can detect that. What is settled stays as it is until
 * the view is closed, and the kernel's references to it outlive even that.
 *
 * p: an address in the view. n: in bytes; whole pages are settled.
 * Returns: 0, also for what was settled before; or -1 with errno:
 *	EINVAL   view is NULL
 *	EFAULT   the range is not in the view
 *	ENOMEM   options.held_limit is reached; pages before the one that did not fit are settled
 *	EAGAIN   the kernel refused to split the view's mapping (vm.max_map_count)
 *	ESTALE   as cowarena_view_check()
 * Threads: safe, but not while the view is being closed. Signals: not safe. Cost: a page of memory,
 * which counts in `held_bytes`, and 1 to 3 us, for each page that the view still shares. Since: 0.1
 */
int cowarena_view_settle(cowarena_view *view, const void *p, size_t n);

/*
 * Unmap a view. view: NULL does nothing.
 *
 * Returns: 0; or -1 with errno ESTALE when the snapshot was spoiled while the view was open, or the
 * kernel refused to split the view's mapping: then what was read through it may be wrong. The view
 * is closed in either case.
 */
int cowarena_view_close(cowarena_view *view);

/* ============================================================================================
 * Images: snapshots in files
 * ========================================================================================= */

/* Flags of cowarena_snapshot_save(). */
enum cowarena_save_flags {
	COWARENA_SAVE_NO_SYNC = 1, /* do not wait for the disk */
	COWARENA_SAVE_LAST_USE = 2 /* the snapshot is of no use afterwards, but to be released */
};

/*
 * Called after each part of an image, by the thread that saves or loads: `done` of `all` pages.
 * Returns 0 to go on; anything else ends the work, which then fails with ECANCELED. It may use the
 * arena, but not release the snapshot.
 */
typedef int cowarena_progress_fn(void *ctx, uint64_t done, uint64_t all);

/* Options of cowarena_snapshot_save(): start from COWARENA_SAVE_OPTIONS_INIT. 0 is the default. */
struct cowarena_save_options {
	size_t sz;      /* sizeof(struct cowarena_save_options) */
	unsigned flags; /* enum cowarena_save_flags, or-ed */
	int fd;         /* where to write, if the path is NULL */
	/* Save only the pages that have changed since one of these (an increment). */
	cowarena_snapshot *parent;  /* an older snapshot that has been saved */
	const char *const *parents; /* an image of the heap, and then those that it builds on, in
				       any order; NULL ends the list */
	cowarena_progress_fn *progress;
	void *ctx; /* for progress */
};

/* clang-format off */
#define COWARENA_SAVE_OPTIONS_INIT \
	{ sizeof(struct cowarena_save_options), 0, -1, NULL, NULL, NULL, NULL }
/* clang-format on */

/*
 * Write a snapshot to a file, an image, from which cowarena_load() makes the heap again, in another
 * process too. The heap may be written to meanwhile, and other snapshots taken and released. Pages
 * of zeros take no room. All else has a checksum: XXH3 of Yann Collet's xxHash, of 64 bits, which
 * finds accidents and no attacks.
 *
 * path: the image's name, NULL for options->fd. An image appears under its name when it is
 *	complete, and takes the place of what had that name; until then it has a name beside,
 *	which a process that is killed leaves behind (PATH.tmp-*). Without COWARENA_SAVE_NO_SYNC
 *	the image is on the disk when the call returns; with it a power cut may leave no image, or
 *	a broken one, which cowarena_load() tells.
 * options: NULL for the defaults. fd: an open file, pipe or socket, which is written to from where
 *	it stands, never sought in, not closed, and not synced. A pipe that nobody reads from raises
 *	SIGPIPE, as for write(2).
 *	parent: the increment has the pages that were written to since that snapshot, and builds on
 *	its last complete image. Neither may be released meanwhile. parents: for a heap that was
 *	loaded, or whose snapshot was released: the pages are compared with those of the files,
 *	which are read as a whole. An increment is loaded together with what it builds on.
 *	COWARENA_SAVE_LAST_USE: pages that were saved are not preserved any more when they are
 *	written to, so the save takes less memory the further it is. Until it is released nothing
 *	else can be done with the snapshot, whether the save succeeds or not: it fails with ESTALE.
 *	Such a snapshot is no parent.
 * Returns: 0; or -1 with errno:
 *	EINVAL     snapshot is NULL; unknown flags; neither path nor fd; the parent is of another
 *		   arena, newer, or was never saved; the parents are of another heap, or one of them
 *		   is missing; both are given
 *	ESTALE     the snapshot, or the parent, was given up, or saved for the last time
 *	EBUSY      COWARENA_SAVE_LAST_USE, and the snapshot has open views
 *	EBADMSG, ENOTSUP  of parents, as for cowarena_load()
 *	ECANCELED  progress has said so
 *	ENOMEM     no memory for the list of what was written
 *	and those of open(2), write(2), fsync(2), rename(2). What had the name has it still, unless
 *	the message says otherwise.
 * Threads: safe; the snapshot must not be released meanwhile. Signals: not safe. No cancellation
 *	point. Cost: each page in use is read, those that are not zeros are hashed and written; of
 *	an increment with a parent, each page that was written to.
 * Since: 0.1
 */
int cowarena_snapshot_save(cowarena_snapshot *snapshot, const char *path,
			   const struct cowarena_save_options *options);

/* Flags of cowarena_load(). */
enum cowarena_load_flags {
	COWARENA_LOAD_SPARSE = 1, /* the heap may be much larger than the file */
	COWARENA_LOAD_LAZY = 2    /* return at once, pages come in as they are touched */
};

/* Options of cowarena_load(): start from COWARENA_LOAD_OPTIONS_INIT. 0 is the default. */
struct cowarena_load_options {
	size_t sz;                            /* sizeof(struct cowarena_load_options) */
	unsigned flags;                       /* enum cowarena_load_flags, or-ed */
	const struct cowarena_options *arena; /* engine, flags, limits; its capacity and base do
						  not count. NULL: the defaults */
	/* What an increment builds on: images in any order; NULL ends the list. Those that are not
	   needed are left out. */
	const char *const *parents;
	cowarena_progress_fn *progress;
	void *ctx; /* for progress */
};

/* clang-format off */
#define COWARENA_LOAD_OPTIONS_INIT \
	{ sizeof(struct cowarena_load_options), 0, NULL, NULL, NULL, NULL }
/* clang-format on */

/*
 * Make an arena from an image: blocks, their content, the root and the allocator's state are what
 * they were at the snapshot, at the same addresses, so that pointers in the heap hold. (Pointers to
 * memory outside do not.) The arena has no snapshots.
 *
 * Everything in the file is checked before it is used, checksums as well as the heap's bookkeeping.
 * So a file that is damaged, cut short or no image is refused. What users' blocks hold is theirs to
 * judge: a file from somebody else may hold any bytes there.
 *
 * With COWARENA_LOAD_LAZY the call takes a millisecond or two, whatever the size of the heap. A
 * thread brings the pages, those that are touched first; who touches one that is not there waits,
 * system calls too. Snapshots and rollbacks need not wait; views, saves and fork() wait until all
 * is there, or fail if a page cannot be read. A page whose checksum is wrong is found when it comes
 * in: who touches such a page ends the process, with a message. The bookkeeping is not gone over
 * before it is used. So this is for files of one's own. progress is not called; the files stay open
 * until all is there, and must not be written to. This takes the privilege of a userfaultfd(2) for
 * faults of the kernel (CAP_SYS_PTRACE, or sysctl vm.unprivileged_userfaultfd=1), and engine hybrid
 * or sigsegv without COWARENA_FAITHFUL; elsewhere, and under a debugger, Valgrind or
 * AddressSanitizer, all is loaded at once. (A debugger or tracer that is attached meanwhile, stops
 * all threads, and reads memory that is not there yet, waits for ever.)
 *
 * Returns: the arena, or NULL with errno:
 *	EINVAL     path is NULL, unknown flags; an image that an increment builds on is missing
 *	EBADMSG    no image, or a damaged one: the message says where
 *	ENOTSUP    an image of a system with pages of another size, or of another version
 *	EADDRINUSE something else lies at the image's addresses in this process. To be safe from
 *		   that give the arena an address that is free in every process (options.base).
 *	EFBIG      the heap has more than 4 GiB and 1,024 times what the files have, as one with
 *		   large blocks that were never touched, and COWARENA_LOAD_SPARSE is not set: the
 *		   bookkeeping takes 32 bytes a page, which a file from somebody else could abuse
 *	ESPIPE     path names no file: an image from a pipe must be written to a file first
 *	ECANCELED  progress has said so
 *	and those of open(2), read(2), cowarena_create()
 * Threads: safe. Signals: not safe. No cancellation point. Cost: the file is read and hashed once,
 *	and its pages copied.
 * Since: 0.1
 */
cowarena *cowarena_load(const char *path, const struct cowarena_load_options *options);

/* ============================================================================================
 * Stores: arenas that survive a power cut
 * ========================================================================================= */

/* Flags of cowarena_store_open(). */
enum cowarena_store_flags {
	COWARENA_STORE_READ_ONLY = 1, /* beside another process that has the store open, or none */
	COWARENA_STORE_SPARSE = 2,    /* the heap may be much larger than the file */
	COWARENA_STORE_LAZY = 4       /* return at once, pages come in as they are touched */
};

/* Options of cowarena_store_open(): start from COWARENA_STORE_OPTIONS_INIT. 0 is the default. */
struct cowarena_store_options {
	size_t sz;                            /* sizeof(struct cowarena_store_options) */
	unsigned flags;                       /* enum cowarena_store_flags, or-ed */
	const struct cowarena_options *arena; /* NULL: the defaults. Of a store that exists the
						  capacity and base do not count */
};

/* clang-format off */
#define COWARENA_STORE_OPTIONS_INIT { sizeof(struct cowarena_store_options), 0, NULL }
/* clang-format on */

/*
 * Open a store: a file, and an arena that is brought to it by checkpoints. If there is no such file
 * it is created, with an empty arena. Otherwise the arena is what it was at the last checkpoint
 * that is durable, at the same addresses, whatever has happened since: the process was killed, the
 * power was cut in the midst of a checkpoint, the disk was full. Blocks, their content, the root
 * and the allocator's state are there. (Pointers to memory outside are not.) Everything is verified
 * by checksums (XXH3 of 64 bits, which finds accidents and no attacks) and by the heap's own
 * bookkeeping.
 *
 * path: the file's name. A new file appears under it when it is whole; until then it has a name
 *	beside, which a process that is killed leaves behind (PATH.tmp-*). The file system must
 *	keep what fdatasync(2) and fsync(2) have promised.
 * options: NULL for the defaults. A new store whose options give no base puts its heap where other
 *	processes rarely have anything mapped.
 *	COWARENA_STORE_READ_ONLY: a heap of one's own, as it was at the last checkpoint, though
 *	another process goes on taking checkpoints. It is never written to the file, and does not
 *	follow it.
 *	COWARENA_STORE_LAZY: as COWARENA_LOAD_LAZY does. The first checkpoint is taken at once, and
 *	written when all is there; what concerns names waits for that. With COWARENA_STORE_READ_ONLY
 *	all is read at once.
 * Returns: the store, or NULL with errno:
 *	EINVAL     path is NULL, unknown flags
 *	ENOENT     no such file, with COWARENA_STORE_READ_ONLY
 *	EBUSY      the store is open already, there or here
 *	EEXIST     another process has created the store at the same time
 *	EBADMSG    no store, or a damaged one: the message says where
 *	ENOTSUP    a store of a system with pages of another size, or of another version
 *	EADDRINUSE something else lies at the store's addresses in this process
 *	EFBIG      the heap has more than 4 GiB and 1,024 times what the file has, and
 *		   COWARENA_STORE_SPARSE is not set
 *	EAGAIN     read only: the writer is faster than the reader
 *	and those of open(2), pread(2), pwrite(2), fdatasync(2), cowarena_create(),
 *	cowarena_snapshot_take()
 * Threads: safe. Signals: not safe. No cancellation point. Cost: the pages of the checkpoint are
 *	read, hashed and copied; of named checkpoints the index is read, a 256th of their pages.
 * Since: 0.1
 */
cowarena_store *cowarena_store_open(const char *path, const struct cowarena_store_options *options);

/*
 * The store's arena, an arena like any other, until the store is closed: which destroys it, so it
 * must not be destroyed otherwise. Between checkpoints a snapshot of the last one is alive. In a
 * child of fork() the arena is as any other, and the store is the parent's: calls fail with
 * EPERM, but for this one and cowarena_store_close().
 *
 * Returns: the arena; NULL with errno EINVAL (store is NULL). Since: 0.1
 */
cowarena *cowarena_store_arena(cowarena_store *store);

/* Flags of cowarena_store_checkpoint(), beside COWARENA_QUIESCENT. */
enum cowarena_checkpoint_flags {
	COWARENA_STORE_ASYNC = 2 /* do not wait for the disk */
};

/*
 * Make what the arena is now what cowarena_store_open() will find. A snapshot is taken, the only
 * pause, and the pages that were written since the last checkpoint go to the file.
 *
 * flags: COWARENA_STORE_ASYNC returns after the snapshot, and a thread of the store writes it;
 *	cowarena_store_wait() tells how that has ended. Of checkpoints that come faster than the
 *	disk takes them, only the newest is written. COWARENA_QUIESCENT is handed to
 *	cowarena_snapshot_take().
 * Returns: 0, without COWARENA_STORE_ASYNC when the checkpoint is durable; or -1 with errno:
 *	EINVAL  store is NULL, unknown flags
 *	EROFS   the store was opened with COWARENA_STORE_READ_ONLY
 *	EPERM   in a child of fork()
 *	EBADF   the program has closed the store's descriptor
 *	ESTALE  the snapshot was given up at options.held_limit
 *	ENOSPC, EDQUOT, EIO, EFBIG and others of pwrite(2), fdatasync(2)
 *	ENOMEM  no memory for the index; or as cowarena_snapshot_take()
 *	After a failure the last checkpoint is as good as before (or, where only the last
 *	fdatasync(2) has failed, this one may be the last after all); the arena goes on, and the
 *	next checkpoint has all that this one had.
 * Threads: safe. Signals: not safe. No cancellation point. Cost: for each page written since the
 *	last checkpoint, reading, hashing and writing it, and up to as much for the index, 1/256
 *	where neighbours were written; two fdatasync(2). The file takes at most three times what
 *	the last checkpoint and the named ones have, while one is being written (where it can give
 *	memory back, fallocate(2), and no fdatasync(2) fails).
 * Since: 0.1
 */
int cowarena_store_checkpoint(cowarena_store *store, unsigned flags);

/*
 * Wait until all checkpoints that were asked for before are durable, or have failed.
 *
 * Returns: 0 if the newest of them is durable; or -1 with its errno, as
 *	cowarena_store_checkpoint(). Since: 0.1
 */
int cowarena_store_wait(cowarena_store *store);

/*
 * Keep the last durable checkpoint under a name of 1 to 63 bytes, until cowarena_store_drop().
 *
 * Returns: 0 when that is durable; or -1 with errno EINVAL, ENAMETOOLONG (the name), ENOENT (no
 *	checkpoint yet), EEXIST (the name is in use), EROFS, EPERM, or those of pwrite(2),
 *	fdatasync(2).
 * Threads: safe; waits for a checkpoint that is being written. Cost: two blocks, two fdatasync(2).
 * Since: 0.1
 */
int cowarena_store_keep(cowarena_store *store, const char *name);

/* A checkpoint with a name. */
struct cowarena_store_checkpoint {
	size_t sz; /* of this struct, of the library's version */
	const char *name;
	uint64_t snapshot; /* cowarena_snapshot_id() of its snapshot, in the process of that time */
	uint64_t bytes;    /* of the heap, in use */
};

/* Called for each of them; anything but 0 that it returns ends the list. It may call the store. */
typedef int cowarena_store_fn(void *ctx, const struct cowarena_store_checkpoint *checkpoint);

/*
 * List the named checkpoints, the oldest name first. (With COWARENA_STORE_READ_ONLY: none.)
 *
 * Returns: 0; what fn has returned; or -1 with errno EINVAL, ENOMEM, EPERM. Since: 0.1
 */
int cowarena_store_list(cowarena_store *store, cowarena_store_fn *fn, void *ctx);

/*
 * Drop a name. What only it has is free.
 *
 * Returns: 0 when that is durable; or -1 with errno ENOENT (no such name), or as
 *	cowarena_store_keep(). Cost: besides, the index of the other names is read. Since: 0.1
 */
int cowarena_store_drop(cowarena_store *store, const char *name);

/*
 * Bring the arena back to a named checkpoint, like a rollback: no other thread may use the arena
 * meanwhile. The next checkpoint makes that durable.
 *
 * Returns: 0; or -1 with errno ENOENT (no such name), EBADMSG (it is damaged), EIO, or as
 *	cowarena_snapshot_take(). Then the arena is as it was, unless the message is that of
 *	cowarena_rollback().
 * Cost: the checkpoint is read and hashed twice, and compared with the heap. Since: 0.1
 */
int cowarena_store_restore(cowarena_store *store, const char *name);

/*
 * Write the checkpoints that wait, close the store, and destroy the arena. Takes no checkpoint:
 * what was written since the last one goes. store: NULL does nothing.
 *
 * Returns: 0; or -1 with errno as cowarena_store_wait(): the store is closed all the same.
 * Since: 0.1
 */
int cowarena_store_close(cowarena_store *store);

/* ============================================================================================
 * Statistics and messages
 * ========================================================================================= */

/* What an arena has done and holds. Counters start at 0 with the arena. */
struct cowarena_stats {
	size_t sz;                /* sizeof(struct cowarena_stats), set by the caller */
	uint64_t faults;          /* traps taken for writes to armed pages */
	uint64_t copied;          /* pages duplicated because they were written, or prepared */
	uint64_t copied_ahead;    /* pages duplicated along with a neighbour */
	uint64_t shadowed;        /* hot pages duplicated at a snapshot instead of by a fault */
	uint64_t reused;          /* armed pages written that no snapshot needed: no copy */
	uint64_t zero;            /* first touches of a page (faithful mode) */
	uint64_t snapshots_taken; /* snapshots taken so far */
	uint64_t snapshots_live;  /* taken, not yet released */
	uint64_t held_bytes;      /* pages preserved for snapshots and for their views; with engine
				     kernel, pages that the kernel has copied */
	uint64_t held_bytes_peak; /* the largest held_bytes so far */
	uint64_t live_bytes;      /* usable bytes of the blocks allocated now */
	uint64_t arena_bytes;     /* bytes of the heap in use, bookkeeping included */
	uint64_t pause_ns_last;   /* duration of the last cowarena_snapshot_take() */
	uint64_t pause_ns_max;    /* duration of the longest one */
	uint64_t fault_ns_p50;    /* time in the handler, median; signal delivery not included */
	uint64_t fault_ns_p99;    /* 99th percentile (both to within 1/8) */
	uint64_t fault_ns_max;    /* longest, waiting for a snapshot included */
	/* kernel mappings that the arena and its views use now, and mappings of any arena that the
	   kernel has refused to unmap so far (as it may at vm.max_map_count; these have no memory,
	   and are unmapped later) */
	uint64_t mappings;
	uint64_t huge_bytes; /* of the heap, mapped by huge pages as far as the library knows */
	uint64_t warm_bytes; /* of the heap, armed page by page by engine hybrid, or private */
	uint64_t spoiled;    /* snapshots given up: at held_limit, or without their protection */
	uint64_t saved_free; /* pages not copied since a save had passed them */
};

/*
 * Read the statistics.
 *
 * stats: its `sz` must be set; fields beyond it are not written.
 * Returns: 0; or -1 with errno EINVAL.
 * Threads: the counters are read one by one while others count on. The call waits for a snapshot
 * that is being taken. Cost: some microseconds; where the kernel copies pages it is asked for them:
 * 3 to 50 ns for each page of the heap (see COWARENA_ENGINE_KERNEL above), milliseconds a GiB.
 */
int cowarena_stats_get(cowarena *arena, struct cowarena_stats *stats);

/*
 * Read the statistics without asking the kernel, for who must not wait: an event loop, or a frame.
 * As cowarena_stats_get(), but pages that the kernel has copied since it was last asked are missing
 * in `copied`, `reused` and `held_bytes`, and `mappings` is 0. The kernel is asked by
 * cowarena_stats_get(), a snapshot, a rollback and a diff.
 *
 * Threads: safe; waits for no snapshot, but keeps other threads from allocating while it adds up
 * `live_bytes`. Cost: some microseconds. Since: 0.1
 */
int cowarena_stats_peek(cowarena *arena, struct cowarena_stats *stats);

/* Flags of cowarena_stats_print(). */
enum cowarena_stats_flags {
	COWARENA_STATS_JSON = 1 /* one JSON object instead of a table */
};

/* Print the statistics. Returns: 0; or -1 with errno EINVAL, or that of the stream. */
int cowarena_stats_print(cowarena *arena, FILE *stream, unsigned flags);

/*
 * The calling thread's last failure in this library, as one sentence that names the remedy.
 *
 * Returns: a string that is valid until the thread's next failing call; "" when nothing has failed.
 */
const char *cowarena_errmsg(void);

/*
 * Set where the library's rare messages go (a corrupted heap, an arena touched by a fork child). By
 * default they go to standard error. `message` has no newline.
 *
 * fn: NULL restores the default. It must be async-signal-safe, since it may be called in a signal
 * handler.
 */
void cowarena_set_log(void (*fn)(void *ctx, const char *message), void *ctx);

/*
 * Whether the library's handlers are still those that faults reach first: of SIGSEGV, and of SIGBUS
 * where an engine needs it. (The kernel is asked, not sigaction(), which may be a preloaded
 * library's.) Another part of the program may have installed its own handler over them. If that
 * handler passes on faults that are not its own, all is well nevertheless.
 *
 * Returns: 0, also while there is no arena; or -1 with errno EBUSY, and a message that names the
 * signal.
 * Cost: a system call or two. Since: 0.1
 */
int cowarena_trap_check(void);

/*
 * Put the library's handlers in front again. A fault that is not an arena's then goes to the
 * handler that was installed over them, as if it had been there before. That handler may call ours
 * as its previous handler, or restore ours and return, or raise the signal again: then the fault
 * goes on to the handler before. Each handler gets a fault once.
 *
 * Returns: 0, also when there was nothing to do; or -1 with errno EPERM as cowarena_create(),
 * EAGAIN (15 other handlers have been installed over the library's). Threads: safe. Since: 0.1
 */
int cowarena_trap_reinstall(void);

/* The library's version: three numbers separated by dots. */
const char *cowarena_version(void);

#ifdef __cplusplus
}
#endif
#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#endif
