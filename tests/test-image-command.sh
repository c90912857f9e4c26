#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# `cowarena image`, with images of one heap at three times, of which is known what they must have
# (tests/make-images.c); damaged ones; and those of the fuzzers' corpus, with pages of 512 bytes.

srcdir=${srcdir:-.}
cowarena=$PWD/${cowarena:-src/cowarena}
make_images=$PWD/tests/make-images
case $srcdir in /*) ;; *) srcdir=$PWD/$srcdir ;; esac
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0
unset NO_COLOR COLUMNS
cd "$dir" || exit 1

wrong() {
	echo "$*"
	status=1
}

# ends STATUS ARGUMENT...: the exit status of `cowarena image ARGUMENT...`; what it says is in out and err.
ends() {
	want=$1
	shift
	"$cowarena" image "$@" >out 2>err
	got=$?
	[ $got -eq "$want" ] || wrong "image $*: exit status $got, not $want: $(cat out err)"
}

# says WORDS ARGUMENT...: trouble, with these words in the message.
says() {
	words=$1
	shift
	ends 2 "$@"
	grep -q -e "$words" err || wrong "image $*: no '$words' in: $(cat err)"
}

# has FILE REGULAR-EXPRESSION
has() {
	grep -Eq -e "$2" "$1" || wrong "no '$2' in: $(cat "$1")"
}

# is_json EXPRESSION: out is valid, and the expression of jq is true.
is_json() {
	if command -v jq >/dev/null; then
		jq -e "$1" out >/dev/null || wrong "not JSON, or not $1: $(cat out)"
	elif command -v python3 >/dev/null; then
		python3 -m json.tool out >/dev/null || wrong "not JSON: $(cat out)"
	fi
}

# ---- options ----

says 'say what to do'
says "'nonsense' is not info" nonsense
says 'name an image' info
says 'name two images' diff one
says "does not take 'two' too" ls one two
says "'--nonsense' is unknown" info --nonsense one
says "does not take '--svg'" ls --svg x one
says "'-o' is unknown, or its value is missing" extract one -o
says 'say where to' extract one
for command in info ls verify diff extract; do
	ends 0 $command --help
	has out 'cowarena image extract'
done
ends 0 --help
says 'none. cannot be opened .ENOENT' info none.
says 'it must be a file' info .
: >-empty
ends 1 info -- -empty
has err 'the file ends too early'
echo 'something else, of more than the 96 bytes that the header of an image has, but no image at all: not the mark' >text
ends 1 ls text
has err 'the mark of an image is missing'

# ---- what needs no heap: the corpus ----

small=$srcdir/tests/fuzz/corpus-image/small-pages
ends 0 info "$small"
has out '^page size +512 bytes$'
has out '^number +0000000000000005$'
has out '^pages with bytes +6$'
ends 0 ls "$small"
[ "$(wc -l <out)" -eq 7 ] || wrong "not six runs: $(cat out)"
has out '^0x0000200000000000 0x0000200000000200 +512 +512$'
ends 0 verify "$small"
has out 'small-pages: good, 6 pages$'

# ---- a heap ----

page=$("$make_images" .) || {
	echo "SKIP: no images can be made here"
	[ $status -eq 0 ] && exit 77
	exit 1
}
size=$(getconf PAGESIZE)
heap=$(($(wc -c <full.heap)))

ends 0 info full
base=$(sed -n 's/^address of the heap *//p' out)
has out "^in use +$heap bytes$"
has out "^file +$(($(wc -c <full))) bytes$"
ends 0 info --json full second
is_json "length == 2 and .[0].parent == null and .[1].parent == .[0].number and .[1].pages_with_bytes >= 3
	and .[1].pages_of_zeros == 1 and .[0].used_bytes == $heap and .[0].page_size == $size and .[0].address == \"$base\""
ends 2 info --json full none third
is_json 'map(.file) == ["full", "third"]'

# at PAGE: where a page of the block is, as ls and diff print it.
at() {
	printf '0x%016x' $((base + (page + $1) * size))
}

ends 0 ls full
has out "^0x[0-9a-f]+ $(at 300) +[0-9]+ +[0-9]+$"
ends 0 ls second
has out "^$(at 10) $(at 13) +[0-9]+ +$((3 * size))$"
has out "^$(at 70) $(at 71) +zeros +$size$"
ends 0 ls --json second
is_json "(.runs | map(select(.zeros)) | length) == 1 and (.runs[] | select(.zeros)).page == $((page + 70))"

# ---- as another program reads them ----

if command -v python3 >/dev/null; then
	for image in full second third other "$small"; do
		python3 "$srcdir/tests/read-image.py" "$image" >want || wrong "read-image.py cannot read $image"
		for command in info ls; do
			ends 0 $command --json "$image"
			python3 -c 'import json, sys
a, b = (json.load(open(name)) if name == "out" else json.loads(open(name).readlines()[int(sys.argv[1])]) for name in ("out", "want"))
sys.exit(a != b)' "$([ $command = info ]; echo $?)" || wrong "$command: $(cat out) instead of $(cat want)"
		done
	done
else
	echo "python3 is not installed: no other program has read the images"
fi

# ---- verify ----

ends 0 verify full
has out '^full: good, '
ends 0 verify third
has out '^third: not looked at with its parents: .*name that image too'
ends 0 verify third full second
has out '^third: fits to the 2 images that it builds on$'
has out '^second: fits to the 1 image that it builds on$'
ends 2 verify third full # the one between is missing
ends 0 verify --json third full second
is_json '(.images | map(.good) | all) and (.increments | map(.builds_on)) == [2, 1]'
ends 2 verify full none
has out '^full: good'

# damage FILE OFFSET: another byte there, in a copy named damaged.
damage() {
	cp "$1" damaged
	byte=$(od -An -tu1 -j "$2" -N1 damaged)
	# The format is the byte.
	# shellcheck disable=SC2059
	printf "\\$(printf %o $((byte ^ 255)))" | dd of=damaged bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# The group with page 100 of the block: where is it in the file?
ends 0 ls full
from=$(awk -v to="$(at 300)" '$2 == to { print $1, $3 }' out)
offset=$((${from#* } + (base + (page + 100) * size - ${from% *}) + 17))
group=$(((page + 100) / 64 * 64))
damage full $offset
ends 1 verify damaged
has out "^damaged: damaged: page $group at 0x$(printf %x $((base + group * size))), or one up to page $((group + 63)):"
start=$((offset - 17 - (page + 100 - group) * size))
has out "bytes $start to $((start + 64 * size)) of the file is wrong$"
has out '^damaged: 1 of [0-9]+ groups of pages damaged; use another copy'
ends 1 verify --json damaged full
is_json "(.images[0].good | not) and .images[1].good and .images[0].bad == [{page: $group, pages: 64,
	address: \"0x$(printf %x $((base + group * size)))\", offset: $start, bytes: $((64 * size))}]"
# Two groups: both are named. The damage of the header, its page, the index and the end is found.
cp damaged twice
damage twice $((offset + 64 * size))
ends 1 verify damaged
[ "$(grep -c 'is wrong$' out)" -eq 2 ] || wrong "not two groups: $(cat out)"
n=$(($(wc -c <full)))
for offset in 0 30 $((n - 1)) $((n - 20)) $((n - 60)); do
	damage full $offset
	ends 1 verify damaged
	has out '^damaged is no whole image: at byte [0-9]+ '
done
damage full $((size - 1))
ends 1 verify damaged
has out "at byte $((size - 1)) is a byte that must be 0"
for n in 0 50 5000 $((n - 1)); do
	head -c $n full >damaged
	ends 1 verify damaged
done
# Its parent is damaged: what builds on it is not taken for good.
damage full $((size + 5))
ends 1 verify second damaged

# ---- diff ----

ends 0 diff full full
has out '^0 of [0-9]+ pages differ'
ends 1 diff full second
has out "^$(at 10) $(at 13) +3 pages$"
has out "^$(at 70) $(at 71) +1 page$"
# A sign for each page, in lines of 80.
map=$(LC_ALL=C "$cowarena" image diff full second | sed '1,/a sign:/d' | tr -d '\n')
[ "$(printf %s "$map" | cut -c $((page + 10))-$((page + 14)))" = '.###.' ] || wrong "no such map: $map"
[ ${#map} -eq $((heap / size)) ] || wrong "${#map} signs for $((heap / size)) pages"
LC_ALL=C COLUMNS=50 "$cowarena" image diff full second | tail -n 2 | head -n 1 | grep -qx '.\{50\}' ||
	wrong "the map does not have the width of the terminal"
ends 1 diff second full
ends 1 diff third second full
has out "^$(at 0) $(at 1) +1 page$"
ends 1 diff --json full third second
is_json "(.pages_differ >= 5) and (.runs | map(.page) | index($((page + 10))))"
says 'name that image too' diff full third
says 'compare images of one heap' diff full other
says 'no whole image' diff full text
damage full $((size + 5))
says 'checksum is wrong' diff damaged second
ends 1 diff --svg map.svg full second
has map.svg '^</svg>$'
if command -v xmllint >/dev/null; then
	xmllint --noout map.svg || wrong "the map is no XML"
elif command -v python3 >/dev/null; then
	python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse("map.svg")' || wrong "the map is no XML"
fi
says 'name a file that can be written' diff --svg none/map.svg full second

# ---- extract ----

for image in full second third; do
	ends 0 extract $image full second -o $image.out
	cmp $image.out $image.heap || wrong "extract: not what the heap had in $image"
done
[ "$(du -k full.out | cut -f1)" -le "$(du -k full.heap | cut -f1)" ] || wrong "extract: zeros take room"
says 'say --force' extract full -o full.out
ends 0 extract --force full -o full.out
ends 0 extract full -o - # to a file: from where it stands
cmp out full.heap || wrong "extract: not what the heap had"
"$cowarena" image extract second full -o - | cmp - second.heap || wrong "extract: not what the heap had, in a pipe"
# A range from within a page to within another one.
ends 0 extract full -o - --start $((base + page * size + 5)) --bytes $((2 * size))
tail -c +$((page * size + 6)) full.heap | head -c $((2 * size)) | cmp - out || wrong "extract: not that range"
ends 0 extract full -o none.out --bytes 0
[ -f none.out ] || wrong "extract: no file"
[ ! -s none.out ] || wrong "extract: no bytes are no empty file"
says 'no address of the heap' extract full -o x --start 0
says 'no address of the heap' extract full -o x --start 1x
says 'more than the' extract full -o x --bytes $((heap + 1))
says 'no number of bytes' extract full -o x --bytes -1
says 'name that image too' extract second -o x
says 'cannot be written (No such file' extract full -o none/x
# What fails leaves no file, and the one that was there.
damage full $((size + 5))
ends 1 extract damaged -o x
ends 1 extract damaged --force -o second.out
cmp second.out second.heap || wrong "extract has changed a file in vain"
[ ! -e x ] || wrong "extract has left half a file"
ln -s full.out link
ends 0 extract second full -o link
[ -h link ] || wrong "extract has replaced a link"
cmp full.out second.heap || wrong "extract: not what the heap had, by a link"

# ---- a full disk ----

if [ -c /dev/full ]; then
	for command in "info full" "ls full" "verify full" "diff full second" "diff --json full full" \
		"extract full -o -" "extract full -o /dev/full" "info --help"; do
		# Words.
		# shellcheck disable=SC2086
		"$cowarena" image $command >/dev/full 2>err
		got=$?
		[ $got -eq 2 ] || wrong "image $command to a full disk: exit status $got"
		has err 'No space left|ENOSPC'
	done
fi

left=$(find . -name '*.tmp')
[ -z "$left" ] || wrong "left behind: $left"
exit $status
