/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-cycles.c - a long life: after many snapshots and releases the process has no more memory,
 * mappings and descriptors than after the first tenth of them.
 */
#include "config.h"

#include "common.h"

#include <stdio.h>
#include <time.h>

#define CHUNKS 3
#define PAGES_EAGER 100 /* instead: that engine copies the heap each time */
#define KEPT 5
#define PERIOD                                                                                     \
	500 /* cycles after which the same ones come again, so that no later one can need more */

struct life {
	cowarena *arena;
	char *p;
	size_t pages;
	cowarena_snapshot *kept[KEPT];
	uint64_t mark[KEPT]; /* what the marked page held */
	uint64_t next, random;
};

struct footprint {
	size_t resident, mappings, descriptors; /* resident: pages */
};

static uint64_t *marked(const struct life *life)
{
	return (void *)(life->p + life->pages / 2 * page_size());
}

/* Mostly scattered pages, sometimes a run of neighbours. */
static void write_some(struct life *life)
{
	size_t n = rng(&life->random) % 6, run = rng(&life->random) % 32 ? 0 : 40;
	size_t first = rng(&life->random) % (life->pages - run);

	*marked(life) = ++life->next;
	while (n--)
		life->p[rng(&life->random) % life->pages * page_size() + 64 + n]++;
	for (size_t i = 0; i < run; i++)
		life->p[(first + i) * page_size() + 128]++;
}

static _Noreturn void broken(const struct life *life, const char *what)
{
	ck_abort_msg("after %llu writes: %s (%s)", (unsigned long long)life->next, what,
		     cowarena_errmsg());
	abort();
}

static void look(struct life *life, size_t k)
{
	uint64_t seen, way = rng(&life->random) % 8;

	if (cowarena_snapshot_read(life->kept[k], &seen, marked(life), sizeof seen) ||
	    seen != life->mark[k])
		broken(life, "a snapshot has changed");
	if (way >= 2)
		return;
	cowarena_view *view = cowarena_view_open(life->kept[k], way ? COWARENA_VIEW_PRIVATE : 0);
	if (!view)
		broken(life, "no view");
	write_some(life); /* the view's pages become its own */
	uint64_t *at = cowarena_view_at(view, marked(life));
	if (*at != life->mark[k])
		broken(life, "a view has changed");
	if (way)
		*at = 0;
	if (cowarena_view_close(view))
		broken(life, "closing a view");
}

static void drop(struct life *life, size_t k)
{
	if (cowarena_snapshot_release(life->kept[k]))
		broken(life, "release");
	life->kept[k] = NULL;
}

static void cycle(struct life *life)
{
	/* Mostly one alive, sometimes several, released in any order. */
	size_t k = rng(&life->random) % 4 ? 0 : rng(&life->random) % KEPT;

	if (life->kept[k]) {
		look(life, k);
		if (rng(&life->random) % 16 == 0) {
			if (cowarena_rollback(life->arena, life->kept[k]) ||
			    *marked(life) != life->mark[k])
				broken(life, "rollback");
		}
		drop(life, k);
	}
	write_some(life);
	life->kept[k] = take_snapshot(life->arena, 0);
	if (!life->kept[k])
		broken(life, "no snapshot");
	life->mark[k] = *marked(life);
	write_some(life);
	if (rng(&life->random) % 64 == 0)
		for (k = 0; k < KEPT; k++)
			drop(life, k);
}

static size_t lines_of(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n = 0;

	ck_assert_ptr_nonnull(f);
	for (int c; (c = getc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Linux may count by processor, and then statm lags behind by up to 32 pages for each of them
   and each kind of memory. smaps_rollup is exact, where the system has it. */
static size_t resident_pages(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	size_t resident = 0, kib;
	char line[200];

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Rss: %zu kB", &kib) == 1)
			resident = kib * 1024 / page_size();
	if (f)
		fclose(f);
	if (resident)
		return resident;
	f = fopen("/proc/self/statm", "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%*u %zu", &resident), 1);
	fclose(f);
	return resident;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * What the process has when all snapshots are gone. What depends on chance is brought to one state:
 * which pages are armed (all), which chunks are cold, and which of the free frames have memory. A
 * frame, a mapping or a descriptor that has been lost stays lost by that.
 */
static struct footprint footprint_of(struct life *life)
{
	struct footprint now = {SIZE_MAX, SIZE_MAX, 0};

	for (size_t k = 0; k < KEPT; k++)
		drop(life, k);
	ck_assert_uint_eq(held_at_rest(life->arena), 0);
	for (size_t i = 0; i < life->pages; i++)
		life->p[i * page_size()]++;
	cowarena_snapshot_release(take_snapshot(life->arena, 0));
	now.descriptors = descriptors_now();
	for (int i = 0; i < 5; i++) {
		/* The helper may still be giving memory to frames. */
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		ck_assert_int_eq(cowarena_compact(life->arena), 0);
		now.resident = smaller(now.resident, resident_pages());
		now.mappings = smaller(now.mappings, lines_of("/proc/self/maps"));
	}
	return now;
}

/*
 * Where code is run for the first time the kernel maps 16 pages of its file at once: two such
 * places, which the first count did not know. (A page lost in each 170 cycles is more.) And a
 * mapping or two of malloc's.
 */
#define SLACK_PAGES 32
#define SLACK_MAPPINGS 2

static void compare(struct footprint early, struct footprint late)
{
	printf("%zu pages resident, then %zu; %zu mappings, then %zu; %zu descriptors, then %zu\n",
	       early.resident, late.resident, early.mappings, late.mappings, early.descriptors,
	       late.descriptors);
	ck_assert_uint_eq(late.descriptors, early.descriptors);
	if (scaled(0, 0, 1)) {
		printf("SKIP: the tool that this runs under has memory of its own\n");
		return;
	}
	ck_assert_uint_le(late.resident, early.resident + early.resident / 100 + SLACK_PAGES);
	ck_assert_uint_le(late.mappings, early.mappings + early.mappings / 100 + SLACK_MAPPINGS);
}

static const int kinds[] = {CASE_DEFAULT, CASE_UFFD, CASE_HYBRID, CASE_EAGER};
#define KINDS ((int)(sizeof kinds / sizeof *kinds))

START_TEST(nothing_grows)
{
	struct life life = {.arena = arena_case(kinds[_i])};
	size_t cycles = scaled(10000, 1000000, 2000);
	struct footprint early = {0};

	if (kinds[_i] == CASE_EAGER) {
		life.pages = PAGES_EAGER;
		life.p = page_block(life.arena, life.pages);
	} else {
		life.pages = CHUNKS * chunk_pages();
		life.p = chunk_block(life.arena, CHUNKS);
	}
	memset(life.p, 0, life.pages * page_size());
	for (size_t i = 0; i < cycles; i++) {
		if (i == cycles / 10) {
			footprint_of(&life); /* so that to look is nothing new */
			early = footprint_of(&life);
		}
		if (i % PERIOD == 0)
			life.random = 4711;
		cycle(&life);
	}
	struct footprint late = footprint_of(&life);
	printf("%s: %zu cycles, ", cowarena_engine_name(life.arena), cycles);
	compare(early, late);
	cowarena_destroy(life.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cycles");

	for (int i = 0; i < KINDS; i++) {
		TCase *tc = tcase_create(case_name(kinds[i]));
		tcase_add_loop_test(tc, nothing_grows, i, i + 1);
		suite_add_tcase(suite, tc);
	}
	return run_suite(suite);
}
