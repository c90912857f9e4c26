#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# install.sh SRCDIR DOCDIR: put the documents, and the demos as examples, beside README.md in DOCDIR. A link to a file
# that is not installed there (a manual page, the header) becomes plain text. Run by `make install`.
set -e

srcdir=$1 docdir=$2
documents='README.md CONTRIBUTING.md doc/*.md src/cowkv/README.md'

(
	cd "$srcdir"
	find demos -name "*.c" -o -name "*.cpp" -o -name "*.h"
	find doc -name '*.md' -o -name '*.svg'
	ls CONTRIBUTING.md src/cowkv/README.md
) | while read -r file; do
	mkdir -p "$docdir/$(dirname "$file")"
	cp "$srcdir/$file" "$docdir/$file"
	chmod 644 "$docdir/$file"
done

cd "$docdir"
# The list holds a pattern.
# shellcheck disable=SC2086
for document in $documents; do
	directory=$(dirname "$document")
	missing=$(grep -o ']([^):]*)' "$document" | sed 's/^](//; s/)$//; s/#.*//' | sort -u | while read -r link; do
		[ -z "$link" ] || [ -e "$directory/$link" ] || echo "$link"
	done)
	for link in $missing; do
		pattern=$(echo "$link" | sed 's/[.]/\\./g')
		sed "s,\[\([^]]*\)\]($pattern\(#[^)]*\)*),\1,g" "$document" >"$document.new"
		mv "$document.new" "$document"
	done
done
