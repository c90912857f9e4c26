#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Valgrind refuses mremap(2) with an old size of 0, which in Linux makes a second mapping of shared memory,
# the only way to get one when the descriptor is closed: the call that works without Valgrind ends with EINVAL.
# Neither a warning nor "unhandled" is printed.
#
# Seen with Valgrind 3.19.0 on Linux 6.18 (x86-64, Debian 12):
#	natively: the same memory
#	under valgrind: Invalid argument
#
# A C compiler and valgrind are needed. Exit status: 0 if it is still so, 1 if not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/twice.c" <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *again = mremap(p, 0, 8192, MREMAP_MAYMOVE);

	if (again == MAP_FAILED) {
		puts(strerror(errno));
		return 0;
	}
	strcpy(p, "the same memory");
	puts(again);
	return 0;
}
END
cc -o "$dir/twice" "$dir/twice.c"
valgrind --version
natively=$("$dir/twice")
under=$(LC_ALL=C valgrind -q "$dir/twice")
echo "natively: $natively"
echo "under valgrind: $under"
[ "$natively" = "the same memory" ] && [ "$under" = "Invalid argument" ]
