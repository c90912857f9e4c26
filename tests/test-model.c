/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-model.c - random schedules against a plain copy of the bytes.
 *
 * The model of the heap is an array of blocks, each with a copy of its bytes; the model of a
 * snapshot is a copy of that array. Whatever order the operations come in, the library must agree
 * with it.
 *
 * A failing run prints its seed: COWARENA_SEED=N replays it.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <stdio.h>

#define BLOCKS 48
#define SNAPSHOTS 12
#define VIEWS 4

struct block {
	char *live; /* NULL: none */
	char *copy;
	size_t size;
};

struct past {
	cowarena_snapshot *snapshot; /* NULL: none */
	struct block blocks[BLOCKS];
	int views;
};

struct seen {
	cowarena_view *view; /* NULL: none */
	int past;
	bool writable;
	char *copy; /* a private view's own idea of one block */
	int block;
};

struct model {
	cowarena *arena;
	size_t pages; /* how much the blocks may take together */
	size_t used;
	struct block blocks[BLOCKS];
	struct past pasts[SNAPSHOTS];
	struct seen views[VIEWS];
	uint64_t rng;
	uint64_t seed;
	size_t operation;
	unsigned shadow; /* COWARENA_QUIESCENT, or 0: some lives go without shadowed pages */
	int hot; /* writes prefer this block for a while, so that pages get hot and cold again */
};

static size_t below(struct model *m, size_t n)
{
	return rng(&m->rng) % n;
}

#define expect(m, condition)                                                                       \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("operation %zu of COWARENA_SEED=%llu: %s (%s)",               \
				     (m)->operation, (unsigned long long)(m)->seed, #condition,    \
				     cowarena_errmsg());                                           \
	} while (0)

static void copy_blocks(struct block *to, const struct block *from)
{
	for (int i = 0; i < BLOCKS; i++) {
		to[i] = from[i];
		if (from[i].live) {
			to[i].copy = malloc(from[i].size ? from[i].size : 1);
			memcpy(to[i].copy, from[i].copy, from[i].size);
		}
	}
}

static void free_blocks(struct block *blocks)
{
	for (int i = 0; i < BLOCKS; i++)
		if (blocks[i].live)
			free(blocks[i].copy);
}

static size_t some_size(struct model *m)
{
	size_t room = m->pages * page_size() - m->used;
	size_t size = 0;

	switch (below(m, 4)) {
	case 0:
		size = below(m, 200);
		break;
	case 1:
		size = below(m, 3 * page_size());
		break;
	case 2:
		size = page_size() * (1 + below(m, 8));
		break;
	case 3:
		size = below(m, m->pages * page_size() / 4 + 1);
		break;
	}
	return size < room ? size : room;
}

static int some_block(struct model *m)
{
	int i = (int)below(m, BLOCKS);

	for (int n = 0; n < BLOCKS; n++, i = (i + 1) % BLOCKS)
		if (m->blocks[i].live)
			return i;
	return -1;
}

/* ---- the operations ---- */

static void op_alloc(struct model *m)
{
	struct block *b = &m->blocks[below(m, BLOCKS)];

	if (b->live)
		return;
	size_t size = some_size(m);
	bool zeroed = below(m, 3) == 0;
	if (zeroed)
		b->live = cowarena_calloc(m->arena, 1, size);
	else if (below(m, 4) == 0)
		b->live = cowarena_aligned_alloc(m->arena, (size_t)1 << below(m, 15), size);
	else
		b->live = cowarena_alloc(m->arena, size);
	expect(m, b->live);
	b->size = size;
	b->copy = calloc(1, size ? size : 1);
	m->used += size;
	if (zeroed)
		expect(m, memcmp(b->live, b->copy, size) == 0);
	else
		memset(b->live, 0, size);
}

static void op_free(struct model *m)
{
	int i = some_block(m);

	if (i < 0)
		return;
	cowarena_free(m->arena, m->blocks[i].live);
	free(m->blocks[i].copy);
	m->used -= m->blocks[i].size;
	m->blocks[i] = (struct block){0};
}

static void op_realloc(struct model *m)
{
	int i = some_block(m);

	if (i < 0)
		return;
	struct block *b = &m->blocks[i];
	size_t old = b->size, size = some_size(m) + 1;
	b->live = cowarena_realloc(m->arena, b->live, size);
	expect(m, b->live);
	expect(m, memcmp(b->live, b->copy, old < size ? old : size) == 0);
	b->copy = realloc(b->copy, size);
	if (size > old) {
		memset(b->copy + old, 0, size - old);
		memset(b->live + old, 0, size - old);
	}
	m->used += size - old;
	b->size = size;
}

static void op_write(struct model *m)
{
	int i = m->hot >= 0 && m->blocks[m->hot].live && below(m, 4) ? m->hot : some_block(m);

	if (i < 0 || !m->blocks[i].size)
		return;
	struct block *b = &m->blocks[i];
	for (size_t n = 1 + below(m, 4); n; n--) {
		size_t at = below(m, b->size),
		       len = 1 + below(m, below(m, 8) ? 64 : 3 * page_size());
		if (len > b->size - at)
			len = b->size - at;
		char byte = (char)rng(&m->rng);
		memset(b->live + at, byte, len);
		memset(b->copy + at, byte, len);
	}
}

static void op_prepare(struct model *m)
{
	int i = some_block(m);

	if (i < 0 || !m->blocks[i].size)
		return;
	struct block *b = &m->blocks[i];
	size_t at = below(m, b->size);
	expect(m, cowarena_prepare_write(m->arena, b->live + at, below(m, b->size - at) + 1) == 0);
	expect(m, memcmp(b->live, b->copy, b->size) == 0);
}

static void op_hot(struct model *m)
{
	m->hot = below(m, 2) ? -1 : (int)below(m, BLOCKS);
}

static void op_snapshot(struct model *m)
{
	struct past *p = &m->pasts[below(m, SNAPSHOTS)];

	if (p->snapshot)
		return;
	p->snapshot = take_snapshot(m->arena, below(m, 2) ? m->shadow : 0);
	expect(m, p->snapshot);
	copy_blocks(p->blocks, m->blocks);
}

/* Chunks become huge mappings, and will be split again by writes. */
static void op_compact(struct model *m)
{
	expect(m, cowarena_compact(m->arena) == 0);
}

/* Snapshots with few writes between, so that chunks and pages cool down. */
static void op_rest(struct model *m)
{
	for (int i = 0; i < 10; i++) {
		cowarena_snapshot *s = take_snapshot(m->arena, m->shadow);
		expect(m, s);
		if (below(m, 3) == 0)
			op_write(m);
		expect(m, cowarena_snapshot_release(s) == 0);
	}
}

static struct past *some_past(struct model *m)
{
	size_t i = below(m, SNAPSHOTS);

	for (int n = 0; n < SNAPSHOTS; n++, i = (i + 1) % SNAPSHOTS)
		if (m->pasts[i].snapshot)
			return &m->pasts[i];
	return NULL;
}

static void op_release(struct model *m)
{
	struct past *p = some_past(m);

	if (!p)
		return;
	int result = cowarena_snapshot_release(p->snapshot);
	if (p->views) {
		expect(m, result == -1 && errno == EBUSY);
		return;
	}
	expect(m, result == 0);
	free_blocks(p->blocks);
	p->snapshot = NULL;
}

static void op_read(struct model *m)
{
	struct past *p = some_past(m);
	size_t i = below(m, BLOCKS);

	if (!p || !p->blocks[i].live || !p->blocks[i].size)
		return;
	struct block *b = &p->blocks[i];
	size_t at = below(m, b->size), len = below(m, b->size - at) + 1;
	char *bytes = malloc(len);
	expect(m, cowarena_snapshot_read(p->snapshot, bytes, b->live + at, len) == 0);
	expect(m, memcmp(bytes, b->copy + at, len) == 0);
	free(bytes);
}

static void close_view(struct model *m, struct seen *s)
{
	expect(m, cowarena_view_close(s->view) == 0);
	m->pasts[s->past].views--;
	free(s->copy);
	*s = (struct seen){0};
}

static void op_view(struct model *m)
{
	struct seen *s = &m->views[below(m, VIEWS)];

	if (s->view) {
		close_view(m, s);
		return;
	}
	struct past *p = some_past(m);
	if (!p)
		return;
	s->writable = below(m, 2);
	s->view = cowarena_view_open(p->snapshot, s->writable ? COWARENA_VIEW_PRIVATE : 0);
	expect(m, s->view);
	s->past = (int)(p - m->pasts);
	s->block = -1;
	p->views++;
}

/* Look at every block through a view; write to one if the view is private. */
static void op_look(struct model *m)
{
	struct seen *s = &m->views[below(m, VIEWS)];

	if (!s->view)
		return;
	struct block *blocks = m->pasts[s->past].blocks;
	for (int i = 0; i < BLOCKS; i++)
		if (blocks[i].live) {
			const char *expected = i == s->block ? s->copy : blocks[i].copy;
			const char *there = cowarena_view_at(s->view, blocks[i].live);
			expect(m, there);
			expect(m, memcmp(there, expected, blocks[i].size) == 0);
		}
	if (!s->writable)
		return;
	if (s->block < 0) {
		int i = (int)below(m, BLOCKS);
		if (!blocks[i].live || !blocks[i].size)
			return;
		s->block = i;
		s->copy = malloc(blocks[i].size);
		memcpy(s->copy, blocks[i].copy, blocks[i].size);
	}
	struct block *b = &blocks[s->block];
	size_t at = below(m, b->size);
	char *there = cowarena_view_at(s->view, b->live + at);
	*there = s->copy[at] = (char)rng(&m->rng);
}

struct walked {
	struct model *m;
	const struct block *blocks;
	int n;
};

static int find_walked(void *ctx, void *p, size_t size)
{
	struct walked *w = ctx;
	int i = 0;

	while (i < BLOCKS && w->blocks[i].live != p)
		i++;
	expect(w->m, i < BLOCKS && size >= w->blocks[i].size);
	w->n++;
	return 0;
}

/* The bookkeeping is sound, and knows these blocks and no others. */
static void check_heap(struct model *m, cowarena_snapshot *s, const struct block *blocks)
{
	struct walked w = {.m = m, .blocks = blocks};
	int live = 0;

	for (int i = 0; i < BLOCKS; i++)
		live += blocks[i].live != NULL;
	expect(m, cowarena_heap_check(m->arena, s) == 0);
	expect(m, cowarena_heap_walk(m->arena, s, find_walked, &w) == 0);
	expect(m, w.n == live);
}

static void op_trim(struct model *m)
{
	cowarena_trim(m->arena);
}

static void op_rollback(struct model *m)
{
	struct past *p = some_past(m);

	if (!p)
		return;
	expect(m, cowarena_rollback(m->arena, p->snapshot) == 0);
	free_blocks(m->blocks);
	copy_blocks(m->blocks, p->blocks);
	m->used = 0;
	for (int i = 0; i < BLOCKS; i++)
		m->used += m->blocks[i].live ? m->blocks[i].size : 0;
	check_heap(m, NULL, m->blocks);
}

/* What cowarena_diff() reported, to be compared with the blocks. */
struct reported {
	const char *run[4096];
	size_t len[4096];
	size_t n;
};

static int report(void *ctx, const void *start, size_t len)
{
	struct reported *r = ctx;

	if (r->n < 4096) {
		r->run[r->n] = start;
		r->len[r->n++] = len;
	}
	return 0;
}

static bool is_reported(const struct reported *r, const char *p)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (p < r->run[middle])
			high = middle;
		else if (p >= r->run[middle] + r->len[middle])
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/* Each byte of a block that is in both states is reported if it differs, and, byte-exact, only
   then. */
static void op_diff(struct model *m)
{
	struct past *a = some_past(m), *b = below(m, 3) ? some_past(m) : NULL;
	struct reported r = {.n = 0};
	unsigned flags = below(m, 2) ? COWARENA_DIFF_BYTES : 0;

	if (!a)
		return;
	if (b && cowarena_snapshot_id(b->snapshot) < cowarena_snapshot_id(a->snapshot)) {
		struct past *swap = a;
		a = b;
		b = swap;
	}
	expect(m, cowarena_diff_with(a->snapshot, b ? b->snapshot : NULL, flags, report, &r) == 0);
	if (r.n == 4096)
		return; /* more than was kept */
	const struct block *then = a->blocks, *now = b ? b->blocks : m->blocks;
	for (int i = 0; i < BLOCKS; i++) {
		if (!then[i].live || then[i].live != now[i].live)
			continue;
		size_t n = then[i].size < now[i].size ? then[i].size : now[i].size;
		for (size_t j = 0; j < n; j += 1 + j % 7) {
			bool differs = then[i].copy[j] != now[i].copy[j];
			bool told = is_reported(&r, then[i].live + j);
			expect(m, told || !differs);
			if (flags)
				expect(m, told == differs);
		}
	}
}

static void check_all(struct model *m)
{
	for (int i = 0; i < BLOCKS; i++)
		if (m->blocks[i].live) {
			expect(m, memcmp(m->blocks[i].live, m->blocks[i].copy, m->blocks[i].size) ==
				      0);
			expect(m, cowarena_usable_size(m->arena, m->blocks[i].live) >=
				      m->blocks[i].size);
		}
	check_heap(m, NULL, m->blocks);
	for (int s = 0; s < SNAPSHOTS; s++) {
		struct past *p = &m->pasts[s];
		if (!p->snapshot)
			continue;
		check_heap(m, p->snapshot, p->blocks);
		for (int i = 0; i < BLOCKS; i++)
			if (p->blocks[i].live && p->blocks[i].size) {
				char *bytes = malloc(p->blocks[i].size);
				expect(m,
				       cowarena_snapshot_read(p->snapshot, bytes, p->blocks[i].live,
							      p->blocks[i].size) == 0);
				expect(m, memcmp(bytes, p->blocks[i].copy, p->blocks[i].size) == 0);
				free(bytes);
			}
	}
}

static const struct {
	void (*run)(struct model *);
	unsigned weight;
} operations[] = {
    {op_write, 40},  {op_alloc, 14},  {op_free, 9},     {op_realloc, 4},
    {op_prepare, 2}, {op_hot, 1},     {op_snapshot, 8}, {op_release, 7},
    {op_read, 8},    {op_view, 3},    {op_look, 3},     {op_rollback, 2},
    {op_diff, 1},    {op_compact, 1}, {op_rest, 1},     {op_trim, 2},
};

static void step(struct model *m)
{
	unsigned total = 0;

	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		total += operations[i].weight;
	size_t pick = below(m, total);
	for (size_t i = 0;; i++) {
		if (pick < operations[i].weight) {
			operations[i].run(m);
			return;
		}
		pick -= operations[i].weight;
	}
}

/* One arena, from its creation to its end, with everything checked at the end and now and then. */
static void one_life(int kind, uint64_t seed, size_t pages, size_t count)
{
	struct model *m = calloc(1, sizeof *m);
	struct cowarena_options o = case_options(kind);

	/* Half of them with the helper thread, which compacts when it likes. */
	o.flags |= seed & 2 ? COWARENA_NO_HELPER : 0;
	/* Some under the library's own eyes too (the seed's higher bits are the size). */
	o.flags |= (seed >> 3) % 8 ? 0 : COWARENA_VERIFY;
	setenv("COWARENA_DEBUG", (seed >> 3) % 32 ? "0" : "1", 1);
	m->arena = cowarena_create(&o);
	expect(m, m->arena);
	m->shadow = seed & 4 ? COWARENA_QUIESCENT : 0;
	m->pages = pages;
	m->rng = m->seed = seed;
	m->hot = -1;
	for (m->operation = 0; m->operation < count; m->operation++) {
		step(m);
		if (m->operation % 1000 == 999)
			check_all(m);
	}
	check_all(m);
	for (int i = 0; i < VIEWS; i++)
		if (m->views[i].view)
			close_view(m, &m->views[i]);
	for (int i = 0; i < SNAPSHOTS; i++)
		if (m->pasts[i].snapshot) {
			expect(m, cowarena_snapshot_release(m->pasts[i].snapshot) == 0);
			free_blocks(m->pasts[i].blocks);
		}
	expect(m, held_at_rest(m->arena) == 0);
	for (int i = 0; i < BLOCKS; i++)
		if (m->blocks[i].live)
			cowarena_free(m->arena, m->blocks[i].live);
	expect(m, stats_of(m->arena).live_bytes == 0);
	free_blocks(m->blocks);
	cowarena_destroy(m->arena);
	free(m);
}

/* Arenas of 1 to 2,000 pages; 200,000 operations over all kinds, 10 million under stress. */
START_TEST(random_schedules)
{
	size_t left = scaled(25000, 3400000, 3000), length = 2500;
	uint64_t seed = seed_of_run((uint64_t)_i + 1);
	uint64_t sizes = seed;

	if (getenv("COWARENA_SEED")) { /* replay the one life that failed */
		one_life(_i, seed, (seed >> 8) % 2000 + 1, length);
		return;
	}
	while (left) {
		/* The seed tells the size, so that it alone replays the run. */
		uint64_t life = rng(&sizes) | 1;
		if (rng(&sizes) % 3 == 0) /* small ones often: borders matter most there */
			life &= ~(uint64_t)0xfffff00 | 0xf00;
		size_t n = left < length ? left : length;
		one_life(_i, life, (life >> 8) % 2000 + 1, n);
		left -= n;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model");
	TCase *tc = tcase_create("model");

	tcase_add_loop_test(tc, random_schedules, 0, CASES);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
