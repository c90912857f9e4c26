/* SPDX-License-Identifier: BSD-2-Clause */
/* engine-mappings.c - counts the mappings of engines that arm by them; see mappings.h. */
#include "config.h"

#include "engine-state.h"
#include "mappings.h"
#include "private.h"

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

void mappings_recount(struct cowarena *arena)
{
	const struct bitmap *dirty = &arena->table.dirty;
	const struct chunks *c = &arena->chunks;
	long borders = 1;

	for (size_t i = bitmap_next(dirty, 0), end; i < dirty->bits; i = bitmap_next(dirty, end)) {
		end = bitmap_next_clear(dirty, i);
		borders += chunks_has_borders(c, i) + chunks_has_borders(c, end - 1);
	}
	engine_set_borders(arena, borders);
}

size_t mappings_count(struct cowarena *arena)
{
	enum { ARMED, OPEN, WARM, PRIVATE, WATCHED } kind = ARMED, before = ARMED;
	const struct bitmap *dirty = &arena->table.dirty;
	const struct chunks *c = &arena->chunks;
	size_t pages = arena_pages(arena), n = 2; /* what is never in use is inaccessible */
	size_t open_end = 0; /* found once for all chunks of a run, which may be the whole heap */

	for (size_t page = 0, stop; page < pages; page = stop, before = kind) {
		stop = chunks_end(c, page);
		if (chunks_is_private(c, page)) {
			kind = private_is_watched(arena, page) ? WATCHED : PRIVATE;
			stop = chunks_part_end(c, page, stop);
		} else if (!chunks_has_borders(c, page)) {
			kind = WARM;
		} else if (bitmap_test(dirty, page)) {
			kind = OPEN;
			if (open_end <= page)
				open_end = bitmap_next_clear(dirty, page);
			stop = smaller(stop, open_end);
		} else {
			kind = ARMED;
			stop = smaller(stop, bitmap_next(dirty, page));
		}
		n += kind != before;
	}
	return n;
}
