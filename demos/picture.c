/* SPDX-License-Identifier: BSD-2-Clause */
/* picture.c - see picture.h. */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "picture.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define TRACE ((size_t)1 << 22) /* events that are kept */
#define ROWS 16                 /* of the map, at most */
#define ACROSS 300              /* columns of the timeline: each shows a fault of a kind once */
#define DOWN 120

struct event {
	uint64_t ns;
	const char *page;
	enum cowarena_page_event what;
	_Atomic bool written; /* all of it */
};

/* An event that is not about a page. */
struct note {
	uint64_t ns;
	const char *label;
	size_t first, after; /* number of events before it began, and when it was done */
	const char *end;     /* end of the heap at that time */
	enum { TAKEN, RELEASED, OTHER } what;
};

struct picture {
	cowarena *arena;
	struct event *events; /* outside the arena, since the callback runs in faults */
	_Atomic size_t n;     /* events so far; those beyond TRACE are not kept */
	struct note *notes;
	size_t noted, room, page;
	uint64_t start;
	/* The pages drawn. */
	const char *low, *end;
	size_t pages;
};

static const struct look {
	char letter, colour[6];
	const char *name;
} looks[LOOKS] = {
    [LOOK_NONE] = {' ', "0", "not protected"}, [LOOK_SHARED] = {'.', "2", "shared"},
    [LOOK_COPIED] = {'C', "31", "copied"},     [LOOK_AHEAD] = {'a', "33", "ahead"},
    [LOOK_SHADOWED] = {'s', "35", "shadowed"}, [LOOK_ARMED] = {'-', "34", "armed"},
    [LOOK_REUSED] = {'r', "32", "reused"},
};

/* For each kind of event, what the page looks like afterwards. */
static const enum page_look look_of[COWARENA_PAGE_EVENTS] = {
    [COWARENA_PAGE_COPIED] = LOOK_COPIED,     [COWARENA_PAGE_AHEAD] = LOOK_AHEAD,
    [COWARENA_PAGE_SHADOWED] = LOOK_SHADOWED, [COWARENA_PAGE_REUSED] = LOOK_REUSED,
    [COWARENA_PAGE_ZERO] = LOOK_REUSED,
};

/* May run in a fault: it only stores to memory that exists. */
static void trace(void *ctx, const void *page, enum cowarena_page_event what)
{
	struct picture *p = ctx;
	size_t i = atomic_fetch_add(&p->n, 1);

	if (i >= TRACE)
		return;
	struct event *e = &p->events[i];
	e->ns = now_ns();
	e->page = page;
	e->what = what;
	atomic_store_explicit(&e->written, true, memory_order_release);
}

struct picture *picture_begin(cowarena *arena)
{
	if (!demo_choice.map && !demo_choice.svg)
		return NULL;
	if (demo_choice.svg && system("command -v gnuplot >/dev/null 2>&1") != 0)
		die("--svg draws with gnuplot, which is not there: install the package gnuplot");
	if (demo_choice.svg && strchr(demo_choice.svg, '\''))
		usage_error("--svg wants a name without ' in it: gnuplot is told of it");
	struct picture *p = allocate(1, sizeof *p);
	p->events = mmap(NULL, TRACE * sizeof *p->events, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->events == MAP_FAILED)
		die("no memory for the trace of the picture: %s", strerror(errno));
	p->arena = arena;
	p->page = (size_t)sysconf(_SC_PAGESIZE);
	p->start = now_ns();
	if (cowarena_on_page(arena, trace, p))
		die("no trace of the pages: %s", cowarena_errmsg());
	return p;
}

static void note(struct picture *p, struct note n)
{
	n.after = atomic_load(&p->n);
	if (p->noted == p->room) {
		p->room = 2 * p->room + 64;
		p->notes = realloc(p->notes, p->room * sizeof *p->notes);
		if (!p->notes)
			die("out of memory");
	}
	p->notes[p->noted++] = n;
}

static int extent(void *ctx, void *block, size_t size)
{
	struct picture *p = ctx;
	const char *first = block, *end = first + size;

	p->low = !p->low || first < p->low ? first : p->low;
	p->end = !p->end || end > p->end ? end : p->end;
	return 0;
}

static void find_blocks(struct picture *p)
{
	p->low = p->end = NULL;
	if (cowarena_heap_walk(p->arena, NULL, extent, p))
		die("the heap cannot be listed: %s", cowarena_errmsg());
}

/* The end of the heap, with free pages, since a snapshot protects these too. */
static const char *heap_end(struct picture *p)
{
	find_blocks(p);
	const char *end = p->end;
	while (cowarena_contains(p->arena, end))
		end += p->page;
	return end;
}

cowarena_snapshot *picture_take(struct picture *p, cowarena *arena, unsigned flags,
				const char *label)
{
	const char *end = p ? heap_end(p) : NULL;
	size_t first = p ? atomic_load(&p->n) : 0;
	cowarena_snapshot *s = cowarena_snapshot_take(arena, flags);

	if (p && s)
		note(p, (struct note){now_ns(), label, .first = first, .end = end, .what = TAKEN});
	return s;
}

void picture_release(struct picture *p, cowarena_snapshot *snapshot, const char *label)
{
	cowarena_snapshot_release(snapshot);
	if (p)
		note(p, (struct note){now_ns(), label, .what = RELEASED});
}

void picture_note(struct picture *p, const char *label)
{
	if (p)
		note(p, (struct note){now_ns(), label, .what = OTHER});
}

/* ---------------------------------------------------------------------------------------------- */

/* The number of events to draw, all of them complete: other threads may be writing. */
static size_t settled(struct picture *p)
{
	size_t n = atomic_load(&p->n);

	for (size_t i = 0; i < n && i < TRACE; i++)
		if (!atomic_load_explicit(&p->events[i].written, memory_order_acquire))
			return i;
	return n < TRACE ? n : TRACE;
}

/* The pages to draw: those of the blocks, and those of events. */
static void find_pages(struct picture *p, size_t n)
{
	find_blocks(p);
	for (size_t i = 0; i < n; i++)
		extent(p, (void *)(uintptr_t)p->events[i].page, p->page);
	p->low -= (uintptr_t)p->low % p->page;
	p->pages = ((size_t)(p->end - p->low) + p->page - 1) / p->page;
}

static size_t page_of(const struct picture *p, const struct event *e)
{
	return (size_t)(e->page - p->low) / p->page;
}

/* A snapshot shares all pages that existed, except those that it copied when it was taken. */
static void share(const struct picture *p, const struct note *at, unsigned char *pages)
{
	bool eager = strcmp(cowarena_engine_name(p->arena), "eager") == 0;

	for (size_t i = 0; i < p->pages; i++)
		pages[i] = p->low + i * p->page < at->end ? LOOK_SHARED : LOOK_NONE;
	for (size_t i = at->first; i < at->after && i < TRACE; i++)
		if (eager || p->events[i].what == COWARENA_PAGE_SHADOWED)
			pages[page_of(p, &p->events[i])] =
			    (unsigned char)look_of[p->events[i].what];
}

/* Replay the trace. */
static void replay(const struct picture *p, size_t n, unsigned char *pages)
{
	size_t live = 0, done = 0;

	for (size_t k = 0; k <= p->noted; k++) {
		const struct note *at = k < p->noted ? &p->notes[k] : NULL;
		for (; done < n && (!at || done < at->after); done++)
			pages[page_of(p, &p->events[done])] =
			    (unsigned char)look_of[p->events[done].what];
		if (at && at->what == TAKEN) {
			live++;
			share(p, at, pages);
		} else if (at && at->what == RELEASED && --live == 0) {
			for (size_t i = 0; i < p->pages; i++)
				pages[i] = pages[i] == LOOK_SHARED ? LOOK_ARMED : pages[i];
		}
	}
}

static void print_letter(enum page_look look)
{
	bool colours = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	printf(colours ? "\033[%sm%c\033[0m" : "%.0s%c", looks[look].colour, looks[look].letter);
}

/* What most pages of a cell look like; among equals, the later in the list. */
static enum page_look most(const unsigned char *pages, size_t n)
{
	size_t count[LOOKS] = {0};
	enum page_look best = 0;

	for (size_t i = 0; i < n; i++)
		count[pages[i]]++;
	for (enum page_look l = 0; l < LOOKS; l++)
		if (count[l] >= count[best])
			best = l;
	return best;
}

void picture_looks(const char *heading, const unsigned char *pages, size_t n)
{
	while (n && pages[n - 1] == LOOK_NONE)
		n--;
	size_t columns = terminal_width() >= 132 ? 128 : 64, count[LOOKS] = {0};
	size_t each = (n + columns * ROWS - 1) / (columns * ROWS);

	printf("\n  %s\n\n", heading);
	for (size_t i = 0; i < n; i++)
		count[pages[i]]++;
	for (size_t i = 0; i < n; i += each) {
		if (i % (columns * each) == 0)
			printf("%s  ", i ? "\n" : "");
		print_letter(most(pages + i, n - i < each ? n - i : each));
	}
	printf("\n\n");
	for (enum page_look l = LOOK_SHARED; l < LOOKS; l++) {
		if (!count[l])
			continue;
		printf("  ");
		print_letter(l);
		printf(" %s %s", looks[l].name, human_count(count[l]).text);
	}
	if (each > 1)
		printf("   (one letter is %zu pages: what most of them are)", each);
	printf("\n\n");
}

void picture_map(struct picture *p, const char *heading)
{
	if (!p || !demo_choice.map)
		return;
	size_t n = settled(p);
	find_pages(p, n);
	unsigned char *pages = allocate(p->pages, 1);
	replay(p, n, pages);
	picture_looks(heading, pages, p->pages);
	free(pages);
}

/* ---------------------------------------------------------------------------------------------- */

/* The points of one kind, each once. */
static size_t points(const struct picture *p, FILE *to, enum cowarena_page_event what, size_t n,
		     uint64_t span)
{
	unsigned char *seen = allocate((size_t)ACROSS * DOWN, 1);
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct event *e = &p->events[i];
		if (e->what != what)
			continue;
		size_t page = page_of(p, e);
		size_t x = (size_t)((double)(e->ns - p->start) / (double)span * (ACROSS - 1));
		size_t y = page * (DOWN - 1) / p->pages;
		if (!count++)
			fprintf(to, "$e%d << EOD\n", what);
		/* A short line each, which gnuplot writes in far fewer bytes than a point. */
		double at = (double)(e->ns - p->start) / 1e6;
		if (x < ACROSS && !seen[y * ACROSS + x]++)
			fprintf(to, "%g %zu\n%g %zu\n\n", at, page,
				at + (double)span / 1e6 / ACROSS, page);
	}
	if (count)
		fputs("EOD\n", to);
	free(seen);
	return count;
}

static void timeline(const struct picture *p, FILE *to, size_t n)
{
	static const struct {
		const char *name, *colour;
	} kinds[COWARENA_PAGE_EVENTS] = {
	    {"copied", "#c0392b"}, {"ahead", "#d9822b"},       {"shadowed", "#8e44ad"},
	    {"reused", "#2e8b57"}, {"first touch", "#7f8c8d"},
	};
	uint64_t end = now_ns(), span = end - p->start ? end - p->start : 1;
	const char *comma = "plot ";
	size_t count[COWARENA_PAGE_EVENTS];

	for (enum cowarena_page_event w = 0; w < COWARENA_PAGE_EVENTS; w++)
		count[w] = points(p, to, w, n, span);
	fprintf(to,
		"set xlabel 'milliseconds'\nset ylabel 'page'\nset xrange [0:%g]\n"
		"set yrange [%zu:0]\nset key below\nset tmargin 4\nset bmargin 5\n",
		(double)span / 1e6, p->pages);
	/* Labels in three rows, since snapshots come in quick succession too. */
	for (size_t i = 0; i < p->noted; i++) {
		double at = (double)(p->notes[i].ns - p->start) / 1e6;
		fprintf(to,
			"set arrow from %g, graph 0 to %g, graph 1 nohead lc '%s' dt %d\n"
			"set label '%s' at %g, graph %g center noenhanced font ',10'\n",
			at, at, p->notes[i].what == TAKEN ? "#1f6fb4" : "#999999",
			p->notes[i].what == TAKEN ? 1 : 3, p->notes[i].label, at,
			1.03 + 0.045 * (double)(i % 3));
	}
	for (enum cowarena_page_event w = 0; w < COWARENA_PAGE_EVENTS; w++) {
		if (!count[w])
			continue;
		fprintf(to, "%s$e%d with lines lw 3 lc '%s' title '%s: %s'", comma, w,
			kinds[w].colour, kinds[w].name, human_count(count[w]).text);
		comma = ", ";
	}
	fputs(*comma == 'p' ? "plot -1 notitle\n" : "\n", to);
}

void picture_end(struct picture *p)
{
	if (!p)
		return;
	if (cowarena_on_page(p->arena, NULL, NULL))
		die("the trace of the pages does not end: %s", cowarena_errmsg());
	size_t happened = atomic_load(&p->n), n = settled(p);
	if (demo_choice.svg) {
		find_pages(p, n);
		/* If gnuplot ends early, its status tells. */
		void (*sigpipe)(int) = signal(SIGPIPE, SIG_IGN);
		FILE *to = popen("gnuplot", "we");
		if (!to)
			die("gnuplot: %s", strerror(errno));
		fprintf(
		    to,
		    "set terminal svg size 900,420 font 'sans,12' background 'white'\n"
		    "set output '%s'\nset title '%s: faults, page by page' noenhanced offset 0,2\n",
		    demo_choice.svg, demo_name());
		timeline(p, to, n);
		if (pclose(to))
			die("gnuplot could not draw %s", demo_choice.svg);
		signal(SIGPIPE, sigpipe);
		printf("timeline  %s\n", demo_choice.svg);
	}
	if (n < happened)
		printf("(the pictures show the first %s of %s events)\n", human_count(n).text,
		       human_count(happened).text);
	munmap(p->events, TRACE * sizeof *p->events);
	free(p->notes);
	free(p);
}
