/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-hybrid-compact.c - compaction changes no byte of the heap or of a snapshot, whenever it
 * comes.
 *
 * A schedule of random operations on a few chunks, checked against a plain table of the contents of
 * each page. Most operations write runs of pages, as real programs do, so that chunks become cold,
 * open, or mixed. (test-model.c checks everything else against such a table, but with less than a
 * chunk.)
 */
#include "config.h"

#include "common.h"

#include <stdio.h>

#define CHUNKS 5
#define SNAPSHOTS 5

struct past {
	cowarena_snapshot *snap;
	cowarena_view *view;
	bool private;
	uint32_t *pages;
};

struct world {
	cowarena *arena;
	char *p;
	size_t n;        /* pages */
	uint32_t *pages; /* what each holds, in its first and last word */
	uint32_t last;   /* value written */
	uint64_t rng;
	struct past past[SNAPSHOTS];
};

static size_t draw(struct world *w, size_t below)
{
	return rng(&w->rng) % below;
}

static uint32_t *first_word(char *base, size_t page)
{
	return (uint32_t *)(base + page * page_size());
}

static uint32_t *last_word(char *base, size_t page)
{
	return first_word(base, page + 1) - 1;
}

static void check_page(struct world *w, char *base, size_t page, uint32_t want, const char *what)
{
	(void)w;
	if (*first_word(base, page) != want || *last_word(base, page) != want)
		ck_abort_msg("%s, page %zu: %u and %u, not %u", what, page, *first_word(base, page),
			     *last_word(base, page), want);
}

static void check_live(struct world *w)
{
	for (size_t i = 0; i < w->n; i++)
		check_page(w, w->p, i, w->pages[i], "heap");
}

static void check_past(struct world *w, struct past *past, size_t step)
{
	uint32_t seen;

	for (size_t i = draw(w, step); i < w->n; i += step) {
		for (int end = 0; end < 2; end++) {
			uint32_t *at = end ? last_word(w->p, i) : first_word(w->p, i);
			if (cowarena_snapshot_read(past->snap, &seen, at, sizeof seen))
				ck_abort_msg("%s", cowarena_errmsg());
			if (seen != past->pages[i])
				ck_abort_msg("snapshot %llu, page %zu: %u, not %u",
					     (unsigned long long)cowarena_snapshot_id(past->snap),
					     i, seen, past->pages[i]);
		}
		if (past->view)
			check_page(w, cowarena_view_at(past->view, w->p), i, past->pages[i],
				   past->private ? "private view" : "view");
	}
}

static void close_view(struct past *past)
{
	ck_assert_int_eq(cowarena_view_close(past->view), 0);
	past->view = NULL;
}

static void forget(struct world *w, struct past *past)
{
	check_past(w, past, 1);
	close_view(past);
	ck_assert_int_eq(cowarena_snapshot_release(past->snap), 0);
	past->snap = NULL;
}

static void write_page(struct world *w, size_t page)
{
	w->pages[page] = ++w->last;
	*first_word(w->p, page) = w->last;
	*last_word(w->p, page) = w->last;
}

/* ---- operations ---- */

static void op_take(struct world *w)
{
	struct past *past = &w->past[draw(w, SNAPSHOTS)];

	if (past->snap)
		forget(w, past);
	past->snap = take_snapshot(w->arena, draw(w, 2) ? COWARENA_QUIESCENT : 0);
	ck_assert_msg(past->snap != NULL, "%s", cowarena_errmsg());
	memcpy(past->pages, w->pages, w->n * sizeof *w->pages);
}

static void op_scatter(struct world *w)
{
	for (size_t i = draw(w, 30); i-- > 0;)
		write_page(w, draw(w, w->n));
}

/* In order, from anywhere, also over borders of chunks. */
static void op_walk(struct world *w)
{
	size_t from = draw(w, w->n), n = draw(w, chunk_pages() * 3 / 2);

	for (size_t i = from; i < from + n && i < w->n; i++)
		write_page(w, i);
}

/* All of a chunk, or all but a page. */
static void op_fill_chunk(struct world *w)
{
	size_t first = draw(w, CHUNKS) * chunk_pages(), start = draw(w, chunk_pages());

	for (size_t i = draw(w, 2); i < chunk_pages(); i++)
		write_page(w, first + (start + i * 7) % chunk_pages());
}

/* The same pages each time: they become hot. */
static void op_beat(struct world *w)
{
	for (size_t i = 3; i < w->n; i += 61)
		write_page(w, i);
}

static void op_prepare(struct world *w)
{
	size_t from = draw(w, w->n), n = draw(w, w->n - from) + 1;

	ck_assert_int_eq(cowarena_prepare_write(w->arena, first_word(w->p, from), n * page_size()),
			 0);
	write_page(w, from + n - 1);
}

static void op_compact(struct world *w)
{
	ck_assert_int_eq(cowarena_compact(w->arena), 0);
}

static void op_roll_back(struct world *w)
{
	struct past *past = &w->past[draw(w, SNAPSHOTS)];

	if (!past->snap)
		return;
	ck_assert_int_eq(cowarena_rollback(w->arena, past->snap), 0);
	memcpy(w->pages, past->pages, w->n * sizeof *w->pages);
	check_live(w);
}

static void op_view(struct world *w)
{
	struct past *past = &w->past[draw(w, SNAPSHOTS)];

	if (past->view)
		close_view(past);
	else if (past->snap) {
		past->private = draw(w, 2);
		past->view =
		    cowarena_view_open(past->snap, past->private ? COWARENA_VIEW_PRIVATE : 0);
		ck_assert_msg(past->view != NULL, "%s", cowarena_errmsg());
	}
}

/* What is written to a private view stays there, and what compaction does to the file beneath. */
static void op_write_view(struct world *w)
{
	struct past *past = &w->past[draw(w, SNAPSHOTS)];
	size_t page = draw(w, w->n);

	if (!past->view || !past->private)
		return;
	char *base = cowarena_view_at(past->view, w->p);
	*first_word(base, page) = *last_word(base, page) = ~0u;
	op_compact(w);
	check_page(w, base, page, ~0u, "written view");
	*first_word(base, page) = *last_word(base, page) = past->pages[page];
}

static void op_look(struct world *w)
{
	for (int i = 0; i < SNAPSHOTS; i++)
		if (w->past[i].snap)
			check_past(w, &w->past[i], 37);
}

static const struct {
	void (*run)(struct world *w);
	unsigned weight;
} operations[] = {{op_take, 5}, {op_scatter, 4}, {op_walk, 4},      {op_fill_chunk, 3},
		  {op_beat, 4}, {op_prepare, 1}, {op_compact, 5},   {op_roll_back, 1},
		  {op_view, 2}, {op_look, 2},    {op_write_view, 1}};

static void step(struct world *w)
{
	unsigned total = 0;
	size_t i = 0;

	for (size_t j = 0; j < sizeof operations / sizeof *operations; j++)
		total += operations[j].weight;
	for (size_t left = draw(w, total); left >= operations[i].weight; i++)
		left -= operations[i].weight;
	operations[i].run(w);
}

static void run(struct cowarena_options o, uint64_t seed, size_t steps)
{
	struct world w = {.rng = seed};
	uint64_t warm = 0, huge = 0;

	w.arena = cowarena_create(&o);
	ck_assert_msg(w.arena != NULL, "%s", cowarena_errmsg());
	w.p = chunk_block(w.arena, CHUNKS);
	w.n = CHUNKS * chunk_pages();
	w.pages = calloc(w.n, sizeof *w.pages);
	for (int i = 0; i < SNAPSHOTS; i++)
		w.past[i].pages = calloc(w.n, sizeof *w.pages);
	if (draw(&w, 2))
		for (size_t i = 0; i < w.n; i++)
			write_page(&w, i);
	for (size_t i = 0; i < steps; i++) {
		step(&w);
		struct cowarena_stats s = stats_of(w.arena);
		warm = s.warm_bytes > warm ? s.warm_bytes : warm;
		huge = s.huge_bytes > huge ? s.huge_bytes : huge;
	}
	check_live(&w);
	for (int i = 0; i < SNAPSHOTS; i++) {
		if (w.past[i].snap)
			forget(&w, &w.past[i]);
		free(w.past[i].pages);
	}
	ck_assert_uint_eq(held_at_rest(w.arena), 0);
	printf("%s: %llu chunks huge, %llu warm, at most\n", cowarena_engine_name(w.arena),
	       (unsigned long long)(huge / CHUNK), (unsigned long long)(warm / CHUNK));
	free(w.pages);
	cowarena_destroy(w.arena);
}

START_TEST(no_byte_changes)
{
	/* Elsewhere compaction leaves chunks alone. */
	static const int kinds[] = {CASE_DEFAULT, CASE_FAITHFUL, CASE_HYBRID, CASE_HYBRID_FAITHFUL};
	uint64_t state = seed_of_run((uint64_t)_i + 1);

	for (size_t i = 0; i < scaled(2, 100, 1); i++) {
		struct cowarena_options o = case_options(kinds[_i]);
		if (rng(&state) % 2)
			o.flags |= COWARENA_NO_HELPER;
		run(o, rng(&state) | 1, scaled(300, 3000, 100));
	}
}
END_TEST

/* Each in its own way, so that chunks are partly open. */
static void scatter(struct world *w)
{
	for (size_t i = 0; i < w->n; i += 7)
		write_page(w, i);
}

/* A chunk that is partly open is opened, and collapsed, if no snapshot needs its pages; and
   only then. */
START_TEST(mixed_chunks)
{
	struct cowarena_options o = case_options(_i);
	struct world w = {.n = CHUNKS * chunk_pages()};

	o.flags |= COWARENA_NO_HELPER;
	w.arena = cowarena_create(&o);
	ck_assert_msg(w.arena != NULL, "%s", cowarena_errmsg());
	w.p = chunk_block(w.arena, CHUNKS);
	w.pages = calloc(w.n, sizeof *w.pages);
	w.past[0].pages = calloc(w.n, sizeof *w.pages);
	for (size_t i = 0; i < w.n; i++)
		write_page(&w, i);
	op_compact(&w);
	bool can = stats_of(w.arena).huge_bytes >= CHUNKS * CHUNK;
	if (!can && !(o.flags & COWARENA_FAITHFUL))
		puts("SKIP: no huge pages here");

	struct past *past = &w.past[0];
	past->snap = take_snapshot(w.arena, 0);
	memcpy(past->pages, w.pages, w.n * sizeof *w.pages);
	scatter(&w);
	struct cowarena_stats before = stats_of(w.arena);
	op_compact(&w);
	struct cowarena_stats kept = stats_of(w.arena);
	ck_assert_uint_eq(kept.copied + kept.reused, before.copied + before.reused);
	ck_assert_uint_eq(kept.huge_bytes, before.huge_bytes);
	ck_assert_uint_lt(kept.huge_bytes, CHUNKS * CHUNK);
	forget(&w, past);

	op_compact(&w);
	struct cowarena_stats open = stats_of(w.arena);
	ck_assert_uint_eq(open.copied, kept.copied);
	if (o.flags & COWARENA_FAITHFUL)
		ck_assert_uint_eq(open.reused, kept.reused);
	else if (can)
		ck_assert_uint_ge(open.huge_bytes, CHUNKS * CHUNK);
	for (size_t i = 0; i < w.n; i++)
		write_page(&w, i);
	struct cowarena_stats written = stats_of(w.arena);
	if (o.flags & COWARENA_FAITHFUL)
		ck_assert_uint_gt(written.faults, open.faults);
	else if (can)
		ck_assert_uint_eq(written.faults, open.faults);

	/* The next snapshot is one all the same. */
	past->snap = take_snapshot(w.arena, 0);
	memcpy(past->pages, w.pages, w.n * sizeof *w.pages);
	scatter(&w);
	ck_assert_uint_gt(stats_of(w.arena).copied, written.copied);
	check_live(&w);
	forget(&w, past);
	cowarena_destroy(w.arena);
	free(w.pages);
	free(past->pages);
}
END_TEST

/* A chunk whose memory went back to the system is in small pages when it is used again. */
START_TEST(chunks_that_came_back)
{
	struct cowarena_options o = case_options(_i);

	o.flags |= COWARENA_NO_HELPER;
	cowarena *arena = cowarena_create(&o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	memset(chunk_block(arena, CHUNKS), 1, CHUNKS * CHUNK); /* stays */
	char *p = chunk_block(arena, CHUNKS);
	memset(p, 1, CHUNKS * CHUNK);
	cowarena_compact(arena);
	size_t huge = stats_of(arena).huge_bytes;
	if (huge < 2 * CHUNKS * CHUNK) {
		puts("SKIP: no huge pages here");
		cowarena_destroy(arena);
		return;
	}
	cowarena_free(arena, p);
	ck_assert_uint_le(stats_of(arena).huge_bytes, huge - CHUNKS * CHUNK);
	p = chunk_block(arena, CHUNKS);
	memset(p, 1, CHUNKS * CHUNK);
	cowarena_compact(arena);
	ck_assert_uint_ge(stats_of(arena).huge_bytes, huge);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hybrid-compact");
	TCase *tc = tcase_create("hybrid-compact");

	tcase_add_loop_test(tc, no_byte_changes, 0, 4);
	tcase_add_loop_test(tc, mixed_chunks, CASE_DEFAULT, CASE_FAITHFUL + 1);
	tcase_add_loop_test(tc, mixed_chunks, CASE_HYBRID, CASE_HYBRID_FAITHFUL + 1);
	tcase_add_loop_test(tc, chunks_that_came_back, CASE_DEFAULT, CASE_DEFAULT + 1);
	tcase_add_loop_test(tc, chunks_that_came_back, CASE_HYBRID, CASE_HYBRID + 1);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
