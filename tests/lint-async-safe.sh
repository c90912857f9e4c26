#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Invariant I3: the fault path calls only async-signal-safe functions. A symbol that its objects
# leave undefined must be defined by another of them, or be in tests/async-safe.txt. That list also
# gives the reason for each exception.

srcdir=${srcdir:-.}
: "${NM:=nm}"

# Without .o. Those that this build has not (one trap of two) are passed over.
path='fault sharing track timeline debug sightings pagetable chunks versions frames gate handlers trap trap-sigsegv trap-sigaction engine-eager engine-hybrid engine-mappings engine-mprotect engine-uffd os-linux os-linux-handlers os-linux-private os-linux-uffd os-linux-wait'
must_exist='fault pagetable frames os-linux'

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# The objects of the shared library are in .libs; with --disable-shared there are only the plain ones.
for name in $path; do
	# The other trap may lie about from an earlier configuration; what config.h says counts.
	case $name in
	trap-sigsegv) grep -q '^#define HAVE_LIBSIGSEGV 1' config.h || continue ;;
	trap-sigaction) ! grep -q '^#define HAVE_LIBSIGSEGV 1' config.h || continue ;;
	esac
	object=lib/.libs/$name.o
	[ -f "$object" ] || object=lib/$name.o
	if [ -f "$object" ]; then
		# NM may hold options.
		# shellcheck disable=SC2086
		$NM "$object" | sed "s/^/$name.o /" >>"$tmp/symbols"
	else
		case " $must_exist " in
		*" $name "*) echo "$object is missing"; exit 1 ;;
		esac
	fi
done

if grep -Eq ' U (__asan_|__tsan_|__ubsan_|__gcov_|__sanitizer_)' "$tmp/symbols"; then
	echo "SKIP: the objects are instrumented (a sanitizer or coverage), they call what the tool wants"
	exit 77
fi

# First the list, then the symbols: "OBJECT [VALUE] TYPE SYMBOL".
awk '
	FNR == NR {
		sub(/[ \t]*#.*/, "")
		if (NF == 1)
			allowed[$1] = 1
		else if (NF == 2)
			allowed_in[$1, $2] = 1
		else if (NF > 2) {
			print FILENAME ":" FNR ": not \"SYMBOL\" or \"OBJECT SYMBOL\""
			bad = 1
		}
		next
	}
	{
		object = $1; type = $(NF - 1); symbol = $NF
		if (type ~ /^[Uwv]$/)
			wanted[object " " symbol] = symbol
		else if (type ~ /^[A-Z]$/ || type == "u")
			defined[symbol] = 1
	}
	END {
		for (use in wanted) {
			symbol = wanted[use]
			split(use, part, " ")
			if (!(symbol in defined) && !(symbol in allowed) && !((part[1], symbol) in allowed_in)) {
				print part[1] ": uses " symbol ", which tests/async-safe.txt does not allow"
				bad = 1
			}
		}
		exit bad
	}' "$srcdir/tests/async-safe.txt" "$tmp/symbols"
