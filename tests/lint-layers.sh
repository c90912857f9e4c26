#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Calls only go down, and never in a circle. The linker's view counts: an object that leaves a
# symbol undefined depends on the object that defines the symbol.
#
# The table of floors is in a document, between "<!-- floors of DIRECTORY -->" and "<!-- end of
# floors -->": the upper floor first; each row has the files without .c, two spaces or more, and
# what they are. Names in parentheses are headers without an object. Where folders are the floors,
# the table is in Markdown, with a row for each folder; files outside the folders are above them
# all, and headers must not be included from above either. A directory without a table is only
# checked for circles.

srcdir=${srcdir:-.}
: "${NM:=nm}"
status=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# floors DOCUMENT DIRECTORY: "FLOOR NAME", a line for each file.
floors() {
	sed -n "/^<!-- floors of $(echo "$2" | sed 's,/,\\/,g') -->/,/^<!-- end of floors -->/p" "$srcdir/$1" |
		sed -n 's/^    \(  *\)\{0,1\}\([a-z(].*\)$/\2/p; s,^| `\([a-z]*/\)` .*,\1,p' | sed 's/   *.*//' |
		awk '{ for (i = 1; i <= NF; i++) if ($i !~ /^\(/) print NR, $i }'
}

# check DIRECTORY DEPTH [DOCUMENT]: the objects of a directory, and of those in it down to DEPTH.
check() {
	directory=$1 depth=$2 document=$3
	: >"$tmp/symbols"
	: >"$tmp/floors"
	[ -z "$document" ] || floors "$document" "$directory" >"$tmp/floors"
	if [ -n "$document" ] && ! [ -s "$tmp/floors" ]; then
		echo "$document: has no table of the floors of $directory"
		status=1
	fi
	for source in $(cd "$srcdir" && find "$directory" -maxdepth "$depth" -name '*.c' | sort); do
		object=${source%.c}.o
		# The objects of the shared library are in .libs; with --disable-shared there are only the plain ones.
		shared=$(dirname "$object")/.libs/$(basename "$object")
		[ -f "$shared" ] && object=$shared
		[ -f "$object" ] || continue # not of this configuration
		name=${source#"$directory"/}
		# NM may hold options.
		# shellcheck disable=SC2086
		$NM -P "$object" | sed "s,^,${name%.c} ," >>"$tmp/symbols"
	done
	if ! [ -s "$tmp/symbols" ]; then
		echo "$directory: nothing of it was built"
		return
	fi
	(cd "$srcdir/$directory" && find . -maxdepth "$depth" -name '*.[ch]' \
		-exec grep -H '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} +) |
		sed 's|^\./\([^:]*\):[^"]*"\([^"]*\)".*|\1 \2 include|' >>"$tmp/symbols"
	awk -v directory="$directory" -v document="$document" -v floors="$tmp/floors" '
		BEGIN {
			while ((getline <floors) > 0) {
				floor[$2] = $1
				by_folder += $2 ~ /\/$/
			}
		}
		# Its floor; 0 above all folders, -1 for none.
		function level(name) {
			if (name in floor)
				return floor[name]
			if (!by_folder)
				return -1
			if (name !~ /\//)
				return 0
			sub(/[^\/]*$/, "", name)
			return name in floor ? floor[name] : -1
		}
		$3 == "include" {
			if (by_folder && $2 !~ /^(config|cowarena)\.h$/ && level($2) >= 0 && level($2) < level($1)) {
				print directory "/" $1 ": includes \"" $2 "\", which is above it"
				bad = 1
			}
			next
		}
		{ seen[$1] = 1 }
		$3 ~ /^[Uwv]$/ { wants[$1, $2] = 1; next }
		$3 ~ /^[A-Zu]$/ { where[$2] = $1; times[$2]++ }
		END {
			for (pair in wants) {
				split(pair, p, SUBSEP)
				to = where[p[2]]
				# What several programs of a directory define, such as main(), says nothing.
				if (times[p[2]] != 1 || to == p[1])
					continue
				reach[p[1], to] = 1
				why[p[1], to] = p[2]
			}
			if (document != "")
				for (name in seen)
					if (level(name) < 0) {
						print directory "/" name ".c: has no floor in the table of " document
						bad = 1
					}
			for (pair in why) {
				split(pair, p, SUBSEP)
				if (level(p[1]) >= 0 && level(p[2]) >= 0 && level(p[2]) < level(p[1])) {
					print directory "/" p[1] ".c: calls " why[pair] "() of " p[2] ".c, which is above it"
					bad = 1
				}
			}
			# Warshall, "A Theorem on Boolean Matrices", 1962.
			for (k in seen)
				for (i in seen)
					if ((i, k) in reach)
						for (j in seen)
							if ((k, j) in reach)
								reach[i, j] = 1
			for (i in seen)
				if ((i, i) in reach)
					for (pair in why) {
						split(pair, p, SUBSEP)
						if (p[1] == i && (p[2], i) in reach) {
							print directory ": in a circle: " i ".c calls " why[pair] "() of " p[2] ".c"
							bad = 1
						}
					}
			exit bad
		}' "$tmp/symbols" >"$tmp/said" || status=1
	sort "$tmp/said"
}

check lib 1 doc/design.md
check src/cowkv 9 src/cowkv/README.md
check src 1
check demos 1
exit $status
