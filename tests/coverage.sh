#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The coverage of lib/ by the tests: run in a build made with --coverage, after its tests (make
# check-coverage). Prints a row for each file, the total, and the lines that were not reached; exits
# 1 below 95 % of the lines or 85 % of the branches.

srcdir=${srcdir:-.}
: "${GCOV:=gcov}"
lines_wanted=95
branches_wanted=85

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
srcdir=$(cd "$srcdir" && pwd) || exit 1
objects=$(pwd)/lib
[ -d "$objects/.libs" ] && ls "$objects"/.libs/*.gcda >/dev/null 2>&1 && objects=$objects/.libs

# In one call, so that headers which several objects include are added up.
cd "$tmp" || exit 1
"$GCOV" --branch-counts --branch-probabilities "$objects"/*.gcda >summary 2>errors || {
	cat errors
	exit 1
}

echo '| file | lines | reached | branches | taken |'
echo '|---|---|---|---|---|'
awk -v wanted_lines=$lines_wanted -v wanted_branches=$branches_wanted '
	/^File / { file = $0; sub(/^File ./, "", file); sub(/.$/, "", file); mine = file ~ /(^|\/)lib\/[^\/]*\.[ch]$/ }
	/^$/ { mine = 0 }
	mine && /^Lines executed:/ { sub(/.*:/, ""); split($0, f, /% of /); lines[file] = f[2]; hit[file] = f[1] * f[2] / 100 }
	mine && /^Taken at least once:/ { sub(/.*:/, ""); split($0, f, /% of /); branches[file] = f[2]; taken[file] = f[1] * f[2] / 100 }
	END {
		for (file in lines) {
			name = file
			sub(/.*\//, "", name)
			printf "| %s | %d | %.1f %% | %d | %s |\n", name, lines[file], 100 * hit[file] / lines[file], branches[file],
				branches[file] ? sprintf("%.1f %%", 100 * taken[file] / branches[file]) : "" | "sort"
			n += lines[file]; h += hit[file]; b += branches[file]; t += taken[file]
		}
		close("sort")
		if (!n)
			exit 1
		printf "| all | %d | %.1f %% | %d | %.1f %% |\n", n, 100 * h / n, b, 100 * t / b
		exit !(100 * h / n >= wanted_lines && 100 * t / b >= wanted_branches)
	}' summary
status=$?

echo
echo 'not reached:'
grep -H '^ *#####:' ./*.c.gcov ./*.h.gcov | grep -E '^\./[^/]*' |
	sed 's|^\./\([^:]*\)\.gcov: *#####: *\([0-9]*\):[[:space:]]*\(.*\)|\1:\2: \3|' |
	while IFS= read -r line; do
		[ -f "$srcdir/lib/${line%%:*}" ] && printf '%s\n' "$line"
	done
exit $status
