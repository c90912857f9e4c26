#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A Java virtual machine in the process, with its library for signal chaining (libjsig.so) preloaded
# and without: its faults reach its handler, and ours our handler, whichever was installed first.

srcdir=${srcdir:-.}
: "${CC:=cc}"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

skip() {
	echo "SKIP: $*"
	exit 77
}

library=$(pwd)/lib/.libs/libcowarena.so
[ -f "$library" ] || skip "no shared library was built (--disable-shared)"
if ${NM:-nm} "$library" | grep -Eq ' U __(asan|tsan|ubsan)_'; then
	skip "the library is instrumented, and Java's handlers are not a sanitizer's business"
fi
ran=0
for home in /usr/lib/jvm/*; do
	[ ! -h "$home" ] && [ -f "$home/lib/server/libjvm.so" ] && [ -f "$home/include/jni.h" ] || continue
	# CC may hold options.
	# shellcheck disable=SC2086
	$CC -o "$dir/jvm-host" -I"$home/include" -I"$home/include/linux" -I"$srcdir/lib" "$srcdir/tests/jvm-host.c" \
		"$library" -Wl,-rpath,"$(dirname "$library")" -pthread -ldl >"$dir/out" 2>&1 || {
		cat "$dir/out"
		exit 1
	}
	for engine in 1 2 4; do
		for order in before after reinstall; do
			for preload in '' "$home/lib/libjsig.so"; do
				[ -z "$preload" ] || [ -f "$preload" ] || continue
				LD_PRELOAD=$preload timeout 120 "$dir/jvm-host" "$home/lib/server/libjvm.so" $engine $order \
					>"$dir/out" 2>&1
				case $? in
				0) ran=1 ;;
				77) grep SKIP: "$dir/out" ;;
				*)
					echo "$home, engine $engine, $order, preloaded '$preload':"
					head -n 20 "$dir/out"
					status=1
					;;
				esac
			done
		done
	done
done
[ $status -ne 0 ] || [ $ran -ne 0 ] || skip "no Java development kit in /usr/lib/jvm"
exit $status
