/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-verify.c - COWARENA_VERIFY and COWARENA_DEBUG: each error is found and reported, and ends
 * the process; nothing else does.
 */
#include "config.h"

#include "arena.h"
#include "engine-state.h"
#include "common.h"
#include "debug.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 8

struct scene {
	int kind;
	void (*harm)(cowarena *arena, cowarena_snapshot *s, char *p);
	int (*use)(cowarena *arena, cowarena_snapshot *s, char *p);
	const char *said;
};

static void run_scene(void *arg)
{
	struct scene *scene = arg;
	struct cowarena_options o = case_options(scene->kind);

	o.flags |= COWARENA_VERIFY | COWARENA_NO_HELPER;
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, PAGES);
	memset(p, 1, PAGES * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	p[0] = 2;        /* one page is in a frame, the others are live */
	stats_of(arena); /* the library hears of pages that the kernel copies */
	scene->harm(arena, s, p);
	_exit(scene->use(arena, s, p) ? 4 : 5);
}

static void is_told(int kind, struct scene scene)
{
	char *said;

	scene.kind = kind;
	int status = in_child(run_scene, &scene, &said);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
		      "%s: status %#x, \"%.2000s\"", scene.said, (unsigned)status, said);
	ck_assert_msg(strstr(said, scene.said) != NULL, "\"%.2000s\" instead of \"%s\"", said,
		      scene.said);
	free(said);
}

/* ---- COWARENA_VERIFY ---- */

/* As a device would: behind the processor's protection. */
static void write_behind(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s;
	if (pwrite(arena->file.fd, "x", 1, p + 3 * page_size() + 70 - arena->base) != 1)
		_exit(6);
}

static void change_frame(cowarena *arena, cowarena_snapshot *s, char *p)
{
	uint32_t frame = timeline_find(arena, arena_page(arena, p), s->epoch);

	bool in_file = version_place(frames_version(&arena->frames, frame)) == VERSION_IN_FILE;
	char *kept =
	    in_file ? arena_past(arena, arena_page(arena, p)) : frames_data(&arena->frames, frame);
	kept[page_size() - 1] ^= 1;
}

static int use_read(cowarena *arena, cowarena_snapshot *s, char *p)
{
	char byte;

	(void)arena;
	for (size_t i = 0; i < PAGES; i++)
		cowarena_snapshot_read(s, &byte, p + i * page_size() + 9, 1);
	return 0;
}

static int use_rollback(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)p;
	return cowarena_rollback(arena, s);
}

static int use_release(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)arena, (void)p;
	return cowarena_snapshot_release(s);
}

/* A stray write of the program's own, to a read-only view that somebody has made writable. */
static int use_view(cowarena *arena, cowarena_snapshot *s, char *p)
{
	cowarena_view *view = cowarena_view_open(s, 0);
	char *at = cowarena_view_at(view, p + 2 * page_size());

	(void)arena;
	mprotect(at, page_size(), PROT_READ | PROT_WRITE);
	at[5] = 77;
	return cowarena_view_close(view);
}

static void no_harm(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)arena, (void)s, (void)p;
}

START_TEST(what_has_moved_is_told)
{
	static int (*const uses[])(cowarena *, cowarena_snapshot *, char *) = {use_read,
									       use_release};
	static const char *const words = "a page of a snapshot has changed";

	for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
		if (_i != CASE_EAGER) /* where the live page is never what a snapshot reads */
			is_told(_i, (struct scene){
					.harm = write_behind, .use = uses[i], .said = words});
		is_told(_i, (struct scene){.harm = change_frame, .use = uses[i], .said = words});
	}
	is_told(_i, (struct scene){
			.harm = change_frame, .use = use_rollback, .said = "after a rollback"});
	is_told(_i,
		(struct scene){.harm = no_harm, .use = use_view, .said = "of a read-only view"});
}
END_TEST

/* All that may be done with a snapshot, and no alarm. */
START_TEST(no_false_alarm)
{
	struct cowarena_options o = case_options(_i);

	o.flags |= COWARENA_VERIFY;
	o.held_limit = 40 * page_size();
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, 3 * PAGES), byte;
	for (char round = 1; round < 20; round++) {
		cowarena_snapshot *s = take_snapshot(arena, round % 3 ? 0 : COWARENA_QUIESCENT);
		if (!s) {
			ck_assert_int_eq(errno, ENOMEM); /* eager, at the limit */
			continue;
		}
		cowarena_view *view = cowarena_view_open(s, round % 2 ? COWARENA_VIEW_PRIVATE : 0);
		for (size_t i = 0; i < 3 * PAGES; i++)
			p[i * page_size() + (size_t)round] = round;
		if (view && round % 2)
			*(char *)cowarena_view_at(view, p) = 99;
		cowarena_snapshot_read(s, &byte, p, 1);
		cowarena_rollback(arena, s);
		cowarena_view_close(view);
		if (round % 4)
			cowarena_snapshot_release(s);
	}
	cowarena_destroy(arena);
}
END_TEST

/* ---- COWARENA_DEBUG ---- */

static void open_behind(cowarena *arena, cowarena_snapshot *s, char *p)
{
	char *at = p + 3 * page_size();

	(void)s;
	if (engine_uffd_file(arena)->fd >= 0)
		os_uffd_protect(engine_uffd_file(arena), at, page_size(), false);
	mprotect(at, page_size(), PROT_READ | PROT_WRITE);
}

static void stamp_ahead(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s;
	atomic_fetch_add(&arena->table.pages[arena_page(arena, p) + 1].state,
			 99 << PAGE_STAMP_SHIFT);
}

static void forget_dirty(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s;
	bitmap_unset(&arena->table.dirty, arena_page(arena, p));
}

static void lose_frame(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s, (void)p;
	frames_take(&arena->frames);
}

static void miscount(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s, (void)p;
	frames_charge(&arena->frames, 1);
}

static void keep_wrong(cowarena *arena, cowarena_snapshot *s, char *p)
{
	uint32_t frame = timeline_find(arena, arena_page(arena, p), s->epoch);

	struct version *v = frames_version(&arena->frames, frame);
	version_end(v, version_last(v) + 1, version_place(v));
}

static void leave_locked(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s;
	debug_naps_max = 1000; /* nobody is going to unlock it */
	page_lock(&arena->table.pages[arena_page(arena, p) + 1]);
}

static int use_take(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)s, (void)p;
	return !take_snapshot(arena, 0);
}

static int use_look(cowarena *arena, cowarena_snapshot *s, char *p)
{
	(void)arena, (void)p;
	return cowarena_view_open(s, 0) == NULL;
}

START_TEST(broken_invariants_are_told)
{
	setenv("COWARENA_DEBUG", "1", 1);
	static const struct scene scenes[] = {
	    {.harm = stamp_ahead, .use = use_look, .said = "a stamp is ahead"},
	    {.harm = forget_dirty, .use = use_look, .said = "stamp and bitmap differ"},
	    {.harm = lose_frame, .use = use_look, .said = "frames are taken and not kept"},
	    {.harm = miscount, .use = use_take, .said = "held memory is miscounted"},
	    {.harm = keep_wrong, .use = use_look, .said = "versions overlap"},
	    {.harm = leave_locked, .use = use_look, .said = "a page is locked"},
	};

	for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
		is_told(_i, scenes[i]);
	/* Where a snapshot needs armed pages, and asking does not wait for our own thread. */
	if (case_traps(_i))
		is_told(_i, (struct scene){.harm = open_behind, .use = use_look, .said = "I1: "});
}
END_TEST

START_TEST(only_when_asked_for)
{
	static const char *const values[] = {NULL, "", "0", "1", "yes"};
	struct cowarena_options o = case_options(CASE_DEFAULT);

	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		values[i] ? setenv("COWARENA_DEBUG", values[i], 1) : unsetenv("COWARENA_DEBUG");
		cowarena *arena = cowarena_create(&o);
		ck_assert_int_eq(arena->debug, i >= 3);
		cowarena_destroy(arena);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify");
	TCase *verify = tcase_create("verify"), *debug = tcase_create("debug");

	tcase_add_loop_test(verify, what_has_moved_is_told, 0, CASES);
	tcase_add_loop_test(verify, no_false_alarm, 0, CASES);
	suite_add_tcase(suite, verify);
	tcase_add_loop_test(debug, broken_invariants_are_told, 0, CASES);
	tcase_add_test(debug, only_when_asked_for);
	suite_add_tcase(suite, debug);
	return run_suite(suite);
}
