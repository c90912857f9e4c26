/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os.h - every system call of the library, behind one contract.
 *
 * To port the library, write another os-NAME.c. No other file in lib/ includes a system header for
 * memory, signals or threads of the kernel, knows what a field of siginfo or of a context means to
 * the kernel, or has an #ifdef for a system or a processor. (One exception: handlers.c calls
 * sigaction(3) itself, so that preloaded libraries learn of it.)
 *
 * (K1) and the like are assumptions about the kernel: doc/design.md, 8.
 *
 * Conventions: 0 or a pointer on success; -1 or NULL with errno set on failure; a function that
 * returns nothing leaves errno as it was. Lengths and addresses are multiples of os_page_size()
 * unless said otherwise.
 *
 * [fault path] marks what the fault handler calls: such a function is async-signal-safe, allocates
 * nothing, and takes no lock. (The frame of the handler, handlers.c, preserves errno.)
 */
#ifndef COWARENA_OS_H
#define COWARENA_OS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The system's page size in bytes, a power of two, asked once. [fault path] */
size_t os_page_size(void);

/* The smallest multiple of `to` that is not below n. [fault path] */
static inline size_t os_round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* The size in bytes of the huge pages that os_collapse() makes (K30): a power of two, at least some
   pages, asked once. */
size_t os_huge_page_size(void);

/* How many mappings the kernel allows this process. */
size_t os_mapping_limit(void);

/* The largest file that this process may make, in bytes; SIZE_MAX without a limit. */
size_t os_file_limit(void);

/* ---- descriptors ---- */

/*
 * A descriptor that the library keeps, and the identity of its file. Descriptor numbers are not the
 * library's alone: a daemon closes all that are open, and the next file that the program opens gets
 * the number.
 */
struct os_file {
	int fd; /* above the standard streams' numbers; -1: none */
	bool known;
	uint64_t device, inode;
};

#define OS_NO_FILE ((struct os_file){.fd = -1})

/*
 * Whether the number still refers to that file, in the calling thread's table of descriptors. While
 * another thread opens the file anew, the answer is about the old file or the new one, or no. Where
 * a sandbox refuses to tell, the number is believed. (K28) [fault path]
 */
bool os_file_is_ours(const struct os_file *file);

/* Close the descriptor if it is still ours, and forget it. */
void os_file_close(struct os_file *file);

/* ---- files that the user names: lengths need not be multiples of a page ---- */

/* Create a file to write to, which must not exist; or open one to read. -1 with errno. */
int os_file_create(struct os_file *file, const char *path);
int os_file_open(struct os_file *file, const char *path);

/* How long the file is. ESPIPE, EISDIR: it is no regular file. */
int os_file_bytes(const struct os_file *file, uint64_t *bytes);

/* Write all n bytes: where the descriptor stands, or from that offset on. */
int os_write(int fd, const void *p, size_t n);
int os_write_at(const struct os_file *file, const void *p, size_t n, uint64_t offset);

/* Read n bytes from that offset on. ENODATA: the file ends before. */
int os_read_at(const struct os_file *file, void *p, size_t n, uint64_t offset);

/* Have the file end there. */
int os_file_cut(const struct os_file *file, uint64_t bytes);

/* Until this is done, a power cut may lose what was written (K39). */
int os_file_sync(const struct os_file *file);

/* Give the file the name `to`, whatever had that name; have a power cut undo that no more. */
int os_rename(const char *from, const char *to);
int os_sync_name(const char *path);

/* Best effort. */
void os_remove(const char *path);

/* n random bytes, 256 at most. */
int os_random(void *p, size_t n);

/* A name beside that of a file, for what is not complete yet: OS_NAME_BESIDE bytes more, the last
   one included, which is 0. -1 with errno when there is no random number. */
#define OS_NAME_BESIDE 22
int os_name_beside(char *name, const char *path);

/* ---- the file of a store (os-linux-store.c): lengths need not be multiples of a page ---- */

/* Create a file to read and write, which must not exist; or open one. -1 with errno. */
int os_store_create(struct os_file *file, const char *path);
int os_store_open(struct os_file *file, const char *path, bool writes);

/* Keep others from locking the file until the last descriptor of this opening is closed. EAGAIN:
   somebody else has locked it (K40). */
int os_store_lock(const struct os_file *file);

/* Let others lock it, whoever has inherited the descriptor. */
void os_store_unlock(const struct os_file *file);

/* As os_read_at() and os_write(), at an offset. */
int os_store_read(const struct os_file *file, void *p, size_t n, uint64_t offset);
int os_store_write(const struct os_file *file, const void *p, size_t n, uint64_t offset);

/* Until this is done, a power cut may lose any part of what was written. After a failure that part
   may be lost though a later call succeeds. */
int os_store_sync(const struct os_file *file);

/* Make the file so long; free the memory of a part, which becomes zeros. */
int os_store_cut(const struct os_file *file, uint64_t bytes);
int os_store_punch(const struct os_file *file, uint64_t offset, uint64_t n);

/* Give the file another name, which must not exist (EEXIST, K41); have a power cut undo that no
   more. */
int os_store_name(const char *from, const char *to);
int os_store_sync_name(const char *path);

/* An address where as good as no process has anything mapped, a multiple of align, for memory that
   has to come back there in another process; chosen by a random number. NULL: none is known. */
void *os_store_place(uint64_t random, size_t align);

/* For tests: called before each of these calls with what it is about to do; NULL for nobody. An
   errno that it returns is what the call fails with, which then does nothing. */
enum os_store_kind {
	OS_STORE_CREATE,
	OS_STORE_OPEN,
	OS_STORE_READ,
	OS_STORE_WRITE,
	OS_STORE_SYNC,
	OS_STORE_CUT,
	OS_STORE_PUNCH,
	OS_STORE_NAME,
	OS_STORE_SYNC_NAME
};
struct os_store_call {
	enum os_store_kind kind;
	int fd;
	const void *p;
	uint64_t n, offset;
	const char *path;
};
typedef int os_store_fn(const struct os_store_call *call);
extern os_store_fn *os_store_hook;

/* ---- what failed ---- */

/* The system call that failed last in a function here in this thread, like "mmap(2)"; NULL if none
   has failed. */
const char *os_failed_call(void);

/* ---- address space ---- */

enum os_protection { OS_NONE, OS_READ, OS_READ_WRITE };

/* Reserve n bytes of inaccessible address space at a multiple of align. With fixed: exactly there;
   EEXIST when something is mapped there already. */
void *os_reserve(size_t n, size_t align, void *fixed);

/* Private zeroed memory, readable and writable, counted by the kernel only as it is touched. */
void *os_map_anonymous(size_t n);

/* Zeroed memory, shared with a process that inherits it. mlockall(2) does not write to it. */
void *os_map_anonymous_shared(size_t n);

/* An unnamed file of n bytes, all holes. exec closes it. */
int os_memory_file(struct os_file *file, size_t n);

/* Free the file memory behind a shared mapping: the range becomes a hole, which reads as zeros.
   Best effort. (By the mapping, since the descriptor may be somebody else's by now. K17) */
void os_punch(void *p, size_t n);

/*
 * Free all memory of the file, whoever still has it open, so that a process that has inherited it
 * can tell (os_read_part). p, n: its shared mapping. Best effort.
 */
void os_memory_free(const struct os_file *file, void *p, size_t n);

/*
 * Find where the file next has memory, at `from` or after it: [*start, *end), as far as the kernel
 * knows; all before *start is a hole. Beyond the last memory both are the file's length. False if
 * that cannot be told. end: may be NULL, which saves a walk over that memory. Reading a hole
 * through a mapping would give it memory; this does not (K16).
 */
bool os_next_memory(const struct os_file *file, size_t from, size_t *start, size_t *end);

/* How many bytes of memory the file has; 0 if that cannot be told. */
size_t os_memory_used(const struct os_file *file);

/* Map the file's first n bytes, shared and inaccessible, over a reservation. */
int os_map_shared(void *over, size_t n, const struct os_file *file);

/* A private mapping of the file's first n bytes, readable and writable: until a page is written
   there, it shows the file's page (K14). NULL with errno: EBADF when the descriptor is no longer
   ours. */
void *os_map_private(size_t n, const struct os_file *file);

/*
 * Replace the shared mapping at [p, p + n) by a fresh one of the same file, without any protection
 * left in it; to other threads the change is one step. The first `accessible` bytes are readable
 * and writable, the rest is inaccessible. Like the old mapping, it is not inherited by children.
 * [fault path]
 */
int os_map_anew(void *p, size_t n, size_t accessible);

/* Replace what is mapped at p by zeros, private, readable and writable, that take no memory until
   they are written. */
int os_map_zeros(void *p, size_t n);

/*
 * Unmap a range. Where the kernel refuses, as it may at its limit of mappings (K20), the memory
 * goes at once, and the range when a later try succeeds: each unmapping, mapping and
 * os_unmap_again() tries. os_unmap_left(): how many ranges are left. os_unmap_forget(): in a child
 * of fork(), where other things may lie there, forget them.
 */
void os_unmap(void *p, size_t n);
void os_unmap_again(void);
size_t os_unmap_left(void);
void os_unmap_forget(void);

/* Change the protection of a range. Other threads see what the caller has read and stored before
   they see the change. [fault path] Post: no thread can write to what was made read-only (K1). On
   failure each page of the range has either the old or the new protection. */
int os_protect(void *p, size_t n, enum os_protection protection);

/*
 * Write to the byte at p without changing it, so that a private page gets a copy of its own (K15),
 * while other threads may be writing to the same page. [fault path]
 */
void os_touch(void *p);

/* Give the range its memory now, so that no later touch meets an empty page. Best effort. Changes
   no byte; other threads may be writing to the range. */
void os_populate(void *p, size_t n);

/* Free the memory of private pages: they are zeros when touched next. Best effort. */
void os_discard(void *p, size_t n);

/* Whether nearly all pages of a range of the memory file have memory (K29). */
bool os_is_resident(void *p, size_t n);

/* How many pages from p on, of n bytes of a shared mapping of the memory file, surely have memory:
   512 at most (K29). Async-signal-safe. Cost: some microseconds. */
size_t os_resident_pages(void *p, size_t n);

/* Put those pages of the range that have memory into the page table, so that no later access to
   them takes a fault. Best effort. */
void os_map_resident(void *p, size_t n);

/*
 * Map an aligned range of one huge page's size by one entry, if the system knows how. -1 with
 * errno: EINVAL means that the system cannot, now or ever (or n is another size); EAGAIN, ENOMEM
 * and others mean that it could not now. Other threads may be reading and writing the range, whose
 * bytes stay as they are (K19).
 */
int os_collapse(void *p, size_t n);

/* The range is not inherited by a child of fork() (K22). */
int os_keep_from_children(void *p, size_t n);

/* Whether a core dump includes the range. Best effort. */
void os_dump(void *p, size_t n, bool wanted);

/* ---- writing to the process's own read-only memory ---- */

/* Open a descriptor for os_poke() in this process; -1 when the kernel refuses (found out by
   trying). */
int os_poke_open(struct os_file *file);

/* Write n bytes at p through that descriptor, whatever p's protection (K13). -1 also when the
   descriptor is no longer ours. [fault path] */
int os_poke(const struct os_file *file, void *p, const void *bytes, size_t n);

/*
 * Read n bytes of a memory file to p, where there are zeros now: holes stay holes. -1 with errno:
 * EBADF when the descriptor is no longer ours, ESTALE when another process has called
 * os_memory_free(); for that the first page must have had memory before. The descriptor's position
 * is not kept.
 */
int os_read_part(const struct os_file *file, size_t offset, void *p, size_t n);

void os_close(int fd);

/* A channel between two processes; exec closes its ends. Sending and receiving wait until all n
   bytes have gone; -1 when the other end is closed (no signal is raised), or on an error. */
int os_channel(int *one, int *other);
int os_send(int fd, const void *p, size_t n);
int os_receive(int fd, void *p, size_t n);

/* From now on sending and receiving at this end fail with EAGAIN when no byte could go for so long.
   Best effort. */
void os_channel_wait_at_most(int fd, uint64_t ns);

/* ---- memory that the kernel copies at its first write (os-linux-private.c) ---- */

/*
 * Put a private mapping of the file's bytes from `offset` on, readable and writable, in the place
 * of what is mapped at [over, over + n), by one step for other threads (K32): it shows the file
 * until a page is written to there, and that page then is the mapping's own (K14). It is not
 * inherited by children. -1 with errno: EBADF when the descriptor is ours no more.
 *
 * pagemap: tells whether pages are the new mapping's own before it is in its place, as after
 * mlockall(MCL_FUTURE). These would be older than stores that other threads do meanwhile: then -1,
 * with ENOTSUP. NULL where nobody writes.
 */
int os_map_cow(void *over, size_t n, const struct os_file *file, size_t offset,
	       const struct os_file *pagemap);

/* Put a shared mapping of the file in that place, again by one step: of what `alias`, another
   shared mapping of the file, shows, from this offset of the file on. Children do not have it. */
int os_map_alias(void *over, size_t n, void *alias, const struct os_file *file, size_t offset,
		 enum os_protection protection);

/* Whether the system counts private mappings as if all of their pages were used
   (vm.overcommit_memory=2). */
bool os_counts_private_memory(void);

/* Whether all of this works here, tried out with that descriptor. -1 with errno. */
int os_try_cow(const struct os_file *pagemap);

/* A descriptor that tells which pages a mapping has of its own. -1 with errno. */
int os_pagemap_open(struct os_file *file);

struct os_run {
	char *start;
	size_t bytes;
	bool in_swap; /* or so it looks: os_own_pages() */
};

/*
 * The pages in [p, p + n), a part of private mappings of files, that the mapping has of its own
 * (K33): up to `max` runs, in ascending order. *walked is where the next call has to begin, p + n
 * when there is no more. Returns the number of runs; -1 with errno: EBADF when the descriptor is
 * ours no more. Of memory that is held or watched, a page that is in no page table looks like an
 * own page in swap.
 * Cost: 10 to 50 ns for a page that is in the page table (Linux 6.18).
 */
int os_own_pages(const struct os_file *pagemap, void *p, size_t n, struct os_run *runs, int max,
		 void **walked);

/*
 * The kernel can note which pages of a private mapping are written to, at the price of a short
 * fault of its own at the first write to each (userfaultfd's WP_ASYNC, Linux 6.7): such pages are
 * watched (K36). Opens a descriptor for that, tried out the first time. -1 with errno.
 */
int os_watch_open(struct os_file *watch, const struct os_file *pagemap);

/* Watch [p, p + n), a private mapping of a file or a part of one, from now on; also where it is
   watched already. -1 with errno. Cost: 0.01 us a page. */
int os_watch(const struct os_file *watch, void *p, size_t n);

/*
 * As os_own_pages(), but the pages that have been written to since they were watched: a page that
 * is not among them has not changed. again: they are watched again, in the same step. -1 with errno
 * also when a part is not watched.
 * Cost: 3 ns for a page that is in the page table, 80 ns for each that is found (Linux 6.18).
 */
int os_written_pages(const struct os_file *pagemap, void *p, size_t n, bool again,
		     struct os_run *runs, int max, void **walked);

/*
 * Those who write to a private mapping can be made to wait in the kernel, without a signal, from
 * os_hold() to os_let_go() (K37); reads go on. Opens a descriptor for that, tried out each time.
 * *system_calls: whether system calls that write there wait too (which takes the privilege of
 * UFFD_EVENTS), or fail with EFAULT. -1 with errno.
 */
int os_hold_open(struct os_file *hold, bool *system_calls);

/* Hold [p, p + n), of which no part is watched; also what is held already. -1 with errno; then a
   part may be held. os_let_go() also where parts are not held, or have been mapped anew.
   Cost of each: 0.01 to 0.07 us a page. */
int os_hold(const struct os_file *hold, void *p, size_t n);
void os_let_go(const struct os_file *hold, void *p, size_t n);

/* Have the mapping own all pages of [p, p + n), a part of private mappings of files. That changes
   no byte (K38). -1 with errno. */
int os_make_own(void *p, size_t n);

/* Let go of such pages: the mapping shows the file there again (K34). -1 with errno; then some of
   them may have gone. Cost: 0.6 us a page. */
int os_drop_own(const struct os_run *runs, int n);

/* ---- userfaultfd, write-protect mode (os-linux-uffd.c) ---- */

enum uffd_mode {
	UFFD_SIGNALS, /* write faults raise SIGBUS in the thread that writes; system calls fail */
	/* The writer waits, in system calls too, until os_uffd_next() has reported the fault and
	   the page is disarmed; takes a privilege. */
	UFFD_EVENTS
};

/*
 * Open a descriptor that watches for writes to registered ranges. The protection is tried out on
 * shared memory, touched and untouched. -1 with errno: ENOSYS (the kernel has no userfaultfd),
 * EPERM (a sandbox or the administrator forbids it), ENOTSUP (it cannot protect shared memory).
 */
int os_uffd_open(struct os_file *file, enum uffd_mode mode);

/*
 * Wait for write faults on a descriptor of UFFD_EVENTS. Returns how many were stored in faults[];
 * -1 with errno when no fault can come any more: EBADF when the descriptor is no longer ours.
 */
struct os_fault {
	void *address;
	uint32_t thread; /* the writer: the kernel's thread id (K25), 0 in another pid namespace */
};
int os_uffd_next(const struct os_file *file, struct os_fault *faults, int max);

/* Wake the threads that wait for this page. */
void os_uffd_wake(const struct os_file *file, void *page);

/* Whether the kernel can give the memory for a write to a page (K18). [fault path] */
bool os_can_write(void *p, size_t n);

/* Register a range for watching, or unregister it, which lifts all its protection. -1 with errno:
   EBADF when the descriptor is no longer ours. [fault path] */
int os_uffd_register(const struct os_file *file, void *p, size_t n);
int os_uffd_unregister(const struct os_file *file, void *p, size_t n);

/* Protect a part of a registered range, or lift its protection. [fault path] Post: as os_protect()
   (K2). */
int os_uffd_protect(const struct os_file *file, void *p, size_t n, bool protect);

/* ---- memory that comes in as it is touched (os-linux-absent.c) ---- */

/*
 * Open a descriptor for absent pages: those of watched mappings of a memory file that have no
 * memory in the file. Who touches one waits, in a system call too, until it was filled (K42). -1
 * with errno: EPERM (that takes a privilege, or a sandbox forbids it), ENOSYS, EINVAL.
 */
int os_absent_open(struct os_file *absent);

/* Whether a debugger or tracer is attached to the process. It stops all threads, and a tracer that
   then reads an absent page waits for a thread that waits for the tracer. */
bool os_is_traced(void);

/* Watch [p, p + n) from now on, until os_uffd_unregister(), which wakes all. -1 with errno: EBUSY,
   another userfaultfd watches there. */
int os_absent_begin(const struct os_file *absent, void *p, size_t n);

/*
 * Give absent pages their bytes: each is there whole, at all mappings of the file, or not at all. p
 * is in a mapping that is watched, of any protection. Wakes nobody. -1 with errno: EEXIST, a page
 * is not absent; EBADF, ENOENT, the program has closed the descriptor, or unmapped the memory.
 */
int os_absent_fill(const struct os_file *absent, void *p, const void *bytes, size_t n);

/* Wake those who wait for pages of this mapping: they try again. */
void os_absent_wake(const struct os_file *absent, void *p, size_t n);

/* Wait for absent pages to be touched, for ns nanoseconds at most. Returns how many addresses of
   pages were stored in pages[]; -1 with errno: EBADF when the descriptor is no longer ours. */
int os_absent_next(const struct os_file *absent, void **pages, int max, uint64_t ns);

/* ---- signals ---- */

/* Block every signal in this thread, except those that a wrong instruction raises at once. */
void os_block_signals(sigset_t *old);
void os_restore_signals(const sigset_t *old);

/* The set of every signal, including the C library's own. [fault path] */
void os_every_signal(sigset_t *set);

/* Whether the two sets are the same to the kernel. */
bool os_same_signals(const sigset_t *a, const sigset_t *b);

/* Block every signal, as they are blocked while a handler of ours runs. [fault path] */
void os_block_every_signal(sigset_t *old);

/*
 * What a SIGSEGV or a SIGBUS means. signo is the signal by which the fault arrives: faults that
 * os_protect() makes are SIGSEGV, those that os_uffd_protect() makes are SIGBUS (K3). [fault path]
 */
enum os_trap {
	OS_TRAP_WRITE,    /* a write to a protected page (or a read, where that cannot be told) */
	OS_TRAP_UNMAPPED, /* nothing is mapped there */
	OS_TRAP_OTHER     /* not a protection fault, or not a fault at all: the signal was sent */
};
enum os_trap os_trap_of(int signo, const siginfo_t *info, const void *ucontext);

/* Whether a signal was sent, by kill(2), raise(3) or sigqueue(3): then no instruction is run again
   when its handler returns. [fault path] */
bool os_signal_was_sent(const siginfo_t *info);

/*
 * Whether the kernel has called a signal handler, rather than another handler. cfa: the handler's
 * __builtin_dwarf_cfa(), which is the stack pointer before the call. False if that cannot be told.
 * [fault path]
 */
bool os_called_by_kernel(const void *cfa, const siginfo_t *info, const void *ucontext);

/*
 * Get and set the action that the kernel has for a signal (os-linux-handlers.c). sigaction(3) may
 * belong to a library that was loaded before the C library, and may neither set nor report that
 * action. -1 with errno. [fault path]
 */
int os_action_get(int signo, struct sigaction *action);
int os_action_set(int signo, const struct sigaction *action);

/* The signals that were blocked when the handler with that context was called. [fault path] */
void os_context_signals(const void *ucontext, sigset_t *interrupted);

/* A pointer in the context for our use: NULL at each delivery, and not used otherwise. [fault
   path] */
void **os_context_note(void *ucontext);

/* Send the signal to this thread again with its own siginfo. [fault path] */
void os_resend_signal(int signo, siginfo_t *info);

/* Write a line to standard error. [fault path] */
void os_write_stderr(const char *text, size_t n);

/* ---- threads ---- */

/*
 * Start a small thread, with ordinary scheduling, on all processors that the process may use,
 * whatever the calling thread's own scheduling and processors. main calls os_thread_begins()
 * first, and os_thread_ends() last.
 * name: 15 characters at most. The C library allocates for the thread, so no lock of an arena may
 * be held. Returns 0 or an errno.
 */
int os_thread(pthread_t *thread, const char *name, void *(*main)(void *), void *arg);

/* For threads of os_thread(). At the beginning: block all signals, so that no signal sent to the
   process arrives there. At the end: the thread will not write to memory any more. */
void os_thread_begins(void);
void os_thread_ends(void);
/* Wait for the end of the thread. */
void os_thread_join(pthread_t thread);

/*
 * Whether the calling thread is the only one of the process but for those that os_thread() has
 * started: then nobody else can write to memory (K35). False where that cannot be told. A thread
 * that has just ended may count. In a child of fork() os_threads_forget() comes first.
 */
bool os_is_alone(void);
void os_threads_forget(void);

/* os_this_thread(): a number that identifies the calling thread. os_is_this_thread(): whether the
   number is that one, or the calling thread's id in the kernel. [fault path] */
uintptr_t os_this_thread(void);
bool os_is_this_thread(uintptr_t number);

/* ---- barriers ---- */

/*
 * Make every thread of the process execute a full memory barrier at once, if it runs; a thread that
 * does not run has executed one when it runs again. False when the kernel cannot: Linux 4.14,
 * membarrier(2).
 */
bool os_barrier(void);

/* ---- waiting and time ---- */

/* Sleep while *word == value; may return early, and misses no wakeup (K26). [fault path] */
void os_wait(_Atomic uint32_t *word, uint32_t value);

/* Sleep as os_wait() does, but for ns nanoseconds at most. */
void os_wait_at_most(_Atomic uint32_t *word, uint32_t value, uint64_t ns);

/* Wake one waiter, or all. [fault path] */
void os_wake_one(_Atomic uint32_t *word);
void os_wake_all(_Atomic uint32_t *word);

/* Pause the thread for a moment, and let others run whatever their priority. [fault path] */
void os_nap(void);

/* Pause the thread for ns nanoseconds, or until a signal comes. [fault path] */
void os_sleep(uint64_t ns);

/* Monotonic nanoseconds. [fault path] */
uint64_t os_now(void);

#endif
