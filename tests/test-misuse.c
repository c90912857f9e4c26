/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-misuse.c - stale and invalid handles, heaps that a child does not have, and stores to a
 * read-only view: each prints one line that says what it was, and ends the process.
 */
#include "config.h"

#include "common.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene {
	cowarena *arena;
	cowarena_snapshot *s, *older;
	cowarena_view *view;
	char *p;
};

static struct scene make(int i)
{
	struct cowarena_options o = case_options(i);
	struct scene t = {0};

	o.flags |= forking_flags();
	t.arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(t.arena);
	t.p = cowarena_calloc(t.arena, 4, page_size());
	t.older = cowarena_snapshot_take(t.arena, 0);
	t.s = cowarena_snapshot_take(t.arena, 0);
	t.view = cowarena_view_open(t.s, 0);
	ck_assert(t.p && t.older && t.s && t.view);
	return t;
}

/* ---- each of these must not return ---- */

static int ignore_range(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

static int ignore_block(void *ctx, void *p, size_t size)
{
	(void)ctx, (void)p, (void)size;
	return 0;
}

static void release_twice(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_snapshot_release(t->older);
}

/* The record is not another snapshot's by then. */
static void release_twice_with_more_between(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	for (int i = 0; i < 50; i++)
		cowarena_snapshot_take(t->arena, 0);
	cowarena_snapshot_release(t->older);
}

static void read_released(struct scene *t)
{
	char byte;

	cowarena_snapshot_release(t->older);
	cowarena_snapshot_read(t->older, &byte, t->p, 1);
}

static void id_of_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_snapshot_id(t->older);
}

static void root_of_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_snapshot_root(t->older);
}

static void view_of_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_view_open(t->older, 0);
}

static void rollback_to_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_rollback(t->arena, t->older);
}

static void diff_of_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_diff(t->older, NULL, ignore_range, NULL);
}

static void diff_with_released(struct scene *t)
{
	cowarena_snapshot *newest = cowarena_snapshot_take(t->arena, 0);

	cowarena_snapshot_release(newest);
	cowarena_diff(t->older, newest, ignore_range, NULL);
}

static void walk_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_heap_walk(t->arena, t->older, ignore_block, NULL);
}

static void check_released(struct scene *t)
{
	cowarena_snapshot_release(t->older);
	cowarena_heap_check(t->arena, t->older);
}

static void close_twice(struct scene *t)
{
	cowarena_view_close(t->view);
	cowarena_view_close(t->view);
}

static void close_twice_private(struct scene *t)
{
	cowarena_view *view = cowarena_view_open(t->s, COWARENA_VIEW_PRIVATE);

	cowarena_view_close(view);
	cowarena_view_close(view);
}

static void at_closed(struct scene *t)
{
	cowarena_view_close(t->view);
	cowarena_view_at(t->view, t->p);
}

static void check_closed(struct scene *t)
{
	cowarena_view_close(t->view);
	cowarena_view_check(t->view);
}

static void destroy_twice(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_destroy(t->arena);
}

static void alloc_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_alloc(t->arena, 10);
}

static void calloc_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_calloc(t->arena, 10, 100000);
}

static void strdup_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_strdup(t->arena, "text");
}

static void aligned_alloc_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_aligned_alloc(t->arena, 4096, 4096);
}

static void free_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_free(t->arena, t->p);
}

static void realloc_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_realloc(t->arena, t->p, 5);
}

static void usable_size_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_usable_size(t->arena, t->p);
}

static void take_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_snapshot_take(t->arena, 0);
}

static void stats_destroyed(struct scene *t)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	cowarena_destroy(t->arena);
	cowarena_stats_get(t->arena, &stats);
}

static void trim_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_trim(t->arena);
}

static void compact_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_compact(t->arena);
}

static void prepare_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_prepare_write(t->arena, t->p, 1);
}

static void contains_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_contains(t->arena, t->p);
}

static void root_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_root(t->arena);
}

static void set_root_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_set_root(t->arena, NULL);
}

static void name_destroyed(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_engine_name(t->arena);
}

static void release_after_destroy(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_snapshot_release(t->s);
}

static void close_after_destroy(struct scene *t)
{
	cowarena_destroy(t->arena);
	cowarena_view_close(t->view);
}

static void release_what_is_none(struct scene *t)
{
	cowarena_snapshot_release((void *)t->p);
}

static void release_nowhere(struct scene *t)
{
	(void)t;
	cowarena_snapshot_release((void *)((uintptr_t)1 << 40));
}

static void release_an_arena(struct scene *t)
{
	cowarena_snapshot_release((void *)t->arena);
}

static void close_a_snapshot(struct scene *t)
{
	cowarena_view_close((void *)t->s);
}

static void take_of_a_snapshot(struct scene *t)
{
	cowarena_snapshot_take((void *)t->s, 0);
}

static const struct misuse {
	void (*fn)(struct scene *t);
	const char *function, *what;
} misuses[] = {
    {release_twice, "cowarena_snapshot_release", "released already"},
    {release_twice_with_more_between, "cowarena_snapshot_release", "released already"},
    {read_released, "cowarena_snapshot_read", "released already"},
    {id_of_released, "cowarena_snapshot_id", "released already"},
    {root_of_released, "cowarena_snapshot_root", "released already"},
    {view_of_released, "cowarena_view_open", "released already"},
    {rollback_to_released, "cowarena_rollback", "released already"},
    {diff_of_released, "cowarena_diff", "released already"},
    {diff_with_released, "cowarena_diff", "released already"},
    {walk_released, "cowarena_heap_walk", "released already"},
    {check_released, "cowarena_heap_check", "released already"},
    {close_twice, "cowarena_view_close", "closed already"},
    {close_twice_private, "cowarena_view_close", "closed already"},
    {at_closed, "cowarena_view_at", "closed already"},
    {check_closed, "cowarena_view_check", "closed already"},
    {destroy_twice, "cowarena_destroy", "destroyed already"},
    {alloc_destroyed, "cowarena_alloc", "destroyed already"},
    {calloc_destroyed, "cowarena_alloc", "destroyed already"},
    {strdup_destroyed, "cowarena_alloc", "destroyed already"},
    {aligned_alloc_destroyed, "cowarena_alloc", "destroyed already"},
    {free_destroyed, "cowarena_free", "destroyed already"},
    {realloc_destroyed, "cowarena_realloc", "destroyed already"},
    {usable_size_destroyed, "cowarena_usable_size", "destroyed already"},
    {take_destroyed, "cowarena_snapshot_take", "destroyed already"},
    {stats_destroyed, "cowarena_stats_get", "destroyed already"},
    {trim_destroyed, "cowarena_trim", "destroyed already"},
    {compact_destroyed, "cowarena_compact", "destroyed already"},
    {prepare_destroyed, "cowarena_prepare_write", "destroyed already"},
    {contains_destroyed, "cowarena_contains", "destroyed already"},
    {root_destroyed, "cowarena_root", "destroyed already"},
    {set_root_destroyed, "cowarena_set_root", "destroyed already"},
    {name_destroyed, "cowarena_engine_name", "destroyed already"},
    {release_after_destroy, "cowarena_snapshot_release", "arena destroyed"},
    {close_after_destroy, "cowarena_view_close", "arena destroyed"},
    {release_what_is_none, "cowarena_snapshot_release", "not a snapshot"},
    {release_nowhere, "cowarena_snapshot_release", "not a snapshot"},
    {release_an_arena, "cowarena_snapshot_release", "is an arena"},
    {close_a_snapshot, "cowarena_view_close", "is a snapshot"},
    {take_of_a_snapshot, "cowarena_snapshot_take", "is a snapshot"},
};

#define MISUSES ((int)(sizeof misuses / sizeof *misuses))

struct job {
	int c;
	const struct misuse *misuse;
	struct scene *scene;
};

static void run_job(void *arg)
{
	struct job *j = arg;
	struct scene t = make(j->c);

	j->misuse->fn(&t);
}

/* One line, and abort(3). */
static void expect(int status, char *said, const char *function, const char *what)
{
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s: status %#x, \"%s\"",
		      function, (unsigned)status, said);
	ck_assert_msg(strstr(said, function) && strstr(said, what), "not \"%s ... %s\": %s",
		      function, what, said);
	if (!sanitized())
		ck_assert_msg(strchr(said, '\n') == said + strlen(said) - 1, "%s", said);
	free(said);
}

START_TEST(is_told)
{
	struct job j = {_i / MISUSES, &misuses[_i % MISUSES], NULL};
	char *said;
	int status = in_child(run_job, &j, &said);

	expect(status, said, j.misuse->function, j.misuse->what);
}
END_TEST

/* Two threads end one snapshot at the same time: one of them is told. */
static pthread_barrier_t together;

static void *release_it(void *s)
{
	pthread_barrier_wait(&together);
	cowarena_snapshot_release(s);
	return NULL;
}

static void release_together(void *arg)
{
	struct scene t = make(*(int *)arg);
	pthread_t thread;

	pthread_barrier_init(&together, NULL, 2);
	pthread_create(&thread, NULL, release_it, t.older);
	release_it(t.older);
	pthread_join(thread, NULL);
}

START_TEST(at_the_same_time)
{
	char *said;
	int c = _i, status = in_child(release_together, &c, &said);

	expect(status, said, "cowarena_snapshot_release", "released already");
}
END_TEST

/* ---- a child of fork() that has no copy ---- */

static void child_allocs(struct scene *t)
{
	cowarena_alloc(t->arena, 10);
}

static void child_frees(struct scene *t)
{
	cowarena_free(t->arena, t->p);
}

static void child_resizes(struct scene *t)
{
	cowarena_realloc(t->arena, t->p, 10);
}

static void child_takes(struct scene *t)
{
	cowarena_snapshot_take(t->arena, 0);
}

static void child_reads(struct scene *t)
{
	char byte;

	cowarena_snapshot_read(t->s, &byte, t->p, 1);
}

static void child_looks(struct scene *t)
{
	cowarena_view_at(t->view, t->p);
}

static void child_asks_for_the_root(struct scene *t)
{
	cowarena_root(t->arena);
}

static const struct misuse in_children[] = {
    {child_allocs, "cowarena_alloc", "no copy"},
    {child_frees, "cowarena_free", "no copy"},
    {child_resizes, "cowarena_realloc", "no copy"},
    {child_takes, "cowarena_snapshot_take", "no copy"},
    {child_reads, "cowarena_snapshot_read", "no copy"},
    {child_looks, "cowarena_view_at", "no copy"},
    {child_asks_for_the_root, "cowarena_root", "no copy"},
};

#define IN_CHILDREN ((int)(sizeof in_children / sizeof *in_children))

/* With all signals blocked, as in a child that is about to start another program. */
static void run_in_child(void *arg)
{
	struct job *j = arg;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	j->misuse->fn(j->scene);
}

START_TEST(a_child_is_told)
{
	struct scene t = make(_i / IN_CHILDREN);
	struct job j = {0, &in_children[_i % IN_CHILDREN], &t};
	char *said;
	int status = in_child(run_in_child, &j, &said);

	expect(status, said, j.misuse->function, j.misuse->what);
	cowarena_destroy(t.arena);
}
END_TEST

/* What owners do at the end of their scope is no mistake; nor is a question about an address. */
static void leave(void *arg)
{
	struct scene *t = arg;

	if (!cowarena_contains(t->arena, t->p) || cowarena_contains(t->arena, t))
		_exit(1);
	if (cowarena_snapshot_release(t->s) != -1 || cowarena_view_close(t->view))
		_exit(2);
	if (cowarena_snapshot_release(t->s) || cowarena_snapshot_release(t->older))
		_exit(3);
	if (cowarena_after_fork_in_child() || t->p[0] || cowarena_heap_check(t->arena, NULL))
		_exit(4);
	cowarena_snapshot *s = cowarena_snapshot_take(t->arena, 0);
	if (!s || cowarena_snapshot_release(s))
		_exit(5);
	cowarena_destroy(t->arena);
}

START_TEST(a_child_may_leave)
{
	if (!children_have_threads(_i))
		return;
	struct scene t = make(_i);
	char *said;
	int status = in_child(leave, &t, &said);

	ck_assert_msg(status == 0, "status %#x: %s", (unsigned)status, said);
	free(said);
	cowarena_destroy(t.arena);
}
END_TEST

/* ---- stores to a view ---- */

static void store_to_view(void *arg)
{
	struct scene t = make(*(int *)arg);

	/* Others come and go. */
	for (int i = 0; i < 200; i++)
		cowarena_view_open(t.s, 0);
	for (int i = 0; i < 200; i++)
		cowarena_view_close(cowarena_view_open(t.s, COWARENA_VIEW_PRIVATE));
	*(volatile char *)cowarena_view_at(t.view, t.p) = 1;
}

START_TEST(a_store_to_a_view)
{
	char *said;
	int c = _i, status = in_child(store_to_view, &c, &said);

	ck_assert_msg(died_of_segv(status), "status %#x: %s", (unsigned)status, said);
	ck_assert_msg(strstr(said, "read-only view") != NULL, "%s", said);
	free(said);
}
END_TEST

static void touch_view(void *view)
{
	*(volatile char *)view;
}

START_TEST(a_child_touches_a_view)
{
	struct scene t = make(_i);
	char *said;
	int status = in_child(touch_view, cowarena_view_at(t.view, t.p), &said);

	ck_assert_msg(died_of_segv(status), "status %#x: %s", (unsigned)status, said);
	ck_assert_msg(strstr(said, "touched a view") != NULL, "%s", said);
	free(said);
}
END_TEST

/* Where a view was is no view any more. */
static void store_where_a_view_was(void *arg)
{
	struct scene t = make(*(int *)arg);
	char *at = cowarena_view_at(t.view, t.p);

	cowarena_view_close(t.view);
	*(volatile char *)at = 1;
}

START_TEST(where_a_view_was)
{
	char *said;
	int c = _i, status = in_child(store_where_a_view_was, &c, &said);

	ck_assert(died_of_segv(status));
	ck_assert_msg(sanitized() || strstr(said, "view") == NULL, "%s", said);
	free(said);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("misuse");
	TCase *handles = tcase_create("handles"), *children = tcase_create("children"),
	      *views = tcase_create("views");

	tcase_add_loop_test(handles, is_told, 0, CASES * MISUSES);
	tcase_add_loop_test(handles, at_the_same_time, 0, CASES);
	suite_add_tcase(suite, handles);
	tcase_add_loop_test(children, a_child_is_told, 0, CASES * IN_CHILDREN);
	tcase_add_loop_test(children, a_child_may_leave, 0, CASES);
	suite_add_tcase(suite, children);
	tcase_add_loop_test(views, a_store_to_a_view, 0, CASES);
	tcase_add_loop_test(views, a_child_touches_a_view, 0, CASES);
	tcase_add_loop_test(views, where_a_view_was, 0, CASES);
	suite_add_tcase(suite, views);
	return run_suite(suite);
}
