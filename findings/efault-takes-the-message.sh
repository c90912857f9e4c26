#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Linux: a system call that ends with EFAULT, because the page it is to write to is write-protected, may
# have taken what it was to deliver. To make the page writable and call again, as is the custom for read(2) of
# files and pipes, then finds nothing: the datagram, the count of an eventfd(2), the status of a child are gone.
#
# Seen on Linux 6.18 (x86-64, Debian 12):
#	pipe: kept
#	unix stream: kept
#	unix datagram: lost
#	eventfd: lost
#	timerfd: lost
#	waitpid: lost
#
# A C compiler is all that is needed. Exit status: 0 if it is still so, 1 if not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/calls.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static char *page;

/* Call once with the page read-only, and again when it is writable. */
#define TRY(name, call)                                                        \
	do {                                                                   \
		mprotect(page, 4096, PROT_READ);                               \
		long first = (long)(call);                                     \
		mprotect(page, 4096, PROT_READ | PROT_WRITE);                  \
		long again = first < 0 ? (long)(call) : 0;                     \
		printf("%s: %s\n", name,                                       \
		       first >= 0 ? "not refused" : again > 0 ? "kept" : "lost"); \
	} while (0)

int main(void)
{
	int p[2], s[2], d[2], e = eventfd(5, EFD_NONBLOCK), t;
	struct itimerspec soon = {.it_value.tv_nsec = 1};

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page[0] = 1;
	if (pipe(p) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) ||
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, d) || write(p[1], "x", 1) != 1 ||
	    write(s[1], "x", 1) != 1 || send(d[1], "x", 1, 0) != 1)
		return 2;
	t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	timerfd_settime(t, 0, &soon, NULL);
	if (fork() == 0)
		_exit(7);
	usleep(200000);
	TRY("pipe", read(p[0], page, 1));
	TRY("unix stream", recv(s[0], page, 1, 0));
	TRY("unix datagram", recv(d[0], page, 1, 0));
	TRY("eventfd", read(e, page, 8));
	TRY("timerfd", read(t, page, 8));
	TRY("waitpid", waitpid(-1, (int *)(void *)page, WNOHANG));
	return 0;
}
END
${CC:-cc} -o "$dir/calls" "$dir/calls.c"
uname -sr
"$dir/calls" | tee "$dir/seen"
sed -n 's/^#	//p' "$0" | cmp - "$dir/seen"
