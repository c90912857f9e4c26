#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Builds the library for aarch64 with a cross compiler, without a warning, and runs it under an
# emulator as far as possible, with pages of 4, 16 and 64 KiB. `make check-aarch64`; the build is in
# aarch64/.
#
#	AARCH64_CC, AARCH64_RUN		the compiler and the emulator (aarch64-linux-gnu-gcc, qemu-aarch64)
#
# Exit status: 77 if one of the two is not installed.

srcdir=$(cd "${srcdir:-.}" && pwd) || exit 1
: "${AARCH64_CC:=aarch64-linux-gnu-gcc}" "${AARCH64_RUN:=qemu-aarch64}" "${MAKE:=make}"

for tool in "$AARCH64_CC" "$AARCH64_RUN"; do
	if ! command -v "${tool%% *}" >/dev/null; then
		echo "SKIP: $tool is not installed (packages gcc-aarch64-linux-gnu and qemu-user)"
		exit 77
	fi
done

# The calling make's flags and job slots are not for the one in here.
unset MAKEFLAGS MFLAGS MAKELEVEL
mkdir -p aarch64 && cd aarch64 || exit 1
# What pkg-config and a C++ compiler would find here are this machine's own.
if [ ! -f Makefile ]; then
	"$srcdir/configure" -q --host=aarch64-linux-gnu --without-libsigsegv --disable-shared \
		CC="$AARCH64_CC" CXX=false PKG_CONFIG=false >configure.log 2>&1 || { cat configure.log; exit 1; }
fi
$MAKE CFLAGS='-g -O2 -Werror' LDFLAGS=-all-static lib/libcowarena.la tests/test-processor >make.log 2>&1 || { cat make.log; exit 1; }
echo "built by $AARCH64_CC, without a warning"

status=0
for page in 4096 16384 65536; do
	$AARCH64_RUN -p $page tests/test-processor || { echo "FAILED with pages of $page bytes"; status=1; }
done
exit $status
