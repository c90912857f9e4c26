#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# installed.sh SOURCE: compile a program against the installed library, knowing nothing but pkg-config's answer, once as
# C and once as C++, and run it. Run by `make installcheck`, which sets the variables.

: "${CC:=cc}" "${PKG_CONFIG:=pkg-config}" "${libdir:?}" "${pkgconfigdir:?}"
source=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# With DESTDIR the paths in the .pc file hold only after a second prefix.
PKG_CONFIG_PATH=$DESTDIR$pkgconfigdir
LD_LIBRARY_PATH=$DESTDIR$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH
if [ -n "$DESTDIR" ]; then
	PKG_CONFIG_SYSROOT_DIR=$DESTDIR
	export PKG_CONFIG_SYSROOT_DIR
fi

static=
[ -e "$DESTDIR$libdir/libcowarena.so" ] || static=--static
flags=$($PKG_CONFIG $static --cflags --libs cowarena) || exit 1
echo "pkg-config says: $flags"

# try NAME COMPILER FLAG...
try() {
	name=$1
	shift
	# pkg-config's answer is a list of words.
	# shellcheck disable=SC2086
	if ! "$@" -Wall -Wextra -Werror -o "$tmp/$name" "$source" -x none $flags; then
		echo "$source does not compile as $name"
		exit 1
	fi
	if ! "$tmp/$name"; then
		echo "$source, compiled as $name, failed"
		exit 1
	fi
	echo "$source, compiled as $name: passed"
}

# The compilers may hold options. CFLAGS matter when they hold a sanitizer.
# shellcheck disable=SC2086
try c $CC $CFLAGS -x c
# shellcheck disable=SC2086
[ -z "$CXX" ] || try c++ $CXX $CFLAGS -x c++
