#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The manual pages are clean mdoc.

srcdir=${srcdir:-.}
status=0

if ! command -v mandoc >/dev/null; then
	echo "SKIP: mandoc is not installed"
	exit 77
fi

for page in "$srcdir"/man/*.[1-9]; do
	mandoc -T lint -W warning "$page" || status=1
done
exit $status
