#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Calls go down only. A file of lib/ may include the headers of its own layer and of those below, no others; and every
# file has its place in the table.

srcdir=${srcdir:-.}

# The layers, from the top. A name stands for NAME.c and NAME.h.
layers='
	arena
	fork
	heap-walk
	snapshot snapshot-read prepare view rollback diff stats verify
	helper
	heap heap-blocks heap-locals heap-slabs heap-trim options
	heap-runs heap-lock heap-units shadow rearm arenas
	engine-uffd-thread
	fault
	timeline debug arming range engine-renew engine-eager engine-hybrid engine-mprotect engine-uffd
	objects mappings trap trap-sigsegv trap-sigaction
	pagetable chunks versions frames gate handlers
	error
	sightings
	records threads
	os os-linux os-linux-handlers os-linux-uffd os-linux-unmap os-linux-wait bell bitmap lock point track streams engine
'
# Headers that every file may include: the public face, and the struct that all layers share.
shared='cowarena.h arena.h config.h'

cd "$srcdir/lib" || exit 1
grep -H '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' ./*.c ./*.h |
	sed 's|^\./\([^:]*\):[^"]*"\([^"]*\)".*|\1 \2|' |
	LAYERS=$layers SHARED=$shared FILES=$(echo *.c *.h) awk '
	function module(file) { sub(/\.[ch]$/, "", file); return file }
	BEGIN {
		lines = split(ENVIRON["LAYERS"], line, "\n")
		for (i = 1; i <= lines; i++) {
			names = split(line[i], name, /[ \t]+/)
			for (j = 1; j <= names; j++)
				if (name[j] != "")
					depth[name[j]] = i
		}
		names = split(ENVIRON["SHARED"], name, " ")
		for (i = 1; i <= names; i++)
			is_shared[name[i]] = 1
		names = split(ENVIRON["FILES"], name, " ")
		for (i = 1; i <= names; i++) {
			if (!(module(name[i]) in depth) && !(name[i] in is_shared)) {
				print "lib/" name[i] ": has no place in the table of layers in tests/lint-layers.sh"
				bad = 1
			}
		}
	}
	$2 in is_shared || !(module($1) in depth) { next }
	!(module($2) in depth) {
		print "lib/" $1 ": includes \"" $2 "\", which has no place in the table of layers"
		bad = 1
		next
	}
	depth[module($2)] < depth[module($1)] {
		print "lib/" $1 ": includes \"" $2 "\", of a layer above its own"
		bad = 1
	}
	END { exit bad }'
