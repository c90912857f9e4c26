/* SPDX-License-Identifier: BSD-2-Clause */
/* debug.c - see debug.h. */
#include "config.h"

#include "arena.h"
#include "debug.h"
#include "error.h"
#include "track.h"
#include "versions.h"

#include <stdlib.h>
#include <string.h>

/* A quarter of an hour: the thread that has locked the page may be off the processor for long. */
unsigned debug_naps_max = 10000000;

bool debug_wanted(void)
{
	const char *value = getenv("COWARENA_DEBUG");

	return value && *value && strcmp(value, "0") != 0;
}

/* "invariant: page N" without stdio, which is not async-signal-safe. */
static void require(bool holds, const char *what, size_t page)
{
	char line[120], digits[24];
	size_t n = 0, d = 0;

	if (holds)
		return;
	for (const char *c = what; *c && n < sizeof line - sizeof digits - 8; c++)
		line[n++] = *c;
	memcpy(line + n, ": page ", 7);
	n += 7;
	do
		digits[d++] = (char)('0' + page % 10);
	while (page /= 10);
	while (d)
		line[n++] = digits[--d];
	line[n] = 0;
	error_log(line);
	abort();
}

/* Whether a write to the page traps. Asks the kernel to prepare a write, which changes nothing if
   the write would trap, as it must (K18). (Where faults wait for a thread of ours, this would wait
   for that thread.) */
static bool is_armed(struct cowarena *arena, size_t page)
{
	if (arena->engine->syscall_safe || (arena->engine->lost && arena->engine->lost(arena)))
		return true;
	track_pause(); /* the page may be in no block */
	bool armed = !os_can_write(arena_address(arena, page), arena_page_size(arena));
	track_resume();
	return armed;
}

/* Check I1, and that state, stamp and bitmap agree. */
static void check_page(struct cowarena *arena, size_t page)
{
	struct page *entry = &arena->table.pages[page];
	uint64_t state = atomic_load(&entry->state), stamp = page_stamp(state);

	/* A reader locks the page for a moment without the gate (snapshot-read.c). */
	for (unsigned naps = 0; state & PAGE_LOCKED && naps < debug_naps_max; naps++) {
		os_nap();
		state = atomic_load(&entry->state);
	}
	uint64_t epoch = atomic_load(&arena->timeline.epoch), newest = stamp;
	bool dirty = bitmap_test(&arena->table.dirty, page);

	require(!(state & PAGE_LOCKED), "a page is locked with the gate closed", page);
	require(stamp <= epoch, "a stamp is ahead of the epoch", page);
	require(!bitmap_test(&arena->table.hot, page), "a page is hot after the cut", page);
	if (!atomic_load(&arena->half_armed))
		require(dirty == (stamp == epoch && !(state & (PAGE_FRESH | PAGE_REARMED))),
			"stamp and bitmap differ", page);
	bool private = chunks_is_private(&arena->chunks, page);
	if (!dirty && !private && state & PAGE_REARMED)
		require(is_armed(arena, page), "a page is not armed after a rollback", page);
	if (stamp < epoch && !dirty && !private && timeline_newest(&arena->timeline) >= stamp)
		require(is_armed(arena, page), "I1: a page that a snapshot needs is not armed",
			page);
	bool own = bitmap_test(&arena->table.own, page);
	bool filed = bitmap_test(&arena->table.filed, page), found = false;
	require(!own || private, "a page is own and not private", page);
	require(!filed || (stamp == epoch && private),
		"P4: a clean page, or one that is not private, has a version in the file", page);
	/* The versions, newest first: they do not overlap, and all are older than the stamp. */
	for (uint32_t f = versions_upto(&arena->frames, entry->versions, PAGE_STAMP_MAX);
	     f != FRAME_NONE;
	     f = newest ? versions_upto(&arena->frames, entry->versions, newest - 1) : FRAME_NONE) {
		const struct version *v = frames_version(&arena->frames, f);
		require(v->page == page, "a version is in another page's tree", page);
		require(v->first <= version_last(v) && version_last(v) < newest, "versions overlap",
			page);
		newest = v->first;
		bool in_file = version_place(v) == VERSION_IN_FILE;
		require(!in_file || !found, "P4: a page has two versions in the file", page);
		found |= in_file;
	}
	require(found == filed, "a version is in the file, and the bitmap tells otherwise", page);
}

static bool is_listed(struct cowarena *arena, const struct version *v, uint32_t frame)
{
	uint32_t root = arena->table.pages[v->page].versions;

	return versions_upto(&arena->frames, root, v->first) == frame;
}

/* Check that each version is kept by the newest snapshot that it serves (timeline.h), and that
   every taken frame is kept. */
static void check_kept(struct cowarena *arena)
{
	size_t versions = 0, bare = 0, held = atomic_load(&arena->privates.own);

	for (struct cowarena_snapshot *s = arena->timeline.newest; s; s = s->older) {
		require(!s->older || s->older->epoch < s->epoch, "snapshots are out of order", 0);
		for (uint32_t f = atomic_load(&s->keeps); f != FRAME_NONE;) {
			const struct version *v = frames_version(&arena->frames, f);
			require(v->first <= s->epoch && s->epoch <= version_last(v),
				"a version is kept by a snapshot that it does not serve", v->page);
			require(!s->newer || s->newer->epoch > version_last(v),
				"a version is not kept by the newest", v->page);
			require(is_listed(arena, v, f), "a version is not in its page's tree",
				v->page);
			versions++;
			held += version_place(v) == VERSION_IN_FRAME;
			bare += version_place(v) != VERSION_IN_FRAME;
			f = atomic_load(&v->link);
		}
	}
	for (struct cowarena_view *v = arena->timeline.views; v; v = v->next)
		held += atomic_load(&v->touched);
	require(bare == atomic_load(&arena->frames.bare), "frames without pages are miscounted", 0);
	require(arena->privates.dropping == 0, "own pages wait to be dropped", 0);
	require(versions == atomic_load(&arena->frames.taken), "frames are taken and not kept", 0);
	require(held == atomic_load(&arena->frames.held), "held memory is miscounted", 0);
	require(held <= arena->frames.held_max, "more memory is held than allowed", 0);
}

void debug_check(struct cowarena *arena)
{
	if (!arena->debug)
		return;
	gate_close(&arena->gate);
	size_t pages = atomic_load(&arena->pages);
	for (size_t i = 0; i < pages; i++)
		check_page(arena, i);
	check_kept(arena);
	gate_open(&arena->gate);
}

/* Unseen like track_copy(): the page is armed, whoever wrote to it before. */
TRACK_UNSEEN static bool same(const uint64_t *a, const uint64_t *b, size_t n)
{
	size_t i = 0;

	track_pause();
	while (i < n / sizeof *a && a[i] == b[i])
		i++;
	track_resume();
	return i == n / sizeof *a;
}

void debug_preserved(struct cowarena *arena, size_t page, uint32_t frame)
{
	const struct version *v = frames_version(&arena->frames, frame);

	if (!arena->debug || version_place(v) != VERSION_IN_FRAME)
		return;
	const void *past = arena_past(arena, page), *kept = frames_data(&arena->frames, frame);
	require(same(past, kept, arena_page_size(arena)),
		"I2: a frame differs from the page that it preserves", page);
}
