/* SPDX-License-Identifier: BSD-2-Clause */
/* test-versions.c - the versions of one page, against a plain array of them. */
#include "config.h"

#include "common.h"
#include "versions.h"

#define MANY 10000

/* What one page may have: versions of different lengths, with and without gaps between them. */
struct model {
	struct frames frames;
	uint32_t root;
	uint64_t epoch;       /* the next version begins here, or later */
	uint32_t frame[MANY]; /* oldest first */
	size_t n;
};

static struct model *model_new(void)
{
	struct model *m = calloc(1, sizeof *m);

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(frames_init(&m->frames, SIZE_MAX, true), 0);
	ck_assert_int_eq(frames_reserve(&m->frames, MANY), 0);
	m->epoch = 1;
	return m;
}

static void model_free(struct model *m)
{
	frames_destroy(&m->frames);
	free(m);
}

static void add(struct model *m, uint64_t gap, uint64_t length)
{
	uint32_t frame = frames_take(&m->frames);
	struct version *v = frames_version(&m->frames, frame);

	ck_assert_uint_ne(frame, FRAME_NONE);
	v->first = m->epoch + gap;
	version_end(v, (v->first + length - 1) & (UINT64_MAX >> 8), VERSION_IN_FRAME);
	m->epoch = version_last(v) + 1;
	versions_add(&m->frames, &m->root, frame);
	m->frame[m->n++] = frame;
}

static void remove_at(struct model *m, size_t i)
{
	versions_remove(&m->frames, &m->root, m->frame[i]);
	frames_give(&m->frames, m->frame[i]);
	m->n--;
	memmove(&m->frame[i], &m->frame[i + 1], (m->n - i) * sizeof *m->frame);
}

static uint32_t expected_upto(const struct model *m, uint64_t epoch)
{
	uint32_t frame = FRAME_NONE;

	for (size_t i = 0; i < m->n && frames_version(&m->frames, m->frame[i])->first <= epoch; i++)
		frame = m->frame[i];
	return frame;
}

static void check(const struct model *m, uint64_t epoch)
{
	uint32_t upto = expected_upto(m, epoch);
	bool holds = upto != FRAME_NONE && version_last(frames_version(&m->frames, upto)) >= epoch;

	ck_assert_uint_eq(versions_upto(&m->frames, m->root, epoch), upto);
	ck_assert_uint_eq(versions_find(&m->frames, m->root, epoch), holds ? upto : FRAME_NONE);
}

static size_t depth(const struct model *m, uint32_t root)
{
	if (root == FRAME_NONE)
		return 0;
	size_t older = depth(m, frames_version(&m->frames, root)->older);
	size_t newer = depth(m, frames_version(&m->frames, root)->newer);
	return 1 + (older > newer ? older : newer);
}

START_TEST(no_versions)
{
	struct frames f = {0};

	ck_assert_uint_eq(versions_upto(&f, FRAME_NONE, 7), FRAME_NONE);
	ck_assert_uint_eq(versions_find(&f, FRAME_NONE, 7), FRAME_NONE);
}
END_TEST

START_TEST(at_random)
{
	struct model *m = model_new();
	uint64_t seed = seed_of_run(20261130);

	for (size_t i = 0, n = scaled(20000, 500000, 2000); i < n; i++) {
		if (m->n < 200 && (m->n == 0 || rng(&seed) % 2))
			add(m, rng(&seed) % 3, 1 + rng(&seed) % 4);
		else
			remove_at(m, rng(&seed) % m->n);
		check(m, rng(&seed) % (m->epoch + 2));
		if (m->n)
			check(m, version_last(
				     frames_version(&m->frames, m->frame[rng(&seed) % m->n])));
	}
	model_free(m);
}
END_TEST

/* The order of snapshots that come, and go in the order of their age, or the other way round. */
START_TEST(many_are_no_list)
{
	struct model *m = model_new();

	for (size_t i = 0; i < MANY; i++)
		add(m, 0, 1);
	for (uint64_t epoch = 0; epoch < MANY + 2; epoch += 97)
		check(m, epoch);
	/* Four times the logarithm is what a random tree of that size never has. */
	ck_assert_uint_le(depth(m, m->root), 4 * 14);
	for (size_t i = 0; i < MANY / 3; i++)
		remove_at(m, 0);
	ck_assert_uint_le(depth(m, m->root), 4 * 14);
	check(m, MANY / 3 + 1);
	while (m->n > MANY / 3)
		remove_at(m, m->n - 1);
	ck_assert_uint_le(depth(m, m->root), 4 * 14);
	check(m, MANY / 3 + 1);
	while (m->n)
		remove_at(m, m->n / 2);
	ck_assert_uint_eq(m->root, FRAME_NONE);
	model_free(m);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("versions");
	TCase *tc = tcase_create("versions");

	tcase_add_test(tc, no_versions);
	tcase_add_test(tc, at_random);
	tcase_add_test(tc, many_are_no_list);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
