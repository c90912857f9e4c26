#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every header compiles alone. The public header also does as plain C99 and C++11, and the C++
# header as C++17 and C++20, without a warning.

srcdir=${srcdir:-.}
: "${CC:=cc}"
status=0

# compile HEADER COMPILER FLAG...: compile a file that holds nothing but this include.
compile() {
	header=$1
	shift
	# From standard input and not the header itself, which would make "#pragma once in main file" of a guard.
	if ! printf '#include "%s"\ntypedef int not_empty;\n' "$header" |
		"$@" -fsyntax-only -Wall -Wextra -Werror -I"$srcdir/lib" -I. -; then
		echo "$header does not compile alone with: $*"
		status=1
	fi
}

# CC and CXX may hold options.
# shellcheck disable=SC2086
for path in "$srcdir"/lib/*.h; do
	header=$(basename "$path")
	if [ "$header" = cowarena.h ]; then
		compile "$header" $CC -x c -std=c11 -pedantic
		compile "$header" $CC -x c -std=c99 -pedantic
		if [ -n "$CXX" ]; then
			compile "$header" $CXX -x c++ -std=c++11 -pedantic
		else
			echo "no C++ compiler: $header was not tried as C++"
		fi
	else
		# As every source of the library does, with config.h before all else.
		compile "$header" $CC -x c -std=c11 -include config.h -Wno-unused-function
	fi
done

# A compiler too old for it is no fault of the header's.
# shellcheck disable=SC2086
if [ -n "$CXX" ] && echo '#include <memory_resource>' | $CXX -std=c++17 -x c++ -fsyntax-only - 2>/dev/null; then
	compile cowarena.hpp $CXX -x c++ -std=c++17 -pedantic -Wshadow
	! echo | $CXX -std=c++20 -x c++ -fsyntax-only - 2>/dev/null ||
		compile cowarena.hpp $CXX -x c++ -std=c++20 -pedantic -Wshadow
else
	echo "no C++17 compiler with <memory_resource>: cowarena.hpp was not tried"
fi
exit $status
