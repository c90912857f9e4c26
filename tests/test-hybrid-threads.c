/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-hybrid-threads.c - with writers, snapshots and compaction at once, each snapshot is one cut
 * (I4).
 *
 * Writer w stores 1, 2, 3, ... in this order, each number in a slot given by its hash, in pages of
 * its own. The largest number in a snapshot tells how far the writer had come at the cut, and so
 * what each of its slots must hold; the test checks that no number is missing and none is there too
 * early. The writers move from chunk to chunk, so that the chunks behind them become quiet and are
 * compacted, and come back.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define WRITERS 3
#define CHUNKS 6
#define KEPT 3

struct race {
	cowarena *arena;
	char *p;
	size_t per;    /* pages of a chunk that each writer owns */
	uint64_t stay; /* stores to a chunk before a writer moves on */
	bool in_order; /* pages one after the other, not at random */
	_Atomic bool stop;
};

struct writer {
	struct race *race;
	pthread_t thread;
	unsigned number;
	uint64_t written;
};

/* One a page. */
static size_t slot_of(const struct race *race, uint64_t n)
{
	uint64_t state = n + 1;
	size_t chunk = n / race->stay % CHUNKS;
	size_t slot = (race->in_order ? n % race->stay : rng(&state)) % race->per;

	return chunk * race->per + slot;
}

static _Atomic uint64_t *address_of(const struct race *race, unsigned writer, size_t slot)
{
	size_t page = slot % race->per * WRITERS + writer, chunk = slot / race->per;
	/* In order, each writer has a third of the chunk for itself. */
	if (race->in_order)
		page = slot % race->per + writer * race->per;
	char *at = race->p + chunk * CHUNK + page * page_size();

	return (void *)(slot % 3 ? at : at + page_size() - sizeof(uint64_t));
}

static void *write_numbers(void *arg)
{
	struct writer *w = arg;

	while (!atomic_load(&w->race->stop)) {
		uint64_t n = ++w->written;
		atomic_store(address_of(w->race, w->number, slot_of(w->race, n)), n);
		if (n % 512 == 0) /* the checker goes through all of them too */
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return NULL;
}

static void *compact_all_the_time(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop)) {
		cowarena_compact(race->arena);
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return NULL;
}

/* ---- the check ---- */

struct kept {
	cowarena_snapshot *snap;
	uint64_t *slots[WRITERS]; /* what the cut must hold */
};

struct checker {
	struct race *race;
	size_t n;
	uint64_t at[WRITERS];     /* how far the last cut was */
	uint64_t *slots[WRITERS]; /* and what it held */
};

static void read_slots(struct checker *c, cowarena_snapshot *snap, unsigned w, uint64_t *out)
{
	for (size_t i = 0; i < c->n; i++)
		if (cowarena_snapshot_read(snap, &out[i], (void *)address_of(c->race, w, i),
					   sizeof *out))
			ck_abort_msg("%s", cowarena_errmsg());
}

static void compare(struct checker *c, cowarena_snapshot *snap, unsigned w, const uint64_t *seen,
		    const uint64_t *want, const char *when)
{
	for (size_t i = 0; i < c->n; i++)
		if (seen[i] != want[i])
			ck_abort_msg("%s: snapshot %llu, writer %u, page %zu: %llu, not %llu", when,
				     (unsigned long long)cowarena_snapshot_id(snap), w,
				     ((size_t)address_of(c->race, w, i) - (size_t)c->race->p) /
					 page_size(),
				     (unsigned long long)seen[i], (unsigned long long)want[i]);
}

static void check_cut(struct checker *c, cowarena_snapshot *snap, uint64_t *seen)
{
	for (unsigned w = 0; w < WRITERS; w++) {
		uint64_t newest = c->at[w];
		read_slots(c, snap, w, seen);
		for (size_t i = 0; i < c->n; i++)
			newest = seen[i] > newest ? seen[i] : newest;
		while (c->at[w] < newest) {
			uint64_t n = ++c->at[w];
			c->slots[w][slot_of(c->race, n)] = n;
		}
		compare(c, snap, w, seen, c->slots[w], "at once");
	}
}

/* Nothing that came later has changed it. */
static void check_again(struct checker *c, struct kept *kept, uint64_t *seen)
{
	cowarena_view *view = cowarena_view_open(kept->snap, 0);

	ck_assert_msg(view != NULL, "%s", cowarena_errmsg());
	for (unsigned w = 0; w < WRITERS; w++) {
		read_slots(c, kept->snap, w, seen);
		compare(c, kept->snap, w, seen, kept->slots[w], "later");
		for (size_t i = 0; i < c->n; i++)
			seen[i] =
			    *(uint64_t *)cowarena_view_at(view, (void *)address_of(c->race, w, i));
		compare(c, kept->snap, w, seen, kept->slots[w], "view");
	}
	ck_assert_int_eq(cowarena_view_close(view), 0);
	ck_assert_int_eq(cowarena_snapshot_release(kept->snap), 0);
	kept->snap = NULL;
}

/* seconds: of the processors. */
static void take_and_check(struct race *race, double seconds)
{
	struct checker c = {.race = race, .n = race->per * CHUNKS};
	struct kept kept[KEPT] = {0};
	uint64_t *seen = calloc(c.n, sizeof *seen), snapshots = 0;

	for (unsigned w = 0; w < WRITERS; w++) {
		c.slots[w] = calloc(c.n, sizeof *seen);
		for (int k = 0; k < KEPT; k++)
			kept[k].slots[w] = calloc(c.n, sizeof *seen);
	}
	double end = processor_seconds() + seconds;
	for (; processor_seconds() < end || snapshots < KEPT; snapshots++) {
		struct kept *k = &kept[snapshots * 7 / 3 % KEPT];
		if (k->snap)
			check_again(&c, k, seen);
		k->snap = take_snapshot(race->arena, 0);
		if (!k->snap)
			ck_abort_msg("%s", cowarena_errmsg());
		/* Some are read when much has been written since, the first one at once. */
		if (snapshots % 3)
			nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		check_cut(&c, k->snap, seen);
		for (unsigned w = 0; w < WRITERS; w++)
			memcpy(k->slots[w], c.slots[w], c.n * sizeof *seen);
	}
	for (int k = 0; k < KEPT; k++)
		if (kept[k].snap)
			check_again(&c, &kept[k], seen);
	for (unsigned w = 0; w < WRITERS; w++) {
		free(c.slots[w]);
		for (int k = 0; k < KEPT; k++)
			free(kept[k].slots[w]);
	}
	free(seen);
	printf("%llu snapshots, 0 torn\n", (unsigned long long)snapshots);
}

#define WITHOUT_HELPER 1
#define IN_ORDER 2

START_TEST(compaction_tears_no_cut)
{
	struct race race = {.arena = hybrid_arena(_i & WITHOUT_HELPER ? COWARENA_NO_HELPER : 0)};
	struct writer w[WRITERS];
	pthread_t compactor;

	if (!race.arena)
		return;
	race.per = chunk_pages() / WRITERS;
	race.in_order = _i & IN_ORDER;
	race.stay = race.in_order ? race.per : 3000;
	race.p = chunk_block(race.arena, CHUNKS);
	memset(race.p, 0, CHUNKS * CHUNK);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.race = &race, .number = i};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, write_numbers, &w[i]), 0);
	}
	ck_assert_int_eq(pthread_create(&compactor, NULL, compact_all_the_time, &race), 0);
	take_and_check(&race, stressing() ? 60 : 0.7);
	atomic_store(&race.stop, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		ck_assert_uint_eq(atomic_load(address_of(&race, i, slot_of(&race, w[i].written))),
				  w[i].written);
	}
	pthread_join(compactor, NULL);
	ck_assert_uint_eq(held_at_rest(race.arena), 0);

	/* What failed because of the race has not been given up. */
	take_snapshot(race.arena, 0);
	cowarena_compact(race.arena);
	if (can_collapse())
		ck_assert_uint_eq(stats_of(race.arena).warm_bytes, 0);
	cowarena_destroy(race.arena);
}
END_TEST

/* ---- writers who come while a chunk is being collapsed ---- */

#define MANY 64 /* chunks */

static void *write_anywhere(void *arg)
{
	struct race *race = arg;
	uint64_t state = (uintptr_t)&state;

	while (!atomic_load(&race->stop)) {
		_Atomic char *at =
		    (void *)(race->p + rng(&state) % (MANY * chunk_pages()) * page_size());
		(*at)++;
		nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
	}
	return NULL;
}

static void *take_again_and_again(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop)) {
		cowarena_snapshot_release(take_snapshot(race->arena, 0));
		nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
	}
	return NULL;
}

/* The kernel refuses a chunk that has become warm meanwhile. That is no reason to give up. */
START_TEST(writers_do_not_discourage_compaction)
{
	struct race race = {0};
	pthread_t thread[3];

	if (!can_collapse())
		return;
	race.arena = hybrid_arena(_i ? 0 : COWARENA_NO_HELPER);
	if (!race.arena)
		return;
	race.p = chunk_block(race.arena, MANY);
	memset(race.p, 1, MANY * CHUNK);
	take_snapshot(race.arena, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL,
						i ? write_anywhere : take_again_and_again, &race),
				 0);
	double end = processor_seconds() + (stressing() ? 20 : 0.6);
	while (processor_seconds() < end) {
		cowarena_compact(race.arena);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	atomic_store(&race.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	take_snapshot(race.arena, 0);
	cowarena_compact(race.arena);
	ck_assert_uint_eq(stats_of(race.arena).warm_bytes, 0);
	ck_assert_uint_ge(stats_of(race.arena).huge_bytes, MANY * CHUNK);
	cowarena_destroy(race.arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hybrid-threads");
	TCase *tc = tcase_create("hybrid-threads");

	tcase_add_loop_test(tc, compaction_tears_no_cut, 0, 4);
	tcase_add_loop_test(tc, writers_do_not_discourage_compaction, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
