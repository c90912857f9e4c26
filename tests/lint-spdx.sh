#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every source file names its licence in its first three lines.

srcdir=${srcdir:-.}
. "$srcdir/tests/list-files.sh"

# Prose and data need none.
files=$(list_files | grep -v -e '\.md$' -e '^LICENSE$' -e '^doc/' -e '^tests/data/' -e '^tests/cowkv/corpus-' -e '^tests/fuzz/corpus-')
status=0
for file in $files; do
	if ! head -n 3 "$srcdir/$file" | grep -q 'SPDX-License-Identifier: '; then
		echo "$file: no SPDX-License-Identifier in the first 3 lines"
		status=1
	fi
done
[ -n "$files" ] || { echo "no files found"; exit 1; }
exit $status
