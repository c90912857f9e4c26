/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forkcow.c - the kernel's copy-on-write beside ours.
 *
 * The same trace of writes runs twice: on memory that fork() shares with a child, and on a faithful
 * arena of which snapshots are taken. Each side is asked, by its own means, what that cost
 * (forkcow-kernel.c, forkcow-arena.c); the answers must be equal, except for time. Then both run
 * the best case of copy-on-write and the worst (forkcow-extremes.c).
 */
#include "config.h"

#include "forkcow.h"
#include "arguments.h"
#include "report.h"

#include <sys/mman.h>
#ifdef HAVE_VALGRIND_MEMCHECK_H
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/* The story ------------------------------------------------------------------------------------ */

static void draw(const struct side *side, const char *when)
{
	char heading[80];

	snprintf(heading, sizeof heading, "%s%s:", side->name, when);
	picture_looks(heading, side->looks, side->plan->pages);
}

/* Run a part of the trace, and add up what the counters say. */
static void write_some(struct side *side, size_t from, size_t to)
{
	if (side->ops->before)
		side->ops->before(side);
	uint64_t start = now_ns();
	run_trace(side->base, side->plan->trace, from, to);
	uint64_t end = now_ns();
	struct account a = side->ops->after(side);

	side->write_ns += end - start;
	side->counted.faults += a.faults;
	side->counted.copied += a.copied;
	side->counted.reused += a.reused;
}

/* A page that became separate was copied. */
static void see_copied(struct side *side, const unsigned char *was, const unsigned char *is)
{
	for (size_t i = 0; i < side->plan->pages; i++) {
		if (is[i] && !was[i]) {
			side->seen.copied++;
			side->looks[i] = LOOK_COPIED;
		}
	}
}

/* A page is reused if it was not yet separate when the last snapshot went, and is then written. */
static void see_reused(struct side *side, size_t from, size_t to, unsigned char *is)
{
	for (size_t i = from; i < to; i++) {
		size_t page = side->plan->trace[i] / side->plan->page_size;
		if (!is[page]) {
			side->seen.reused++;
			side->looks[page] = LOOK_REUSED;
			is[page] = 1;
		}
	}
}

/* Two witnesses on each side: the counters, and a look at the pages after each step. */
static void play(struct side *side)
{
	static const char *const when[][STEPS_MAX] = {
	    {", A taken", ", A gone"}, {", A taken", ", B taken", ", A gone", ", B gone"}};
	const struct plan *plan = side->plan;
	unsigned char *was = allocate(plan->pages, 1), *is = allocate(plan->pages, 1);

	side->looks = memset(allocate(plan->pages, 1), LOOK_SHARED, plan->pages);
	for (size_t step = 0; step < plan->steps; step++) {
		size_t from = plan->writes * step / plan->steps;
		size_t to = plan->writes * (step + 1) / plan->steps;
		size_t released = step - plan->depth;

		memcpy(was, is, plan->pages);
		if (step < plan->depth) {
			side->pause_ns[step] = side->ops->take(side, step);
			memset(was, 0, plan->pages); /* all is shared again */
		} else {
			side->hash[released] = side->ops->release(side, released);
		}
		write_some(side, from, to);
		side->held[step] = side->ops->held(side);
		if (step < plan->steps - 1) {
			side->ops->separate(side, is);
			see_copied(side, was, is);
		} else {
			see_reused(side, from, to, is);
		}
		if (demo_choice.map)
			draw(side, when[plan->depth - 1][step]);
	}
	side->hash[plan->depth] = hash_bytes(0, side->base, plan->pages * plan->page_size);
	free(was);
	free(is);
}

/* The table ------------------------------------------------------------------------------------ */

/* What must be equal on both sides, if `must`. */
static bool equal(const char *what, uint64_t k, uint64_t o, struct human (*human)(uint64_t),
		  bool must)
{
	return row(what, human(k), human(o), !must || k == o);
}

/* `copies`, `faults`: whether these counts must be equal. */
static bool print_story(const struct side *k, const struct side *o, bool copies, bool faults)
{
	static const char *const held[][STEPS_MAX] = {
	    {"bytes held, A alive", "bytes held, A gone"},
	    {NULL, "bytes held, A and B alive", "bytes held, only B alive",
	     "bytes held, both gone"},
	};
	const struct plan *plan = k->plan;
	size_t last = plan->depth;
	bool good = true;

	putchar('\n');
	print_head();
	equal("pause, first snapshot (A)", k->pause_ns[0], o->pause_ns[0], human_time, false);
	if (last > 1)
		equal("pause, second snapshot (B)", k->pause_ns[1], o->pause_ns[1], human_time,
		      false);
	good &= equal("faults", k->counted.faults, o->counted.faults, human_count, faults);
	good &= equal("pages copied", k->counted.copied, o->counted.copied, human_count, copies);
	good &= equal("pages reused", k->counted.reused, o->counted.reused, human_count, faults);
	for (size_t i = 0; i < plan->steps; i++)
		if (held[last - 1][i])
			good &=
			    equal(held[last - 1][i], k->held[i], o->held[i], human_bytes, copies);
	equal("time per write", k->write_ns / plan->writes, o->write_ns / plan->writes, human_time,
	      false);
	good &= equal("contents of A (hash)", k->hash[0], o->hash[0], human_hex, true);
	if (last > 1)
		good &= equal("contents of B (hash)", k->hash[1], o->hash[1], human_hex, true);
	good &= equal("contents at the end (hash)", k->hash[last], o->hash[last], human_hex, true);
	return good;
}

/* The same pages, and each side's counters as well. */
static bool witnesses_agree(const struct side *k, const struct side *o, bool faults)
{
	return memcmp(k->looks, o->looks, k->plan->pages) == 0 &&
	       k->counted.copied == k->seen.copied && o->counted.copied == o->seen.copied &&
	       o->counted.reused == o->seen.reused &&
	       (!faults || k->counted.reused == k->seen.reused);
}

/* Start ---------------------------------------------------------------------------------------- */

static const char *pattern = "random";
static struct plan plan = {.pages = 4096, .depth = 2, .rounds = 5};

static const struct demo demo = {
    .about = "Shows that an arena can do what fork() does, fault for fault. One trace of writes\n"
	     "runs twice: on memory shared with forked children, and on an arena in faithful\n"
	     "mode of which snapshots are taken. Then a table tells what it cost on either side\n"
	     "(the kernel's numbers come from getrusage, smaps and pagemap), and two maps what\n"
	     "was the last that happened to each page: shared, copied, or reused.\n\n"
	     "There are four steps, and a quarter of the trace runs after each: take snapshot A,\n"
	     "take snapshot B of the later state, release A, release B. (For fork, a child is\n"
	     "born or ends.) What the snapshots hold is compared with what the children see. With\n"
	     "--map there are maps after each step as well.\n\n"
	     "Two more tables show the best case, a child that calls exec() at once, and the\n"
	     "worst, a parent and a child that both write everything, beside an eager copy. The\n"
	     "exit status is 1 if any bytes or counts are wrong.",
    .rows =
	(const struct option_row[]){
	    {"pages", 'p', "N", "pages of memory", .number = &plan.pages, 1, 1 << 20, 256},
	    {"writes", 'w', "N", "writes in the trace; 0: as many as pages, at least 16",
	     .number = &plan.writes, 0, 1 << 26},
	    {"pattern", 'a', "NAME", "sequential, random, strided, zipf", .text = &pattern},
	    {"nesting", 'n', "N", "1: snapshot A only; 2: A and B", .number = &plan.depth, 1,
	     DEPTH_MAX},
	    {"rounds", 'r', "N", "of the best and the worst case", .number = &plan.rounds, 1,
	     ROUNDS_MAX, 3},
	    {0},
	},
    .pages = true,
};

static void play_kernel(struct side *side)
{
	/* Pages of program text that the kernel takes back would count as faults of the trace. That
	   is likely only on a machine short of memory; so go on if the limit of locked memory
	   forbids this call. */
	mlockall(MCL_CURRENT);
	side->base = map_region(&plan);
	fill(&plan, side->base);
	play(side);
	play_extremes(side);
}

static void play_arena(struct side *side)
{
	arena = create_arena(demo_choice.engine, COWARENA_FAITHFUL);
	side->base = cowarena_aligned_alloc(arena, plan.page_size, plan.pages * plan.page_size);
	if (!side->base)
		die("no block: %s", cowarena_errmsg());
	fill(&plan, side->base);
	side->ops->after(side); /* count from here */
	picture = picture_begin(arena);
	play(side);
	picture_end(picture);
	picture = NULL;
	play_extremes(side);
}

/* Print the results; die if they are wrong. Returns what was verified. */
static const char *judge(const struct side *kernel, const struct side *ours)
{
	/* Reasons why counts may differ. The bytes may not. */
	bool eager = strcmp(cowarena_engine_name(arena), "eager") == 0;
	uint64_t ahead = stats_of(arena).copied_ahead;
	bool copies = !eager && !ahead, faults = copies && !RUNNING_ON_VALGRIND;

	bool good = print_story(kernel, ours, copies, faults);
	draw(kernel, "");
	draw(ours, "");
	good &= print_extremes(kernel, ours, copies, faults);
	if (eager)
		puts("Engine eager copies all pages at each snapshot: only the contents must be "
		     "equal.");
	if (ahead)
		printf("%s pages were copied along with neighbours, to save kernel mappings\n"
		       "(vm.max_map_count): only the contents must be equal.\n",
		       human_count(ahead).text);
	if (copies && !faults)
		puts("Valgrind takes faults of its own: those of fork() were not compared.");
	if (!good)
		die("not all is as it should be, see the tables");
	if (copies && !witnesses_agree(kernel, ours, faults))
		die("the counters and a look at the pages (pagemap, cowarena_diff) disagree");
	return copies ? "fork() and arena agree, page for page" : "fork() and arena hold the same";
}

int main(int argc, char **argv)
{
	static struct side kernel = {.plan = &plan, .ops = &fork_ops, .name = "under fork()"};
	static struct side ours = {.plan = &plan, .ops = &arena_ops, .name = "in the arena"};
	char shared[80], copied[80];

	demo_arguments(&demo, argc, argv);
	plan.page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (!plan.writes)
		plan.writes = plan.pages < 16 ? 16 : plan.pages;
	plan.steps = 2 * plan.depth;
	make_trace(&plan, pattern);
	printf("%s page%s of %s (%s), %s %s writes\n", human_count(plan.pages).text,
	       plan.pages == 1 ? "" : "s", human_bytes(plan.page_size).text,
	       human_bytes(plan.pages * plan.page_size).text, human_count(plan.writes).text,
	       pattern);

	/* The kernel's side first: fork() copies page tables, and should not copy the arena's. */
	play_kernel(&kernel);
	play_arena(&ours);
	const char *verified = judge(&kernel, &ours);
	cowarena_destroy(arena);
	unmap_region(&plan, kernel.base);
	free(plan.trace);
	free(kernel.looks);
	free(ours.looks);

	snprintf(shared, sizeof shared, "%s pages, %zu snapshot%s", human_count(plan.pages).text,
		 plan.depth, plan.depth == 1 ? "" : "s");
	snprintf(copied, sizeof copied, "%s pages, %s", human_count(ours.counted.copied).text,
		 human_bytes(ours.counted.copied * plan.page_size).text);
	report(shared, copied, ours.counted.faults, verified);
	return EXIT_SUCCESS;
}
