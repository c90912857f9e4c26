#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The server's calls go down only. Each folder of src/cowkv is a floor. A file may include headers, and use link symbols,
# of its own floor and of those below. No file may depend on itself by way of others.
# Runs in the build directory, whose objects it reads with nm(1).

srcdir=${srcdir:-.}
: "${NM:=nm}"

# The floors, from the top. "." is src/cowkv itself: main(), and what knows all the others.
floors='
	.
	replication
	commands
	net
	types
	rdb
	data
	base
'

if [ ! -f src/cowkv/libcowkv.a ]; then
	echo "SKIP: cowkv is not built here"
	exit 77
fi

{
	# By the sources, as the build directory may still hold objects of sources that are gone. NM may hold options.
	# shellcheck disable=SC2086
	(cd "$srcdir" && find src/cowkv -name '*.c' ! -name 'fuzz-*' | sed 's/c$/o/') | xargs $NM -A -g -P |
		sed -n 's|^src/cowkv/\([^:]*\)\.o: \([^ ]*\) \([A-Za-z]\).*|symbol \1 \2 \3|p'
	(cd "$srcdir/src/cowkv" && find . -name '*.[ch]' -exec grep -H '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} +) |
		sed 's|^\./\([^:]*\):[^"]*"\([^"]*\)".*|include \1 \2|'
} | FLOORS=$floors awk '
	function folder(file) { return file ~ /\// ? substr(file, 1, match(file, /\/[^\/]*$/) - 1) : "." }
	function complain(text) { print text; bad = 1 }
	# The file uses another, because of what.
	function uses(file, other, what,    mine, its) {
		mine = folder(file)
		its = folder(other)
		if (!(mine in depth))
			complain("src/cowkv/" file ": its folder has no place among the floors in tests/lint-layers-cowkv.sh")
		else if ((its in depth) && depth[its] < depth[mine])
			complain("src/cowkv/" file ": " what ", of a floor above its own")
	}
	# Mark all that a file uses, directly or not.
	function reach(from, file,    other, list, n, i) {
		n = split(needs[file], list, " ")
		for (i = 1; i <= n; i++) {
			other = list[i]
			if ((from, other) in reached)
				continue
			reached[from, other] = 1
			reach(from, other)
		}
	}
	BEGIN {
		n = split(ENVIRON["FLOORS"], name, /[ \t\n]+/)
		for (i = 1; i <= n; i++)
			if (name[i] != "")
				depth[name[i]] = i
	}
	$1 == "include" && $3 != "config.h" && $3 != "cowarena.h" { uses($2, $3, "includes \"" $3 "\"") }
	$1 == "symbol" {
		files[$2] = 1
		if ($4 == "U")
			wants[$2] = wants[$2] " " $3
		else
			home[$3] = $2
	}
	END {
		for (file in files) {
			n = split(wants[file], symbol, " ")
			for (i = 1; i <= n; i++) {
				other = home[symbol[i]]
				if (other == "" || other == file)
					continue
				uses(file, other, "uses " symbol[i] "() of " other)
				if (!((file, other) in seen))
					needs[file] = needs[file] " " other
				seen[file, other] = 1
			}
		}
		for (file in files)
			reach(file, file)
		for (file in files) {
			if (!((file, file) in reached) || file in told)
				continue
			circle = ""
			n = 0
			for (other in files) {
				if (((file, other) in reached) && ((other, file) in reached)) {
					told[other] = 1
					circle = circle " " other
					n++
				}
			}
			complain("src/cowkv: " n " files in one circle:" circle)
		}
		exit bad
	}'
