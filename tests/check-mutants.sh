#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Seeds bugs, one at a time; a test must catch each. `make check-mutants`, in the build directory.
#
# A mutant is a patch, tests/mutants/NN-name.patch, with a head: the licence, what is broken (one
# line), `Tests:` with the programs that should catch it, in the order in which they are tried, and
# optionally `Env:` with settings for them. The tree is copied to mutants/ and built there with test
# points (lib/point.h). First all these programs must pass without a mutant.
#
#	MUTANTS="03 torn"		only the mutants whose names contain one of these words
#	COWARENA_MUTANTS_TABLE=FILE	the table goes there too, in Markdown
#
# Exit status: 0 if every mutant was caught.

srcdir=$(cd "${srcdir:-.}" && pwd) || exit 1
. "$srcdir/tests/list-files.sh"

limit=60 # seconds, for each run of a program with a mutant
dir=$PWD/mutants
tree=$dir/tree
build=$dir/build
running=

# The calling make's flags and job slots are not for the one in here.
unset MAKEFLAGS MFLAGS MAKELEVEL
jobs=$(nproc 2>/dev/null || echo 1)

die() {
	echo >&2 "check-mutants: $*"
	exit 1
}

# End the program that runs, and what is left of its session: Check leaves its tests behind sometimes.
stop() {
	[ -n "$running" ] || return
	[ -f "$dir/status" ] || kill "$(cat "$dir/session" 2>/dev/null)" 2>/dev/null
	wait "$running"
	for pid in $(ps -o pid= -s "$(cat "$dir/session" 2>/dev/null)" 2>/dev/null); do
		kill -9 "$pid" 2>/dev/null
	done
	running=
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

# Whole, or what differs: an interrupted run may have left a mutant behind.
copy_tree() {
	{
		list_files | grep -E -e '^(bench|demos|doc|lib|man|src|tests)/' -e '^[^/]*$' | grep -v '^tests/mutants/'
		(cd "$srcdir" && find Makefile.in aclocal.m4 build-aux config.h.in configure m4 -type f)
	} | while IFS= read -r file; do
		cmp -s "$srcdir/$file" "$tree/$file" || copy_file "$file"
	done
}

copy_file() {
	mkdir -p "$tree/$(dirname "$1")" && cp -p "$srcdir/$1" "$tree/$1" && chmod u+w "$tree/$1" || exit 1
	# Newer than what was made of a mutant of it; but at first the order of times is what automake looks at.
	[ ! -f "$build/Makefile" ] || touch "$tree/$1"
}

make_tests() {
	# shellcheck disable=SC2046,SC2086
	(cd "$build" && make -j"$jobs" $1) >"$dir/make.log" 2>&1
}

selected() {
	[ -n "$MUTANTS" ] || return 0
	for word in $MUTANTS; do
		case $1 in *"$word"*) return 0 ;; esac
	done
	return 1
}

head_of() {
	sed -n "/^--- /q; s/^$2: *//p" "$1"
}

# What is broken: the line that is none of the others.
what_of() {
	sed -n '/^--- /q; /^SPDX-/d; /^Tests:/d; /^Env:/d; /./p' "$1"
}

# run TEST SECONDS ENV: Run a program, until its first test that fails, which Check writes down at once.
# verdict: how it failed; empty if it did not.
run() {
	rm -f "$dir/tap" "$dir/status" "$dir/session" "$dir/test.log"
	(
		cd "$build" || exit 1
		# shellcheck disable=SC2086
		# shellcheck disable=SC2016
		env CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT-$2}" CK_TAP_LOG_FILE_NAME="$dir/tap" $3 \
			setsid sh -c 'echo $$ >"$0"; exec timeout -k 5 "$@"' "$dir/session" "$2" "tests/$1" \
			>"$dir/test.log" 2>&1
		echo $? >"$dir/status.new"
		mv "$dir/status.new" "$dir/status"
	) 2>/dev/null & # it would say "Terminated"
	running=$!
	while [ ! -f "$dir/status" ] && ! grep -qs '^not ok.*: ' "$dir/tap"; do
		sleep 0.1
	done
	stop
	verdict "$1 $3"
}

# verdict "TEST ENV": From the first test that failed, or else from the exit status of the program.
verdict() {
	failed=$(grep -s '^not ok' "$dir/tap" | head -n 1)
	status=$(cat "$dir/status")
	verdict=
	if [ -n "$failed" ]; then
		test=$(printf '%s\n' "$failed" | cut -d: -f3)
		case $failed in
		*'Test timeout expired'*) how='time limit' ;;
		*'Received signal '*) how="signal $(printf '%s\n' "$failed" | sed 's/.*Received signal \([0-9]*\).*/\1/')" ;;
		*) how='failed check' ;;
		esac
		verdict="$test: $how"
	elif [ "$status" -eq 124 ]; then
		# That says nothing of one that takes long anyway.
		grep -qsxF "$1" "$dir/slow" || verdict='time limit'
	elif [ "$status" -gt 128 ]; then
		verdict="signal $((status - 128))"
	elif [ "$status" -ne 0 ]; then
		verdict="exit status $status"
	fi
}

row() {
	printf '%-34s | %s | %s | %s\n' "$1" "$2" "$3" "$4"
	[ -z "$COWARENA_MUTANTS_TABLE" ] || printf '| `%s` | %s | %s | %s |\n' "$1" "$2" "$3" "$4" >>"$COWARENA_MUTANTS_TABLE"
}

# try TESTS ENV: the tests have a look at the mutant in the tree. caught: what one of them found.
try() {
	if ! make_tests "$(printf ' tests/%s' $1)"; then
		cp "$dir/make.log" "$dir/$name.log"
		problem="DOES NOT BUILD ($dir/$name.log)"
		return
	fi
	problem='NOT CAUGHT'
	for t in $1; do
		run "$t" $limit "$2"
		if [ -n "$verdict" ]; then
			caught="$t ($verdict)"
			return
		fi
		! grep -q '^SKIP: ' "$dir/test.log" || problem='NOT CAUGHT (some tests were skipped)'
	done
}

mutant() {
	name=$(basename "$1" .patch)
	tests=$(head_of "$1" Tests)
	start=$(date +%s)
	caught=
	if patch -p1 -s -f --dry-run -d "$tree" <"$1" >/dev/null &&
		patch -p1 -s -f --no-backup-if-mismatch -d "$tree" <"$1" >/dev/null; then
		try "$tests" "$(head_of "$1" Env)"
	else
		problem='DOES NOT APPLY'
	fi
	sed -n 's|^+++ b/\([^	]*\).*|\1|p' "$1" >"$dir/changed"
	while IFS= read -r file; do
		copy_file "$file"
	done <"$dir/changed"
	[ -z "$caught" ] || good=$((good + 1))
	total=$((total + 1))
	row "$name" "$(what_of "$1")" "${caught:-$problem}" $(($(date +%s) - start))
}

for tool in patch ps setsid timeout; do
	command -v $tool >/dev/null || die "$tool is needed"
done
mkdir -p "$tree" "$build" || exit 1
patches=
: >"$dir/runs"
for patch in "$srcdir"/tests/mutants/*.patch; do
	selected "$(basename "$patch" .patch)" || continue
	if [ -z "$(head_of "$patch" Tests)" ] || [ "$(what_of "$patch" | wc -l)" -ne 1 ]; then
		die "$patch: its head is not as it should be"
	fi
	patches="$patches $patch"
	for t in $(head_of "$patch" Tests); do
		echo "$t $(head_of "$patch" Env)"
	done >>"$dir/runs"
done
[ -n "$patches" ] || die "no mutant has a name like that: $MUTANTS"
sort -u -o "$dir/runs" "$dir/runs"

copy_tree || exit 1
if [ ! -f "$build/Makefile" ]; then
	(cd "$build" && "$tree/configure" -q --disable-shared ${CC:+CC="$CC"} CFLAGS=-O2 \
		CPPFLAGS=-DCOWARENA_TEST_POINTS) >"$dir/configure.log" 2>&1 || die "configure has failed: $dir/configure.log"
fi
make_tests "$(sed 's|^\([^ ]*\).*|tests/\1|' "$dir/runs" | sort -u)" ||
	die "the tree without a mutant does not build: $dir/make.log"
: >"$dir/slow"
while read -r t env; do
	start=$(date +%s)
	run "$t" 600 "$env" </dev/null
	[ -z "$verdict" ] || die "$t fails without a mutant ($verdict): $dir/test.log"
	[ $(($(date +%s) - start)) -le $((limit / 2)) ] || echo "$t $env" >>"$dir/slow"
done <"$dir/runs"

good=0
total=0
if [ -n "$COWARENA_MUTANTS_TABLE" ]; then
	printf '| mutant | what is broken | caught by | s |\n|---|---|---|---|\n' >"$COWARENA_MUTANTS_TABLE" || exit 1
fi
printf '%-34s | what is broken | caught by | s\n' mutant
for patch in $patches; do
	mutant "$patch"
done
echo "$good of $total mutants caught"
[ "$good" -eq "$total" ]
