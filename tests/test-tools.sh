#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Valgrind and AddressSanitizer know the heap: both report a read of freed arena memory, and nothing
# that is allowed. The library is used as it was built, without a sanitizer.

srcdir=${srcdir:-.}
: "${CC:=cc}"
# A shared build has a script there; libtool finds the program behind it.
libtool=${libtool:-./libtool}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0
ran=0

mistakes='small big beyond rollback'

wrong() {
	echo "$*"
	status=1
}

# expect NAME COMMAND...: it complains of each mistake in these words, and of nothing else.
expect() {
	name=$1 words=$2
	shift 2
	for engine in sigsegv auto; do
		"$@" "$engine" none >"$dir/out" 2>&1 ||
			wrong "$name, $engine: it complains of what is allowed: $(head -n 40 "$dir/out")"
		for mistake in $mistakes; do
			if "$@" "$engine" "$mistake" >"$dir/out" 2>&1; then
				wrong "$name, $engine, $mistake: not found"
			else
				grep -q "$words" "$dir/out" ||
					wrong "$name, $engine, $mistake: not in these words: $(head -n 40 "$dir/out")"
			fi
		done
	done
	ran=1
}

if grep -Eq '^(C|LD)FLAGS = .*-fsanitize' Makefile 2>/dev/null; then
	echo "SKIP: the library is built with a sanitizer"
	exit 77
fi

if ! grep -q '^#define HAVE_VALGRIND_MEMCHECK_H 1' config.h; then
	echo "not tried: Valgrind's header was not there when the library was configured"
elif ! command -v valgrind >/dev/null; then
	echo "not tried: Valgrind is not installed"
else
	expect Valgrind 'Invalid read' "$libtool" --mode=execute valgrind -q --error-exitcode=99 \
		--vex-iropt-register-updates=allregs-at-mem-access ./tests/freed-read
fi

# CC may hold options.
# shellcheck disable=SC2086
if { $CC -fsanitize=address -g -I"$srcdir/lib" -c "$srcdir/tests/freed-read.c" -o "$dir/freed-read.o" &&
	"$libtool" --tag=CC --mode=link $CC -static -fsanitize=address "$dir/freed-read.o" lib/libcowarena.la \
		-o "$dir/freed-read" && "$dir/freed-read" 2>/dev/null; [ $? -eq 2 ]; } >"$dir/out" 2>&1; then
	ASAN_OPTIONS=detect_leaks=0 expect AddressSanitizer 'use-after-poison' "$dir/freed-read"
else
	echo "not tried: no program with AddressSanitizer can be made here: $(tail -n 1 "$dir/out")"
fi
if [ $ran = 0 ]; then
	echo "SKIP: neither Valgrind nor AddressSanitizer is to be had"
	exit 77
fi
exit $status
