# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# kv-servers.sh - for the benchmarks of cowkv: start a server in a directory of its own, ask it, stop it. Sourced.

: "${COWKV:?the server}" "${KV_LOAD:?kv-load}"
port=${PORT:-27379}
work=$(mktemp -d "${TMPDIR:-/tmp}/cowkv-bench.XXXXXX")
server='' load=''

finish() {
	[ -z "$load" ] || kill "$load" 2>/dev/null || :
	[ -z "$server" ] || kill -9 "$server" 2>/dev/null || :
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# For awk: the median of numbers in a text; then `low` and `high` are the least and the most.
# shellcheck disable=SC2034
median='function median(list,   a, n, i, j, t) {
	n = split(list, a, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
	low = a[1]; high = a[n]
	return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}
'
# need PROGRAM...: or skip.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null || {
			echo "SKIP: $program is not there (Debian: packages redis-server and redis-tools)"
			exit 77
		}
	done
}

cli() {
	redis-cli -p "$port" "$@"
}

# info FIELD: of INFO.
info() {
	cli info everything | tr -d '\r' | sed -n "s/^$1://p"
}

# start cowkv|redis ARGUMENT...
start() {
	local name=$1
	shift
	mkdir -p "$work/$name"
	rm -f "$work/$name"/*
	case $name in
	cowkv) "$COWKV" --port "$port" --dir "$work/$name" --save '' "$@" >"$work/$name.log" 2>&1 & ;;
	redis) redis-server --port "$port" --dir "$work/$name" --save '' --appendonly no "$@" >"$work/$name.log" 2>&1 & ;;
	esac
	server=$!
	for _ in $(seq 100); do
		# What answers is ours, and not another that has the port.
		kill -0 "$server" 2>/dev/null || break
		[ "$(info process_id)" = "$server" ] && return
		sleep 0.1
	done 2>/dev/null
	echo >&2 "$name does not start:"
	cat >&2 "$work/$name.log"
	exit 1
}

stop() {
	kill "$server"
	wait "$server" || :
	server=
}

# save: BGSAVE, from $begun to $ended, in ms.
# shellcheck disable=SC2034
save() {
	read -r begun ended < <("$KV_LOAD" "$port" save)
}
