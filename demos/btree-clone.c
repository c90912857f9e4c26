/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btree-clone.c - clones a tree at once: by its nodes, and by the pages they lie in.
 *
 * google/btree clones a B-tree in O(1): the clone shares all nodes, and whoever writes to a shared
 * node copies it first. That takes a context in each node, and care in each function that writes
 * (btree-cow.c). Then the same algorithm (btree.c) runs without it: its nodes lie in an arena, the
 * clone is a snapshot, and pages are copied, of which the tree knows nothing.
 *
 * Both get the same writes while another thread has the clone. A sorted array tells what must be in
 * the tree, and a copy of the array what must be in the clone (btree-check.c).
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "btree.h"
#include "picture.h"
#include "report.h"

#define ROUNDS_MAX 99
#define CLUSTER 100 /* clustered: so many writes among as many keys, then elsewhere */

static uint64_t items = 1000000, writes = 10000, rounds = 5;

static uint64_t keys, *now, *then; /* what must be in the tree, and in the clone */

/* What is done to a tree after it is cloned. */
enum pattern { RANDOM, CLUSTERED, BOTH, PATTERNS, NO_CLONE = PATTERNS };
static const struct {
	const char *label, *heading;
} patterns[PATTERNS] = {
    {"random", "a clone, and random writes"},
    {"clustered", "a clone, and clustered writes"},
    {"both", "a clone, and random writes to both"},
};

enum measure { CLONE_NS, WRITE_NS, COPIED, BYTES, FAULTS, MEASURES };

/* Two ways to clone a tree --------------------------------------------------------------------- */

struct side {
	struct btree *tree, clone;
	void (*take)(struct side *, const char *label); /* the clone */
	void (*end)(struct side *);
	void (*count)(const struct side *, uint64_t *measures); /* since the beginning */
	uint64_t measured[PATTERNS + 1][MEASURES][ROUNDS_MAX];
};

static void contexts_take(struct side *side, const char *label)
{
	(void)label;
	btree_clone(side->tree, &side->clone);
}

static void contexts_end(struct side *side)
{
	btree_destroy(&side->clone);
}

static void contexts_count(const struct side *side, uint64_t *measures)
{
	measures[COPIED] = side->tree->copied + side->clone.copied;
	measures[BYTES] = side->tree->copied_bytes + side->clone.copied_bytes;
	measures[FAULTS] = 0;
}

static cowarena *arena;
static cowarena_snapshot *snapshot;
static cowarena_view *view;
static struct picture *picture;

static struct btree_node *arena_take_node(struct btree_store *store, bool leaf)
{
	struct btree_node *n = cowarena_alloc(arena, btree_node_size(leaf));

	(void)store;
	if (!n)
		die("no node: %s", cowarena_errmsg());
	return n;
}

static void arena_give_node(struct btree_store *store, struct btree_node *n)
{
	(void)store;
	cowarena_free(arena, n);
}

static void arena_take(struct side *side, const char *label)
{
	snapshot = picture_take(picture, arena, 0, label);
	view = snapshot ? cowarena_view_open(snapshot, 0) : NULL;
	if (!view)
		die("no clone: %s", cowarena_errmsg());
	/* The tree as it was. Its pointers are live addresses: btree_follow() translates them. */
	side->clone = *(struct btree *)cowarena_view_at(view, side->tree);
	side->clone.view = view;
}

static void arena_end(struct side *side)
{
	(void)side;
	if (cowarena_view_close(view))
		die("the clone was lost: %s", cowarena_errmsg());
	picture_release(picture, snapshot, "");
}

static void arena_count(const struct side *side, uint64_t *measures)
{
	struct cowarena_stats s = stats_of(arena);

	(void)side;
	measures[COPIED] = s.copied + s.copied_ahead + s.shadowed;
	measures[BYTES] = measures[COPIED] * (uint64_t)sysconf(_SC_PAGESIZE);
	measures[FAULTS] = s.faults;
}

/* Common to both ------------------------------------------------------------------------------- */

/* A thread with the clone: it may write to the clone, and reads it until the writes are done. */
struct guest {
	struct btree *clone;
	const struct btree_write *list;
	_Atomic bool written;
};

static void *use_clone(void *arg)
{
	struct guest *g = arg;

	if (g->list)
		btree_apply(g->clone, g->list, writes);
	for (bool last = false; !last;) {
		last = atomic_load(&g->written);
		btree_verify(g->clone, then, keys);
	}
	return NULL;
}

static void measure(struct side *side, enum pattern p, uint64_t round, struct btree_write *list)
{
	struct guest guest = {&side->clone, .list = p == BOTH ? list + writes : NULL};
	uint64_t before[MEASURES], after[MEASURES], seed = round * PATTERNS + p;
	pthread_t thread;

	memcpy(then, now, keys * sizeof *now);
	btree_plan(list, writes, now, keys, p == CLUSTERED ? CLUSTER : 1, seed);
	if (guest.list)
		btree_plan(list + writes, writes, then, keys, 1, ~seed);
	side->count(side, before);
	uint64_t t0 = now_ns();
	side->take(side, patterns[p].label);
	uint64_t t1 = now_ns();
	int e = pthread_create(&thread, NULL, use_clone, &guest);
	if (e)
		die("no thread: %s", strerror(e));
	uint64_t t2 = now_ns();
	btree_apply(side->tree, list, writes);
	uint64_t t3 = now_ns();
	atomic_store(&guest.written, true);
	pthread_join(thread, NULL);
	side->count(side, after);
	btree_verify(side->tree, now, keys);
	if (round == rounds - 1)
		picture_map(picture, patterns[p].heading);
	side->end(side);
	for (enum measure m = COPIED; m < MEASURES; m++)
		side->measured[p][m][round] = after[m] - before[m];
	side->measured[p][CLONE_NS][round] = t1 - t0;
	side->measured[p][WRITE_NS][round] = (t3 - t2) / writes;
}

static void run(struct side *side, enum pattern last)
{
	struct btree_write *list = allocate(2 * writes, sizeof *list);

	btree_fill(side->tree, items, now);
	for (uint64_t round = 0; round < rounds; round++) {
		btree_plan(list, writes, now, keys, 1, PATTERNS * rounds + round);
		uint64_t start = now_ns();
		btree_apply(side->tree, list, writes);
		side->measured[NO_CLONE][WRITE_NS][round] = (now_ns() - start) / writes;
	}
	if (side->take == arena_take)
		picture = picture_begin(arena);
	for (enum pattern p = 0; p <= last; p++)
		for (uint64_t round = 0; round < rounds; round++)
			measure(side, p, round, list);
	free(list);
}

/* The table ------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(const uint64_t *numbers)
{
	uint64_t sorted[ROUNDS_MAX];

	memcpy(sorted, numbers, rounds * sizeof *sorted);
	qsort(sorted, rounds, sizeof *sorted, by_number);
	return sorted[rounds / 2];
}

static void row(const char *what, struct human (*human)(uint64_t), const struct side *a,
		const struct side *b, enum pattern p, enum measure m)
{
	uint64_t x = median(a->measured[p][m]), y = median(b->measured[p][m]);

	printf("  %-30s %15s %15s", what, human(x).text, p == BOTH ? "-" : human(y).text);
	if (x && p != BOTH)
		printf(" %10.1f", (double)y / (double)x);
	putchar('\n');
}

static void print_table(const struct side *a, const struct side *b)
{
	printf("\n%-32s %15s %15s %10s\n", "", "node contexts", "arena pages", "ratio");
	row("a write, before any clone", human_time, a, b, NO_CLONE, WRITE_NS);
	for (enum pattern p = 0; p < PATTERNS; p++) {
		printf("%s\n", patterns[p].heading);
		row("to clone", human_time, a, b, p, CLONE_NS);
		row("a write", human_time, a, b, p, WRITE_NS);
		row("copies, of nodes or pages", human_count, a, b, p, COPIED);
		row("memory of the copies", human_bytes, a, b, p, BYTES);
		row("faults", human_count, a, b, p, FAULTS);
	}
}

static void finish(const struct side *contexts, const struct side *pages)
{
	char shared[60], copied[80];

	snprintf(shared, sizeof shared, "%s items by 2 trees", human_count(items).text);
	snprintf(copied, sizeof copied, "%s nodes, or %s pages",
		 human_count(median(contexts->measured[RANDOM][COPIED])).text,
		 human_count(median(pages->measured[RANDOM][COPIED])).text);
	picture_end(picture);
	report(shared, copied, stats_of(arena).faults,
	       "each tree and clone against a sorted array");
	cowarena_destroy(arena);
	free(now);
	free(then);
}

int main(int argc, char **argv)
{
	static const struct option_row rows[] = {
	    {"items", 'n', "N", "in the tree", .number = &items, 1000, 50000000, .small = 20000},
	    {"writes", 'w', "N", "after a clone", .number = &writes, 1, 10000000, .small = 500},
	    {"rounds", 'r', "N", "medians are shown", .number = &rounds, 1, ROUNDS_MAX, .small = 3},
	    {0},
	};
	static const struct demo demo = {
	    .about = "Clones a B-tree in O(1): by a context in each node, as google/btree does;\n"
		     "and as a snapshot of the arena that it lies in. The clone is read while the\n"
		     "original is written. Compares copies of nodes with copies of pages.",
	    .rows = rows,
	    .pages = true,
	};
	static struct side contexts = {
	    .take = contexts_take, .end = contexts_end, .count = contexts_count};
	static struct side pages = {.take = arena_take, .end = arena_end, .count = arena_count};
	struct btree_store store = {arena_take_node, arena_give_node};
	struct btree_freelist list;
	struct btree tree;

	demo_arguments(&demo, argc, argv);
	keys = 2 * items;
	now = allocate(keys, sizeof *now);
	then = allocate(keys, sizeof *then);
	arena = create_arena(demo_choice.engine, 0);
	printf("%s items, %s writes after each clone, medians of %s; engine %s\n",
	       human_count(items).text, human_count(writes).text, human_count(rounds).text,
	       cowarena_engine_name(arena));

	btree_freelist_init(&list);
	btree_init(&tree, &list.store, true);
	contexts.tree = &tree;
	run(&contexts, BOTH);
	btree_destroy(&tree);

	pages.tree = cowarena_alloc(arena, sizeof *pages.tree);
	if (!pages.tree)
		die("no tree: %s", cowarena_errmsg());
	btree_init(pages.tree, &store, false);
	run(&pages, CLUSTERED); /* the clone is a view of the past: it is for reading */

	print_table(&contexts, &pages);
	printf("\nThe trees of contexts needed %s nodes; the free list had %s of them.\n",
	       human_count(list.taken).text, human_count(list.reused).text);
	btree_freelist_destroy(&list);
	finish(&contexts, &pages);
	return EXIT_SUCCESS;
}
