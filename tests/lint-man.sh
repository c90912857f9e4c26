#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The manual pages are clean mdoc, and those that only point at another page point at one that exists.

srcdir=${srcdir:-.}
status=0

if ! command -v mandoc >/dev/null; then
	echo "SKIP: mandoc is not installed"
	exit 77
fi

for page in "$srcdir"/man/*.[1-9]; do
	target=$(sed -n 's/^\.so man[1-9]\///p' "$page")
	if [ -z "$target" ]; then
		mandoc -T lint -W warning "$page" || status=1
	elif [ ! -f "$srcdir/man/$target" ]; then
		echo "$page: points at $target, which does not exist"
		status=1
	fi
done
exit $status
