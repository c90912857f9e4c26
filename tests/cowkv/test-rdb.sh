#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# RDB files go both ways: cowkv loads and saves what redis-server has saved, in all forms that there
# are; redis-check-rdb finds no error in cowkv's file, and redis-server loads the same data from it
# as from its own file.

srcdir=${srcdir:-.}
top=$PWD
corpus=$(cd "$srcdir/tests/cowkv/corpus-rdb" && pwd) || exit 1
cowkv=$top/src/cowkv/cowkv
status=0
ours='' theirs=''

[ -x "$cowkv" ] || { echo "SKIP: cowkv was not built"; exit 77; }
for tool in redis-server redis-cli redis-check-rdb; do
	command -v $tool >/dev/null || { echo "SKIP: there is no $tool"; exit 77; }
done

dir=$(mktemp -d) || exit 1
# shellcheck disable=SC2317 # by the trap
leave() {
	[ -z "$ours" ] || kill "$ours"
	[ -z "$theirs" ] || kill "$theirs"
	wait
	rm -rf "$dir"
}
trap leave EXIT
mkdir "$dir/ours" "$dir/theirs"

wrong() {
	echo "$*"
	status=1
}

# answers PORT PID: wait until the server answers; false when its process has gone.
answers() {
	while kill -0 "$2" 2>/dev/null; do
		[ "$(redis-cli -p "$1" ping 2>/dev/null)" = PONG ] && return 0
		sleep 0.1
	done
	return 1
}

port=$((20000 + $$ % 10000))
redis-server --port $port --save '' --dir "$dir/theirs" --enable-debug-command yes >"$dir/theirs.log" 2>&1 &
theirs=$!
"$cowkv" --port $((port + 1)) --save '' --dir "$dir/ours" >"$dir/ours.log" 2>&1 &
ours=$!
if ! answers $port $theirs || ! answers $((port + 1)) $ours; then
	cat "$dir/theirs.log" "$dir/ours.log"
	exit 1
fi

says() {
	answer=$(redis-cli -p "$@" 2>&1)
	[ "$answer" = OK ] || wrong "$file: $*: $answer"
}

# What redis-server has: all values in one number, and when keys expire, of which that number does not know.
holds() {
	redis-cli -p $port debug digest
	redis-cli -p $port eval "local all = {}
		for _, key in ipairs(redis.call('keys', '*')) do
			all[#all + 1] = key .. ' ' .. redis.call('pexpiretime', key)
		end
		table.sort(all)
		return all" 0
}

# both_ways FILE: through cowkv, and back.
both_ways() {
	cp "$1" "$dir/theirs/dump.rdb"
	cp "$1" "$dir/ours/dump.rdb"
	says $port debug reload nosave
	before=$(holds)
	says $((port + 1)) debug reload nosave
	says $((port + 1)) save
	redis-check-rdb "$dir/ours/dump.rdb" >"$dir/check" || wrong "$file: redis-check-rdb says $(cat "$dir/check")"
	cp "$dir/ours/dump.rdb" "$dir/theirs/dump.rdb"
	says $port debug reload nosave
	after=$(holds)
	[ "$before" = "$after" ] || wrong "$file: redis-server has $after from our file, and $before from its own"
}

for file in "$corpus"/cowkv-* "$corpus"/old-* "$corpus"/redis-* "$corpus"/lp-hash "$corpus"/lp-mix; do
	case $file in
	*-refused) ;;
	*) both_ways "$file" ;;
	esac
done
exit $status
