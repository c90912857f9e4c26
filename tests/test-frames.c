/* SPDX-License-Identifier: BSD-2-Clause */
/* test-frames.c - the pool of frames. */
#include "config.h"

#include "common.h"
#include "frames.h"
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static void pool_init(struct frames *f, size_t held_max)
{
	memset(f, 0, sizeof *f);
	ck_assert_int_eq(frames_init(f, held_max, true), 0);
}

static size_t segment_of(const struct frames *f)
{
	return (size_t)1 << f->segment_shift;
}

/* ---- reserving and taking ---- */

START_TEST(empty_pool)
{
	struct frames f;

	pool_init(&f, SIZE_MAX);
	ck_assert_uint_eq(frames_take(&f), FRAME_NONE);
	ck_assert_uint_eq(frames_take(&f), FRAME_NONE);
	ck_assert_int_eq(frames_reserve(&f, 0), 0);
	ck_assert_uint_eq(atomic_load(&f.taken), 0);
	ck_assert_uint_eq(atomic_load(&f.held), 0);
	ck_assert_uint_eq(frames_mappings(&f), 1);
	frames_prefault(&f, 100);
	frames_destroy(&f);
}
END_TEST

/* Frames are distinct, and so is their memory. */
START_TEST(frames_are_apart)
{
	struct frames f;
	size_t n = 300;
	uint32_t *frame = malloc(n * sizeof *frame);

	pool_init(&f, SIZE_MAX);
	ck_assert_int_eq(frames_reserve(&f, n), 0);
	for (size_t i = 0; i < n; i++) {
		frame[i] = frames_take(&f);
		ck_assert_uint_ne(frame[i], FRAME_NONE);
		ck_assert_uint_eq((uintptr_t)frames_data(&f, frame[i]) % page_size(), 0);
		memset(frames_data(&f, frame[i]), (int)i, page_size());
		frames_version(&f, frame[i])->first = i;
		frames_version(&f, frame[i])->page = (uint32_t)i;
	}
	ck_assert_uint_eq(atomic_load(&f.taken), n);
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = frames_data(&f, frame[i]);
		if (p[0] != i % 256 || memcmp(p, p + 1, page_size() - 1) != 0)
			ck_abort_msg("frame %zu lies over another one", i);
		ck_assert_uint_eq(frames_version(&f, frame[i])->first, i);
		ck_assert_uint_eq(frames_version(&f, frame[i])->page, i);
	}
	/* A frame that was given and taken again is not zeroed, nor moved. */
	frames_give(&f, frame[7]);
	ck_assert_uint_eq(frames_take(&f), frame[7]);
	ck_assert_uint_eq(*(unsigned char *)frames_data(&f, frame[7]), 7);
	free(frame);
	frames_destroy(&f);
}
END_TEST

/* What was reserved can be taken, all of it, wherever the segments end. */
START_TEST(reserved_is_there)
{
	static const int off[] = {-2, -1, 0, 1, 2};
	struct frames f;

	for (int segments = 0; segments <= 2; segments++)
		for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
			pool_init(&f, SIZE_MAX);
			long n = (long)segment_of(&f) * segments + off[i];
			ck_assert_int_eq(frames_reserve(&f, n < 0 ? 0 : (size_t)n), 0);
			for (long k = 0; k < n; k++)
				if (frames_take(&f) == FRAME_NONE)
					ck_abort_msg("%ld of %ld reserved", k, n);
			/* Again, with all of those in use. */
			ck_assert_int_eq(frames_reserve(&f, (size_t)(n < 0 ? 1 : n + 1)), 0);
			for (long k = 0; k < n + 1; k++)
				if (frames_take(&f) == FRAME_NONE)
					ck_abort_msg("%ld of %ld more reserved", k, n + 1);
			frames_destroy(&f);
		}
}
END_TEST

START_TEST(reserve_by_chance)
{
	struct frames f;
	uint64_t seed = seed_of_run(17);
	size_t room = 60000, n = 0, wanted, maps = 1;
	uint32_t *in_use = malloc(room * sizeof *in_use);

	pool_init(&f, SIZE_MAX);
	for (int round = 0; round < (int)scaled(60, 600, 12); round++) {
		wanted = rng(&seed) % 9000;
		size_t before = atomic_load(&f.total);
		ck_assert_int_eq(frames_reserve(&f, wanted), 0);
		size_t total = atomic_load(&f.total);
		maps += total > before; /* grown in one piece */
		for (size_t i = 0; i < wanted && n < room; i++) {
			in_use[n] = frames_take(&f);
			if (in_use[n++] == FRAME_NONE)
				ck_abort_msg("round %d: %zu of %zu", round, i, wanted);
		}
		ck_assert_uint_eq(atomic_load(&f.taken), n);
		ck_assert_uint_eq(atomic_load(&f.total), total);
		for (size_t give = rng(&seed) % (n + 1); give; give--) {
			size_t at = rng(&seed) % n;
			frames_give(&f, in_use[at]);
			in_use[at] = in_use[--n];
		}
		ck_assert_uint_eq(atomic_load(&f.taken), n);
	}
	/* Only as many as were ever needed at once, in whole segments. */
	ck_assert_uint_le(atomic_load(&f.total), room + 9000 + segment_of(&f));
	ck_assert_uint_eq(frames_mappings(&f), maps);
	free(in_use);
	frames_destroy(&f);
}
END_TEST

START_TEST(exhausted)
{
	struct frames f;
	size_t n = 0;

	pool_init(&f, SIZE_MAX);
	ck_assert_int_eq(frames_reserve(&f, 1), 0);
	while (frames_take(&f) != FRAME_NONE)
		n++;
	ck_assert_uint_eq(n, segment_of(&f) - 1); /* index 0 is none */
	ck_assert_uint_eq(atomic_load(&f.taken), n);
	frames_give(&f, 5);
	ck_assert_uint_eq(frames_take(&f), 5);
	ck_assert_uint_eq(frames_take(&f), FRAME_NONE);
	/* More than the table has room for: refused, and the pool is as it was. */
	errno = 0;
	ck_assert_int_eq(frames_reserve(&f, f.segments_max << f.segment_shift), -1);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_eq(frames_take(&f), FRAME_NONE);
	ck_assert_int_eq(frames_reserve(&f, 1), 0);
	ck_assert_uint_eq(frames_take(&f), n + 1);
	frames_destroy(&f);
}
END_TEST

/* ---- recycling ---- */

START_TEST(last_in_first_out)
{
	struct frames f;
	uint32_t frame[10], fresh;

	pool_init(&f, SIZE_MAX);
	ck_assert_int_eq(frames_reserve(&f, 20), 0);
	for (int i = 0; i < 10; i++)
		frame[i] = frames_take(&f);
	for (int i = 0; i < 5; i++)
		frames_give(&f, frame[i]);
	ck_assert_uint_eq(atomic_load(&f.taken), 5);
	for (int i = 4; i >= 2; i--)
		ck_assert_uint_eq(frames_take(&f), frame[i]);
	frames_give(&f, frame[9]);
	ck_assert_uint_eq(frames_take(&f), frame[9]);
	ck_assert_uint_eq(frames_take(&f), frame[1]);
	ck_assert_uint_eq(frames_take(&f), frame[0]);
	/* Only then one that is cold. */
	fresh = frames_take(&f);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_ne(fresh, frame[i]);
	frames_destroy(&f);
}
END_TEST

static size_t resident(const struct frames *f, uint32_t from, uint32_t to)
{
	size_t n = 0;
	unsigned char in;

	for (uint32_t i = from; i < to; i++) {
		ck_assert_int_eq(mincore(frames_data(f, i), page_size(), &in), 0);
		n += in & 1;
	}
	return n;
}

/* Frames in a step. */
static size_t a_step(void)
{
	size_t n = FRAMES_STEP_BYTES / page_size();

	return n < 1 ? 1 : n;
}

/* All that is asked for, step by step. */
static void prefault(struct frames *f, size_t n)
{
	while (!frames_prefault(f, n))
		;
}

/* What is free gives its memory back, is taken last, and costs nothing that was promised. */
START_TEST(trimmed)
{
	enum { N = 1000, KEPT = 100 };
	struct frames f;

	pool_init(&f, SIZE_MAX);
	ck_assert_int_eq(frames_reserve(&f, segment_of(&f) - 1), 0);
	for (uint32_t i = 1; i <= N; i++) {
		ck_assert_uint_eq(frames_take(&f), i);
		memset(frames_data(&f, i), 0x77, page_size());
	}
	ck_assert(frames_trim(&f, 0)); /* nothing is free */
	/* What is in use between those that are free is left alone. */
	for (uint32_t i = 1; i <= N; i += 3)
		frames_give(&f, i);
	while (!frames_trim(&f, 0))
		;
	ck_assert_uint_eq(resident(&f, 1, N + 1), N - (N + 2) / 3);
	for (uint32_t i = 1; i <= N; i += 3)
		memset(frames_data(&f, frames_take(&f)), 0x77, page_size());
	for (uint32_t i = 1; i <= N; i++)
		frames_give(&f, i);
	ck_assert_uint_eq(frames_warm(&f), N);
	unsigned steps = 1;
	while (!frames_trim(&f, KEPT))
		steps++;
	ck_assert_uint_ge(steps, (N - KEPT) / a_step());
	ck_assert_uint_eq(frames_warm(&f), KEPT);
	ck_assert_uint_eq(resident(&f, 1, N + 1), KEPT);
	/* All are there to be taken, those with memory first, and each once. */
	unsigned char *seen = calloc(segment_of(&f), 1);
	for (size_t i = 0; i < segment_of(&f) - 1; i++) {
		uint32_t frame = frames_take(&f);
		if (frame == FRAME_NONE || seen[frame]++)
			ck_abort_msg("frame %u at take %zu", frame, i);
		if (i < KEPT && *(unsigned char *)frames_data(&f, frame) != 0x77)
			ck_abort_msg("take %zu met a frame without memory", i);
	}
	ck_assert_uint_eq(frames_warm(&f), 0);
	free(seen);
	frames_destroy(&f);
}
END_TEST

/* Trimmed frames get their memory back before new ones are touched. */
START_TEST(trimmed_and_prefaulted)
{
	struct frames f;

	pool_init(&f, SIZE_MAX);
	ck_assert_int_eq(frames_reserve(&f, 1000), 0);
	for (uint32_t i = 1; i <= 200; i++)
		frames_take(&f);
	for (uint32_t i = 1; i <= 200; i++)
		frames_give(&f, i);
	prefault(&f, 200);
	while (!frames_trim(&f, 0))
		;
	ck_assert_uint_eq(frames_warm(&f), 0);
	ck_assert_uint_eq(resident(&f, 1, 1000), 0);
	prefault(&f, 150);
	ck_assert_uint_eq(frames_warm(&f), 150);
	ck_assert_uint_eq(resident(&f, 1, 201), 150);
	ck_assert_uint_eq(resident(&f, 201, 1000), 0);
	frames_destroy(&f);
}
END_TEST

START_TEST(prefaulted)
{
	struct frames f;

	pool_init(&f, SIZE_MAX);
	ck_assert_int_eq(frames_reserve(&f, 1000), 0);
	ck_assert_uint_eq(resident(&f, 1, 1000), 0); /* reserved is not allocated */
	ck_assert(!frames_prefault(&f, 100));
	ck_assert_uint_eq(resident(&f, 1, 101), a_step());
	ck_assert(frames_prefault(&f, 100));
	ck_assert_uint_eq(resident(&f, 1, 101), 100);
	ck_assert_uint_eq(frames_warm(&f), 100);
	ck_assert_uint_eq(resident(&f, 101, 1000), 0);
	/* None is taken by that, and what was taken does not count. */
	for (uint32_t i = 1; i <= 60; i++) {
		ck_assert_uint_eq(frames_take(&f), i);
		memset(frames_data(&f, i), 0x77, page_size());
	}
	ck_assert_uint_eq(frames_warm(&f), 40);
	prefault(&f, 100);
	ck_assert_uint_eq(resident(&f, 1, 161), 160);
	ck_assert_uint_eq(resident(&f, 161, 1000), 0);
	prefault(&f, 10);
	ck_assert_uint_eq(resident(&f, 161, 1000), 0);
	for (uint32_t i = 1; i <= 60; i++)
		ck_assert_uint_eq(*(unsigned char *)frames_data(&f, i), 0x77);
	/* As many as there are, if there are no more; and over the border of two segments. */
	prefault(&f, SIZE_MAX);
	ck_assert_uint_eq(resident(&f, 1, (uint32_t)segment_of(&f)), segment_of(&f) - 1);
	ck_assert_int_eq(frames_reserve(&f, segment_of(&f)), 0);
	prefault(&f, segment_of(&f));
	ck_assert_uint_eq(resident(&f, 1, (uint32_t)segment_of(&f) + 61), segment_of(&f) + 60);
	frames_destroy(&f);
}
END_TEST

/* ---- the limit ---- */

START_TEST(charging)
{
	struct frames f;

	pool_init(&f, 10);
	ck_assert(!frames_charge(&f, 11));
	ck_assert_uint_eq(atomic_load(&f.held), 0);
	ck_assert_uint_eq(atomic_load(&f.held_peak), 0);
	ck_assert(frames_charge(&f, 7));
	ck_assert(!frames_charge(&f, 4));
	ck_assert_uint_eq(atomic_load(&f.held), 7);
	ck_assert(frames_charge(&f, 3)); /* exactly full */
	ck_assert(frames_charge(&f, 0));
	ck_assert(!frames_charge(&f, 1));
	frames_uncharge(&f, 6);
	ck_assert_uint_eq(atomic_load(&f.held), 4);
	ck_assert_uint_eq(atomic_load(&f.held_peak), 10);
	ck_assert(frames_charge(&f, 5));
	ck_assert_uint_eq(atomic_load(&f.held_peak), 10);
	frames_destroy(&f);

	pool_init(&f, SIZE_MAX); /* without a limit */
	ck_assert(frames_charge(&f, (size_t)1 << 40));
	ck_assert_uint_eq(atomic_load(&f.held_peak), (size_t)1 << 40);
	frames_destroy(&f);
}
END_TEST

/* ---- threads ---- */

#define THREADS 6
#define HOLD 40

struct shared {
	struct frames f;
	_Atomic uint32_t *owner; /* of each frame, 0 = none */
	_Atomic size_t held;
	_Atomic unsigned running;
	_Atomic unsigned errors, dry;
	size_t rounds;
};

struct worker {
	struct shared *shared;
	uint32_t id;
	pthread_t thread;
};

static void *take_and_give(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;
	uint32_t mine[HOLD];
	uint64_t seed = w->id * 77;
	size_t n = 0;

	for (size_t i = 0; i < s->rounds; i++) {
		if (n < HOLD && rng(&seed) % 2) {
			uint32_t frame = frames_take(&s->f);
			if (frame == FRAME_NONE) {
				atomic_fetch_add(&s->dry, 1);
				continue;
			}
			if (atomic_exchange(&s->owner[frame], w->id))
				atomic_fetch_add(&s->errors, 1); /* it has an owner already */
			uint64_t *data = frames_data(&s->f, frame);
			data[0] = data[511] = w->id;
			mine[n++] = frame;
		} else if (n) {
			size_t at = rng(&seed) % n;
			uint64_t *data = frames_data(&s->f, mine[at]);
			if (data[0] != w->id || data[511] != w->id ||
			    atomic_exchange(&s->owner[mine[at]], 0) != w->id)
				atomic_fetch_add(&s->errors, 1);
			frames_give(&s->f, mine[at]);
			mine[at] = mine[--n];
		}
	}
	while (n) {
		atomic_store(&s->owner[mine[--n]], 0);
		frames_give(&s->f, mine[n]);
	}
	atomic_fetch_sub(&s->running, 1);
	return NULL;
}

/* Threads take and give while the pool is warmed and grown; with few frames they contend for
   each. */
START_TEST(no_frame_twice)
{
	struct shared s = {.rounds = scaled(200000, 5000000, 20000)};
	struct worker w[THREADS];
	size_t least = _i ? THREADS * HOLD : 3;

	pool_init(&s.f, SIZE_MAX);
	s.owner = calloc(16 * segment_of(&s.f), sizeof *s.owner);
	ck_assert_int_eq(frames_reserve(&s.f, least), 0);
	if (!_i) /* all but three are in use */
		while (segment_of(&s.f) - 1 - atomic_load(&s.f.taken) > least)
			ck_assert_uint_ne(frames_take(&s.f), FRAME_NONE);
	size_t before = atomic_load(&s.f.taken);
	atomic_store(&s.running, THREADS);
	for (uint32_t i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.shared = &s, .id = i + 1};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, take_and_give, &w[i]), 0);
	}
	for (size_t n = 0; _i && atomic_load(&s.running); n += n < 5000) {
		if (frames_reserve(&s.f, least + n))
			atomic_fetch_add(&s.errors, 1);
		frames_prefault(&s.f, n);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	ck_assert_uint_eq(atomic_load(&s.errors), 0);
	ck_assert_uint_eq(atomic_load(&s.f.taken), before);
	if (_i) /* what was reserved before is never short */
		ck_assert_uint_eq(atomic_load(&s.dry), 0);
	/* No frame was lost: they can all be taken again, each once. */
	size_t left = atomic_load(&s.f.total) - 1 - before, n = 0;
	for (uint32_t frame; (frame = frames_take(&s.f)) != FRAME_NONE; n++)
		if (atomic_exchange(&s.owner[frame], 1))
			ck_abort_msg("frame %u twice", frame);
	ck_assert_uint_eq(n, left);
	free(s.owner);
	frames_destroy(&s.f);
}
END_TEST

#define LIMIT 16 /* two that charge at once may exceed it */

static void *charge_and_uncharge(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;
	uint64_t seed = w->id * 99;

	for (size_t i = 0; i < s->rounds; i++) {
		size_t n = 1 + rng(&seed) % 15;
		if (!frames_charge(&s->f, n))
			continue;
		if (atomic_fetch_add(&s->held, n) + n > LIMIT)
			atomic_fetch_add(&s->errors, 1);
		atomic_fetch_sub(&s->held, n);
		frames_uncharge(&s->f, n);
	}
	return NULL;
}

START_TEST(limit_holds_among_threads)
{
	struct shared s = {.rounds = scaled(100000, 2000000, 20000)};
	struct worker w[THREADS];

	pool_init(&s.f, LIMIT);
	for (uint32_t i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.shared = &s, .id = i + 1};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, charge_and_uncharge, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	ck_assert_uint_eq(atomic_load(&s.errors), 0);
	ck_assert_uint_eq(atomic_load(&s.f.held), 0);
	ck_assert_uint_gt(atomic_load(&s.f.held_peak), 0);
	ck_assert_uint_le(atomic_load(&s.f.held_peak), LIMIT);
	frames_destroy(&s.f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frames");
	TCase *one = tcase_create("one thread"), *many = tcase_create("many threads");

	tcase_add_test(one, empty_pool);
	tcase_add_test(one, frames_are_apart);
	tcase_add_test(one, reserved_is_there);
	tcase_add_test(one, reserve_by_chance);
	tcase_add_test(one, exhausted);
	tcase_add_test(one, last_in_first_out);
	tcase_add_test(one, prefaulted);
	tcase_add_test(one, trimmed);
	tcase_add_test(one, trimmed_and_prefaulted);
	tcase_add_test(one, charging);
	suite_add_tcase(suite, one);
	tcase_add_loop_test(many, no_frame_twice, 0, 2);
	tcase_add_test(many, limit_holds_among_threads);
	suite_add_tcase(suite, many);
	return run_suite(suite);
}
