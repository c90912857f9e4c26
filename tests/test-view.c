/* SPDX-License-Identifier: BSD-2-Clause */
/* test-view.c - views: a snapshot as one contiguous range. */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>

static void assert_filled(const char *p, char c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != c) /* an assertion a byte would take all day */
			ck_abort_msg("byte %zu is %d, not %d", i, p[i], c);
}

/* Pages change before the view is opened, while it is open, and never. */
static void diverge(int i, unsigned flags)
{
	cowarena *arena = arena_case(i);
	size_t n = 9 * page_size();
	char *p = page_block(arena, 9);

	memset(p, 'a', n);
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	memset(p, 'b', 3 * page_size());
	cowarena_view *view = cowarena_view_open(snap, flags);
	ck_assert_msg(view != NULL, "%s", cowarena_errmsg());
	const char *past = cowarena_view_at(view, p);
	assert_filled(past, 'a', n);
	memset(p, 'c', 6 * page_size());
	assert_filled(past, 'a', n);
	/* A later snapshot, whose pages the view must not follow. */
	cowarena_snapshot *later = take_snapshot(arena, 0);
	memset(p, 'd', n);
	assert_filled(past, 'a', n);
	cowarena_view *second = cowarena_view_open(later, flags);
	const char *late = cowarena_view_at(second, p);
	assert_filled(late, 'c', 6 * page_size());
	assert_filled(late + 6 * page_size(), 'a', 3 * page_size());
	assert_filled(past, 'a', n);
	assert_filled(p, 'd', n);
	/* And one more of the first: the pages that it has not are kept by both. */
	cowarena_view *again = cowarena_view_open(snap, flags);
	assert_filled(cowarena_view_at(again, p), 'a', n);
	ck_assert_int_eq(cowarena_view_close(again), 0);
	ck_assert_int_eq(cowarena_view_close(view), 0);
	memset(p, 'e', n);
	assert_filled(late, 'c', 6 * page_size());
	ck_assert_int_eq(cowarena_view_close(second), 0);
	ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	ck_assert_int_eq(cowarena_snapshot_release(later), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}

START_TEST(read_only_views_stay)
{
	diverge(_i, 0);
}
END_TEST

START_TEST(private_views_stay)
{
	diverge(_i, COWARENA_VIEW_PRIVATE);
}
END_TEST

START_TEST(writes_to_a_private_view_stay_in_it)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 4);
	char seen;

	memset(p, 'a', 4 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	cowarena_view *one = cowarena_view_open(snap, COWARENA_VIEW_PRIVATE);
	cowarena_view *two = cowarena_view_open(snap, COWARENA_VIEW_PRIVATE);
	char *q = cowarena_view_at(one, p), *r = cowarena_view_at(two, p);
	q[0] = 'q';
	q[page_size()] = 'q';
	p[page_size()] = 'p';
	p[2 * page_size()] = 'p';
	q[2 * page_size()] = 'q';
	ck_assert_int_eq(p[0], 'a');
	ck_assert_int_eq(p[page_size()], 'p');
	ck_assert_int_eq(q[page_size()], 'q');
	ck_assert_int_eq(q[page_size() + 1], 'a');
	ck_assert_int_eq(q[2 * page_size()], 'q');
	assert_filled(r, 'a', 4 * page_size());
	ck_assert_int_eq(cowarena_snapshot_read(snap, &seen, p + page_size(), 1), 0);
	ck_assert_int_eq(seen, 'a');
	cowarena_destroy(arena);
}
END_TEST

/* The range is the heap of that time, and all of it is at one distance. */
START_TEST(a_view_has_a_range)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 2);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(s, 0);
	const void *start = NULL, *end = NULL;

	*p = 1;
	char *later = page_block(arena, 5000);
	ck_assert_int_eq(cowarena_view_range(view, &start, &end), 0);
	ck_assert_int_eq(cowarena_view_range(view, NULL, NULL), 0);
	const char *first = start, *last = (const char *)end - 1;
	ck_assert(first < p && p + 2 * page_size() <= last + 1);
	ck_assert(last < later + 5000 * page_size() - 1);
	ptrdiff_t distance = (char *)cowarena_view_at(view, p) - p;
	ck_assert_ptr_eq(cowarena_view_at(view, first), first + distance);
	ck_assert_ptr_eq(cowarena_view_at(view, last), last + distance);
	ck_assert_ptr_null(cowarena_view_at(view, first - 1));
	ck_assert_ptr_null(cowarena_view_at(view, end));
	cowarena_destroy(arena);
}
END_TEST

START_TEST(views_keep_their_snapshot)
{
	cowarena *arena = arena_case(_i);
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(snap, 0);

	ck_assert_int_eq(cowarena_snapshot_release(snap), -1);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_int_eq(cowarena_view_close(view), 0);
	ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	ck_assert_int_eq(cowarena_view_close(NULL), 0);
	cowarena_destroy(arena);
}
END_TEST

/* Where /proc/self/mem is refused, read-only views are split another way. */
START_TEST(without_poking)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 64);

	arena->poke_tried = true;
	ck_assert_int_eq(arena->poke.fd, -1);
	memset(p, 'a', 64 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	memset(p, 'b', 8 * page_size());
	cowarena_view *view = cowarena_view_open(snap, 0);
	for (size_t i = 0; i < 64; i += 3)
		p[i * page_size()] = 'c';
	assert_filled(cowarena_view_at(view, p), 'a', 64 * page_size());
	ck_assert_int_eq(cowarena_view_close(view), 0);
	cowarena_destroy(arena);
}
END_TEST

struct node {
	struct node *next;
	long value;
};

START_TEST(a_list_walked_in_the_past)
{
	cowarena *arena = arena_case(_i);
	struct node *head = NULL;

	for (long i = 0; i < 10000; i++) {
		struct node *n = cowarena_alloc(arena, sizeof *n);
		*n = (struct node){head, i};
		head = n;
	}
	cowarena_set_root(arena, head);
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(snap, 0);
	while (head) {
		struct node *next = head->next;
		head->value = -1;
		cowarena_free(arena, head);
		head = next;
	}
	long n = 0, sum = 0;
	for (const struct node *at = cowarena_view_at(view, cowarena_snapshot_root(snap)); at;
	     at = cowarena_view_at(view, at->next)) {
		n++;
		sum += at->value;
	}
	ck_assert_int_eq(n, 10000);
	ck_assert_int_eq(sum, 10000L * 9999 / 2);
	cowarena_destroy(arena);
}
END_TEST

/* One thread writes pages of a private view while another one writes the live pages under it. */
struct duel {
	char *mine;
	size_t pages;
	char letter;
};

static void *write_pages(void *arg)
{
	struct duel *d = arg;

	for (size_t i = 0; i < d->pages; i++)
		for (size_t j = 1; j < page_size(); j += 64)
			d->mine[i * page_size() + j] = d->letter;
	return NULL;
}

START_TEST(both_sides_write_at_once)
{
	size_t pages = scaled(512, 4096, 64);

	for (int round = 0; round < 20; round++) {
		cowarena *arena = arena_case(_i);
		char *p = page_block(arena, pages);
		memset(p, 'a', pages * page_size());
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		cowarena_view *view = cowarena_view_open(snap, COWARENA_VIEW_PRIVATE);
		struct duel there = {cowarena_view_at(view, p), pages, 'v'}, here = {p, pages, 'l'};
		pthread_t t;
		ck_assert_int_eq(pthread_create(&t, NULL, write_pages, &there), 0);
		write_pages(&here);
		pthread_join(t, NULL);
		size_t bad = 0;
		for (size_t i = 0; i < pages * page_size(); i++) {
			bool written = i % page_size() % 64 == 1;
			bad +=
			    p[i] != (written ? 'l' : 'a') || there.mine[i] != (written ? 'v' : 'a');
		}
		ck_assert_uint_eq(bad, 0);
		cowarena_destroy(arena);
	}
}
END_TEST

/* Views opened while writers fault on the same pages. */
struct storm {
	char *pages;
	size_t n;
	_Atomic bool stop;
};

static void *storm_writer(void *arg)
{
	struct storm *s = arg;
	uint64_t state = (uintptr_t)&state;

	while (!s->stop) {
		_Atomic uint64_t *at = (void *)(s->pages + rng(&state) % s->n * page_size());
		atomic_fetch_add(at, 1);
	}
	return NULL;
}

START_TEST(opening_under_fire)
{
	cowarena *arena = arena_case(_i);
	struct storm storm = {.n = 64};
	pthread_t t[2];

	storm.pages = page_block(arena, storm.n);
	memset(storm.pages, 0, storm.n * page_size());
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, storm_writer, &storm);
	size_t rounds = scaled(500, 20000, 30);
	for (size_t round = 0; round < rounds; round++) {
		cowarena_snapshot *snap = take_snapshot(arena, 0);
		cowarena_view *view =
		    cowarena_view_open(snap, round % 2 ? COWARENA_VIEW_PRIVATE : 0);
		ck_assert_msg(view != NULL, "%s", cowarena_errmsg());
		uint64_t first[64];
		for (int pass = 0; pass < 2; pass++)
			for (size_t i = 0; i < storm.n; i++) {
				char *live = storm.pages + i * page_size();
				uint64_t read,
				    seen = *(volatile uint64_t *)cowarena_view_at(view, live);
				ck_assert_int_eq(
				    cowarena_snapshot_read(snap, &read, live, sizeof read), 0);
				ck_assert_uint_eq(seen, read);
				if (pass)
					ck_assert_uint_eq(seen, first[i]);
				first[i] = seen;
			}
		ck_assert_int_eq(cowarena_view_close(view), 0);
		ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	}
	storm.stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

/* ---- settled: pages for those who take them without copying ---- */

/* Send n bytes by reference, let the heap go on, and look at what arrives. */
static void send_by_reference(int i, unsigned flags)
{
	cowarena *arena = arena_case(i);
	size_t n = 8 * page_size();
	char *p = page_block(arena, 8), *got = malloc(n);
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	memset(p, 'o', n);
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	memset(p, 'x', page_size()); /* the view has a page of its own from the beginning */
	cowarena_view *view = cowarena_view_open(snap, flags);
	memset(p + page_size(), 'x', page_size()); /* and gets one by a write */
	char *past = cowarena_view_at(view, p);
	ck_assert_int_eq(cowarena_view_settle(view, past, n), 0);
	struct iovec whole = {past, n};
	ck_assert_int_eq(vmsplice(fd[1], &whole, 1, 0), (ssize_t)n);
	memset(p, 'n', n);
	ck_assert_int_eq(cowarena_view_close(view), 0); /* the pipe has references of its own */
	for (size_t have = 0; have < n;) {
		ssize_t more = read(fd[0], got + have, n - have);
		ck_assert_int_gt(more, 0);
		have += (size_t)more;
	}
	assert_filled(got, 'o', n);
	ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	close(fd[0]);
	close(fd[1]);
	free(got);
	cowarena_destroy(arena);
}

START_TEST(settled_pages_can_be_sent)
{
	send_by_reference(_i, 0);
	send_by_reference(_i, COWARENA_VIEW_PRIVATE);
}
END_TEST

START_TEST(settling_is_charged_once)
{
	cowarena *arena = arena_case(_i);
	char *p = page_block(arena, 8);

	memset(p, 'a', 8 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(snap, 0);
	char *past = cowarena_view_at(view, p);
	uint64_t before = stats_of(arena).held_bytes;
	/* Parts of three pages. */
	ck_assert_int_eq(cowarena_view_settle(view, past + page_size() - 1, page_size() + 2), 0);
	uint64_t settled = stats_of(arena).held_bytes;
	if (_i != CASE_EAGER) /* whose views have all pages from the beginning */
		ck_assert_uint_eq(settled, before + 3 * page_size());
	ck_assert_int_eq(cowarena_view_settle(view, past, 3 * page_size()), 0);
	ck_assert_uint_eq(stats_of(arena).held_bytes, settled);
	/* A write to such a page needs a frame, and no page for the view. */
	p[0] = 'b';
	if (_i != CASE_EAGER)
		ck_assert_uint_le(stats_of(arena).held_bytes, settled + 2 * page_size());
	ck_assert_int_eq(*past, 'a');
	ck_assert_int_eq(cowarena_view_settle(view, past, 0), 0);
	ck_assert_int_eq(cowarena_view_close(view), 0);
	ck_assert_int_eq(cowarena_snapshot_release(snap), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_destroy(arena);
}
END_TEST

START_TEST(what_cannot_be_settled)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	o.held_limit = 4 * page_size();
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, 8);

	memset(p, 'a', 8 * page_size());
	cowarena_snapshot *snap = take_snapshot(arena, 0);
	cowarena_view *view = cowarena_view_open(snap, 0);
	char *past = cowarena_view_at(view, p);
	ck_assert_int_eq(cowarena_view_settle(NULL, past, 1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(cowarena_view_settle(view, p, 1), -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(cowarena_view_settle(view, past, SIZE_MAX), -1);
	ck_assert_int_eq(errno, EFAULT);
	/* More than may be held costs no snapshot: who asks can do without. */
	ck_assert_int_eq(cowarena_view_settle(view, past, 8 * page_size()), -1);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "held_limit"));
	ck_assert_int_eq(cowarena_view_check(view), 0);
	ck_assert_uint_eq(stats_of(arena).spoiled, 0);
	memset(p, 'b', 8 * page_size()); /* this does cost one */
	ck_assert_int_eq(cowarena_view_settle(view, past, 1), -1);
	ck_assert_int_eq(errno, ESTALE);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("view");
	TCase *tc = tcase_create("view");

	tcase_add_loop_test(tc, read_only_views_stay, 0, CASES);
	tcase_add_loop_test(tc, private_views_stay, 0, CASES);
	tcase_add_loop_test(tc, writes_to_a_private_view_stay_in_it, 0, CASES);
	tcase_add_loop_test(tc, a_view_has_a_range, 0, CASES);
	tcase_add_loop_test(tc, views_keep_their_snapshot, 0, CASES);
	tcase_add_loop_test(tc, without_poking, 0, CASES);
	tcase_add_loop_test(tc, a_list_walked_in_the_past, 0, CASES);
	tcase_add_loop_test(tc, both_sides_write_at_once, 0, CASES);
	tcase_add_loop_test(tc, opening_under_fire, 0, CASES);
	tcase_add_loop_test(tc, settled_pages_can_be_sent, 0, CASES);
	tcase_add_loop_test(tc, settling_is_charged_once, 0, CASES);
	tcase_add_test(tc, what_cannot_be_settled);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
