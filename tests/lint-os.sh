#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The promise of lib/os.h: only the files os-linux*.c of lib/ know the kernel. No other file makes a
# system call by its number, includes a header of the kernel, reads a field of siginfo or of a
# context whose meaning is the kernel's, or asks which processor it is built for; and no code
# assumes a page of 4096 bytes. Each promise of the kernel that the code cites, such as (K1), is in
# the table of doc/design.md, and each line there is cited.

srcdir=${srcdir:-.}

cd "$srcdir/lib" || exit 1
status=0

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
sed -n 's/^| \(K[0-9][0-9]*\) |.*/\1/p' ../doc/design.md | sort -u >"$tmp/table"
grep -ho '\<K[0-9][0-9]*\>' ./*.c ./*.h | sort -u >"$tmp/cited"
if ! diff "$tmp/table" "$tmp/cited"; then
	echo 'lib/: < is in the table of doc/design.md and cited nowhere, > is cited and not in the table'
	status=1
fi

# What only os-linux*.c may have: a pattern, and what it is.
awk '
	BEGIN {
		name["(^|[^A-Za-z0-9_])(SYS|__NR)_"] = "the number of a system call"
		name["#[ \t]*include[ \t]*<(linux|asm|sys)/"] = "a header of the kernel"
		name["#[ \t]*include[ \t]*<(ucontext|sched|fcntl|unistd)\\.h>"] = "a header of the kernel"
		name["(^|[^A-Za-z0-9])_?NSIG([^A-Za-z0-9]|$)"] = "how many signals there are"
		name["si_code|SEGV_[AM]|BUS_AD|SI_(USER|KERNEL|QUEUE|TKILL)"] = "what a code of siginfo means"
		name["uc_[a-z]|mcontext"] = "a field of the context"
		name["(^|[^A-Za-z0-9_.])(4096|0x1000|2097152|0x200000)[uUlL]*([^A-Za-z0-9_.]|$)"] = "the size of a page or a huge page"
		name["__(x86_64|aarch64|arm|riscv|powerpc|s390|linux)"] = "a processor or a system"
	}
	FNR == 1 { in_comment = 0 }
	{
		# Without comments, which may speak of anything.
		code = ""
		for (rest = $0; rest != "";) {
			at = index(rest, in_comment ? "*/" : "/*")
			if (!in_comment)
				code = code (at ? substr(rest, 1, at - 1) : rest)
			rest = at ? substr(rest, at + 2) : ""
			if (at)
				in_comment = !in_comment
		}
		for (pattern in name)
			if (code ~ pattern) {
				print "lib/" FILENAME ":" FNR ": has " name[pattern] ", which belongs into os-linux*.c"
				bad = 1
			}
	}
	END { exit bad }' $(ls ./*.c ./*.h | sed 's|^\./||' | grep -v '^os-linux') || status=1
exit $status
