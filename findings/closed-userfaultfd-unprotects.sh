#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Linux: close(2) of a userfaultfd lifts the write protection that was set through it, in the midst of the
# program and without a word: no event, no signal, no error. A store to a page that was protected a moment before
# goes through. A thread that sleeps in poll(2) on the descriptor does not keep the protection either.
#
# Seen on Linux 6.18 (x86-64, Debian 12):
#	protected: a store raises SIGBUS
#	closed: the store goes through
#	closed while a thread polls: the store goes through
#
# A C compiler, and a system on which userfaultfd(2) is allowed. Exit status: 0 if it is still so, 1 if not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/closed.c" <<'END'
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static sigjmp_buf back;
static char *page;
static int fd;

static void on_bus(int signo)
{
	(void)signo;
	siglongjmp(back, 1);
}

static void protect(void)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
					     UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_SIGBUS};
	struct uffdio_register r = {.range = {(unsigned long)page, 4096},
				    .mode = UFFDIO_REGISTER_MODE_WP};
	struct uffdio_writeprotect w = {.range = r.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &r) ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &w)) {
		perror("userfaultfd");
		_exit(2);
	}
}

static const char *store(void)
{
	if (sigsetjmp(back, 1))
		return "a store raises SIGBUS";
	*(volatile char *)page = 2;
	return "the store goes through";
}

static void *sleeper(void *arg)
{
	poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 2000);
	return arg;
}

int main(void)
{
	pthread_t thread;

	signal(SIGBUS, on_bus);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	page[0] = 1;
	protect();
	printf("protected: %s\n", store());
	close(fd);
	printf("closed: %s\n", store());
	protect();
	pthread_create(&thread, NULL, sleeper, NULL);
	usleep(300000);
	close(fd);
	printf("closed while a thread polls: %s\n", store());
	return 0;
}
END
${CC:-cc} -o "$dir/closed" "$dir/closed.c" -pthread
uname -sr
"$dir/closed" | tee "$dir/seen"
sed -n 's/^#	//p' "$0" | cmp - "$dir/seen"
