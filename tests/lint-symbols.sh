#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Three lists must agree: the functions that cowarena.h declares, those that lib/cowarena.map lists,
# and those that the shared library exports.

srcdir=${srcdir:-.}
: "${CC:=cc}" "${NM:=nm}"
LC_ALL=C
export LC_ALL
library=lib/.libs/libcowarena.so

if [ ! -f "$library" ]; then
	echo "SKIP: no shared library was built (--disable-shared)"
	exit 77
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# One declaration a line; function types (typedef) are not functions. CC and NM may hold options.
# shellcheck disable=SC2086
$CC -E -P "$srcdir/lib/cowarena.h" | grep -v '^#' | tr '\n;' ' \n' | grep -v '^ *typedef' |
	sed -n 's/.*[ *]\(cowarena_[a-z0-9_]*\) *(.*/\1/p' | sort >"$tmp/header"
sed -n '/^global:/,/^local:/s/^[[:space:]]*\([a-z0-9_]*\);.*/\1/p' "$srcdir/lib/cowarena.map" | sort >"$tmp/map"
# The name of the version itself is an absolute symbol (type A).
# shellcheck disable=SC2086
$NM -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$tmp/exports"

status=0
# same FILE FILE: diff's output says which symbol is missing where.
same() {
	if ! diff -U0 "$tmp/$1" "$tmp/$2" >"$tmp/diff"; then
		echo "$1 (-) and $2 (+) differ:"
		grep '^[-+][a-zA-Z_]' "$tmp/diff"
		status=1
	fi
}
same header map
same map exports
[ -s "$tmp/header" ] || { echo "no function was found in cowarena.h"; status=1; }
exit $status
