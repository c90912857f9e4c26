/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux.h - what the files os-linux*.c share. */
#ifndef COWARENA_OS_LINUX_H
#define COWARENA_OS_LINUX_H

#include "os.h"

#include <stdatomic.h>

/*
 * What open_one(arg) returns, but never the number of a standard stream, which is to be had when
 * the program was started with one closed: others write there. A low number is held until the next
 * one is open, so that nothing of ours is ever met at it.
 */
int above_standard(int (*open_one)(int arg), int arg);

/* Note which system call has failed, for os_failed_call(). Returns -1; errno is as it was. [fault
   path] */
int failed_in(const char *call);

/*
 * Before a change of protection: what the calling thread has read and stored so far, all threads
 * see before the change. Page tables are memory like any other, and a processor with weak order
 * might let a neighbour write to a page before the page's lock, and the last bytes of the copy, are
 * where they belong. Costs nothing on x86-64, which keeps that order.
 */
static inline void before_protection(void)
{
	atomic_thread_fence(memory_order_release);
}

/* Whether a sandbox refuses calls with such an errno. */
bool is_refusal(int errnum);

/* The file behind a descriptor that was just opened; OS_NO_FILE for -1. */
void os_file_set(struct os_file *file, int fd);

#endif
