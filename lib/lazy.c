/* SPDX-License-Identifier: BSD-2-Clause */
/* lazy.c - see lazy.h. */
#include "config.h"

#include "lazy.h"

#include "arena.h"
#include "error.h"
#include "point.h"
#include "range.h"
#include "records.h"
#include "track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAULTS 16        /* taken from the kernel at once */
#define WAIT_NS 20000000 /* until the thread looks whether it is to stop */

enum progress { LOADING, WHOLE, FAILED };

struct lazy {
	struct os_file absent;
	struct cowarena *arena;
	struct lazy_source source;
	size_t pages;
	size_t next;          /* page of the first group that may not be there */
	struct bitmap groups; /* that were fetched */
	void *groups_memory;
	char *buffer; /* a group's pages, and one page of zeros */
	pthread_t thread;
	bool has_thread;
	_Atomic uint32_t progress; /* futex */
	_Atomic bool stop;
	/* Written before `progress` is FAILED. */
	int failure; /* errno */
	char message[320];
};

static size_t groups_of(const struct lazy *l)
{
	return (l->pages + LAZY_GROUP - 1) / LAZY_GROUP;
}

static size_t buffer_bytes(const struct lazy *l)
{
	return (LAZY_GROUP + 1) * arena_page_size(l->arena);
}

void lazy_close(struct lazy *l)
{
	int e = errno;

	if (l->source.end)
		l->source.end(l->source.ctx);
	os_file_close(&l->absent);
	records_give(l->buffer, buffer_bytes(l));
	if (l->groups_memory)
		records_give(l->groups_memory, bitmap_bytes(groups_of(l)));
	records_give(l, sizeof *l);
	errno = e;
}

struct lazy *lazy_open(struct cowarena *arena)
{
	if (!arena->engine->takes_absent || arena->flags & COWARENA_FAITHFUL || track_is_active() ||
	    os_is_traced()) {
		errno = ENOTSUP;
		return NULL;
	}
	struct lazy *l = records_take(sizeof *l);
	if (!l)
		return NULL;
	l->arena = arena;
	if (os_absent_open(&l->absent)) {
		l->absent = OS_NO_FILE;
		lazy_close(l);
		return NULL;
	}
	return l;
}

/* ---- the thread ---- */

/* The one that the library writes through, if there are two. */
static void wake(struct lazy *l, size_t first, size_t n)
{
	struct cowarena *a = l->arena;
	size_t bytes = n << a->page_shift;

	TEST_POINT();
	os_absent_wake(&l->absent, arena_address(a, first), bytes);
	if (a->past != a->base)
		os_absent_wake(&l->absent, arena_past(a, first), bytes);
}

/* Put the pages of the group that are not zeros to their places. */
static int fill(struct lazy *l, size_t first, size_t n, uint64_t present)
{
	struct cowarena *a = l->arena;

	for (size_t i = 0, run; i < n; i += run) {
		bool is_there = present >> i & 1;
		for (run = 1; i + run < n && (present >> (i + run) & 1) == is_there;)
			run++;
		if (is_there &&
		    os_absent_fill(&l->absent, arena_past(a, first + i),
				   l->buffer + (i << a->page_shift), run << a->page_shift))
			return error_system(errno,
					    "a page of the heap could not be put to its place (%s)",
					    error_name(errno));
		/* The others are holes. (A bit that another thread sets at this moment may be lost:
		   then the kernel is asked about that page once more.) */
		for (size_t page = first + i; !is_there && page < first + i + run; page++)
			bitmap_unset(&a->table.backed, page);
	}
	return 0;
}

/* Bring a group, unless it is there. */
static int bring(struct lazy *l, size_t group)
{
	size_t first = group * LAZY_GROUP, left = l->pages - first;
	size_t n = left < LAZY_GROUP ? left : LAZY_GROUP;
	uint64_t present;

	if (bitmap_test(&l->groups, group))
		return 0;
	if (l->source.fetch(l->source.ctx, first, n, l->buffer, &present) ||
	    fill(l, first, n, present))
		return -1;
	bitmap_set(&l->groups, group);
	wake(l, first, n);
	return 0;
}

/* Nobody may read anything else instead. */
static _Noreturn void give_up(const char *why)
{
	error_log(why);
	error_log("memory that the program needs cannot be loaded: the process ends");
	abort();
}

/* Of a group that is there a page can be touched that is zeros, and so is not. */
static void resolve(struct lazy *l, const char *touched)
{
	struct cowarena *a = l->arena;
	const char *base = (size_t)(touched - a->base) < a->reserved ? a->base : a->past;
	size_t page = (size_t)(touched - base) >> a->page_shift;

	if (bring(l, page / LAZY_GROUP))
		give_up(cowarena_errmsg());
	if (os_absent_fill(&l->absent, arena_past(a, page),
			   l->buffer + (LAZY_GROUP << a->page_shift), arena_page_size(a)) &&
	    errno != EEXIST)
		give_up("a page of zeros could not be put to its place");
	wake(l, page, 1);
}

static void set_progress(struct lazy *l, enum progress progress)
{
	TEST_POINT();
	atomic_store(&l->progress, progress);
	os_wake_all(&l->progress);
}

static void fail(struct lazy *l)
{
	l->failure = errno;
	strncpy(l->message, cowarena_errmsg(), sizeof l->message - 1);
	set_progress(l, FAILED);
}

/* Pages that are not there are zeros from now on. Wakes whoever waits for one. */
static void unwatch(struct lazy *l)
{
	struct cowarena *a = l->arena;
	size_t bytes = l->pages << a->page_shift;

	os_uffd_unregister(&l->absent, a->base, bytes);
	if (a->past != a->base)
		os_uffd_unregister(&l->absent, a->past, bytes);
}

static void *lazy_main(void *p)
{
	struct lazy *l = p;
	void *touched[FAULTS];
	uint64_t wait = 0;
	bool works = true;

	os_thread_begins();
	while (!atomic_load(&l->stop) && l->next < groups_of(l)) {
		int n = os_absent_next(&l->absent, touched, FAULTS, wait);
		if (n < 0)
			give_up("the program has closed the descriptor by which its heap comes in "
				"as it is touched: close only what is your own");
		for (int i = 0; i < n; i++)
			resolve(l, touched[i]);
		if (n || !works)
			continue;
		wait = bring(l, l->next) == 0 ? 0 : WAIT_NS;
		works = !wait || errno == EAGAIN;
		if (!wait)
			l->next++;
		else if (!works)
			fail(l);
	}
	if (works && l->next == groups_of(l)) {
		unwatch(l);
		atomic_store_explicit(&l->arena->has_absent, false, memory_order_release);
		set_progress(l, WHOLE);
	}
	os_thread_ends();
	return NULL;
}

/* ---- the others ---- */

static int watch(struct lazy *l)
{
	struct cowarena *a = l->arena;
	size_t bytes = l->pages << a->page_shift;

	if (os_absent_begin(&l->absent, a->base, bytes) ||
	    (a->past != a->base && os_absent_begin(&l->absent, a->past, bytes)))
		return error_system(errno, "the heap's memory cannot be watched (%s)",
				    error_name(errno));
	/* What is there already, an empty heap's, would stay. */
	os_punch(a->past, bytes);
	return 0;
}

static int start(struct lazy *l)
{
	l->buffer = records_take(buffer_bytes(l));
	l->groups_memory = records_take(bitmap_bytes(groups_of(l)));
	if (!l->buffer || !l->groups_memory)
		return error_set(ENOMEM, "no memory for what a heap that comes in as it is touched "
					 "needs: " ERROR_NO_ROOM);
	bitmap_init(&l->groups, l->groups_memory, groups_of(l));
	if (range_grow_armed(l->arena, l->pages << l->arena->page_shift) || watch(l))
		return -1;
	atomic_store(&l->arena->has_absent, true);
	/* They are no holes, which the file would say. */
	bitmap_fill(&l->arena->table.backed, 0, l->pages);
	int e = os_thread(&l->thread, "cowarena-lazy", lazy_main, l);
	if (e)
		return error_system(e, "no thread can be started by which the heap comes in as it "
				       "is touched: raise ulimit -u");
	l->has_thread = true;
	return 0;
}

int lazy_begin(struct cowarena *arena, struct lazy *l, size_t pages,
	       const struct lazy_source *source)
{
	l->pages = pages;
	l->source = *source;
	if (start(l)) {
		lazy_close(l);
		return -1;
	}
	arena->lazy = l;
	return 0;
}

int lazy_finish(struct cowarena *arena)
{
	struct lazy *l = arena->lazy;
	uint32_t progress;

	while (l && (progress = atomic_load(&l->progress)) != WHOLE) {
		if (progress == FAILED)
			return error_set(l->failure, "%s", l->message);
		os_wait(&l->progress, progress);
	}
	return 0;
}

void lazy_stop(struct cowarena *arena)
{
	struct lazy *l = arena->lazy;

	if (!l)
		return;
	atomic_store(&l->stop, true);
	if (l->has_thread)
		os_thread_join(l->thread);
	arena->lazy = NULL;
	lazy_close(l);
}

/* (A fork() waits for all pages, so that what is left here has failed, or is done.) */
void lazy_drop_inherited(struct cowarena *arena)
{
	struct lazy *l = arena->lazy;

	if (!l)
		return;
	l->has_thread = false;
	lazy_stop(arena);
}
