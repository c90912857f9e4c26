#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Linux: a system call that waits in a page fault for userfaultfd stops sleeping when a signal arrives. A thread
# that stores to a protected page sleeps until the page is unprotected and woken; a signal runs its handler at
# once, and the thread sleeps on. But in a system call (read(2) into the page) the kernel can run no handler in
# the midst of the fault, and waits for the fault in a way that a signal ends: so it takes the fault again, and
# again, for as long as the page stays protected, with all of a processor. The handler runs after the call.
# (fs/userfaultfd.c, handle_userfault(): the wait is interruptible whoever has faulted.) userfaultfd(2) and its
# documentation say that the thread sleeps.
#
# Seen on Linux 6.18 (x86-64):
#	store: asleep yes, after a signal asleep, handler ran at once: yes
#	read: asleep yes, after a signal busy, handler ran at once: no
# that is, 0 and 0, and 0 and 100 per cent of a processor.
#
# A C compiler, Linux 5.19 or later, and the privilege of userfaultfd(2) for faults of the kernel (CAP_SYS_PTRACE).
# Exit status: 0 if it is still so, 1 if not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/spin.c" <<'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char *memory;
static _Atomic int handled;

static void note(int signum)
{
	(void)signum;
	handled = 1;
}

static void *store(void *unused)
{
	*(volatile char *)memory = 1;
	return unused;
}

static void *call(void *unused)
{
	int zero = open("/dev/zero", O_RDONLY);

	if (read(zero, memory, 1) != 1)
		perror("read");
	return unused;
}

static double used(pthread_t thread)
{
	clockid_t id;
	struct timespec t;

	pthread_getcpuclockid(thread, &id);
	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* In per cent of a processor, over a second. */
static int busy(pthread_t thread)
{
	double before = used(thread);

	sleep(1);
	return (int)(100 * (used(thread) - before) + 0.5);
}

static void show(const char *name, void *(*writer)(void *), int uffd)
{
	struct uffdio_writeprotect protect = {.range = {(uintptr_t)memory, (uint64_t)sysconf(_SC_PAGESIZE)},
					      .mode = UFFDIO_WRITEPROTECT_MODE_WP};
	pthread_t thread;

	*memory = 0;
	if (ioctl(uffd, UFFDIO_WRITEPROTECT, &protect))
		perror("protect");
	handled = 0;
	pthread_create(&thread, NULL, writer, NULL);
	usleep(200000);
	int asleep = busy(thread);
	pthread_kill(thread, SIGUSR1);
	int after = busy(thread);
	int at_once = handled;
	protect.mode = 0;
	ioctl(uffd, UFFDIO_WRITEPROTECT, &protect);
	pthread_join(thread, NULL);
	printf("%s: asleep %s, after a signal %s, handler ran at once: %s\n", name, asleep < 10 ? "yes" : "no",
	       after < 10 ? "asleep" : after > 40 ? "busy" : "?", at_once ? "yes" : "no");
	fprintf(stderr, "%s: %d and %d per cent of a processor\n", name, asleep, after);
}

int main(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
	struct sigaction action = {.sa_handler = note};

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		perror("userfaultfd");
		return 2;
	}
	memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = {.range = {(uintptr_t)memory, page}, .mode = UFFDIO_REGISTER_MODE_WP};
	if (ioctl(uffd, UFFDIO_REGISTER, &range))
		perror("register");
	sigaction(SIGUSR1, &action, NULL);
	show("store", store, uffd);
	show("read", call, uffd);
	return 0;
}
END
${CC:-cc} -O1 -o "$dir/spin" "$dir/spin.c" -lpthread
uname -sr
"$dir/spin" | tee "$dir/out"
cat >"$dir/want" <<'END'
store: asleep yes, after a signal asleep, handler ran at once: yes
read: asleep yes, after a signal busy, handler ran at once: no
END
cmp -s "$dir/out" "$dir/want"
