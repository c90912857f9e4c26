/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * three-ways.c - three ways to an exact snapshot of a table that goes on being served.
 *
 * A table of keys and values is one block of memory, to be saved as it is at one moment, the cut.
 * The saver reads it piece by piece, and between two pieces requests change the table: so what it
 * reads is a mixture of moments. That is way 0. The others are exact:
 *
 *	1. copy all of the table at the cut, and save the copy;
 *	2. copy nothing yet: copy all of the table when the first write comes;
 *	3. copy only the page that is written, when it is written: copy-on-write, here by an arena.
 *
 * For way 2, store(), which does all writes to the table, checks a flag. Way 3 needs no such thing.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "picture.h"
#include "report.h"

#define PIECES 128
#define ROUNDS 9 /* of each way */

static uint64_t mebibytes = 32, requests = 128, percent = 10;
static size_t size, slots, page;

/* The cost of one run of one way. */
static struct cost {
	uint64_t pause, total;  /* nanoseconds */
	uint64_t worst, writes; /* the slowest write, and all of them together */
	size_t first, worst_at; /* which request wrote first, and which was the slowest */
	size_t copied, faults;  /* bytes, traps */
	uint64_t got;           /* a sum of all values read */
} cost;

static struct slot {
	uint64_t version;
	char value[56];
} * table;

static char *saved;    /* what the saver has read: the file, so to speak */
static size_t serving; /* the number of the request, counted from the cut */

/* Ways 1 and 2: copy all ----------------------------------------------------------------------- */

static char *copy;
static bool watching;    /* way 2: the snapshot still shares all of the table */
static size_t copied_at; /* way 2: in which request; SIZE_MAX: not yet */

static void copy_all(void)
{
	copy = allocate(size, 1);
	memcpy(copy, table, size);
	cost.copied += size;
}

static void watch(void)
{
	watching = true;
}

static void first_write(void)
{
	watching = false;
	copied_at = serving;
	copy_all();
}

static void save_copy(size_t at, size_t n)
{
	memcpy(saved + at, (copy ? copy : (char *)table) + at, n);
}

static void drop_copy(void)
{
	free(copy);
	copy = NULL;
	watching = false;
}

/* Way 3: copy the page that is written --------------------------------------------------------- */

static cowarena *arena;
static cowarena_snapshot *snapshot;
static struct cowarena_stats before;
static struct picture *picture; /* of the last round */

static void protect_pages(void)
{
	before = stats_of(arena);
	snapshot = picture_take(picture, arena, 0, "cut");
	if (!snapshot)
		die("no snapshot: %s", cowarena_errmsg());
}

static void save_snapshot(size_t at, size_t n)
{
	if (cowarena_snapshot_read(snapshot, saved + at, (char *)table + at, n))
		die("the snapshot cannot be read: %s", cowarena_errmsg());
}

static void release_snapshot(void)
{
	struct cowarena_stats s = stats_of(arena);

	cost.copied = (s.copied + s.copied_ahead - before.copied - before.copied_ahead) * page;
	cost.faults = s.faults - before.faults;
	picture_map(picture, "the table's pages when the snapshot was saved");
	picture_release(picture, snapshot, "saved");
}

static const struct way {
	const char *name;
	void (*cut)(void);
	void (*save)(size_t at, size_t n);
	void (*end)(void);
} ways[] = {
    {"0 copy nothing: inexact", drop_copy, save_copy, drop_copy},
    {"1 copy all at the cut", copy_all, save_copy, drop_copy},
    {"2 copy all at the first write", watch, save_copy, drop_copy},
    {"3 copy the page that is written", protect_pages, save_snapshot, release_snapshot},
};
#define WAYS (sizeof ways / sizeof *ways)

/* The table and its requests ------------------------------------------------------------------- */

/* The multiplier is prime: so each key has a slot of its own, and neighbours lie far apart. */
static struct slot *slot_of(uint64_t key)
{
	return &table[key * 2654435761 % slots];
}

static void store(uint64_t key, uint64_t version)
{
	if (watching)
		first_write();
	struct slot *slot = slot_of(key);
	slot->version = version;
	memset(slot->value, 'a' + (int)(version % 26), sizeof slot->value);
}

/* Save the table as it is at the cut. */
static void fill(void)
{
	for (uint64_t key = 0; key < slots; key++)
		store(key, UINT64_MAX - key);
}

static void serve(void)
{
	/* Some keys are asked for much more often than others. */
	double u = (double)mix(2 * serving + 1) * 0x1p-64;
	uint64_t key = (uint64_t)((double)slots * u * u * u) % slots;

	if (mix(2 * serving + 2) % 100 >= percent) {
		cost.got += slot_of(key)->version;
		return;
	}
	uint64_t start = now_ns();
	store(key, serving + 1);
	uint64_t took = now_ns() - start;
	cost.first = cost.first < serving ? cost.first : serving;
	cost.writes += took;
	if (took > cost.worst) {
		cost.worst = took;
		cost.worst_at = serving;
	}
}

/* Run from the cut until the last piece is saved. */
static void run(const struct way *way)
{
	cost = (struct cost){.first = SIZE_MAX};
	copied_at = SIZE_MAX;
	memset(saved, 0, size);
	serving = 0;
	uint64_t start = now_ns();
	way->cut();
	cost.pause = now_ns() - start;
	for (size_t piece = 0; piece < PIECES; piece++) {
		for (size_t last = serving + requests; serving < last; serving++)
			serve();
		way->save(size / PIECES * piece, size / PIECES);
	}
	cost.total = now_ns() - start;
	way->end();
}

/* What is verified ----------------------------------------------------------------------------- */

/* The table at the cut, and after all requests, as it is without any of the ways. */
static void *at_cut, *at_end;
static uint64_t must_get;
static size_t inexact; /* pages that way 0 saved in a later state than the cut's */

static size_t pages_differing(const char *a, const char *b)
{
	size_t n = 0;

	for (size_t at = 0; at < size; at += page)
		n += memcmp(a + at, b + at, page) != 0;
	return n;
}

static void verify(size_t way)
{
	const size_t must_copy[] = {0, size, cost.first == SIZE_MAX ? 0 : size,
				    pages_differing(at_cut, at_end) * page};
	/* One page a fault: unless kernel mappings run short, or --engine eager, which is way 1. */
	bool each = strcmp(cowarena_engine_name(arena), "eager") && !stats_of(arena).copied_ahead;

	if (way && memcmp(saved, at_cut, size) != 0)
		die("way %zu: what was saved is not the table at the cut", way);
	if (memcmp(table, at_end, size) != 0 || cost.got != must_get)
		die("way %zu: the requests were not served as they are without a snapshot", way);
	if (way == 2 && copied_at != cost.first)
		die("way 2: it was not the first write that was noticed");
	if (cost.copied != must_copy[way] && (way < 3 || each))
		die("way %zu: %zu bytes were copied, not %zu", way, cost.copied, must_copy[way]);
}

static void keep_references(void)
{
	table = at_cut;
	fill();
	table = at_end;
	fill();
	run(&ways[0]);
	must_get = cost.got;
	inexact = pages_differing(saved, at_cut);
}

static struct cost best[WAYS]; /* of the round least disturbed by other programs */

static void run_all(void *plain, void *in_arena)
{
	for (size_t i = 0; i < WAYS * ROUNDS; i++) {
		size_t way = i % WAYS;
		table = way == 3 ? in_arena : plain;
		fill();
		if (i + 1 == WAYS * ROUNDS)
			picture = picture_begin(arena);
		run(&ways[way]);
		verify(way);
		if (i < WAYS || cost.worst < best[way].worst)
			best[way] = cost;
	}
}

static void print_costs(void)
{
	printf("%41s %12s %10s %11s %9s %9s\n", "pause", "worst write", "in request", "all writes",
	       "total", "copied");
	for (const struct cost *c = best; c < best + WAYS; c++)
		printf("%-31s %9s %12s %10s %11s %9s %9s\n", ways[c - best].name,
		       human_time(c->pause).text, human_time(c->worst).text,
		       c->writes ? human_count(c->worst_at).text : "-", human_time(c->writes).text,
		       human_time(c->total).text, human_bytes(c->copied).text);
	printf("\nWay 0 saved %s of %s pages as they were later than the cut.\n",
	       human_count(inexact).text, human_count(size / page).text);
}

int main(int argc, char **argv)
{
	static const struct option_row rows[] = {
	    {"size", 's', "MIB", "size of the table", &mebibytes, 1, 4096, .small = 2},
	    {"requests", 'r', "N", "served before each piece", &requests, 0, 100000, .small = 0},
	    {"writes", 'w', "PERCENT", "so many of them write", &percent, 0, 100, .small = 0},
	    {0},
	};
	static const struct demo demo = {"Saves a table that changes, exactly, in three ways.",
					 NULL, rows, true};

	demo_arguments(&demo, argc, argv);
	page = (size_t)sysconf(_SC_PAGESIZE);
	size = (size_t)mebibytes << 20;
	slots = size / sizeof(struct slot);
	saved = allocate(4, size);
	at_cut = saved + size;
	at_end = saved + 2 * size;
	arena = create_arena(demo_choice.engine, COWARENA_FAITHFUL); /* one page a fault */
	void *in_arena = cowarena_aligned_alloc(arena, page, size);
	if (!in_arena)
		die("no table in the arena: %s", cowarena_errmsg());
	keep_references();
	run_all(saved + 3 * size, in_arena);
	printf("A table of %s, saved in %d pieces; %s requests before each, %s %% of them writes.\n"
	       "Shown of %d rounds: the one whose worst write was the shortest.\n\n",
	       human_bytes(size).text, PIECES, human_count(requests).text,
	       human_count(percent).text, ROUNDS);
	print_costs();
	picture_end(picture);
	cowarena_destroy(arena);
	free(saved);
	report("a table in one block", human_bytes(best[3].copied).text, best[3].faults,
	       "3 snapshots equal to a copy kept from the cut");
	return EXIT_SUCCESS;
}
