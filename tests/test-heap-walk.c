/* SPDX-License-Identifier: BSD-2-Clause */
/* test-heap-walk.c - the heap seen from outside: walk, check, trim, and the callback for
   libraries. */
#include "config.h"

#include "common.h"
#include "heap-slabs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- walking ---- */

#define BLOCKS 300

struct tally {
	cowarena *arena;
	void *last;
	size_t n, bytes, stop_at;
	bool allocates;
};

static int count(void *ctx, void *p, size_t size)
{
	struct tally *t = ctx;

	ck_assert(p > t->last);
	t->last = p;
	t->bytes += size;
	if (t->allocates)
		ck_assert_ptr_nonnull(cowarena_alloc(t->arena, 100));
	return ++t->n == t->stop_at ? 42 : 0;
}

static size_t size_of(size_t i)
{
	return i % 10 ? 1 + i * 37 % 3000 : i * 1000;
}

START_TEST(walks)
{
	cowarena *arena = arena_case(_i);
	struct tally t = {.arena = arena};
	void *p[BLOCKS];

	ck_assert_int_eq(cowarena_heap_walk(arena, NULL, count, &t), 0);
	ck_assert_uint_eq(t.n, 0);
	for (size_t i = 0; i < BLOCKS; i++)
		p[i] = cowarena_alloc(arena, size_of(i));
	uint64_t bytes = stats_of(arena).live_bytes;
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (size_t i = 0; i < BLOCKS; i += 2)
		cowarena_free(arena, p[i]);

	t = (struct tally){.arena = arena};
	errno = 4711;
	ck_assert_int_eq(cowarena_heap_walk(arena, s, count, &t), 0);
	ck_assert_int_eq(errno, 4711);
	ck_assert_uint_eq(t.n, BLOCKS);
	ck_assert_uint_eq(t.bytes, bytes);
	t = (struct tally){.arena = arena};
	ck_assert_int_eq(cowarena_heap_walk(arena, NULL, count, &t), 0);
	ck_assert_uint_eq(t.n, BLOCKS / 2);
	ck_assert_uint_eq(t.bytes, stats_of(arena).live_bytes);
	/* It may end, and it may use the heap. */
	t = (struct tally){.arena = arena, .stop_at = 7};
	ck_assert_int_eq(cowarena_heap_walk(arena, s, count, &t), 42);
	ck_assert_uint_eq(t.n, 7);
	t = (struct tally){.arena = arena, .allocates = true};
	ck_assert_int_eq(cowarena_heap_walk(arena, NULL, count, &t), 0);
	ck_assert_uint_eq(t.n, BLOCKS / 2);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	ck_assert_int_eq(cowarena_heap_check(arena, s), 0);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(refusals)
{
	cowarena *arena = arena_case(_i), *other = arena_case(_i);
	cowarena_snapshot *s = take_snapshot(other, 0);

	ck_assert_int_eq(cowarena_heap_walk(NULL, NULL, count, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(cowarena_heap_walk(arena, NULL, NULL, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(cowarena_heap_walk(arena, s, count, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(cowarena_heap_check(NULL, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(cowarena_heap_check(arena, s), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "another arena"));
	ck_assert_uint_eq(cowarena_trim(NULL), 0);
	cowarena_destroy(arena);
	cowarena_destroy(other);
}
END_TEST

/* A snapshot that was given up has no heap any more; the live one has. */
START_TEST(given_up)
{
	struct cowarena_options o = case_options(_i);

	o.held_limit = 4 * page_size();
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	char *p = page_block(arena, 64);
	memset(p, 1, 64 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	if (_i == CASE_EAGER) { /* whose copy does not fit */
		ck_assert_ptr_null(s);
	} else {
		struct tally t = {.arena = arena};
		memset(p, 2, 64 * page_size());
		ck_assert_int_eq(cowarena_heap_walk(arena, s, count, &t), -1);
		ck_assert_int_eq(errno, ESTALE);
		ck_assert_uint_eq(t.n, 0);
		ck_assert_int_eq(cowarena_heap_check(arena, s), -1);
		ck_assert_int_eq(errno, ESTALE);
	}
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- damage ---- */

struct place {
	cowarena *arena;
	struct heap_header *header;
	char *slot, *big;
	struct unit *slab, *run; /* descriptors of theirs */
	struct unit *free;       /* of a free run */
	struct unit *wide;       /* of a slab of several units */
	struct unit *listed;     /* of a slab that has room, and is not taken from */
	struct shelf *shelf, *shelf_of_listed;
};

static void damage_vacant(struct place *p)
{
	p->slab->vacant++;
}

static void damage_bit(struct place *p)
{
	p->slab->used[0] ^= 4;
}

static void damage_owner(struct place *p)
{
	p->slab->owner = 9;
}

static void damage_kind(struct place *p)
{
	p->slab->kind = 250;
}

static void damage_length(struct place *p)
{
	p->run->length += 3;
}

static void damage_far(struct place *p)
{
	p->run->length = UINT32_MAX;
}

static void damage_list(struct place *p)
{
	p->free->next = 0x7fffffff;
}

static void damage_back(struct place *p)
{
	p->free->prev = 5;
}

static void damage_map(struct place *p)
{
	p->header->bin_map[1] ^= 1;
}

static void damage_all(struct place *p)
{
	memset(p->header, 0, UNIT_SIZE);
}

static void damage_top(struct place *p)
{
	p->header->top -= 1;
}

static void damage_top_far(struct place *p)
{
	p->header->top = UINT32_MAX;
}

static void damage_blocks(struct place *p)
{
	p->header->blocks = UINT32_MAX / 2;
}

static void damage_directory(struct place *p)
{
	p->header->directory[0] = UINT32_MAX;
}

static void damage_bytes(struct place *p)
{
	p->header->big_bytes -= 4096;
}

static void damage_locals(struct place *p)
{
	p->header->locals[3] = UINT32_MAX;
}

static void damage_slots(struct place *p)
{
	p->shelf->slots++;
}

static void damage_current(struct place *p)
{
	p->shelf->current = 0x7fffffff;
}

static void damage_shelf(struct place *p)
{
	p->shelf->first = p->shelf->last = p->shelf->current;
}

static void damage_apart(struct place *p)
{
	p->slab->used[p->shelf->word] ^= p->shelf->apart & -p->shelf->apart;
	p->slab->vacant++;
	p->shelf->vacant++;
}

static void damage_word(struct place *p)
{
	p->shelf->word = 1000;
}

/* More slots than the class has, and counted. */
static void damage_beyond(struct place *p)
{
	p->slab->used[SLAB_WORDS - 1] &= ~((uint64_t)1 << 63);
	p->slab->vacant++;
	p->shelf->vacant++;
}

static void damage_body(struct place *p)
{
	unit_set_kind(p->wide + 1, UNIT_BODY);
}

/* Two free runs, one after the other. */
static void damage_merge(struct place *p)
{
	uint32_t n = p->free->length, first = n / 2;

	p->free->length = p->free[first - 1].length = first;
	unit_set_kind(p->free + first - 1, UNIT_FREE_END);
	unit_set_kind(p->free + first, UNIT_FREE);
	p->free[first].length = p->free[n - 1].length = n - first;
}

static void damage_no_current(struct place *p)
{
	p->shelf->current = UNIT_NONE;
}

static void damage_listed(struct place *p)
{
	p->listed->prev = 5;
}

static void damage_last(struct place *p)
{
	p->shelf_of_listed->last = UNIT_NONE;
}

static void damage_forgotten(struct place *p)
{
	p->shelf_of_listed->first = p->shelf_of_listed->last = UNIT_NONE;
}

/* A slot set apart that lies behind the last one. */
static void damage_apart_beyond(struct place *p)
{
	p->shelf->word = SLAB_WORDS - 1;
	p->shelf->apart = (uint64_t)1 << 63;
}

static void damage_above(struct place *p)
{
	struct unit *d = heap_unit(p->arena, p->header->top + 3);

	d->kind = UNIT_FREE;
	d->length = 1u << 30;
}

static void damage_map_end(struct place *p)
{
	p->header->bin_map[BINS / 64] |= (uint64_t)1 << 63;
}

/* The list of the free run, in the place of another one. */
static void damage_bin(struct place *p)
{
	unsigned bin = runs_bin(p->free->length);

	p->header->bins[bin + 1] = p->header->bins[bin];
	p->header->bins[bin] = UNIT_NONE;
	p->header->bin_map[bin / 64] ^= (uint64_t)1 << (bin % 64);
	p->header->bin_map[(bin + 1) / 64] ^= (uint64_t)1 << ((bin + 1) % 64);
}

static void damage_root(struct place *p)
{
	p->header->root = p->arena->base + p->arena->reserved;
}

/* What lies there is no directory's. */
static void damage_spare(struct place *p)
{
	p->header->spare = (uint32_t)((size_t)(p->big - p->arena->base) >> UNIT_SHIFT);
	p->header->spares = 1;
}

/* A spare descriptor block that is not empty. */
static void damage_spare_content(struct place *p)
{
	if (p->header->spares)
		*((char *)heap_address(p->arena, p->header->spare) + 99) = 1;
	else
		damage_spare(p);
}

static void damage_spares(struct place *p)
{
	p->header->spares += 1;
}

/* A local heap that lies on descriptors. */
static void damage_twice(struct place *p)
{
	p->header->locals[LOCALS - 1] =
	    (uint32_t)heap_header_size(p->arena->reserved) >> UNIT_SHIFT;
}

/* Units of the heap's own that are for nothing. */
static void damage_lost(struct place *p)
{
	if (!p->header->spares)
		p->header->spares++;
	else
		p->header->spares--;
}

static void (*const damages[])(struct place *) = {
    damage_vacant,  damage_bit,     damage_owner,     damage_kind,         damage_length,
    damage_far,     damage_list,    damage_back,      damage_map,          damage_top,
    damage_top_far, damage_blocks,  damage_directory, damage_bytes,        damage_locals,
    damage_slots,   damage_current, damage_shelf,     damage_apart,        damage_word,
    damage_all,     damage_beyond,  damage_body,      damage_merge,        damage_no_current,
    damage_listed,  damage_last,    damage_forgotten, damage_apart_beyond, damage_spare,
    damage_above,   damage_map_end, damage_bin,       damage_root,         damage_spare_content,
    damage_spares,  damage_twice,   damage_lost,
};
#define DAMAGES (int)(sizeof damages / sizeof *damages)

static struct unit *descriptor(cowarena *arena, const char *p)
{
	return heap_unit(arena, (uint32_t)((size_t)(p - arena->base) >> UNIT_SHIFT));
}

static struct shelf *shelf_of(cowarena *arena, const char *p, size_t size)
{
	struct local_heap *local =
	    heap_address(arena, heap_header(arena)->locals[descriptor(arena, p)->owner]);

	return &local->shelf[slabs_class(size)];
}

/* A block in a slab of the class that is in the list: others are taken from. */
static char *listed_block(cowarena *arena, size_t size)
{
	char *p = cowarena_alloc(arena, size), *hole = cowarena_alloc(arena, size);

	for (size_t i = 0; i < 2 * SLAB_SLOTS_MAX; i++)
		ck_assert_ptr_nonnull(cowarena_alloc(arena, size));
	cowarena_free(arena, hole);
	return p;
}

static int count_any(void *ctx, void *p, size_t size)
{
	(void)p, (void)size;
	++*(size_t *)ctx;
	return 0;
}

/* The walk may not notice, but it does not stumble. */
static void walk_damaged(cowarena *arena, cowarena_snapshot *s, void (*damage)(struct place *))
{
	size_t n = 0;
	int result = cowarena_heap_walk(arena, s, count_any, &n);

	if (damage == damage_kind || damage == damage_far || damage == damage_all)
		ck_assert_int_eq(result, -1);
	if (result)
		ck_assert_int_eq(errno, EUCLEAN);
	else
		ck_assert_uint_gt(n, 0);
}

START_TEST(damage_is_found)
{
	struct place p = {.arena = arena_case(CASE_DEFAULT)};
	static char *hole;

	p.wide = descriptor(p.arena, cowarena_alloc(p.arena, 5000));
	char *listed = listed_block(p.arena, 600);
	p.slot = cowarena_alloc(p.arena, 40);
	p.big = cowarena_alloc(p.arena, 100000);
	hole = cowarena_alloc(p.arena, 200000);
	ck_assert_ptr_nonnull(cowarena_alloc(p.arena, 300000));
	cowarena_free(p.arena, hole);
	p.header = heap_header(p.arena);
	p.slab = descriptor(p.arena, p.slot);
	p.run = descriptor(p.arena, p.big);
	p.free = descriptor(p.arena, hole);
	p.listed = descriptor(p.arena, listed);
	p.shelf = shelf_of(p.arena, p.slot, 40);
	p.shelf_of_listed = shelf_of(p.arena, listed, 600);
	cowarena_snapshot *good = take_snapshot(p.arena, 0);
	ck_assert_msg(!cowarena_heap_check(p.arena, NULL), "%s", cowarena_errmsg());
	damages[_i](&p);
	for (int past = 0; past < 2; past++) {
		cowarena_snapshot *s = past ? take_snapshot(p.arena, 0) : NULL;
		ck_assert_int_eq(cowarena_heap_check(p.arena, s), -1);
		ck_assert_int_eq(errno, EUCLEAN);
		ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "damaged at 0x"));
		walk_damaged(p.arena, s, damages[_i]);
		cowarena_snapshot_release(s);
	}
	ck_assert_int_eq(cowarena_heap_check(p.arena, good), 0);
	ck_assert_int_eq(cowarena_rollback(p.arena, good), 0);
	ck_assert_msg(!cowarena_heap_check(p.arena, NULL), "%s", cowarena_errmsg());
	cowarena_destroy(p.arena);
}
END_TEST

/* ---- trimming ---- */

#define MIB ((size_t)1 << 20)

static size_t memory_of(const cowarena *arena)
{
	struct stat s;

	ck_assert_int_eq(fstat(arena->file.fd, &s), 0);
	return (size_t)s.st_blocks * 512;
}

START_TEST(trims)
{
	cowarena *arena = arena_case(_i);
	char *a = cowarena_alloc(arena, 3 * MIB / 2), *b = cowarena_alloc(arena, 3 * MIB / 2),
	     *c = cowarena_alloc(arena, 3 * MIB / 2);

	memset(a, 1, 3 * MIB / 2);
	memset(b, 2, 3 * MIB / 2);
	memset(c, 3, 3 * MIB / 2);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_free(arena, b);
	size_t before = memory_of(arena);
	/* The snapshot needs what was there, unless it has a copy. */
	errno = 4711;
	size_t trimmed = cowarena_trim(arena);
	ck_assert_int_eq(errno, 4711);
	ck_assert_int_eq(trimmed >= MIB, _i == CASE_EAGER);
	char seen[100];
	ck_assert_int_eq(cowarena_snapshot_read(s, seen, b + MIB, sizeof seen), 0);
	for (size_t i = 0; i < sizeof seen; i++)
		ck_assert_int_eq(seen[i], 2);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(b[MIB], 2);
	cowarena_free(arena, b);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	trimmed = cowarena_trim(arena);
	ck_assert_uint_ge(trimmed, MIB);
	ck_assert_uint_le(memory_of(arena), before - MIB);
	/* The neighbours are not touched, and the space is as good as new. */
	ck_assert_int_eq(a[3 * MIB / 2 - 1], 1);
	ck_assert_int_eq(c[0], 3);
	s = take_snapshot(arena, 0);
	char *again = cowarena_calloc(arena, 1, 3 * MIB / 2);
	ck_assert_ptr_eq(again, b);
	memset(again, 4, 3 * MIB / 2);
	ck_assert_int_eq(cowarena_snapshot_read(s, seen, b + MIB, sizeof seen), 0);
	for (size_t i = 0; i < sizeof seen; i++)
		ck_assert_int_eq(seen[i], 0);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	cowarena_destroy(arena);
}
END_TEST

/* A page at rest when the heap was rolled back to a snapshot, and trimmed afterwards. */
START_TEST(trimmed_between_rollbacks)
{
	cowarena *arena = arena_case(_i);
	size_t n = MIB;
	char *p = cowarena_alloc(arena, n);

	ck_assert_ptr_nonnull(cowarena_alloc(arena, 20000));
	memset(p, 1, n);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	for (int i = 2; i > 0; i--) { /* changed, and as it was */
		memset(p, i, n);
		cowarena_snapshot_release(take_snapshot(arena, 0));
	}
	for (int i = 0; i < 3; i++) { /* at rest */
		cowarena_snapshot_release(take_snapshot(arena, 0));
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	}
	cowarena_free(arena, p);
	cowarena_trim(arena);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t i = 0; i < n; i += 100)
		ck_assert_int_eq(p[i], 1);
	cowarena_destroy(arena);
}
END_TEST

/* Blocks of 2 MiB and more go when they are freed, but for faithful mode, in which nothing is
   done unasked. */
START_TEST(huge_blocks)
{
	cowarena *arena = arena_case(_i);
	char *p = cowarena_alloc(arena, 8 * MIB);
	bool at_once = !(case_options(_i).flags & COWARENA_FAITHFUL);

	memset(p, 1, 8 * MIB);
	ck_assert_ptr_nonnull(cowarena_alloc(arena, 20000));
	size_t before = memory_of(arena);
	cowarena_free(arena, p);
	ck_assert_int_eq(memory_of(arena) <= before - 7 * MIB, at_once);
	/* With a snapshot: what is newer than that. */
	p = cowarena_alloc(arena, 8 * MIB);
	memset(p, 1, 8 * MIB);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	memset(p, 2, 4 * MIB);
	before = memory_of(arena);
	cowarena_free(arena, p);
	if (at_once && _i != CASE_EAGER) {
		ck_assert_uint_le(memory_of(arena), before - 3 * MIB);
		ck_assert_uint_ge(memory_of(arena) + 5 * MIB, before);
	}
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	for (size_t i = 0; i < 8 * MIB; i += 1000)
		ck_assert_int_eq(p[i], 1);
	cowarena_destroy(arena);
}
END_TEST

/* ---- the callback ---- */

START_TEST(callback)
{
	cowarena *arena = arena_case(_i);

	ck_assert_ptr_null(cowarena_realloc_cb(arena, NULL, 0, 0));
	char *p = cowarena_realloc_cb(arena, NULL, 7, 100); /* 7: a kind of Lua's */
	ck_assert_ptr_nonnull(p);
	memset(p, 1, 100);
	p = cowarena_realloc_cb(arena, p, 100, 5000);
	ck_assert_int_eq(p[99], 1);
	p = cowarena_realloc_cb(arena, p, 5000, 10);
	ck_assert_int_eq(p[9], 1);
	ck_assert_ptr_null(cowarena_realloc_cb(arena, p, 10, (size_t)1 << 60));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_null(cowarena_realloc_cb(arena, p, 10, 0));
	ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
	cowarena_destroy(arena);
}
END_TEST

/* To make a block smaller does not fail where there is no room for a smaller one. */
START_TEST(shrinking)
{
	struct cowarena_options o = case_options(_i);
	char *p, *last = NULL;

	o.capacity = 4 * MIB;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	while ((p = cowarena_alloc(arena, 10000)))
		last = p;
	while (cowarena_alloc(arena, 16))
		;
	memset(last, 7, 16);
	ck_assert_ptr_null(cowarena_realloc(arena, last, 16));
	p = cowarena_realloc_cb(arena, last, 10000, 16);
	ck_assert_ptr_eq(p, last);
	ck_assert_int_eq(p[15], 7);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap from outside");
	TCase *walk = tcase_create("walk"), *trim = tcase_create("trim"),
	      *cb = tcase_create("callback");

	tcase_add_loop_test(walk, walks, 0, CASES);
	tcase_add_loop_test(walk, refusals, 0, CASES);
	tcase_add_loop_test(walk, given_up, 0, CASES);
	tcase_add_loop_test(walk, damage_is_found, 0, DAMAGES);
	suite_add_tcase(suite, walk);
	tcase_add_loop_test(trim, trims, 0, CASES);
	tcase_add_loop_test(trim, huge_blocks, 0, CASES);
	tcase_add_loop_test(trim, trimmed_between_rollbacks, 0, CASES);
	suite_add_tcase(suite, trim);
	tcase_add_loop_test(cb, callback, 0, CASES);
	tcase_add_loop_test(cb, shrinking, 0, CASES);
	suite_add_tcase(suite, cb);
	return run_suite(suite);
}
