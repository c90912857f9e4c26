#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# demos.sh - each demo runs with small sizes, verifies what it claims, and accepts the common
# options.

: "${DEMOS:?the demos that were built}"
top=$PWD
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
	echo "FAILED: $*"
	failed=1
}

# expect STATUS NAME ARGUMENT...: run, with the output in $work/out and $work/err.
expect() {
	wanted=$1 demo=$2
	shift 2
	"$demo" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq "$wanted" ] && return 0
	cat "$work/out" "$work/err"
	fail "$(basename "$demo") $*: exit status $status, not $wanted"
	return 1
}

check() {
	demo=$1 name=$(basename "$1")
	expect 0 "$demo" --help && grep -q "^Usage: $name" "$work/out" || fail "$name --help does not say how it is used"
	small=
	grep -q -e '--small' "$work/out" && small=--small
	pages=
	grep -q -e '--map' "$work/out" && pages=yes
	expect 0 "$demo" --version
	expect 2 "$demo" --no-such-option && grep -q -- "--help" "$work/err" || fail "$name does not lead from a wrong option to --help"

	COWARENA_DEMO_REPORT=$work/report
	export COWARENA_DEMO_REPORT
	: >"$work/report"
	expect 0 "$demo" $small && grep -q '^verified  .' "$work/out" || fail "$name verifies nothing"
	[ "$(cut -f 1 "$work/report")" = "$name" ] || fail "$name adds no line to the table"
	grep -q "$(printf '\r')" "$work/out" && fail "$name shows its progress to a pipe"
	[ -s "$work/err" ] && fail "$name complains: $(cat "$work/err")"
	if [ -n "$pages" ]; then
		for engine in sigsegv eager; do
			expect 0 "$demo" $small --engine $engine
		done
		expect 0 "$demo" $small --map && grep -q 'copied [0-9]' "$work/out" || fail "$name draws no map"
		if command -v gnuplot >/dev/null; then
			expect 0 "$demo" $small --svg "$work/$name.svg" && grep -q '</svg>' "$work/$name.svg" ||
				fail "$name draws no timeline"
		fi
		expect 2 "$demo" --engine none
	fi
	echo "$name: done"
}

for demo in $DEMOS; do
	check "$top/$demo"
done
exit $failed
