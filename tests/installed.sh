#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# installed.sh SOURCE.c SOURCE.cpp: compiles programs against the installed library, with
# pkg-config's answer alone, and runs them: SOURCE.c as C and as C++, SOURCE.cpp as C++17. Then
# checks that the links in the installed documents lead somewhere. Run by `make installcheck`, which
# sets the variables.

: "${CC:=cc}" "${PKG_CONFIG:=pkg-config}" "${libdir:?}" "${pkgconfigdir:?}"
c_source=$1 cpp_source=$2
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

# try NAME SOURCE COMPILER FLAG...
try() {
	name=$1
	source=$2
	shift 2
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

# links DIRECTORY: the documents there.
links() {
	cd "$1" || exit 1
	find . -name '*.md' | while read -r document; do
		directory=$(dirname "$document")
		grep -o ']([^):]*)' "$document" | sed 's/^](//; s/)$//; s/#.*//' | sort -u | while read -r link; do
			[ -z "$link" ] || [ -e "$directory/$link" ] || echo "$1/$document: no $link"
		done
	done >"$tmp/broken"
	[ -f README.md ] && [ -f doc/design.md ] || echo "$1: no documents" >>"$tmp/broken"
	if [ -s "$tmp/broken" ]; then
		cat "$tmp/broken"
		exit 1
	fi
	echo "the links of the documents in $1: passed"
}

(links "$DESTDIR${docdir:?}") || exit 1
for name in "$DESTDIR${man3dir:?}"/cowarena_*.3; do
	if ! [ -f "$name" ]; then
		echo "$name leads nowhere"
		exit 1
	fi
done

# The compilers may hold options. CFLAGS matter when they hold a sanitizer.
# shellcheck disable=SC2086
try c "$c_source" $CC $CFLAGS -x c
[ -n "$CXX" ] || exit 0
# shellcheck disable=SC2086
try c++ "$c_source" $CXX $CFLAGS -x c++
# shellcheck disable=SC2086
if echo '#include <memory_resource>' | $CXX -std=c++17 -x c++ -fsyntax-only - 2>/dev/null; then
	try c++17 "$cpp_source" $CXX $CFLAGS -std=c++17 -x c++
else
	echo "no C++17 compiler with <memory_resource>: $cpp_source was not tried"
fi
