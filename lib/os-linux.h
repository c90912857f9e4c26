/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux.h - what the files os-linux*.c share. */
#ifndef COWARENA_OS_LINUX_H
#define COWARENA_OS_LINUX_H

#include "os.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* Newer than some C libraries' headers. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/*
 * Open by open_one(arg), but never return the number of a standard stream: such a number is free
 * when the program was started with a standard stream closed, and other code writes there. A low
 * number is held until the next one is open, so that no file of ours is ever met at it.
 */
int above_standard(int (*open_one)(int arg), int arg);

/* Note the system call that has failed, for os_failed_call(). Returns -1; errno is as it was.
   [fault path] */
int failed_in(const char *call);

/*
 * Called before a change of protection: all threads see what the calling thread has read and stored
 * so far before they see the change. Page tables are memory like any other, and a weakly ordered
 * processor might let another thread write to a page before the page's lock, and the last bytes of
 * the copy, are visible. Costs nothing on x86-64, which keeps that order.
 */
static inline void before_protection(void)
{
	atomic_thread_fence(memory_order_release);
}

/* open(2), never to the number of a standard stream. -1 with errno. */
int open_named(struct os_file *file, const char *path, int flags);

/* fstat(2). Returns 0, or an errno; errno is as it was. [fault path] */
struct stat;
int status_of(int fd, struct stat *status);

/* Whether a sandbox may refuse calls with this errno. */
bool is_refusal(int errnum);

/* Open a userfaultfd that protects shared memory's files, with these features beside. system_calls:
   writes of the kernel are faults too, which takes a privilege. -1 with errno. */
int uffd_open(struct os_file *file, bool system_calls, uint64_t features);

/* The file behind a descriptor that was just opened; OS_NO_FILE for -1. */
void os_file_set(struct os_file *file, int fd);

#endif
