/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-heap-churn.c - the heap over a long time: random calls, checked against a table outside the
 * arena, with and without snapshots and rollbacks in between; and which pages the calls dirty.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <stdio.h>

/* ---- the table: what should be in the heap ---- */

#define TABLE 600

struct block {
	unsigned char *p;
	size_t size; /* asked for */
	unsigned char tag;
};

struct table {
	struct block block[TABLE];
};

/* Large blocks are sampled: both ends, and a word in each KiB. */
static size_t next_byte(size_t i, size_t n)
{
	return i < 64 || i + 65 >= n ? i + 1 : i + 1024 < n - 64 ? i + 1024 : n - 64;
}

static void fill(const struct block *b)
{
	for (size_t i = 0; i < b->size; i = next_byte(i, b->size))
		b->p[i] = (unsigned char)(b->tag + i % 251);
}

static void verify(const struct block *b, size_t n)
{
	for (size_t i = 0; i < n; i = next_byte(i, b->size))
		if (b->p[i] != (unsigned char)(b->tag + i % 251))
			ck_abort_msg("byte %zu of the block %p of %zu is %#x", i, (void *)b->p,
				     b->size, b->p[i]);
}

static void verify_all(const struct table *t)
{
	for (int i = 0; i < TABLE; i++)
		if (t->block[i].p)
			verify(&t->block[i], t->block[i].size);
}

/* The block lies in the arena, is aligned, as large as asked for, and overlaps no other one. */
static void inspect(cowarena *arena, const struct table *t, const struct block *b, size_t align)
{
	size_t usable = cowarena_usable_size(arena, b->p);

	if ((uintptr_t)b->p % align || usable < b->size)
		ck_abort_msg("%p, %zu usable, for %zu bytes aligned to %zu", (void *)b->p, usable,
			     b->size, align);
	if (!cowarena_contains(arena, b->p) || !cowarena_contains(arena, b->p + usable - 1))
		ck_abort_msg("%p, of %zu, is not in the heap", (void *)b->p, usable);
	for (int i = 0; i < TABLE; i++) {
		const struct block *o = &t->block[i];
		if (o != b && o->p && o->p < b->p + usable && b->p < o->p + (o->size ? o->size : 1))
			ck_abort_msg("%p of %zu overlaps %p of %zu", (void *)b->p, usable,
				     (void *)o->p, o->size);
	}
}

/* The bookkeeping is sound, tells of as many bytes as there are, and of these blocks and no
   others (t: NULL if there are others). */
struct listed {
	const struct table *t;
	uint64_t bytes;
	int found;
};

static int list_block(void *ctx, void *p, size_t size)
{
	struct listed *l = ctx;
	int i = 0;

	while (l->t && i < TABLE && (void *)l->t->block[i].p != p)
		i++;
	if (i == TABLE)
		ck_abort_msg("%p, of %zu, is listed, and nobody's", p, size);
	l->bytes += size;
	l->found++;
	return 0;
}

static void inspect_heap(cowarena *arena, const struct table *t)
{
	struct cowarena_stats stats = {.sz = sizeof stats};
	struct listed l = {.t = t};
	int live = 0;

	ck_assert_msg(!cowarena_heap_check(arena, NULL), "%s", cowarena_errmsg());
	ck_assert_int_eq(cowarena_heap_walk(arena, NULL, list_block, &l), 0);
	for (int i = 0; t && i < TABLE; i++)
		live += t->block[i].p != NULL;
	ck_assert(!t || l.found == live);
	ck_assert_int_eq(cowarena_stats_get(arena, &stats), 0);
	ck_assert_uint_eq(stats.live_bytes, l.bytes);
}

/* Many small ones, of all classes, now and then a block of more than a descriptor block's units. */
static size_t random_size(uint64_t *seed, bool huge)
{
	uint64_t r = rng(seed);

	if (huge && r % 61 == 0)
		return rng(seed) % (5u << 20);
	if (r % 13 == 0)
		return rng(seed) % 200000;
	return rng(seed) % ((size_t)2 << r / 61 % 15);
}

/* One random call. */
static void step(cowarena *arena, struct table *t, uint64_t *seed, bool huge)
{
	struct block *b = &t->block[rng(seed) % TABLE];
	struct block was = *b;
	size_t align = 16;
	uint64_t what = rng(seed) % 8;

	if (b->p && what < 5) {
		verify(b, b->size);
		cowarena_free(arena, b->p);
		b->p = NULL;
		return;
	}
	b->size = random_size(seed, huge);
	b->tag = (unsigned char)rng(seed);
	if (b->p) {
		b->size += !b->size; /* 0 would free it */
		b->p = cowarena_realloc(arena, was.p, b->size);
	} else if (what == 0) {
		align = (size_t)16 << rng(seed) % 12;
		b->p = cowarena_aligned_alloc(arena, align, b->size);
	} else if (what == 1) {
		b->p = cowarena_calloc(arena, 1, b->size);
		for (size_t i = 0; b->p && i < b->size; i = next_byte(i, b->size))
			if (b->p[i])
				ck_abort_msg("calloc(%zu): byte %zu is %#x", b->size, i, b->p[i]);
	} else {
		b->p = cowarena_alloc(arena, b->size);
	}
	if (!b->p)
		ck_abort_msg("%zu bytes: %s", b->size, cowarena_errmsg());
	if (was.p) {
		was.p = b->p;
		verify(&was, was.size < b->size ? was.size : b->size);
	}
	inspect(arena, t, b, align);
	fill(b);
}

START_TEST(random_calls)
{
	cowarena *arena = arena_case(_i);
	struct table *t = calloc(1, sizeof *t);
	uint64_t seed = seed_of_run(20240601);
	size_t steps = scaled(100000, 2000000, 8000);

	for (size_t i = 0; i < steps; i++) {
		step(arena, t, &seed, false);
		if (i % 1000 == 0)
			inspect_heap(arena, t);
		if (i % 10000 == 0)
			verify_all(t);
	}
	uint64_t usable = 0;
	verify_all(t);
	for (int i = 0; i < TABLE; i++)
		usable += t->block[i].p ? cowarena_usable_size(arena, t->block[i].p) : 0;
	ck_assert_uint_eq(stats_of(arena).live_bytes, usable);
	for (int i = 0; i < TABLE; i++)
		cowarena_free(arena, t->block[i].p);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	free(t);
	cowarena_destroy(arena);
}
END_TEST

/* ---- with snapshots ---- */

#define SNAPSHOTS 5

struct past {
	cowarena_snapshot *snapshot;
	struct table table;
	uint64_t live_bytes;
};

/* What the snapshot says of a block is what the table of that time says. */
static void verify_past(const struct past *past, uint64_t *seed)
{
	const struct block *b = &past->table.block[rng(seed) % TABLE];

	if (!b->p || !b->size)
		return;
	struct block copy = {malloc(b->size), b->size, b->tag};
	if (cowarena_snapshot_read(past->snapshot, copy.p, b->p, b->size))
		ck_abort_msg("%s", cowarena_errmsg());
	verify(&copy, copy.size);
	free(copy.p);
}

/*
 * The heap's bookkeeping rolls back, the memory above the heap's old top does not: descriptors,
 * slabs and blocks of a future that never was are still there, and must not be taken for anything.
 */
START_TEST(random_calls_and_rollbacks)
{
	cowarena *arena = arena_case(_i);
	struct table *t = calloc(1, sizeof *t);
	struct past *pasts = calloc(SNAPSHOTS, sizeof *pasts);
	uint64_t seed = seed_of_run(42);
	size_t steps = _i == CASE_EAGER ? scaled(6000, 60000, 500) : scaled(25000, 800000, 2500);
	unsigned rollbacks = 0;

	for (size_t i = 0; i < steps; i++) {
		step(arena, t, &seed, true);
		if (rng(&seed) % 50)
			continue;
		struct past *past = &pasts[rng(&seed) % SNAPSHOTS];
		if (!past->snapshot) {
			past->snapshot = take_snapshot(arena, 0);
			ck_assert_msg(past->snapshot != NULL, "%s", cowarena_errmsg());
			past->table = *t;
			past->live_bytes = stats_of(arena).live_bytes;
			continue;
		}
		verify_past(past, &seed);
		if (rng(&seed) % 3 == 0) {
			ck_assert_int_eq(cowarena_snapshot_release(past->snapshot), 0);
			past->snapshot = NULL;
		} else {
			ck_assert_int_eq(cowarena_rollback(arena, past->snapshot), 0);
			*t = past->table;
			ck_assert_uint_eq(stats_of(arena).live_bytes, past->live_bytes);
			verify_all(t);
			inspect_heap(arena, t);
			rollbacks++;
		}
	}
	ck_assert_uint_gt(rollbacks, steps / 400);
	verify_all(t);
	for (int i = 0; i < TABLE; i++)
		cowarena_free(arena, t->block[i].p);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	free(t), free(pasts);
	cowarena_destroy(arena);
}
END_TEST

/* A future of big blocks full of noise, then a rollback, then a present of small ones, and back. */
START_TEST(stale_bookkeeping)
{
	cowarena *arena = arena_case(_i);
	uint64_t seed = seed_of_run(7);
	static struct block kept[200];
	struct table *t = calloc(1, sizeof *t);

	for (int round = 0; round < (int)scaled(40, 400, 6); round++) {
		/* Something that stays, so that every round begins elsewhere. */
		kept[round % 200] = (struct block){NULL, random_size(&seed, false), 9};
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(s);
		for (int i = 0; i < 12; i++) {
			size_t n = (size_t)1 << (16 + rng(&seed) % 7);
			unsigned char *p = cowarena_alloc(arena, n);
			ck_assert_ptr_nonnull(p);
			/* Looks like descriptors of all kinds, wherever those will come to lie. */
			for (size_t at = 0; at < n; at += sizeof(struct unit)) {
				struct unit *u = (struct unit *)(p + at);
				u->kind = (uint8_t)(rng(&seed) % (UNIT_SLAB + CLASSES));
				u->length = (uint32_t)(rng(&seed) % 5);
			}
			if (rng(&seed) % 2)
				cowarena_free(arena, p);
		}
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		memset(t, 0, sizeof *t);
		for (int i = 0; i < 400; i++)
			step(arena, t, &seed, round % 2);
		verify_all(t);
		inspect_heap(arena, NULL);
		for (int i = 0; i < TABLE; i++)
			cowarena_free(arena, t->block[i].p);
		inspect_heap(arena, NULL);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
		struct block *k = &kept[round % 200];
		k->p = cowarena_alloc(arena, k->size);
		ck_assert_ptr_nonnull(k->p);
		fill(k);
		for (int i = 0; i <= round && i < 200; i++)
			verify(&kept[i], kept[i].size);
	}
	free(t);
	cowarena_destroy(arena);
}
END_TEST

/* Nothing outside the arena plays a part: what is rolled back happens again. */
START_TEST(deterministic)
{
	cowarena *arena = arena_case(_i);
	uint64_t seed = seed_of_run(3);
	struct table *t = calloc(1, sizeof *t), *start = malloc(sizeof *start);
	struct table *first = malloc(sizeof *first);

	for (int i = 0; i < 3000; i++)
		step(arena, t, &seed, false);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	*start = *t;
	uint64_t seed_then = seed;
	for (int run = 0; run < 4; run++) {
		for (int i = 0; i < 3000; i++)
			step(arena, t, &seed, true);
		if (run == 0)
			*first = *t;
		else
			for (int i = 0; i < TABLE; i++)
				if (t->block[i].p != first->block[i].p)
					ck_abort_msg("block %d: %p, was %p in the first run", i,
						     (void *)t->block[i].p,
						     (void *)first->block[i].p);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		*t = *start;
		/* Something else in between, that is rolled back too. */
		for (int i = 0; i < 500 * run; i++)
			step(arena, t, &seed, true);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		*t = *start;
		seed = seed_then;
	}
	free(t), free(start), free(first);
	cowarena_destroy(arena);
}
END_TEST

/* ---- which pages are touched ---- */

static bool page_written(const cowarena *arena, const void *p)
{
	return bitmap_test(&arena->table.dirty, arena_page(arena, p));
}

struct seen {
	const struct table *table;
	size_t pages, bookkeeping;
	size_t page;
};

static int see(void *ctx, const void *start, size_t len)
{
	struct seen *s = ctx;

	for (const unsigned char *p = start; len; p += s->page, len -= s->page) {
		bool user = false;
		for (int i = 0; i < TABLE && !user; i++) {
			const struct block *b = &s->table->block[i];
			user = b->p < p + s->page && p < b->p + b->size;
		}
		s->pages += user;
		s->bookkeeping += !user;
	}
	return 0;
}

/*
 * The bookkeeping lies neither in nor beside the blocks: freeing and allocating changes pages of
 * descriptors only. Faithful mode, where whatever was written is known page by page.
 */
START_TEST(blocks_are_not_touched)
{
	static const size_t sizes[] = {16, 48, 500, 2048, 9000, 20000, 70000};
	cowarena *arena = arena_case(CASE_FAITHFUL);
	struct table *t = calloc(1, sizeof *t);
	uint64_t seed = seed_of_run(5);

	for (int i = 0; i < TABLE; i++) {
		struct block *b = &t->block[i];
		*b = (struct block){NULL, sizes[i % 7], (unsigned char)i};
		b->p = cowarena_alloc(arena, b->size);
		ck_assert_ptr_nonnull(b->p);
		fill(b);
	}
	cowarena_snapshot *s = take_snapshot(arena, 0);
	uint64_t faults = stats_of(arena).faults;
	bool gone[TABLE] = {false};

	for (int i = 0; i < TABLE; i++)
		if (rng(&seed) % 2) {
			cowarena_free(arena, t->block[i].p);
			gone[i] = true;
		}
	/* The same sizes again, written by nobody; and some resized in place. */
	for (int i = 0; i < TABLE; i++)
		if (gone[i] && rng(&seed) % 4)
			ck_assert_ptr_nonnull(cowarena_alloc(arena, t->block[i].size));
		else if (!gone[i] && t->block[i].size == 70000)
			ck_assert_ptr_eq(cowarena_realloc(arena, t->block[i].p, 66000),
					 t->block[i].p);

	for (int i = 0; i < TABLE; i++)
		for (size_t at = 0; at < t->block[i].size; at += page_size())
			ck_assert_msg(!page_written(arena, t->block[i].p + at),
				      "the page at byte %zu of a block of %zu was written", at,
				      t->block[i].size);
	struct seen seen = {.table = t, .page = page_size()};
	ck_assert_int_eq(cowarena_diff(s, NULL, see, &seen), 0);
	ck_assert_uint_eq(seen.pages, 0);
	ck_assert_uint_gt(seen.bookkeeping, 0); /* or the test sees nothing at all */
	ck_assert_uint_le(stats_of(arena).faults - faults,
			  arena->pages / 64 + 3); /* 1.2 % descriptors, and the header */
	/* That written pages are noticed: */
	int left = 0;
	while (gone[left])
		left++;
	*t->block[left].p = 1;
	ck_assert(page_written(arena, t->block[left].p));
	free(t);
	cowarena_destroy(arena);
}
END_TEST

/* ---- space ---- */

/* One block at the top that grows far beyond the descriptors there are, like a buffer, and
   shrinks. */
START_TEST(growing_buffer)
{
	cowarena *arena = arena_case(_i);
	struct block b = {cowarena_alloc(arena, 20000), 20000, 3};

	fill(&b);
	for (size_t step = 50000; step < 20000000; step += step / 2) {
		for (int shrink = 0; shrink < 2; shrink++) {
			size_t size = shrink ? b.size / 10 * 9 : b.size + step;
			b.p = cowarena_realloc(arena, b.p, size);
			ck_assert_ptr_nonnull(b.p);
			verify(&b, size < b.size ? size : b.size);
			b.size = size;
			fill(&b);
			inspect_heap(arena, NULL);
		}
	}
	cowarena_free(arena, b.p);
	inspect_heap(arena, NULL);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(space_comes_back)
{
	cowarena *arena = arena_case(_i);
	uint64_t seed = seed_of_run(99), most = 0;
	void *p[300];

	for (int round = 0; round < (int)scaled(300, 3000, 30); round++) {
		/* Another size in each round, the same amount in all of them. */
		size_t size = round % 3 == 0   ? 16 + rng(&seed) % 2000
			      : round % 3 == 1 ? 20000 + rng(&seed) % 10000
					       : 100000;
		for (int i = 0; i < 300; i++)
			ck_assert_ptr_nonnull(p[i] = cowarena_alloc(arena, size));
		inspect_heap(arena, NULL);
		for (int i = 300; i > 0; i--) {
			int at = (int)(rng(&seed) % (unsigned)i);
			cowarena_free(arena, p[at]);
			p[at] = p[i - 1];
		}
		if (round == 2)
			most = stats_of(arena).arena_bytes;
	}
	/* One slab of each class may stay, wherever it lies: a little, once. */
	ck_assert_uint_le(stats_of(arena).arena_bytes, most + most / 10);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	/* And all of it is one piece again. */
	ck_assert_ptr_nonnull(cowarena_alloc(arena, (size_t)1000 << 20));
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap over time");
	TCase *random = tcase_create("random"), *pages = tcase_create("pages and space");

	tcase_add_loop_test(random, random_calls, 0, CASES);
	tcase_add_loop_test(random, random_calls_and_rollbacks, 0, CASES);
	tcase_add_loop_test(random, stale_bookkeeping, 0, CASES);
	tcase_add_loop_test(random, deterministic, 0, CASES);
	suite_add_tcase(suite, random);
	tcase_add_test(pages, blocks_are_not_touched);
	tcase_add_loop_test(pages, growing_buffer, 0, CASES);
	tcase_add_loop_test(pages, space_comes_back, 0, CASES);
	suite_add_tcase(suite, pages);
	return run_suite(suite);
}
