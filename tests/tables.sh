#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copies results of tests into doc/testing.md, between the lines <!-- NAME --> and <!-- end NAME
# -->:
#
#	tables.sh inject FILE doc/testing.md	rows of COWARENA_INJECT_TABLE=FILE tests/test-inject, by call
#	tables.sh matrix FILE doc/testing.md	rows of COWARENA_MATRIX=FILE tests/test-fault-matrix, a column a handler
#	tables.sh mutants FILE doc/testing.md	the table of COWARENA_MUTANTS_TABLE=FILE make check-mutants
#	tables.sh coverage FILE doc/testing.md	the table of make check-coverage, from its output

name=$1 rows=$2 page=$3
tmp=$(mktemp) || exit 1
trap 'rm -f "$tmp"' EXIT

inject() {
	echo '| call | error | arenas | points | went on | refused | a snapshot given up |'
	echo '|---|---|---|---|---|---|---|'
	awk -F' *[|] *' '
		{ key = $3 " | " $4; if (!(key in n)) order[++keys] = key; n[key]++; points[key] += $5; on[key] += $6
		  refused[key] += $7; spoiled[key] += $8; all += $5; all_on += $6; all_refused += $7; all_spoiled += $8 }
		END {
			for (i = 1; i <= keys; i++) {
				k = order[i]
				print "| " k " | " n[k] " | " points[k] " | " on[k] " | " refused[k] " | " spoiled[k] " |"
			}
			print "| all | | | " all " | " all_on " | " all_refused " | " all_spoiled " |"
		}' "$rows"
}

matrix() {
	awk -F' *[|] *' '
		$3 == "" { next }
		{
			if (!($2 in event)) { event[$2]; events[++m] = $2 }
			if (!($3 in handler)) { handler[$3]; handlers[++n] = $3 }
			cell = $2 SUBSEP $3
			# What is as wanted, once if the engines agree.
			what = $5 == $6 ? $6 : $6 ", NOT " $5
			if (index(" " got[cell] " /", " " what " /") == 0)
				got[cell] = got[cell] == "" ? what : got[cell] " / " what
		}
		END {
			printf "| |"; for (j = 1; j <= n; j++) printf " %s |", handlers[j]
			printf "\n|---|"; for (j = 1; j <= n; j++) printf "---|"
			for (i = 1; i <= m; i++) {
				printf "\n| %s |", events[i]
				for (j = 1; j <= n; j++) printf " %s |", got[events[i], handlers[j]]
			}
			printf "\n"
		}' "$rows"
}

case $name in
inject | matrix) "$name" ;;
mutants) cat "$rows" ;;
coverage) sed -n '/^| file/,/^| all/p' "$rows" ;;
*)
	sed -n 's/^# *//;3,8p' "$0" >&2
	exit 1
	;;
esac >"$tmp"
[ -s "$tmp" ] || { echo >&2 "tables.sh: $rows has no rows"; exit 1; }
grep -q "^<!-- $name -->\$" "$page" || { echo >&2 "tables.sh: $page has no place for $name"; exit 1; }

awk -v begin="<!-- $name -->" -v end="<!-- end $name -->" -v table="$tmp" '
	$0 == begin { print; print ""; while ((getline line < table) > 0) print line; print ""; skip = 1 }
	$0 == end { skip = 0 }
	!skip' "$page" >"$page.new" && mv "$page.new" "$page"
