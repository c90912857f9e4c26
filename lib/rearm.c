/* SPDX-License-Identifier: BSD-2-Clause */
/* rearm.c - see rearm.h. */
#include "config.h"

#include "arena.h"
#include "arming.h"
#include "rearm.h"

void rearm_destroy(struct rearm *r)
{
	if (r->written)
		os_unmap(r->written, r->bytes);
	*r = (struct rearm){0};
}

void rearm_begin(struct cowarena *arena)
{
	struct rearm *r = &arena->rearm;

	r->to = 0; /* until the rollback is done */
	r->rollbacks++;
	r->near = r->looked << arena->page_shift > REARM_LARGE ? REARM_NEAR_LARGE : REARM_NEAR;
	r->looked = 0;
	if (r->written)
		return;
	/* Address space for all pages; memory as pages are rolled back. */
	size_t n = arena->reserved >> arena->page_shift;
	r->bytes = os_round_up(n * sizeof *r->written, arena_page_size(arena));
	r->written = os_map_anonymous(r->bytes);
	if (r->written)
		os_keep_from_children(r->written, r->bytes);
}

bool rearm_wants(struct rearm *r, size_t page, bool written)
{
	r->looked++;
	if (!r->written)
		return !written;
	uint32_t entry = r->written[page], now = r->rollbacks & INT32_MAX;
	bool near = entry && now - entry / 2 <= r->near;

	if (written)
		r->written[page] = now * 2 + near;
	/* A page that was just put back stays writable once. */
	return !written && !(near && entry % 2);
}

/* During the arming, pages that are to stay writable are hot, so that no call for their neighbours
   arms them too. A call may reach as far as a chunk does. */
static void keep_the_others_open(struct cowarena *arena, size_t limit)
{
	struct pagetable *t = &arena->table;

	bitmap_add(&t->hot, &t->dirty, &t->changed,
		   os_round_up(limit, chunks_pages(&arena->chunks)));
}

static void mark_armed(struct cowarena *arena)
{
	struct pagetable *t = &arena->table;
	uint64_t epoch = atomic_load_explicit(&arena->timeline.epoch, memory_order_relaxed);

	for (size_t i = bitmap_next(&t->changed, 0); i < t->changed.bits;
	     i = bitmap_next(&t->changed, i + 1)) {
		uint64_t state = page_lock(&t->pages[i]);
		/* A clean page, which the kernel copies (private.h), stays what it is: younger
		   snapshots may need it. */
		if (page_stamp(state) == epoch)
			state = epoch << PAGE_STAMP_SHIFT | PAGE_REARMED;
		page_unlock(&t->pages[i], state);
		bitmap_unset(&t->dirty, i);
	}
	if (arena->engine->armed)
		arena->engine->armed(arena);
}

void rearm_finish(struct cowarena *arena, size_t limit)
{
	struct pagetable *t = &arena->table;

	if (bitmap_next(&t->changed, 0) < t->changed.bits) {
		gate_close(&arena->gate);
		keep_the_others_open(arena, limit);
		/* Pages that were refused count as writable: the next rollback looks at them. */
		if (arming_arm(arena, &t->changed) == 0)
			mark_armed(arena);
		bitmap_clear(&t->hot);
		private_drop(arena);
		gate_open(&arena->gate);
	}
	bitmap_clear(&t->changed);
}

void rearm_note_cut(struct cowarena *arena)
{
	struct pagetable *t = &arena->table;

	if (arena->rearm.to)
		bitmap_add(&t->changed, &t->dirty, NULL, t->dirty.bits);
}

void rearm_forget(struct cowarena *arena, const struct cowarena_snapshot *s)
{
	if (arena->rearm.to != s->id)
		return;
	arena->rearm.to = 0;
	bitmap_clear(&arena->table.changed);
}
