#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# No line of C is wider than 100 columns, with tabs of 8. Comments count: clang-format leaves them
# as they are.

srcdir=${srcdir:-.}

cd "$srcdir" || exit 1
find lib src tests demos bench \( -name '*.[ch]' -o -name '*.[ch]pp' \) -exec awk '
	{
		for (line = $0; (at = index(line, "\t")) > 0;)
			line = substr(line, 1, at - 1) sprintf("%*s", 8 - (at - 1) % 8, "") substr(line, at + 1)
		# mawk counts bytes: what continues a character of UTF-8 is none.
		gsub(/[\200-\277]/, "", line)
		if (length(line) > 100) {
			print FILENAME ":" FNR ": " length(line) " columns"
			bad = 1
		}
	}
	END { exit bad }' {} +
