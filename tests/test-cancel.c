/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-cancel.c - a thread with a pending pthread_cancel() calls each function of the library.
 *
 * The call must finish, and leave no lock behind: the thread ends only at a cancellation point of
 * its own afterwards, and other threads go on.
 */
#include "config.h"

#include "arena.h"
#include "common.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* Check's own functions are points of cancellation. */

#define HUGE_BLOCK ((size_t)8 << 20)

struct scene {
	int i; /* the case */
	cowarena *arena;
	cowarena_snapshot *s;
	cowarena_view *view;
	char *p, *big;
	FILE *stream;
	_Atomic bool finished;
};

static void do_free(struct scene *c)
{
	cowarena_free(c->arena, c->big);
}

static void do_realloc(struct scene *c)
{
	c->big = cowarena_realloc(c->arena, c->big, 12 * HUGE_BLOCK);
	c->big = cowarena_realloc(c->arena, c->big, 3000);
}

static void do_alloc(struct scene *c)
{
	for (size_t size = 1; size < HUGE_BLOCK; size *= 2)
		cowarena_calloc(c->arena, 3, size);
}

static void do_refused_alloc(struct scene *c)
{
	cowarena_alloc(c->arena, SIZE_MAX / 2);
}

static void do_trim(struct scene *c)
{
	cowarena_free(c->arena, c->p);
	cowarena_trim(c->arena);
}

static void do_compact(struct scene *c)
{
	cowarena_compact(c->arena);
}

static void do_take(struct scene *c)
{
	for (int i = 0; i < 20; i++)
		cowarena_snapshot_release(cowarena_snapshot_take(c->arena, COWARENA_QUIESCENT));
}

static void do_release(struct scene *c)
{
	cowarena_view_close(c->view);
	cowarena_snapshot_release(c->s);
}

static void do_views(struct scene *c)
{
	for (unsigned flags = 0; flags <= COWARENA_VIEW_PRIVATE; flags++) {
		cowarena_view *v = cowarena_view_open(c->s, flags);
		c->p[flags * page_size()]++;
		cowarena_view_check(v);
		cowarena_view_close(v);
	}
}

static void do_store(struct scene *c)
{
	for (size_t i = 0; i < HUGE_BLOCK; i += page_size())
		c->p[i]++;
}

static void do_prepare(struct scene *c)
{
	cowarena_prepare_write(c->arena, c->p, HUGE_BLOCK);
}

static void do_read(struct scene *c)
{
	char byte;

	cowarena_snapshot_read(c->s, &byte, c->p, 1);
	cowarena_snapshot_root(c->s);
}

static void do_rollback(struct scene *c)
{
	cowarena_rollback(c->arena, c->s);
}

static int see_range(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

static void do_diff(struct scene *c)
{
	cowarena_diff(c->s, NULL, see_range, NULL);
	cowarena_diff_with(c->s, NULL, COWARENA_DIFF_BYTES, see_range, NULL);
}

static int see_block(void *ctx, void *p, size_t size)
{
	(void)ctx, (void)p, (void)size;
	return 0;
}

static void do_walk(struct scene *c)
{
	cowarena_heap_walk(c->arena, NULL, see_block, NULL);
	cowarena_heap_check(c->arena, c->s);
}

static void do_stats(struct scene *c)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	cowarena_stats_get(c->arena, &stats);
}

static void do_hooks(struct scene *c)
{
	cowarena_on_page(c->arena, NULL, NULL);
	cowarena_on_spoiled(c->arena, NULL, NULL);
	cowarena_trap_check();
	cowarena_trap_reinstall();
	cowarena_after_fork_in_child();
}

static void do_create(struct scene *c)
{
	struct cowarena_options o = case_options(c->i);

	cowarena_destroy(cowarena_create(&o));
	o.capacity = SIZE_MAX / 4;
	cowarena_destroy(cowarena_create(&o)); /* refused */
}

static void do_destroy(struct scene *c)
{
	cowarena_destroy(c->arena);
	c->arena = NULL;
}

static void (*const calls[])(struct scene *) = {
    do_free,  do_realloc, do_alloc,   do_refused_alloc, do_trim,    do_compact, do_take,
    do_views, do_store,   do_prepare, do_read,          do_release, do_diff,    do_walk,
    do_stats, do_hooks,   do_create,  do_rollback,      do_destroy,
};
#define CALLS ((int)(sizeof calls / sizeof *calls))

static struct scene scene;

static void *cancelled(void *arg)
{
	int call = *(int *)arg;

	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	pthread_cancel(pthread_self());
	calls[call](&scene);
	atomic_store(&scene.finished, true);
	pthread_testcancel();
	return NULL;
}

static void make(int i)
{
	scene = (struct scene){.i = i, .arena = arena_case(i)};
	scene.p = cowarena_calloc(scene.arena, 1, HUGE_BLOCK);
	scene.big = cowarena_calloc(scene.arena, 1, HUGE_BLOCK);
	memset(scene.big, 'b', HUGE_BLOCK);
	memset(scene.p, 'a', HUGE_BLOCK);
	cowarena_snapshot_release(cowarena_snapshot_take(scene.arena, 0));
	for (size_t i_page = 0; i_page < HUGE_BLOCK; i_page += 3 * page_size())
		scene.p[i_page] = 'b';
	scene.s = cowarena_snapshot_take(scene.arena, 0);
	scene.view = cowarena_view_open(scene.s, 0);
	ck_assert_ptr_nonnull(scene.view);
	for (size_t i_page = 0; i_page < HUGE_BLOCK; i_page += 5 * page_size())
		scene.p[i_page] = 'c';
}

/* Whoever needs a lock gets it. */
static void others_go_on(cowarena *arena)
{
	char *p = cowarena_calloc(arena, 1, HUGE_BLOCK);

	ck_assert_ptr_nonnull(p);
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
	p[0] = 'x';
	cowarena_view *v = cowarena_view_open(s, 0);
	ck_assert_int_eq(*(char *)cowarena_view_at(v, p), 0);
	ck_assert_int_eq(cowarena_view_close(v), 0);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(p[0], 0);
	cowarena_snapshot_release(s);
	cowarena_free(arena, p);
	cowarena_trim(arena);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
}

START_TEST(with_cancellation_pending)
{
	int call = _i % CALLS;
	pthread_t thread;
	void *result;

	make(_i / CALLS);
	ck_assert_int_eq(pthread_create(&thread, NULL, cancelled, &call), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert(atomic_load(&scene.finished));
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	if (scene.arena) {
		others_go_on(scene.arena);
		cowarena_destroy(scene.arena);
	}
	cowarena *other = arena_case(_i / CALLS);
	others_go_on(other);
	cowarena_destroy(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cancel");
	TCase *tc = tcase_create("cancel");

	tcase_add_loop_test(tc, with_cancellation_pending, 0, CASES * CALLS);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
