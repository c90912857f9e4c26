/* SPDX-License-Identifier: BSD-2-Clause */
/* forkcow-arena.c - our side: the snapshots are the arena's, and its statistics tell what they
   cost. */
#include "config.h"

#include "forkcow.h"

cowarena *arena;
struct picture *picture;

static cowarena_snapshot *snapshots[DEPTH_MAX];
static struct cowarena_stats stats_before;

static uint64_t arena_take(struct side *side, size_t i)
{
	(void)side;
	snapshots[i] = picture_take(picture, arena, 0, i ? "B" : "A");
	if (!snapshots[i])
		die("no snapshot: %s", cowarena_errmsg());
	return stats_of(arena).pause_ns_last;
}

static uint64_t arena_release(struct side *side, size_t i)
{
	size_t size = side->plan->page_size;
	uint64_t hash = 0;
	char *page = allocate(1, size);

	for (size_t at = 0; at < side->plan->pages * size; at += size) {
		if (cowarena_snapshot_read(snapshots[i], page, side->base + at, size))
			die("snapshot: %s", cowarena_errmsg());
		hash = hash_bytes(hash, page, size);
	}
	free(page);
	picture_release(picture, snapshots[i], i ? "B gone" : "A gone");
	snapshots[i] = NULL;
	return hash;
}

struct marks {
	const struct side *side;
	unsigned char *pages;
};

static int mark(void *ctx, const void *start, size_t len)
{
	const struct marks *m = ctx;
	const struct side *side = m->side;
	size_t size = side->plan->page_size;

	/* The heap's own data may have changed too; it is not in the map. */
	for (const char *at = start; at < (const char *)start + len; at += size)
		if (at >= side->base && (size_t)(at - side->base) / size < side->plan->pages)
			m->pages[(size_t)(at - side->base) / size] = 1;
	return 0;
}

static void arena_separate(struct side *side, unsigned char *pages)
{
	bool eager = strcmp(cowarena_engine_name(arena), "eager") == 0;
	struct marks marks = {side, memset(pages, eager, side->plan->pages)};

	if (!eager && cowarena_diff(snapshots[snapshots[1] ? 1 : 0], NULL, mark, &marks))
		die("diff: %s", cowarena_errmsg());
}

static uint64_t arena_held(struct side *side)
{
	(void)side;
	return stats_of(arena).held_bytes;
}

/* Count from the last call on, so that the copies that engine eager makes when it takes a snapshot
   are included. */
static struct account arena_after(struct side *side)
{
	struct cowarena_stats s = stats_of(arena);

	(void)side;
	struct account a = {.faults = s.faults - stats_before.faults,
			    .copied = s.copied - stats_before.copied,
			    .reused = s.reused - stats_before.reused};
	stats_before = s;
	return a;
}

/* A snapshot that nobody needed. */
static void arena_drop(struct side *side, size_t round)
{
	struct extreme *e = &side->best;

	arena_after(side);
	e->take_ns[round] = arena_take(side, 0);
	e->held = arena_held(side);
	uint64_t start = now_ns();
	cowarena_snapshot_release(snapshots[0]);
	e->drop_ns[round] = now_ns() - start;
	snapshots[0] = NULL;
	e->counted = arena_after(side);
}

/* The child's memory is a writable view. The snapshot stays beside it, as a third party. */
static void arena_both(struct side *side, const struct round *r)
{
	const struct plan *plan = side->plan;
	struct extreme *e = &side->worst;
	size_t size = plan->pages * plan->page_size;

	arena_after(side);
	uint64_t start = now_ns();
	arena_take(side, 0);
	write_pages(plan, side->base, EVEN, r->parent_seed);
	cowarena_view *view = cowarena_view_open(snapshots[0], COWARENA_VIEW_PRIVATE);
	if (!view)
		die("no view: %s", cowarena_errmsg());
	char *child = cowarena_view_at(view, side->base);
	write_pages(plan, child, ALL, r->child_seed);
	write_pages(plan, side->base, ODD, r->parent_seed);
	e->cow_ns[r->number] = now_ns() - start;

	e->counted = arena_after(side);
	e->held = arena_held(side);
	if (hash_bytes(0, child, size) != r->child || hash_bytes(0, side->base, size) != r->parent)
		die("after the arena and the view were written, one does not hold what was "
		    "written");
	if (cowarena_view_close(view))
		die("view: %s", cowarena_errmsg());
	if (arena_release(side, 0) != r->before)
		die("after the arena and the view were written, the snapshot has changed");
}

const struct side_ops arena_ops = {
    .take = arena_take,
    .release = arena_release,
    .separate = arena_separate,
    .held = arena_held,
    .after = arena_after,
    .drop = arena_drop,
    .both = arena_both,
};
