#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The library compiles for aarch64 without a warning. `make check-aarch64` builds and runs it.

srcdir=${srcdir:-.}
: "${AARCH64_CC:=aarch64-linux-gnu-gcc}"

if ! command -v "${AARCH64_CC%% *}" >/dev/null; then
	echo "SKIP: $AARCH64_CC is not installed (package gcc-aarch64-linux-gnu)"
	exit 77
fi

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# This machine's, without what was found on this machine only.
grep -v -e HAVE_LIBSIGSEGV -e HAVE_VALGRIND config.h >"$tmp/config.h"

status=0
for file in "$srcdir"/lib/*.c; do
	case $file in
	*/trap-sigsegv.c) continue ;;
	esac
	# AARCH64_CC may hold options.
	# shellcheck disable=SC2086
	$AARCH64_CC -std=c11 -fsyntax-only -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror \
		-I"$tmp" -I"$srcdir/lib" "$file" || status=1
done
exit $status
