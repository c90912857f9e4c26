#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A debugger and a core file show a wild store with the line of the store on top, and not our
# handler.

srcdir=${srcdir:-.}
# A shared build has a script there; libtool finds the program behind it.
libtool=${libtool:-./libtool}
program=${program:-tests/wild-store}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0
here=$(pwd)

wrong() {
	echo "$*"
	status=1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

# debug ARGUMENT...: gdb, without anybody's settings, on the program behind the name.
debug() {
	DEBUGINFOD_URLS='' "$libtool" --mode=execute gdb -nx -batch -ex 'set style enabled off' \
		-ex 'set width 0' -ex 'set confirm off' -ex 'set startup-with-shell off' \
		-ex 'set print address off' "$@" </dev/null 2>&1
}

line_of() {
	grep -n "/\* $1 \*/" "$srcdir/tests/wild-store.c" | cut -d: -f1
}

# names FILE LINE WHAT: the innermost frame of the last backtrace in FILE is at that line.
names() {
	grep '^#0 ' "$1" | tail -n 1 | grep -q "wild-store\.c:$2\$" ||
		wrong "$3: not wild-store.c:$2 on top: $(cat "$1")"
}

command -v gdb >/dev/null || skip "gdb is not installed"
debug -ex 'info line wild_store' "$program" >"$dir/out"
grep -q 'Line .*wild-store\.c' "$dir/out" || skip "the program has no debugging information that gdb reads: $(tail -n 1 "$dir/out")"
debug -ex 'break main' -ex run --args "$program" sigsegv null >"$dir/out"
grep -q '^Breakpoint 1, main' "$dir/out" || skip "gdb cannot run a program here: $(tail -n 1 "$dir/out")"

wild=$(line_of wild)
tame=$(line_of tame)
[ -n "$wild" ] && [ -n "$tame" ] || wrong "no marked lines in wild-store.c"

# The signal, whether the kernel sent it for a fault (its code is then positive), and the address, of which
# the last 12 bits are the same in each run.
fault='printf "fault %d %d %x\n", $_siginfo.si_signo, $_siginfo.si_code > 0, (long)$_siginfo._sifields._sigfault.si_addr & 0xfff'
told() {
	case $2 in
	null) at=10 ;;
	beyond) at=0 ;;
	view) at=4d ;;
	esac
	grep -q "^fault 11 1 $at\$" "$dir/out" || wrong "$1, $2: not the fault's siginfo: $(cat "$dir/out")"
}

# Under gdb, which stops at each signal: at the two faults that are ours, at the wild one when it first
# comes, and when it comes again, by the default action, and kills.
live() {
	debug -ex run -ex bt -ex continue -ex bt -ex continue -ex bt -ex continue -ex bt -ex "$fault" \
		-ex continue --args "$program" "$1" "$2" >"$dir/out"
	grep '^#0 ' "$dir/out" | sed 's/.*wild-store\.c:/line /' >"$dir/lines"
	printf 'line %s\n' "$tame" "$tame" "$wild" "$wild" >"$dir/wanted"
	cmp -s "$dir/lines" "$dir/wanted" || wrong "$1, $2: gdb did not stop at lines $tame, $tame, $wild, $wild: $(cat "$dir/out")"
	grep -q '^Program terminated with signal SIGSEGV' "$dir/out" || wrong "$1, $2: $(cat "$dir/out")"
	told "$1" "$2"
}

# As the manual has it: not stopped by what is ours, and the end is SIGSEGV's all the same.
passed() {
	debug -ex 'handle SIGSEGV SIGBUS nostop noprint pass' -ex run --args "$program" "$1" "$2" >"$dir/out"
	grep -q '^Program terminated with signal SIGSEGV' "$dir/out" || wrong "$1, $2, passed: $(cat "$dir/out")"
}

# The core file of a run without gdb.
core() {
	rm -rf "$dir/core"
	mkdir "$dir/core"
	case $program in /*) path=$program ;; *) path=$here/$program ;; esac
	{ # the shell, too, has a line about such ends
		(cd "$dir/core" && ulimit -c unlimited && exec "$path" "$1" "$2") >"$dir/out" 2>&1
		got=$?
	} 2>/dev/null
	[ $got -eq 139 ] || wrong "$1, $2: exit status $got, not 139"
	file=$(find "$dir/core" -type f | head -n 1)
	if [ -z "$file" ]; then
		wrong "$1, $2: no core file"
		return
	fi
	debug -ex bt -ex "$fault" "$program" "$file" >"$dir/out"
	names "$dir/out" "$wild" "$1, $2, core file"
	grep -q '^Program terminated with signal SIGSEGV' "$dir/out" || wrong "$1, $2: $(cat "$dir/out")"
	told "$1" "$2"
}

# Where core files go is the system's affair: a relative name, or it is left out.
cores=no
read -r pattern </proc/sys/kernel/core_pattern
case $pattern in
'' | '|'* | */*) ;;
*) (ulimit -c unlimited) 2>/dev/null && cores=yes ;;
esac
case $cores,$ASAN_OPTIONS,$TSAN_OPTIONS in
yes,,) ;;
yes,*) cores=no ;; # a sanitizer's shadow is too large for a file
esac

for engine in sigsegv uffd hybrid; do
	{
		"$program" $engine null >"$dir/out" 2>&1
		got=$?
	} 2>/dev/null
	[ $got -ne 77 ] || {
		echo "without engine $engine: $(cat "$dir/out")"
		continue
	}
	for kind in null beyond view; do
		if [ $cores = yes ]; then
			core $engine $kind
		else
			live $engine $kind
		fi
	done
	[ $cores = no ] || live $engine null
	passed $engine null
done
[ $cores = yes ] || echo "core files were left out: the pattern is '$pattern'"
exit $status
