#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The fuzzed programs read the inputs that fuzzing starts from, and those that it has found. They
# also read RDB files with a checksum, with each single bit flipped, and cut off at each length.

srcdir=${srcdir:-.}
corpus=$srcdir/tests/cowkv
programs=src/cowkv
status=0

if [ ! -x $programs/fuzz-rdb ] || [ ! -x $programs/fuzz-resp ]; then
	echo "SKIP: cowkv was not built"
	exit 77
fi

$programs/fuzz-rdb "$corpus"/corpus-rdb/* || { echo "fuzz-rdb has failed"; status=1; }
$programs/fuzz-resp "$corpus"/corpus-resp/* || { echo "fuzz-resp has failed"; status=1; }

COWKV_FLIPS=1
export COWKV_FLIPS
for file in "$corpus"/corpus-rdb/cowkv-* "$corpus"/corpus-rdb/redis-*; do
	case $file in
	*-refused) continue ;; # with what there is only in Redis
	esac
	$programs/fuzz-rdb "$file" || { echo "$file: damage that is not seen"; status=1; }
done
exit $status
