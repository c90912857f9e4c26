# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# shellcheck disable=SC2154
# For the lints that look at the whole tree: list_files prints the files that people wrote, relative to $srcdir.

# In a clone git knows them (new ones too, ignored ones not). In a tarball they are all files but the generated ones.
list_files() {
	if [ -e "$srcdir/.git" ] && git -C "$srcdir" ls-files >/dev/null 2>&1; then
		git -C "$srcdir" ls-files --cached --others --exclude-standard
	else
		(cd "$srcdir" && find . \
			\( -path ./.git -o -path ./m4 -o -path ./autom4te.cache -o -path './build*' -o -path './_*' \) -prune -o \
			-type f ! -name configure ! -name '*~' ! -name Makefile.in ! -name aclocal.m4 ! -name config.h.in \
			-print | sed 's|^\./||')
	fi | sort | while IFS= read -r file; do
		# git also lists what was deleted and not yet committed.
		[ ! -f "$srcdir/$file" ] || printf '%s\n' "$file"
	done
}
