#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The version is in configure.ac, and the newest entry of NEWS.md is about it. No other file repeats
# it, except those that tell which version was measured (doc/kv-*).

srcdir=${srcdir:-.}
. "$srcdir/tests/list-files.sh"
status=0

version=$(sed -n 's/^AC_INIT(\[cowarena\], \[\([0-9.]*\)\].*/\1/p' "$srcdir/configure.ac")
if [ -z "$version" ]; then
	echo "configure.ac: no version in AC_INIT"
	exit 1
fi

# As a word of its own: neither in 10.1.0 nor in 0.1.0.2.
escaped=$(echo "$version" | sed 's/\./\\./g')
pattern="(^|[^0-9.])$escaped(\$|[^0-9.]|\\.(\$|[^0-9]))"

heading=$(sed -n '/^#.*[0-9]\.[0-9]/{p;q;}' "$srcdir/NEWS.md")
if ! echo "$heading" | grep -Eq "$pattern"; then
	echo "NEWS.md: the newest heading is '$heading', the version in configure.ac is $version"
	status=1
fi

for file in $(list_files | grep -v -e '^configure\.ac$' -e '^NEWS\.md$' -e '^doc/kv-'); do
	if grep -EHn "$pattern" "$srcdir/$file"; then
		echo "$file: repeats the version $version; take it from PACKAGE_VERSION, or leave it out"
		status=1
	fi
done
exit $status
