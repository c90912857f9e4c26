/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-inject.c - one sequence of operations, in which one call to the kernel or to the pool of
 * records fails; then again, with the next call failing.
 *
 * Whatever fails, the heap must hold what was stored there, and each snapshot what it was taken of.
 * An operation that is refused says why, and works when it is tried again; nothing is left behind.
 * Errors that the library must retry itself (EINTR, EAGAIN) must not be seen at all.
 *
 * Each combination of engine, call and error is a test, in a process of its own.
 * COWARENA_INJECT_TABLE=FILE appends the results to that file, as rows of Markdown.
 */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "inject.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is tried ---- */

#define CASE_HELPER                                                                                \
	CASES /* hybrid, with the helper thread: the others are without, to be the same each time */

static const char *const case_names[CASES + 1] = {
    [CASE_DEFAULT] = "sigsegv",
    [CASE_FAITHFUL] = "sigsegv, faithful",
    [CASE_EAGER] = "eager",
    [CASE_UFFD] = "uffd",
    [CASE_UFFD_FAITHFUL] = "uffd, faithful",
    [CASE_HYBRID] = "hybrid",
    [CASE_HYBRID_FAITHFUL] = "hybrid, faithful",
    [CASE_EVENTS] = "uffd, system calls",
    [CASE_HUGE] = "hybrid, compacted",
    [CASE_KERNEL] = "kernel",
    [CASE_UNWATCHED] = "kernel, unwatched",
    [CASE_MIXED] = "hybrid, mixed",
    [CASE_HELPER] = "hybrid, helper",
};

/* Which engines make the call for sure: a row of them without a single failure is a defect of
   the test. */
enum { SOME = 0, ALL = 1, UFFD = 2, HYBRID = 4, MPROTECT = 8, EVENTS = 16 };

struct row {
	enum inject_kind kind;
	const char *call;
	int errnum;
	const char *error;
	int callers;
	size_t burst;   /* the most calls in a row that fail */
	bool transient; /* must not be seen */
	bool half;      /* fails half-way */
	bool no_poke;   /* without /proc/self/mem */
};

#define E(errnum) errnum, #errnum

static const struct row rows[] = {
    {INJECT_MMAP, "mmap", E(ENOMEM), ALL, .burst = 3},
    {INJECT_MUNMAP, "munmap", E(ENOMEM), ALL, .burst = 8},
    {INJECT_MPROTECT, "mprotect", E(ENOMEM), ALL, .burst = 8},
    {INJECT_MPROTECT, "mprotect, half done", E(ENOMEM), ALL, .burst = 8, .half = true},
    {INJECT_MPROTECT, "mprotect, no /proc/self/mem", E(ENOMEM), ALL, .burst = 8, .no_poke = true},
    {INJECT_MADVISE, "madvise", E(EINVAL), ALL, .burst = 3},
    {INJECT_MADVISE, "madvise", E(ENOMEM), ALL, .burst = 3},
    {INJECT_MADVISE, "madvise", E(EAGAIN), ALL, .burst = 3},
    {INJECT_MINCORE, "mincore", E(ENOMEM), HYBRID | MPROTECT, .burst = 1},
    {INJECT_MEMFD_CREATE, "memfd_create", E(EMFILE), ALL, .burst = 3},
    {INJECT_MEMFD_CREATE, "memfd_create", E(ENOSYS), ALL, .burst = 3},
    {INJECT_FTRUNCATE, "ftruncate", E(EFBIG), ALL, .burst = 3},
    {INJECT_FTRUNCATE, "ftruncate", E(ENOMEM), ALL, .burst = 3},
    {INJECT_FSTAT, "fstat", E(ENOMEM), ALL, .burst = 1},
    {INJECT_OPEN, "open", E(EINTR), ALL, .burst = 1, .transient = true},
    {INJECT_OPEN, "open", E(EMFILE), ALL, .burst = 3},
    {INJECT_READ, "read", E(EINTR), ALL, .burst = 3, .transient = true},
    {INJECT_READ, "read", E(EAGAIN), ALL, .burst = 3, .transient = true},
    {INJECT_READ, "read", E(ENOMEM), EVENTS, .burst = 3, .transient = true},
    {INJECT_UFFD_API, "ioctl UFFDIO_API", E(EINVAL), UFFD | HYBRID, .burst = 3},
    {INJECT_SIGACTION, "sigaction", E(EINVAL), ALL, .burst = 3},
    {INJECT_PTHREAD_CREATE, "pthread_create", E(EAGAIN), EVENTS, .burst = 1},
    {INJECT_PTHREAD_CREATE, "pthread_create", E(EINVAL), EVENTS, .burst = 3},
    {INJECT_PTHREAD_ATFORK, "pthread_atfork", E(ENOMEM), ALL, .burst = 1},
    {INJECT_RECORDS, "a record", E(ENOMEM), ALL, .burst = 3},
    {INJECT_USERFAULTFD, "userfaultfd", E(EPERM), UFFD | HYBRID, .burst = 3},
    {INJECT_USERFAULTFD, "userfaultfd", E(EMFILE), UFFD | HYBRID, .burst = 3},
    {INJECT_USERFAULTFD, "userfaultfd", E(ENOSYS), UFFD | HYBRID, .burst = 3},
    {INJECT_UFFD_REGISTER, "ioctl UFFDIO_REGISTER", E(ENOMEM), UFFD | HYBRID, .burst = 8},
    {INJECT_UFFD_UNREGISTER, "ioctl UFFDIO_UNREGISTER", E(ENOMEM), SOME, .burst = 8},
    {INJECT_UFFD_WRITEPROTECT, "ioctl UFFDIO_WRITEPROTECT", E(EAGAIN), UFFD | HYBRID, .burst = 3,
     .transient = true},
    {INJECT_UFFD_WRITEPROTECT, "ioctl UFFDIO_WRITEPROTECT", E(EINTR), UFFD | HYBRID, .burst = 3,
     .transient = true},
    {INJECT_UFFD_WRITEPROTECT, "ioctl UFFDIO_WRITEPROTECT", E(ENOMEM), UFFD | HYBRID, .burst = 8},
    {INJECT_UFFD_WRITEPROTECT, "ioctl UFFDIO_WRITEPROTECT, half done", E(ENOMEM), UFFD | HYBRID,
     .burst = 8, .half = true},
    {INJECT_PWRITE, "pwrite", E(EINTR), ALL, .burst = 3, .transient = true},
    {INJECT_PWRITE, "pwrite", E(EIO), ALL, .burst = 3},
    {INJECT_FUTEX_WAIT, "futex", E(EINTR), SOME, .burst = 3, .transient = true},
    {INJECT_FUTEX_WAIT, "futex", E(EAGAIN), SOME, .burst = 3, .transient = true},
    {INJECT_MEMBARRIER, "membarrier", E(EPERM), ALL, .burst = 3, .transient = true},
};

#define ROWS ((int)(sizeof rows / sizeof *rows))

#define QUIET_MAX 600 /* seconds in one step that are too many */

static const size_t bursts[] = {1, 3, 8};
#define BURSTS (sizeof bursts / sizeof *bursts)

static bool surely_calls(int c, const struct row *row)
{
	static const int kinds[CASES + 1] = {
	    [CASE_DEFAULT] = ALL | MPROTECT,
	    [CASE_FAITHFUL] = ALL | MPROTECT,
	    [CASE_EAGER] = ALL,
	    [CASE_UFFD] = ALL | UFFD,
	    [CASE_UFFD_FAITHFUL] = ALL | UFFD,
	    [CASE_HYBRID] = ALL | HYBRID,
	    [CASE_HYBRID_FAITHFUL] = ALL | HYBRID,
	    [CASE_EVENTS] = ALL | UFFD | EVENTS,
	    [CASE_HUGE] = ALL | HYBRID,
	    [CASE_KERNEL] = ALL,
	    [CASE_UNWATCHED] = ALL,
	    [CASE_MIXED] = ALL,
	    [CASE_HELPER] = ALL | HYBRID,
	};

	return kinds[c] & row->callers;
}

/* What the child tells its parent, also when it dies. */
struct progress {
	size_t burst, n;
	const char *step;
	_Atomic size_t steps; /* made, in all */
	size_t points, recovered, refused, spoiled;
};

static struct progress *progress;

/* ---- the model ---- */

/* Pages that are written: each has a cell, and what is in it is known. */
#define PARTS 4
#define FULL 128 /* in part 0 */
#define FEW 32   /* in parts 1 and 3: scattered */
#define WALK 80  /* in part 2: neighbours */
#define CELLS (FULL + FEW + WALK + FEW)

enum { A, B, C, D, E_LATER, PASTS };

/* A block whose memory goes back when it is freed, where nothing needs it. */
#define HUGE_CELLS 8

struct huge {
	char *p; /* NULL: there is none */
	uint64_t cell[HUGE_CELLS];
};

#define BLOCKS 6
#define KNOWN (BLOCKS + 3)

struct past {
	cowarena_snapshot *snapshot;
	uint64_t cell[CELLS];
	struct huge huge;
	const void *known[KNOWN]; /* the blocks that were there; NULL for none */
};

struct run {
	int c;
	cowarena *arena;
	const char *engine;
	char *data;
	uint64_t last;        /* value written */
	uint64_t cell[CELLS]; /* of the live heap */
	struct past past[PASTS];
	cowarena_view *view;
	uint64_t seen[CELLS]; /* what the view must show */
	bool view_is_wrong;
	char *block[BLOCKS]; /* small ones, filled with a letter each */
	char *later;
	struct huge huge;
	size_t differing; /* pages that a diff has told of */
	bool transient;   /* an error that fails nothing */
	bool hit, refused, spoiled, checked;
};

static struct run the_run;

static const size_t block_size[BLOCKS] = {1, 16, 100, 5000, 20000, 70000};

_Noreturn __attribute__((format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list ap;

	inject_leave();
	inject_disarm();
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(1);
}

/* The data has four parts. Engine hybrid has a chunk for each; to the others chunks mean little. */
static size_t part_pages(void)
{
	bool hybrid = the_run.c == CASE_HYBRID || the_run.c == CASE_HYBRID_FAITHFUL ||
		      the_run.c == CASE_HUGE || the_run.c == CASE_MIXED || the_run.c == CASE_HELPER;

	return hybrid || (stressing() && the_run.c != CASE_EAGER) ? chunk_pages() : FULL;
}

static size_t page; /* page_size(), which is asked for very often */

static size_t per; /* part_pages(), likewise */

static size_t part_size(void)
{
	return per * page;
}

static struct cowarena_options options_of(int c)
{
	struct cowarena_options o = case_options(c == CASE_HELPER ? CASE_HYBRID : c);

	if (c != CASE_HELPER)
		o.flags |= COWARENA_NO_HELPER;
	return o;
}

static size_t page_of_cell(size_t i)
{
	if (i < FULL)
		return i * (per / FULL);
	i -= FULL;
	if (i < FEW)
		return per + i * (per / FEW);
	i -= FEW;
	if (i < WALK)
		return 2 * per + i;
	return 3 * per + (i - WALK) * (per / FEW);
}

static uint64_t *cell_in(char *data, size_t i)
{
	return (uint64_t *)(data + page_of_cell(i) * page) + i * 5 % 512;
}

static void write_cell(struct run *r, size_t i)
{
	/* Known before it is stored: if the process dies of the store, it dies. */
	r->cell[i] = ++r->last;
	*(volatile uint64_t *)cell_in(r->data, i) = r->last;
}

static void write_cells(struct run *r, size_t first, size_t n, size_t stride)
{
	for (size_t i = 0; i < n; i++)
		write_cell(r, first + i * stride);
}

#define IN_FULL(i) (i)
#define IN_WARM(i) (FULL + (i))
#define IN_WALK(i) (FULL + FEW + (i))
#define IN_LAST(i) (FULL + FEW + WALK + (i))

/* Small where a page costs much: a fault in faithful mode, in which no block's memory goes
   back by itself, or a copy for each snapshot. */
static size_t huge_size(const struct run *r)
{
	bool costly = r->c == CASE_EAGER || options_of(r->c).flags & COWARENA_FAITHFUL;

	return costly ? 16 * page : CHUNK;
}

static size_t offset_in_huge(const struct run *r, size_t i)
{
	return huge_size(r) / HUGE_CELLS * i + i * 8;
}

static void write_huge(struct run *r, size_t first)
{
	for (size_t i = first; i < HUGE_CELLS; i++) {
		r->huge.cell[i] = ++r->last;
		*(volatile uint64_t *)(r->huge.p + offset_in_huge(r, i)) = r->last;
	}
}

/* The blocks of the live heap. */
static void list_known(const struct run *r, const void **known)
{
	for (int i = 0; i < BLOCKS; i++)
		*known++ = r->block[i];
	*known++ = r->data;
	*known++ = r->later;
	*known = r->huge.p;
}

static void check_live(struct run *r)
{
	for (size_t i = 0; r->huge.p && i < HUGE_CELLS; i++)
		if (*(uint64_t *)(r->huge.p + offset_in_huge(r, i)) != r->huge.cell[i])
			die("the huge block has changed in cell %zu", i);
	if (!r->data)
		return;
	for (size_t i = 0; i < CELLS; i++)
		if (*cell_in(r->data, i) != r->cell[i])
			die("the heap holds %llu in cell %zu, not %llu",
			    (unsigned long long)*cell_in(r->data, i), i,
			    (unsigned long long)r->cell[i]);
	for (int i = 0; i < BLOCKS; i++)
		for (size_t at = 0; r->block[i] && at < block_size[i]; at += 61)
			if (r->block[i][at] != 'a' + i)
				die("block %d has changed", i);
}

/* A call for a snapshot has failed: it must have been given up. */
static void note_spoiled(struct run *r, const struct past *p, const char *what)
{
	if (errno != ESTALE || !atomic_load(&p->snapshot->spoiled))
		die("snapshot %d %s: %s", (int)(p - r->past), what, cowarena_errmsg());
	r->spoiled = true;
}

/* Whether the snapshot can be read, and then it must hold that. */
static bool past_holds(struct run *r, const struct past *p, const void *at, uint64_t expected)
{
	uint64_t value;

	if (cowarena_snapshot_read(p->snapshot, &value, at, sizeof value)) {
		note_spoiled(r, p, "cannot be read");
		return false;
	}
	if (value != expected)
		die("snapshot %d holds %llu at %p, not %llu", (int)(p - r->past),
		    (unsigned long long)value, at, (unsigned long long)expected);
	return true;
}

static void check_past(struct run *r, const struct past *p)
{
	if (!p->snapshot)
		return;
	for (size_t i = 0; i < CELLS; i++)
		if (!past_holds(r, p, cell_in(r->data, i), p->cell[i]))
			return;
	for (size_t i = 0; p->huge.p && i < HUGE_CELLS; i++)
		if (!past_holds(r, p, p->huge.p + offset_in_huge(r, i), p->huge.cell[i]))
			return;
	if (inject_hit() && cowarena_heap_check(r->arena, p->snapshot))
		note_spoiled(r, p, "has a heap that is not sound");
}

static bool view_is_right(struct run *r)
{
	for (size_t i = 0; i < CELLS; i++) {
		const uint64_t *at = cowarena_view_at(r->view, cell_in(r->data, i));
		if (!at || *at != r->seen[i])
			return false;
	}
	return true;
}

static void check_all(struct run *r)
{
	check_live(r);
	if (r->arena && inject_hit() && cowarena_heap_check(r->arena, NULL))
		die("%s", cowarena_errmsg());
	for (int i = 0; i < PASTS; i++)
		check_past(r, &r->past[i]);
	/* Only cowarena_view_close() tells whether it had to be right. */
	if (r->view && !view_is_right(r))
		r->view_is_wrong = true;
}

/* ---- the steps: each returns whether it has succeeded, and goes on when it is called again
   ---- */

static bool create(struct run *r)
{
	struct cowarena_options o = options_of(r->c);

	r->arena = cowarena_create(&o);
	r->engine = r->arena ? cowarena_engine_name(r->arena) : NULL;
	return r->arena;
}

static bool grow_little(struct run *r)
{
	for (int i = 0; i < BLOCKS; i++) {
		if (!r->block[i])
			r->block[i] = cowarena_alloc(r->arena, block_size[i]);
		if (!r->block[i])
			return false;
		memset(r->block[i], 'a' + i, block_size[i]);
	}
	return true;
}

static bool grow_much(struct run *r)
{
	r->data = cowarena_aligned_alloc(r->arena, part_size(), PARTS * part_size());
	return r->data && cowarena_set_root(r->arena, r->data) == 0;
}

static bool grow_huge(struct run *r)
{
	r->huge.p = cowarena_alloc(r->arena, huge_size(r));
	if (r->huge.p)
		write_huge(r, 0);
	return r->huge.p;
}

static bool resize_huge(struct run *r, size_t size)
{
	char *p = cowarena_realloc(r->arena, r->huge.p, size);

	if (p)
		r->huge.p = p;
	return p;
}

/* By half: in place. By more than a block of descriptors covers: it moves, all of it, which
   takes long; so with one engine only. */
static bool lengthen_huge(struct run *r)
{
	bool far = r->c == CASE_DEFAULT;
	const char *before = r->huge.p;
	bool done = resize_huge(r, huge_size(r) / 4 * (far ? 9 : 6));

	if (done && (r->huge.p != before) != far)
		die("the huge block has %smoved", far ? "not " : "");
	return done;
}

static bool shorten_huge(struct run *r)
{
	return resize_huge(r, huge_size(r));
}

static bool write_in_huge(struct run *r)
{
	write_huge(r, HUGE_CELLS / 2);
	return true;
}

static bool prepare_first(struct run *r)
{
	return cowarena_prepare_write(r->arena, r->data, part_size()) == 0;
}

static bool fill(struct run *r)
{
	if (stressing())
		memset(r->data, 0, PARTS * part_size()); /* or it could not be collapsed */
	write_cells(r, 0, CELLS, 1);
	return true;
}

static bool compact(struct run *r)
{
	return cowarena_compact(r->arena) == 0;
}

static bool take(struct run *r, int which, unsigned flags)
{
	struct past *p = &r->past[which];

	if ((r->c == CASE_HUGE || r->c == CASE_MIXED) && !compact(r))
		return false;
	p->snapshot = take_snapshot(r->arena, flags);
	memcpy(p->cell, r->cell, sizeof p->cell);
	p->huge = r->huge;
	list_known(r, p->known);
	return p->snapshot;
}

static bool take_a(struct run *r)
{
	return take(r, A, 0);
}

static bool take_b(struct run *r)
{
	return take(r, B, COWARENA_QUIESCENT);
}

static bool take_c(struct run *r)
{
	return take(r, C, COWARENA_QUIESCENT);
}

static bool take_d(struct run *r)
{
	return take(r, D, COWARENA_QUIESCENT);
}

static bool take_e(struct run *r)
{
	return take(r, E_LATER, 0);
}

static bool write_scattered(struct run *r)
{
	write_cells(r, IN_WARM(0), 4, 7);
	write_cells(r, IN_LAST(1), 4, 5);
	write_cells(r, IN_FULL(5), 3, 31);
	return true;
}

static bool write_walk(struct run *r)
{
	write_cells(r, IN_WALK(0), 40, 1);
	return true;
}

static bool prepare_some(struct run *r)
{
	return cowarena_prepare_write(r->arena, cell_in(r->data, IN_WALK(44)), 20 * page) == 0;
}

static bool write_prepared(struct run *r)
{
	write_cells(r, IN_WALK(44), 20, 1);
	return true;
}

/* Pages that every epoch writes. */
static bool write_hot(struct run *r)
{
	write_cells(r, IN_WARM(2), 3, 3);
	write_cells(r, IN_FULL(40), 3, 2);
	return true;
}

static bool open_view(struct run *r, int which, unsigned flags)
{
	r->view = cowarena_view_open(r->past[which].snapshot, flags);
	memcpy(r->seen, r->past[which].cell, sizeof r->seen);
	r->view_is_wrong = false;
	return r->view;
}

static bool open_sealed(struct run *r)
{
	return open_view(r, A, 0);
}

static bool write_under_sealed(struct run *r)
{
	write_cells(r, IN_WARM(1), 3, 5);
	write_cells(r, IN_FULL(7), 2, 50);
	write_cells(r, IN_WALK(68), 5, 1);
	return true;
}

static bool open_private(struct run *r)
{
	return open_view(r, B, COWARENA_VIEW_PRIVATE);
}

static bool write_under_private(struct run *r)
{
	for (size_t i = 0; i < CELLS; i += 37) {
		*(uint64_t *)cowarena_view_at(r->view, cell_in(r->data, i)) = ~(uint64_t)i;
		r->seen[i] = ~(uint64_t)i;
	}
	write_cells(r, IN_WARM(3), 3, 7);
	write_cells(r, IN_LAST(2), 3, 9);
	return true;
}

/* Stale: it is closed nevertheless. */
static bool close_view(struct run *r)
{
	bool wrong = r->view_is_wrong || !view_is_right(r);

	if (cowarena_view_close(r->view) == 0) {
		if (wrong)
			die("the view was wrong, and closing it did not say so");
	} else if (errno == ESTALE && inject_hit() && *cowarena_errmsg()) {
		r->spoiled = true;
	} else {
		die("the view cannot be closed: %s", cowarena_errmsg());
	}
	r->view = NULL;
	return true;
}

static bool grow_later(struct run *r)
{
	r->later = cowarena_calloc(r->arena, 5, 30000);
	if (!r->later)
		return false;
	for (size_t i = 0; i < 150000; i += 500)
		if (r->later[i])
			die("new memory is not zero");
	memset(r->later, 1, 150000);
	char *longer = cowarena_realloc(r->arena, r->later, 300000);
	if (longer)
		r->later = longer;
	else
		cowarena_free(r->arena, r->later);
	return longer;
}

static int count_pages(void *ctx, const void *start, size_t len)
{
	struct run *r = ctx;
	const char *from = start, *end = from + len, *first = r->data;

	if (from < first)
		from = first;
	if (end > first + PARTS * part_size())
		end = first + PARTS * part_size();
	if (end > from)
		r->differing += (size_t)(end - from) / page;
	return 0;
}

/* Every page of the data is written only by a cell, and never with what it held before. */
static bool diff(struct run *r, const struct past *older, const struct past *newer)
{
	const uint64_t *now = newer ? newer->cell : r->cell;
	size_t expected = 0;

	for (size_t i = 0; i < CELLS; i++)
		expected += older->cell[i] != now[i];
	r->differing = 0;
	if (cowarena_diff(older->snapshot, newer ? newer->snapshot : NULL, count_pages, r))
		return false;
	if (r->differing != expected)
		die("%zu pages differ, not %zu", r->differing, expected);
	return true;
}

static bool diff_snapshots(struct run *r)
{
	return diff(r, &r->past[A], &r->past[C]);
}

static bool diff_live(struct run *r)
{
	return diff(r, &r->past[B], NULL);
}

static bool roll_back(struct run *r)
{
	if (cowarena_rollback(r->arena, r->past[B].snapshot))
		return false;
	memcpy(r->cell, r->past[B].cell, sizeof r->cell);
	r->later = NULL; /* which is gone */
	r->huge = r->past[B].huge;
	return true;
}

static bool write_after_rollback(struct run *r)
{
	write_cells(r, IN_WALK(10), 30, 1);
	write_cells(r, IN_LAST(0), 4, 8);
	return true;
}

static bool write_compacted(struct run *r)
{
	write_cells(r, IN_FULL(11), 4, 17);
	write_cells(r, IN_WARM(0), 4, 8);
	write_cells(r, IN_WALK(0), 20, 1);
	return true;
}

static bool release(struct run *r, int which)
{
	if (cowarena_snapshot_release(r->past[which].snapshot))
		return false;
	r->past[which].snapshot = NULL;
	return true;
}

static bool release_a(struct run *r)
{
	return release(r, A);
}

static bool release_b(struct run *r)
{
	return release(r, B);
}

static bool release_c(struct run *r)
{
	return release(r, C);
}

static bool release_d(struct run *r)
{
	return release(r, D);
}

static bool release_e(struct run *r)
{
	return release(r, E_LATER);
}

static bool free_some(struct run *r)
{
	for (int i = 0; i < BLOCKS; i += 2) {
		cowarena_free(r->arena, r->block[i]);
		r->block[i] = NULL;
	}
	return true;
}

/* ---- memory that goes back ---- */

static size_t memory_of(const struct run *r)
{
	struct stat s;

	inject_leave();
	if (fstat(r->arena->file.fd, &s))
		die("fstat: %s", strerror(errno));
	inject_enter();
	return (size_t)s.st_blocks * 512;
}

/* Whether the written pages of a huge block that nothing needs are sure to go: nothing has
   failed but what is to be tried again. (Of huge pages it depends on how they lie.) */
static bool must_go(const struct run *r)
{
	return !stressing() && (r->transient || !inject_hit());
}

static void keeps_errno(const char *function)
{
	if (errno != EXDEV)
		die("%s changes errno to %d", function, errno);
}

/* `pages` of the block are written, and nothing needs them. */
static bool free_huge(struct run *r, size_t pages)
{
	size_t before = memory_of(r);

	errno = EXDEV; /* which no call here fails with */
	cowarena_free(r->arena, r->huge.p);
	keeps_errno("cowarena_free");
	r->huge.p = NULL;
	if (must_go(r) && huge_size(r) == CHUNK && memory_of(r) + pages * page > before)
		die("the memory of the huge block has not gone back");
	return true;
}

static bool free_huge_after_d(struct run *r)
{
	return free_huge(r, HUGE_CELLS / 2);
}

static bool free_huge_under_e(struct run *r)
{
	return free_huge(r, 0);
}

static bool free_huge_alone(struct run *r)
{
	return free_huge(r, HUGE_CELLS);
}

/* With a snapshot that needs what is free now, maybe. Whatever fails, no more is told of than
   has gone. */
static size_t trimmed(struct run *r)
{
	size_t before = memory_of(r);

	errno = EXDEV;
	size_t told = cowarena_trim(r->arena);
	keeps_errno("cowarena_trim");
	size_t after = memory_of(r);
	/* The helper thread may have made a chunk whole meanwhile, which takes memory. */
	bool alone = r->c != CASE_HELPER || !stressing();
	size_t gone = before > after ? before - after : 0;
	if (alone && (told > gone || (told < gone && !inject_hit())))
		die("%zu bytes are said to have gone back, not %zu", told, gone);
	return told;
}

static bool trim(struct run *r)
{
	trimmed(r);
	return true;
}

static bool trim_all(struct run *r)
{
	if (trimmed(r) < HUGE_CELLS * page && must_go(r))
		die("the memory of the huge block has not gone back");
	return true;
}

/* ---- the heap from outside ---- */

struct list {
	struct run *run;
	const struct past *past;
	const void *known[KNOWN];
	size_t n;
	const void *last;
};

static int find_block(void *ctx, void *p, size_t size)
{
	struct list *l = ctx;
	size_t i = 0;

	while (i < KNOWN && l->known[i] != p)
		i++;
	if (i == KNOWN || p <= l->last)
		die("a block is listed that is not there, or not now");
	if (!l->past && size != cowarena_usable_size(l->run->arena, p))
		die("a block is listed with %zu bytes", size);
	l->last = p;
	l->n++;
	return 0;
}

/* Of a snapshot, or of the live heap. */
static bool list_blocks(struct run *r, const struct past *p)
{
	struct list l = {.run = r, .past = p};
	size_t expected = 0;

	list_known(r, l.known);
	if (p)
		memcpy(l.known, p->known, sizeof l.known);
	for (size_t i = 0; i < KNOWN; i++)
		expected += l.known[i] != NULL;
	if (cowarena_heap_walk(r->arena, p ? p->snapshot : NULL, find_block, &l)) {
		if (!p || errno != ESTALE)
			return false;
		note_spoiled(r, p, "cannot be listed");
		return true;
	}
	if (l.n != expected)
		die("%zu blocks are listed, not %zu", l.n, expected);
	return true;
}

static bool list_live(struct run *r)
{
	return list_blocks(r, NULL);
}

static bool list_a(struct run *r)
{
	return list_blocks(r, &r->past[A]);
}

static bool check_bookkeeping(struct run *r)
{
	const struct past *p = &r->past[C];

	if (cowarena_heap_check(r->arena, NULL))
		return false;
	if (cowarena_heap_check(r->arena, p->snapshot)) {
		if (errno != ESTALE)
			return false;
		note_spoiled(r, p, "cannot be checked");
	}
	return true;
}

static bool destroy(struct run *r)
{
	cowarena_destroy(r->arena);
	r->arena = NULL;
	r->data = r->huge.p = NULL;
	memset(r->block, 0, sizeof r->block);
	return true;
}

struct step {
	const char *name;
	bool (*run)(struct run *r);
};

static const struct step steps[] = {
    {"create", create},
    {"allocate small blocks", grow_little},
    {"allocate a large block", grow_much},
    {"prepare a part", prepare_first},
    {"fill", fill},
    {"allocate a huge block", grow_huge},
    {"take snapshot A", take_a},
    {"make the huge block larger", lengthen_huge},
    {"write scattered pages", write_scattered},
    {"write a walk", write_walk},
    {"prepare some pages", prepare_some},
    {"write prepared pages", write_prepared},
    {"open a read-only view of A", open_sealed},
    {"write with the read-only view open", write_under_sealed},
    {"close the read-only view", close_view},
    {"write hot pages before B", write_hot},
    {"take snapshot B", take_b},
    {"write hot pages before C", write_hot},
    {"write to the huge block", write_in_huge},
    {"take snapshot C", take_c},
    {"write hot pages before D", write_hot},
    {"open a private view of B", open_private},
    {"write with the private view open", write_under_private},
    {"close the private view", close_view},
    {"take snapshot D", take_d},
    {"write hot pages after D", write_hot},
    {"allocate, reallocate", grow_later},
    {"make the huge block smaller", shorten_huge},
    {"write to the huge block after D", write_in_huge},
    {"free the huge block", free_huge_after_d},
    {"trim", trim},
    {"list the blocks of the heap", list_live},
    {"list the blocks of A", list_a},
    {"compare A with C", diff_snapshots},
    {"compare B with the heap", diff_live},
    {"roll back to B", roll_back},
    {"write after the rollback", write_after_rollback},
    {"check the bookkeeping", check_bookkeeping},
    {"release B", release_b},
    {"take snapshot E", take_e},
    {"compact", compact},
    {"write to what was compacted", write_compacted},
    {"free", free_some},
    {"release A", release_a},
    {"release D", release_d},
    {"allocate, reallocate again", grow_later},
    {"write scattered pages again", write_scattered},
    {"release C", release_c},
    {"compact again", compact},
    {"write a walk again", write_walk},
    {"free the huge block again", free_huge_under_e},
    {"release E", release_e},
    {"trim with no snapshot left", trim_all},
    {"write with no snapshot left", write_hot},
    {"allocate a huge block again", grow_huge},
    {"list the blocks of the heap again", list_live},
    {"free the huge block with no snapshot left", free_huge_alone},
    {"destroy", destroy},
};

/* ---- one run ---- */

#define NO_MESSAGE                                                                                 \
	"s is NULL" /* of a failure just before, which must not be taken for this one's */

static bool attempt(struct run *r, const struct step *step)
{
	cowarena_strdup(NULL, NULL);
	errno = 0;
	inject_enter();
	bool done = step->run(r);
	inject_leave();
	int e = errno;
	if (!done && !e)
		die("failed without an errno");
	if (!done && (!*cowarena_errmsg() || strstr(cowarena_errmsg(), NO_MESSAGE)))
		die("failed without a message (%s)", strerror(e));
	return done;
}

static void perform(struct run *r, const struct step *step)
{
	progress->step = step->name;
	atomic_fetch_add(&progress->steps, 1);
	if (!attempt(r, step)) {
		r->refused = true;
		r->hit = inject_disarm();
		if (!r->hit)
			die("refused, though no call has failed: %s", cowarena_errmsg());
		check_all(r);
		if (!attempt(r, step))
			die("refused again: %s", cowarena_errmsg());
	}
	r->hit |= inject_hit();
	/* The snapshots are looked at when the call has failed, and when one of them goes. */
	if ((r->hit && !r->checked) || strstr(step->name, "release") ||
	    strstr(step->name, "roll")) {
		r->checked = r->hit;
		check_all(r);
	} else {
		check_live(r);
	}
}

static void run_steps(struct run *r, int c, bool transient)
{
	memset(r, 0, sizeof *r);
	r->c = c;
	r->transient = transient;
	per = part_pages();
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		perform(r, &steps[i]);
	r->hit |= inject_disarm();
}

/* ---- what must not be left behind ---- */

struct holdings {
	size_t descriptors, mappings, bytes;
	long records;
	struct sigaction action[2];
};

/* Kernel mappings but for the stack and malloc's heap, which are not ours to keep small. */
static void count_mappings(struct holdings *h)
{
	static char text[1 << 16];
	size_t n = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	for (ssize_t got; (got = read(fd, text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)got;
	close(fd);
	text[n] = 0;
	h->mappings = h->bytes = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		unsigned long from, to;
		if (strstr(line, "[stack]") || strstr(line, "[heap]") ||
		    sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		h->mappings++;
		h->bytes += to - from;
	}
}

static void count_holdings(struct holdings *h)
{
	if (!threads_become(1))
		die("a thread is left behind");
	memset(h, 0, sizeof *h);
	h->descriptors = descriptors_now();
	h->records = inject_records();
	sigaction(SIGSEGV, NULL, &h->action[0]);
	sigaction(SIGBUS, NULL, &h->action[1]);
	count_mappings(h);
}

/* Mappings may have grown: of a thread's stack that the C library keeps, for example. */
static bool holds_more(const struct holdings *before, const struct holdings *now, bool actions)
{
	if (now->descriptors != before->descriptors)
		die("%zu descriptors, not %zu", now->descriptors, before->descriptors);
	if (now->records != before->records)
		die("%ld records, not %ld", now->records, before->records);
	for (int i = 0; actions && i < 2; i++)
		if (now->action[i].sa_handler != before->action[i].sa_handler)
			die("another handler for the signal than before");
	return now->mappings > before->mappings || now->bytes > before->bytes;
}

/* ---- the walk ---- */

struct job {
	int c;
	const struct row *row;
};

static const char *usual_engine;

static bool run_point(const struct job *j, size_t n, size_t burst)
{
	const struct row *row = j->row;

	progress->n = n;
	progress->burst = burst;
	inject_arm(row->kind, n, row->errnum, burst, row->half);
	run_steps(&the_run, j->c, row->transient);
	if (!usual_engine)
		usual_engine = the_run.engine;
	/* That is what the run before the walk had. */
	if (row->transient &&
	    (the_run.refused || the_run.spoiled || strcmp(the_run.engine, usual_engine)))
		die("an error that is the library's to try again was seen");
	return the_run.hit;
}

static void count_outcome(const struct run *r)
{
	progress->points++;
	if (r->spoiled)
		progress->spoiled++;
	else if (r->refused)
		progress->refused++;
	else
		progress->recovered++;
}

/* One point, and that nothing is left behind; if something seems to be, again: a leak grows. */
static bool try_point(const struct job *j, size_t n, size_t burst, struct holdings *before)
{
	bool hit = run_point(j, n, burst), more = true;

	if (hit)
		count_outcome(&the_run);
	for (int again = 0; more; again++) {
		struct holdings now;
		count_holdings(&now);
		more = holds_more(before, &now, j->row->kind != INJECT_SIGACTION || !hit);
		if (more && again == 3)
			die("mappings are left behind: %zu of %zu bytes, not %zu of %zu",
			    now.mappings, now.bytes, before->mappings, before->bytes);
		before->mappings = now.mappings;
		before->bytes = now.bytes;
		if (more && run_point(j, n, burst))
			hit = true; /* the run before may have left more to be called */
	}
	return hit;
}

/* In its normal length not every call fails: the first, and then others for each engine. */
static void walk_burst(const struct job *j, size_t calls, size_t burst, struct holdings *before)
{
	size_t most = scaled(5 / burst + 1, SIZE_MAX, 2), stride = calls / most + 1;
	size_t n = 1, next = 2 + (size_t)j->c * 5 % stride;

	for (; try_point(j, n, burst, before); n = next, next += stride)
		if (!stressing() && burst > 1 && next > calls)
			break;
}

static void walk(const struct job *j)
{
	struct holdings before;
	size_t calls = 1;

	page = page_size();
	inject_init(stressing(), !j->row->no_poke);
	/* The first run finds out how many calls there are. But pthread_atfork() is called
	   only once. */
	if (j->row->kind != INJECT_PTHREAD_ATFORK) {
		run_point(j, SIZE_MAX, 1);
		calls = inject_calls();
	}
	count_holdings(&before);
	for (size_t b = 0; calls && b < BURSTS && bursts[b] <= j->row->burst; b++)
		walk_burst(j, calls, bursts[b], &before);
}

/* Run it in a child; 0, or what is wrong. Its messages go to text. */
static const char *in_child_walk(struct job *j, char *text, size_t room)
{
	int fd[2], status;
	size_t n = 0;

	ck_assert_int_eq(pipe(fd), 0);
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		walk(j);
		_exit(0);
	}
	close(fd[1]);
	/* A call that fails must not make anybody wait for ever. */
	size_t seen = 0, quiet = 0;
	for (ssize_t got = 1; got > 0 && quiet < QUIET_MAX;) {
		got = 1;
		if (poll(&(struct pollfd){.fd = fd[0], .events = POLLIN}, 1, 1000) > 0) {
			got = read(fd[0], text + n, room - 1 - n);
			n += got > 0 ? (size_t)got : 0;
		}
		size_t now = atomic_load(&progress->steps);
		quiet = now == seen ? quiet + 1 : 0;
		seen = now;
	}
	bool hangs = quiet >= QUIET_MAX;
	text[n] = 0;
	close(fd[0]);
	if (hangs)
		kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (hangs)
		return "hangs";
	if (WIFSIGNALED(status))
		return strsignal(WTERMSIG(status));
	return WEXITSTATUS(status) ? "wrong" : NULL;
}

static void print_row(int c, const struct row *row, const struct progress *p)
{
	const char *path = getenv("COWARENA_INJECT_TABLE");

	printf("%-18s %-36s %-6s %4zu points: recovered %zu, refused %zu, spoiled %zu\n",
	       case_names[c], row->call, row->error, p->points, p->recovered, p->refused,
	       p->spoiled);
	if (!path)
		return;
	FILE *file = fopen(path, "a");
	ck_assert_ptr_nonnull(file);
	fprintf(file, "| %s | %s | %s | %zu | %zu | %zu | %zu |\n", case_names[c], row->call,
		row->error, p->points, p->recovered, p->refused, p->spoiled);
	fclose(file);
}

static void run_row(int c, const struct row *row)
{
	static char text[2048]; /* Check refuses messages of 4096 */
	struct job job = {c, row};

	progress =
	    mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(progress != MAP_FAILED);
	const char *wrong = in_child_walk(&job, text, sizeof text);
	if (wrong)
		ck_abort_msg(
		    "engine %s, %s fails with %s, call %zu and %zu more, at \"%s\": %s: %s",
		    case_names[c], row->call, row->error, progress->n, progress->burst - 1,
		    progress->step, wrong, text);
	if (progress->points)
		print_row(c, row, progress);
	else if (surely_calls(c, row))
		ck_abort_msg("engine %s: no %s was made to fail", case_names[c], row->call);
	munmap(progress, sizeof *progress);
}

START_TEST(fails_once)
{
	run_row(_i / ROWS, &rows[_i % ROWS]);
}
END_TEST

/* No history above comes to this call: it is made for a store that faults again. */
START_TEST(question_is_repeated)
{
	void *p = os_map_anonymous(page_size());

	ck_assert_ptr_nonnull(p);
	for (int i = 0; i < 3; i++) {
		int errnum = (int[]){EINTR, EAGAIN, ENOMEM}[i];
		inject_arm(INJECT_POPULATE, 1, errnum, 2, false);
		bool can = os_can_write(p, page_size());
		ck_assert(inject_disarm());
		ck_assert(can == (errnum != ENOMEM));
	}
	os_unmap(p, page_size());
}
END_TEST

static bool is_mapped(void *p)
{
	return msync(p, page_size(), MS_ASYNC) == 0;
}

static void unmap_in_child(void *arg)
{
	char **p = arg;

	if (os_unmap_left() || munmap(p[0], page_size()))
		_exit(1);
	void *other =
	    mmap(p[0], page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	os_unmap(p[1], page_size());
	_exit(other != p[0] || !is_mapped(other));
}

/* A range that cannot be unmapped loses its memory, counts, and goes later; in a child it is
   none of ours. */
START_TEST(unmapped_later)
{
	cowarena *arena = cowarena_create(NULL);
	char *p[2];
	struct os_file file;

	ck_assert(arena && os_memory_file(&file, 2 * page_size()) == 0);
	for (int shared = 0; shared < 2; shared++) {
		uint64_t mappings = stats_of(arena).mappings;
		for (int i = 0; i < 2; i++) {
			p[i] = os_map_anonymous(page_size());
			ck_assert(!shared || os_map_shared(p[i], page_size(), &file) == 0);
			ck_assert_int_eq(os_protect(p[i], page_size(), OS_READ_WRITE), 0);
			p[i][0] = 1;
		}
		inject_arm(INJECT_MUNMAP, 1, ENOMEM, 1, false);
		inject_enter();
		os_unmap(p[0], page_size());
		inject_leave();
		ck_assert(inject_disarm());
		ck_assert(is_mapped(p[0]));
		ck_assert_int_eq(p[0][0], 0); /* its memory went */
		ck_assert(shared || p[1][0] == 1);
		ck_assert_uint_eq(os_unmap_left(), 1);
		ck_assert_uint_eq(stats_of(arena).mappings, mappings + 1);
		ck_assert_int_eq(in_child(unmap_in_child, p, NULL), 0);
		os_unmap(p[1], page_size());
		ck_assert(!is_mapped(p[0]) && !is_mapped(p[1]));
		ck_assert_uint_eq(os_unmap_left(), 0);
	}
	os_file_close(&file);
	cowarena_destroy(arena);
}
END_TEST

/* Whether the engine is to be had here. In a child: the first arena of a process makes calls
   that no other makes. */
static bool available(int c)
{
	struct cowarena_options o = options_of(c);
	int status;

	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		o.flags |= COWARENA_STRICT_ENGINE;
		bool works = cowarena_create(&o) != NULL;
		if (!works)
			printf("SKIP: %s: %s\n", case_names[c], cowarena_errmsg());
		fflush(NULL);
		_exit(!works);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	Suite *suite = suite_create("inject");
	TCase *alone = tcase_create("alone");

	tcase_add_test(alone, question_is_repeated);
	tcase_add_test(alone, unmapped_later);
	suite_add_tcase(suite, alone);
	for (int c = 0; c <= CASES; c++) {
		if (!available(c))
			continue;
		TCase *tc = tcase_create(case_names[c]);
		tcase_add_loop_test(tc, fails_once, c * ROWS, (c + 1) * ROWS);
		suite_add_tcase(suite, tc);
	}
	return run_suite(suite);
}
