/* SPDX-License-Identifier: BSD-2-Clause */
/* test-heap.c - the allocation functions: what they return, preserve and refuse. */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "heap-units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>

/* Larger than the size classes, in whole units, not a power of two. */
#define BIG ((size_t)48 << 10)

/* ---- blocks that are known by what is in them ---- */

struct block {
	unsigned char *p;
	size_t n;
	unsigned char tag;
};

/* Every byte near the ends, every 61st between: overlaps of blocks cannot hide from that. */
static size_t next_byte(size_t i, size_t n)
{
	return i < 512 || n - i <= 512 ? i + 1 : n - i < 512 + 61 ? n - 512 : i + 61;
}

static void fill(struct block b)
{
	for (size_t i = 0; i < b.n; i = next_byte(i, b.n))
		b.p[i] = (unsigned char)(b.tag + i);
}

/* Compares the first n bytes, through ck_abort only: a ck_assert a byte would take all day. */
static void verify(struct block b, size_t n, const char *when)
{
	for (size_t i = 0; i < n; i = next_byte(i, b.n))
		if (b.p[i] != (unsigned char)(b.tag + i))
			ck_abort_msg("%s: byte %zu of the block %p of %zu was changed", when, i,
				     (void *)b.p, b.n);
}

static struct block block_new(cowarena *arena, size_t size, unsigned char tag)
{
	struct block b = {cowarena_alloc(arena, size), 0, tag};

	if (!b.p)
		ck_abort_msg("cowarena_alloc(%zu): %s", size, cowarena_errmsg());
	if ((uintptr_t)b.p % 16)
		ck_abort_msg("%p is not aligned to 16", (void *)b.p);
	b.n = cowarena_usable_size(arena, b.p);
	if (b.n < size)
		ck_abort_msg("only %zu bytes of %zu are usable", b.n, size);
	return b;
}

/* ---- sizes and alignment ---- */

START_TEST(every_size)
{
	cowarena *arena = arena_case(_i);
	size_t step = scaled(1, 1, 23), n = 0;
	struct block *blocks = calloc(20001, sizeof *blocks);
	uint64_t usable = 0;

	for (size_t size = 0; size <= 20000; size += step, n++) {
		blocks[n] = block_new(arena, size, (unsigned char)(n * 7));
		fill(blocks[n]);
		usable += blocks[n].n;
		/* What the size classes promise: a fifth is lost at most; above them a unit. */
		size_t lost = size <= 128 ? 15 + !size : size <= SMALL_MAX ? blocks[n].n / 5 : 4095;
		if (blocks[n].n - size > lost)
			ck_abort_msg("%zu bytes take %zu", size, blocks[n].n);
	}
	ck_assert_uint_eq(stats_of(arena).live_bytes, usable);
	for (size_t i = 0; i < n; i++)
		verify(blocks[i], blocks[i].n, "all allocated");

	/* Every other one goes and comes back. */
	for (size_t i = 0; i < n; i += 2)
		cowarena_free(arena, blocks[i].p);
	for (size_t i = 1; i < n; i += 2)
		verify(blocks[i], blocks[i].n, "half freed");
	for (size_t i = 0; i < n; i += 2) {
		blocks[i] = block_new(arena, i * step, (unsigned char)(n * 3));
		fill(blocks[i]);
	}
	for (size_t i = 0; i < n; i++) {
		verify(blocks[i], blocks[i].n, "allocated again");
		cowarena_free(arena, blocks[i].p);
	}
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	free(blocks);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(alignments)
{
	static const size_t sizes[] = {0, 1, 17, 4096, 5000, 16384, 70000};
	struct cowarena_options o = case_options(_i);
	static struct block blocks[31 * 7]; /* Valgrind: small frames, or signals do not fit */
	size_t n = 0, most = scaled((size_t)1 << 30, (size_t)1 << 30, (size_t)1 << 25);

	o.capacity = (size_t)32 << 30;
	cowarena *arena = cowarena_create(&o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	for (size_t align = 1; align <= most; align *= 2)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			struct block b = {NULL, 0, (unsigned char)n};
			b.p = cowarena_aligned_alloc(arena, align, sizes[i]);
			ck_assert_msg(b.p != NULL, "%zu at %zu: %s", sizes[i], align,
				      cowarena_errmsg());
			ck_assert_uint_eq((uintptr_t)b.p % (align < 16 ? 16 : align), 0);
			b.n = cowarena_usable_size(arena, b.p);
			ck_assert_uint_ge(b.n, sizes[i]);
			fill(b);
			blocks[n++] = b;
		}
	ck_assert_uint_le(n, sizeof blocks / sizeof *blocks);
	for (size_t i = 0; i < n; i++)
		verify(blocks[i], blocks[i].n, "all allocated");
	for (size_t i = 0; i < n; i++)
		cowarena_free(arena, blocks[i].p);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(big_blocks)
{
	cowarena *arena = arena_case(_i);
	uint64_t seed = seed_of_run(11);
	struct block blocks[60];

	for (size_t i = 0; i < 60; i++) {
		size_t size = SMALL_MAX + 1 + rng(&seed) % ((size_t)1 << (15 + i % 7));
		blocks[i] = block_new(arena, size, (unsigned char)i);
		fill(blocks[i]);
		if (i % 3 == 2) {
			verify(blocks[i - 1], blocks[i - 1].n, "before it is freed");
			cowarena_free(arena, blocks[i - 1].p);
			blocks[i - 1].p = NULL;
		}
	}
	for (size_t i = 0; i < 60; i++)
		if (blocks[i].p) {
			verify(blocks[i], blocks[i].n, "at the end");
			cowarena_free(arena, blocks[i].p);
		}
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- realloc ---- */

static unsigned char *resized(cowarena *arena, struct block *b, size_t size)
{
	unsigned char *old = b->p;
	size_t kept = b->n < size ? b->n : size;

	b->p = cowarena_realloc(arena, old, size);
	ck_assert_msg(b->p != NULL, "cowarena_realloc(%zu): %s", size, cowarena_errmsg());
	ck_assert_uint_ge(cowarena_usable_size(arena, b->p), size);
	verify(*b, kept, "after cowarena_realloc");
	b->n = size;
	fill(*b);
	return old;
}

START_TEST(realloc_keeps_contents)
{
	static const size_t sizes[] = {1, 16, 17, 100, 2000, 16384, 16385, 100000, 3000000};
	cowarena *arena = arena_case(_i);
	size_t n = sizeof sizes / sizeof *sizes;

	for (size_t from = 0; from < n; from++)
		for (size_t to = 0; to < n; to++) {
			struct block b = {cowarena_realloc(arena, NULL, sizes[from]), sizes[from],
					  (unsigned char)(from * 16 + to)};
			ck_assert_ptr_nonnull(b.p);
			void *wall = cowarena_alloc(arena, sizes[from]);
			fill(b);
			resized(arena, &b, sizes[to]);
			resized(arena, &b, sizes[from]);
			cowarena_free(arena, wall);
			errno = 77;
			ck_assert_ptr_null(cowarena_realloc(arena, b.p, 0));
			ck_assert_int_eq(errno, 77);
		}
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

/* One unit more than the free neighbour has is no room. */
START_TEST(one_unit_too_far)
{
	cowarena *arena = arena_case(_i);
	char *a = cowarena_alloc(arena, 10 * UNIT_SIZE), *b = cowarena_alloc(arena, 8 * UNIT_SIZE),
	     *c = cowarena_alloc(arena, 10 * UNIT_SIZE);

	ck_assert_ptr_eq(b, a + 10 * UNIT_SIZE);
	ck_assert_ptr_eq(c, b + 8 * UNIT_SIZE);
	memset(c, 3, 10 * UNIT_SIZE);
	cowarena_free(arena, b);
	char *grown = cowarena_realloc(arena, a, 19 * UNIT_SIZE);
	ck_assert_ptr_ne(grown, a);
	memset(grown, 1, 19 * UNIT_SIZE);
	ck_assert_int_eq(c[0], 3);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(realloc_in_place)
{
	cowarena *arena = arena_case(_i);
	struct block a = block_new(arena, BIG, 1), b = block_new(arena, BIG, 2);

	fill(a), fill(b);
	/* At the top: grows and shrinks where it is. */
	ck_assert_ptr_eq(resized(arena, &b, 3 * BIG), b.p);
	ck_assert_ptr_eq(resized(arena, &b, BIG), b.p);
	ck_assert_ptr_eq(resized(arena, &b, 4 * BIG), b.p);
	/* Shrunk: what it gave is taken by who fits, and it cannot grow over that. */
	ck_assert_ptr_eq(resized(arena, &a, BIG / 2), a.p);
	unsigned char *end = a.p + cowarena_usable_size(arena, a.p);
	struct block c = block_new(arena, SMALL_MAX + 1, 3);
	fill(c);
	ck_assert_ptr_eq(c.p, end);
	ck_assert_ptr_ne(resized(arena, &a, BIG), a.p);
	/* Its place is free now, with c between: c grows into what follows it, up to b. */
	size_t room = (size_t)(b.p - c.p);
	ck_assert_uint_lt(c.n, room);
	ck_assert_ptr_eq(resized(arena, &c, room), c.p);
	ck_assert_ptr_ne(resized(arena, &c, room + 1), c.p);
	verify(a, a.n, "at the end"), verify(b, b.n, "at the end");
	/* Inside one size class nothing moves. */
	struct block d = block_new(arena, 100, 4);
	fill(d);
	ck_assert_ptr_eq(resized(arena, &d, 112), d.p);
	ck_assert_ptr_eq(resized(arena, &d, 97), d.p);

	/* A failure leaves the block as it was. */
	fill(a);
	errno = 0;
	ck_assert_ptr_null(cowarena_realloc(arena, a.p, (size_t)8 << 30));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_null(cowarena_realloc(arena, a.p, SIZE_MAX));
	ck_assert_ptr_null(cowarena_realloc(arena, d.p, SIZE_MAX));
	verify(a, a.n, "after a refusal"), verify(d, d.n, "after a refusal");
	uint64_t live = a.n + b.n + c.n + d.n;
	ck_assert_uint_ge(stats_of(arena).live_bytes, live);
	ck_assert_uint_lt(stats_of(arena).live_bytes, live + 3 * UNIT_SIZE + 32);
	cowarena_destroy(arena);
}
END_TEST

/* ---- calloc, strdup, and small things ---- */

static bool all_zero(const unsigned char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

START_TEST(calloc_zeroes)
{
	static const size_t sizes[] = {1, 24, 1000, 5000, 16384, 50000, 2500000};
	cowarena *arena = arena_case(_i);
	size_t count = sizeof sizes / sizeof *sizes;
	cowarena_snapshot *empty = take_snapshot(arena, 0);
	unsigned char *p[7];

	/* Round 0: fresh memory. 1: freed and dirty. 2: what a rollback took back, dirty, and
	   beyond everything that the heap remembers. */
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < count; i++) {
			p[i] = cowarena_calloc(arena, sizes[i] % 3 ? 1 : 3,
					       sizes[i] % 3 ? sizes[i] : sizes[i] / 3);
			ck_assert_ptr_nonnull(p[i]);
			ck_assert_msg(all_zero(p[i], sizes[i]), "round %d: %zu bytes", round,
				      sizes[i]);
			memset(p[i], 0xa5, cowarena_usable_size(arena, p[i]));
		}
		if (round == 0)
			for (size_t i = 0; i < count; i++)
				cowarena_free(arena, p[i]);
		else
			ck_assert_int_eq(cowarena_rollback(arena, empty), 0);
	}
	/* A block begins on used memory; what was never used is zero, and not touched to say so. */
	unsigned char *end = cowarena_alloc(arena, 100000);
	memset(end, 0xa5, 100000);
	struct cowarena_stats before = stats_of(arena);
	cowarena_free(arena, end);
	unsigned char *half = cowarena_calloc(arena, 1, 20000000);
	ck_assert_ptr_nonnull(half);
	ck_assert_uint_gt(stats_of(arena).arena_bytes, before.arena_bytes);
	ck_assert_uint_lt(stats_of(arena).zero - before.zero, 2000);
	ck_assert(all_zero(half, 20000000));
	ck_assert_ptr_nonnull(cowarena_calloc(arena, 0, 8));
	cowarena_destroy(arena);
}
END_TEST

START_TEST(small_things)
{
	cowarena *arena = arena_case(_i);
	char *s = cowarena_strdup(arena, "what the thunder said");
	int local;

	ck_assert_str_eq(s, "what the thunder said");
	ck_assert_str_eq(cowarena_strdup(arena, ""), "");
	/* Size 0 gives blocks of their own. */
	void *a = cowarena_alloc(arena, 0), *b = cowarena_alloc(arena, 0);
	ck_assert(a && b && a != b);
	ck_assert_uint_eq(cowarena_usable_size(arena, NULL), 0);
	errno = 77;
	cowarena_free(arena, NULL);
	cowarena_free(arena, a);
	ck_assert_int_eq(errno, 77);

	ck_assert(cowarena_contains(arena, s) && cowarena_contains(arena, s + 3));
	ck_assert(!cowarena_contains(arena, &local) && !cowarena_contains(arena, NULL));
	/* The part in use begins at the base, and has a last byte. */
	const char *base = arena->base;
	uint64_t n = stats_of(arena).arena_bytes;
	ck_assert(cowarena_contains(arena, base) && !cowarena_contains(arena, base - 1));
	ck_assert(cowarena_contains(arena, base + n - 1) && !cowarena_contains(arena, base + n));

	ck_assert_ptr_null(cowarena_root(arena));
	ck_assert_int_eq(cowarena_set_root(arena, s), 0);
	ck_assert_ptr_eq(cowarena_root(arena), s);
	ck_assert_int_eq(cowarena_set_root(arena, &local), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_eq(cowarena_root(arena), s);
	ck_assert_int_eq(cowarena_set_root(arena, NULL), 0);
	ck_assert_ptr_null(cowarena_root(arena));
	cowarena_destroy(arena);
}
END_TEST

/* ---- what cannot be had ---- */

static void refused(void *p, const char *what)
{
	ck_assert_msg(p == NULL && errno == ENOMEM, "%s: %p, errno %d", what, p, errno);
	ck_assert_msg(*cowarena_errmsg(), "%s: no message", what);
	errno = 0;
}

START_TEST(too_much)
{
	cowarena *arena = arena_case(_i);
	uint64_t before = stats_of(arena).arena_bytes;

	errno = 0;
	refused(cowarena_alloc(arena, SIZE_MAX), "SIZE_MAX");
	refused(cowarena_alloc(arena, SIZE_MAX - 4096), "SIZE_MAX - 4096");
	refused(cowarena_alloc(arena, SIZE_MAX / 2), "SIZE_MAX / 2");
	refused(cowarena_alloc(arena, (size_t)1 << 44), "16 TiB, 2^32 units");
	refused(cowarena_alloc(arena, (size_t)2 << 30), "2 GiB in an arena of 1");
	refused(cowarena_calloc(arena, SIZE_MAX / 2, 3), "overflow");
	refused(cowarena_calloc(arena, (size_t)1 << 32, (size_t)1 << 32), "overflow to 0");
	refused(cowarena_calloc(arena, 1, SIZE_MAX), "calloc SIZE_MAX");
	refused(cowarena_realloc(arena, NULL, SIZE_MAX), "realloc SIZE_MAX");
	for (size_t align = (size_t)1 << 47; align; align *= 2)
		refused(cowarena_aligned_alloc(arena, align, 1), "alignment beyond all addresses");
	refused(cowarena_aligned_alloc(arena, 16, SIZE_MAX), "aligned SIZE_MAX");
	refused(cowarena_aligned_alloc(arena, (size_t)1 << 63, SIZE_MAX), "both");
	/* A refusal costs nothing. */
	ck_assert_uint_eq(stats_of(arena).arena_bytes, before);
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	ck_assert_ptr_nonnull(cowarena_alloc(arena, 1));
	/* There may be a multiple of that in the arena, or not. */
	for (size_t align = (size_t)1 << 31; align < (size_t)1 << 47; align *= 2) {
		void *p = cowarena_aligned_alloc(arena, align, 1);
		ck_assert(p ? (uintptr_t)p % align == 0 : errno == ENOMEM);
		cowarena_free(arena, p);
	}
	cowarena_destroy(arena);
}
END_TEST

START_TEST(capacity)
{
	const size_t sizes[] = {1, 4096, ((size_t)1 << 20) + 1, CHUNK, 100000000, (size_t)1 << 30};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct cowarena_options o = case_options(_i);
		size_t got = 0;

		o.capacity = sizes[i];
		cowarena *arena = cowarena_create(&o);
		ck_assert_ptr_nonnull(arena);
		/* In one block ... */
		char *whole = cowarena_alloc(arena, sizes[i]);
		ck_assert_msg(whole != NULL, "%zu: %s", sizes[i], cowarena_errmsg());
		whole[0] = whole[sizes[i] - 1] = 1;
		cowarena_free(arena, whole);
		/* ... or in many; then it is full, says so, and goes on when something is freed. */
		void *p, *last = NULL;
		for (; (p = cowarena_alloc(arena, 65536)); last = p)
			got += 65536;
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_uint_ge(got + 65535, sizes[i]);
		if (last) {
			cowarena_free(arena, last);
			ck_assert_ptr_eq(cowarena_alloc(arena, 65536), last);
		}
		cowarena_destroy(arena);
	}
}
END_TEST

/* Where there is no room for a new slab, any slot will do, and nobody hears of the refusal. */
START_TEST(the_last_slots)
{
	struct cowarena_options o = case_options(_i);
	char *p, *block[3] = {NULL};
	size_t n = 0;

	o.capacity = CHUNK;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	for (; (p = cowarena_alloc(arena, 1000)); n++)
		if (n < 3000 && n % 1000 == 0)
			block[n / 1000] = p;
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_gt(n, 2000);
	for (size_t i = 0; i < 3 && block[i]; i++) {
		cowarena_free(arena, block[i]);
		errno = 4711;
		ck_assert_ptr_eq(cowarena_alloc(arena, 1000), block[i]);
		ck_assert_int_eq(errno, 4711);
	}
	ck_assert_ptr_null(cowarena_alloc(arena, 1000));
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- pointers that are no blocks ---- */

struct misuse {
	const char *name;
	const char *says; /* in the line */
	void *(*pointer)(cowarena *);
};

static char outside[64];

static void *foreign(cowarena *arena)
{
	(void)arena;
	return outside + 16;
}

static void *inside_small(cowarena *arena)
{
	return (char *)cowarena_alloc(arena, 64) + 16;
}

static void *inside_big(cowarena *arena)
{
	return (char *)cowarena_alloc(arena, BIG) + UNIT_SIZE;
}

/* Where slabs of several units were before. */
static void *inside_where_slabs_were(cowarena *arena)
{
	char *p[64], *big;

	for (int i = 0; i < 64; i++)
		p[i] = cowarena_alloc(arena, 12288);
	for (int i = 0; i < 64; i++)
		cowarena_free(arena, p[i]);
	big = cowarena_alloc(arena, (size_t)32 * 12288); /* the last slab has stayed */
	return p[20] > big && p[20] < big + 32 * 12288 ? p[20] + UNIT_SIZE : NULL;
}

static void *off_by_one(cowarena *arena)
{
	return (char *)cowarena_alloc(arena, BIG) + 1;
}

/* The second unit of a slab: in a slot, not at its start. */
static void *inside_slab(cowarena *arena)
{
	return (char *)cowarena_alloc(arena, 12288) + UNIT_SIZE;
}

static void *vacant_slot(cowarena *arena)
{
	return (char *)cowarena_alloc(arena, 64) + 64;
}

static void *freed_small(cowarena *arena)
{
	char *p = cowarena_alloc(arena, 64);

	cowarena_alloc(arena, 64);
	cowarena_free(arena, p);
	return p;
}

static void *freed_big(cowarena *arena)
{
	char *p = cowarena_alloc(arena, BIG);

	cowarena_alloc(arena, BIG);
	cowarena_free(arena, p);
	return p;
}

static void *freed_merged(cowarena *arena)
{
	char *p[3];

	for (int i = 0; i < 3; i++)
		p[i] = cowarena_alloc(arena, BIG);
	cowarena_alloc(arena, BIG);
	for (int i = 0; i < 3; i++)
		cowarena_free(arena, p[i]);
	return p[1];
}

static void *freed_top(cowarena *arena)
{
	char *p = cowarena_alloc(arena, BIG);

	cowarena_free(arena, p);
	return p;
}

static void *rolled_back(cowarena *arena)
{
	cowarena_snapshot *s = take_snapshot(arena, 0);
	char *p = cowarena_alloc(arena, BIG);

	cowarena_rollback(arena, s);
	return p;
}

static void *header(cowarena *arena)
{
	return arena->base;
}

static void *descriptors(cowarena *arena)
{
	return heap_unit(arena, 1);
}

static void *beyond(cowarena *arena)
{
	return arena->base + ((size_t)1 << 29);
}

static const struct misuse misuses[] = {
    {"foreign", "not belong", foreign},
    {"inside a small block", "inside a block", inside_small},
    {"inside a big block", "inside a block", inside_big},
    {"inside, where slabs were", "inside a block", inside_where_slabs_were},
    {"off by one", "inside a block", off_by_one},
    {"inside a slab's body", "inside a block", inside_slab},
    {"vacant slot", "never allocated", vacant_slot},
    {"small, freed", "freed already", freed_small},
    {"big, freed", "freed already", freed_big},
    {"big, freed and merged", "freed already", freed_merged},
    {"big, freed at the top", "freed already", freed_top},
    {"rolled back", "never allocated", rolled_back},
    {"the header", "bookkeeping", header},
    {"the descriptors", "bookkeeping", descriptors},
    {"beyond the heap", "not belong", beyond},
};
#define MISUSES (sizeof misuses / sizeof *misuses)

static const char *const abused[] = {"cowarena_free", "cowarena_realloc", "cowarena_usable_size"};

static void misuse(void *arg)
{
	int i = *(int *)arg;
	struct cowarena_options o = case_options(CASE_DEFAULT);
	cowarena *arena = cowarena_create(&o); /* here, as it would not have been inherited */
	void *p = misuses[i / 3].pointer(arena);

	if (i % 3 == 0)
		cowarena_free(arena, p);
	else if (i % 3 == 1)
		cowarena_realloc(arena, p, 100);
	else
		cowarena_usable_size(arena, p);
}

START_TEST(misuse_is_fatal)
{
	const struct misuse *m = &misuses[_i / 3];
	char *said, *line = NULL;
	int lines = 0;
	int status = in_child(misuse, &_i, &said);

	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %#x, \"%s\"",
		      m->name, status, said);
	for (char *at = strtok(said, "\n"); at; at = strtok(NULL, "\n"))
		if (strncmp(at, "==", 2)) { /* Valgrind's */
			line = at;
			lines++;
		}
	ck_assert_msg(lines == 1, "%s: %d lines", m->name, lines);
	ck_assert_msg(strncmp(line, "cowarena: ", 10) == 0, "%s", line);
	ck_assert_msg(strstr(line, abused[_i % 3]) && strstr(line, m->says), "%s: \"%s\"", m->name,
		      line);
	free(said);
}
END_TEST

/* ---- and snapshots ---- */

static struct {
	cowarena *arena;
	_Atomic bool done;
} taker;

static void *take_one(void *arg)
{
	(void)arg;
	cowarena_snapshot_release(take_snapshot(taker.arena, 0));
	atomic_store(&taker.done, true);
	return NULL;
}

/* No snapshot is taken while the heap is being changed. Too short a wait hides a fault, and
   accuses nobody. */
START_TEST(snapshots_wait_for_the_heap)
{
	pthread_t thread;

	taker.arena = arena_case(_i);
	heap_lock(taker.arena);
	ck_assert_int_eq(pthread_create(&thread, NULL, take_one, NULL), 0);
	for (int i = 0; i < 100 && !atomic_load(&taker.done); i++)
		os_nap();
	ck_assert(!atomic_load(&taker.done));
	heap_unlock(taker.arena);
	pthread_join(thread, NULL);
	cowarena_destroy(taker.arena);
}
END_TEST

/* The rest is in test-heap-churn.c. */

int main(void)
{
	Suite *suite = suite_create("heap");
	TCase *blocks = tcase_create("blocks"), *refusals = tcase_create("refusals");

	tcase_add_loop_test(blocks, every_size, 0, CASES);
	tcase_add_loop_test(blocks, alignments, 0, CASES);
	tcase_add_loop_test(blocks, big_blocks, 0, CASES);
	tcase_add_loop_test(blocks, realloc_keeps_contents, 0, CASES);
	tcase_add_loop_test(blocks, realloc_in_place, 0, CASES);
	tcase_add_loop_test(blocks, one_unit_too_far, 0, CASES);
	tcase_add_loop_test(blocks, calloc_zeroes, 0, CASES);
	tcase_add_loop_test(blocks, small_things, 0, CASES);
	tcase_add_loop_test(blocks, snapshots_wait_for_the_heap, 0, CASES);
	suite_add_tcase(suite, blocks);
	tcase_add_loop_test(refusals, too_much, 0, CASES);
	tcase_add_loop_test(refusals, capacity, 0, CASES);
	tcase_add_loop_test(refusals, the_last_slots, 0, CASES);
	tcase_add_loop_test(refusals, misuse_is_fatal, 0, 3 * (int)MISUSES);
	suite_add_tcase(suite, refusals);
	return run_suite(suite);
}
