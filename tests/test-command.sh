#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The command's options, its messages, and the files that bench writes. No measured time is checked.

cowarena=${cowarena:-src/cowarena}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

wrong() {
	echo "$*"
	status=1
}

# refuses WORDS ARGUMENT...: exit status 2 and WORDS in the message.
refuses() {
	words=$1
	shift
	"$cowarena" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	[ $got -eq 2 ] || wrong "cowarena $*: exit status $got, not 2"
	grep -q -e "$words" "$dir/err" || wrong "cowarena $*: no '$words' in: $(cat "$dir/err")"
}

# accepts ARGUMENT...: exit status 0, and nothing on standard error.
accepts() {
	"$cowarena" "$@" >"$dir/out" 2>"$dir/err" || wrong "cowarena $*: exit status $?: $(cat "$dir/err")"
	[ ! -s "$dir/err" ] || wrong "cowarena $*: says $(cat "$dir/err")"
}

refuses 'a command is missing'
refuses 'not a command' nonsense
refuses "does not take '--nonsense'" info --nonsense
refuses 'at least 4M' bench --size 1M
refuses 'at least 4M' bench --size 12X
refuses 'at least 4M' bench --size -8M
refuses 'choose a smaller --size' bench --size 1000000G
refuses 'from 1 to 1000' bench --rounds 0
refuses 'from 1 to 1000' bench --rounds 2x
refuses 'none of pause_first, .*threads_2' bench --scenario nonsense
refuses "cowarena info" bench --engine nonsense
refuses 'its value is missing' bench --json
refuses "'--nonsense' is unknown" bench --nonsense
refuses "does not take 'nonsense'" bench nonsense
refuses 'leave out --rival-huge' bench --scaling --rival-huge
refuses 'measures pause_clean.*no --scenario write_hot' bench --scaling --scenario write_hot
refuses 'file of its own' bench --json "$dir/same" --plot "$dir/same"
# Found out before the work, and not after it.
refuses 'name a file that can be written' bench --json "$dir/none/file"
refuses 'name a file that can be written' bench --json "$dir"
[ ! -s "$dir/out" ] || wrong "bench ran although it cannot write: $(cat "$dir/out")"

accepts version
accepts help
grep -q -e '--scaling' "$dir/out" || wrong "help does not know --scaling"

# What follows takes snapshots.
"$cowarena" info >"$dir/out" 2>&1
case $? in
0) ;;
1)
	[ $status -eq 0 ] || exit 1
	echo "SKIP: the default engine does not work here: $(grep '^engine' "$dir/out")"
	exit 77
	;;
*) wrong "cowarena info: $(cat "$dir/out")" ;;
esac

grep -Eq "^cost of a kernel's copy +[1-9][0-9]* ns: page tables are (cheap|dear) here" "$dir/out" ||
	wrong "info does not say what page tables cost: $(cat "$dir/out")"
grep -Eq '^cost of copying a page +[1-9][0-9]* ns$' "$dir/out" || wrong "info does not say what a copy costs"

# is_json FILE [EXPRESSION]: valid, and the expression of jq is true.
is_json() {
	if command -v jq >/dev/null; then
		jq -e "${2-true}" "$1" >/dev/null || wrong "not JSON, or not ${2-}: $(cat "$1")"
	elif command -v python3 >/dev/null; then
		python3 -m json.tool "$1" >/dev/null || wrong "not JSON: $(cat "$1")"
	fi
}

json=$dir/result.json
accepts bench --size 4M --rounds 1 --json "$json"
is_json "$json" '(.host.page_tables | . == "cheap" or . == "dear") and .host.fault_ns > 0
	and (.scenarios | length) == 22 and (.scenarios | del(.save_memory) | map(.ours.median, .rival.min, .ratio.max) | all(. > 0))
	and .host.size == 4194304 and .host.rounds == 1'
# What kind of machine this is; a row for each, all as wide as the head.
grep -q '^page tables are \(cheap\|dear\) here: ' "$dir/out" || wrong "no kind of machine: $(cat "$dir/out")"
sed -i 1,2d "$dir/out"
[ "$(wc -l <"$dir/out")" -eq 23 ] || wrong "not 22 rows: $(cat "$dir/out")"
awk 'NR == 1 { at = index($0, "(min") } substr($0, at, 1) != "(" { exit 1 }' "$dir/out" ||
	wrong "the columns shift: $(cat "$dir/out")"

accepts bench --size 4M --rounds 1 --scenario pause_clean --scenario write_rand --json "$json"
is_json "$json" '.scenarios | keys == ["pause_clean", "write_rand"]'

accepts bench --scaling --size 8M --rounds 1 --json "$json"
is_json "$json" '(.scaling | length) == 4 and (.scaling | map(.[0].size == 8388608 and .[0].ours.median > 0) | all)
	and .flat == {"pause_clean": null, "pause_1pct": null, "write_seq": null, "write_rand": null}'
accepts bench --scaling --size 65M --rounds 1 --scenario pause_clean --json "$json"
is_json "$json" '(.scaling.pause_clean | map(.size)) == [67108864, 68157440] and .flat.pause_clean >= 1'

# A link stays a link: it might have been /dev/stdout.
ln -s result.json "$dir/link"
accepts bench --size 4M --rounds 1 --scenario pause_clean --json "$dir/link"
[ -h "$dir/link" ] || wrong "--json replaced a symbolic link"

# Where the stack of a thread is larger than the address space, threads_2 cannot run; the others can. (POSIX has no
# ulimit -s; where the shell has none either, this is left out.)
# shellcheck disable=SC3045
one_fails() {
	(ulimit -s 200000000000 && exec "$cowarena" bench --size 4M --rounds 1 --json "$json" "$@") >"$dir/out" 2>"$dir/err"
}
# shellcheck disable=SC3045
if (ulimit -s 200000000000) 2>/dev/null; then
	one_fails --scenario threads_2 --scenario write_seq --scenario pause_clean && wrong "bench hides that one failed"
	grep -q 'threads_2: no second thread' "$dir/err" || wrong "bench does not say why: $(cat "$dir/err")"
	is_json "$json" '.scenarios | keys == ["pause_clean", "write_seq"]'
	# With nothing to tell, the results of the last time stay.
	cp "$json" "$dir/before"
	one_fails --scenario threads_2 && wrong "bench hides that all failed"
	cmp -s "$json" "$dir/before" || wrong "a run that failed changed the file of the last time"
fi

if command -v gnuplot >/dev/null; then
	accepts bench --size 4M --rounds 1 --scenario pause_clean --plot "$dir/it's.svg"
	tail -n 3 "$dir/it's.svg" | grep -q '</svg>' || wrong "--plot: not a whole picture"
	accepts bench --scaling --size 4M --rounds 1 --scenario write_rand --plot "$dir/scaling.svg"
	tail -n 3 "$dir/scaling.svg" | grep -q '</svg>' || wrong "--scaling --plot: not a whole picture"
fi

left=$(find "$dir" -name '*.tmp')
[ -z "$left" ] || wrong "left behind: $left"
exit $status
