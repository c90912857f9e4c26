/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forkcow-extremes.c - where copy-on-write wins most, and where it loses.
 *
 * It wins where the snapshot is dropped at once: nothing was copied. It loses where both sides
 * write every page: all is copied in the end, and each page has cost two faults on top. Both are
 * compared with a memcpy() of all pages to memory that exists already, which is the least that an
 * eager copy can take.
 */
#include "config.h"

#include "forkcow.h"

#include <sys/mman.h>

/* Memory for an eager copy, made at the start. Children do not have it, since the fork would take
   longer. */
static char *map_spare(const struct plan *plan)
{
	char *spare = map_region(plan);

	if (madvise(spare, plan->pages * plan->page_size, MADV_DONTFORK))
		die("madvise: %s", strerror(errno));
	fill(plan, spare);
	return spare;
}

/* The round without copy-on-write: copy for the child, then write both. */
static void play_eagerly(struct side *side, struct round *r, char *parent, char *child)
{
	const struct plan *plan = side->plan;
	size_t size = plan->pages * plan->page_size;

	memcpy(parent, side->base, size);
	r->before = hash_bytes(0, parent, size);
	uint64_t start = now_ns();
	memcpy(child, parent, size);
	uint64_t copied = now_ns();
	write_pages(plan, parent, ALL, r->parent_seed);
	write_pages(plan, child, ALL, r->child_seed);
	side->worst.eager_ns[r->number] = now_ns() - start;
	side->best.eager_ns[r->number] = copied - start;
	r->parent = hash_bytes(0, parent, size);
	r->child = hash_bytes(0, child, size);
}

void play_extremes(struct side *side)
{
	const struct plan *plan = side->plan;
	char *parent = map_spare(plan), *child = map_spare(plan);

	for (size_t i = 0; i < plan->rounds; i++) {
		struct round r = {i, .parent_seed = mix(3 * i + 1), .child_seed = mix(3 * i + 2)};

		/* All pages were written since the last snapshot, as in a busy program. */
		write_pages(plan, side->base, ALL, mix(3 * i));
		play_eagerly(side, &r, parent, child);
		side->ops->drop(side, i);
		if (hash_bytes(0, side->base, plan->pages * plan->page_size) != r.before)
			die("a snapshot that was dropped has changed the memory");
		write_pages(plan, side->base, ALL, mix(3 * i));
		side->ops->both(side, &r);
	}
	unmap_region(plan, parent);
	unmap_region(plan, child);
}

/* The tables ----------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread {
	double median, least, most;
};

/* The quantiles of a / b over all rounds, or of a alone. */
static struct spread spread(const struct plan *plan, const uint64_t *a, const uint64_t *b)
{
	double x[ROUNDS_MAX];
	size_t n = plan->rounds;

	for (size_t i = 0; i < n; i++)
		x[i] = (double)a[i] / (b ? (double)(b[i] ? b[i] : 1) : 1);
	qsort(x, n, sizeof *x, compare_numbers);
	return (struct spread){(x[(n - 1) / 2] + x[n / 2]) / 2, x[0], x[n - 1]};
}

static struct human median(const struct plan *plan, const uint64_t *ns)
{
	return human_time((uint64_t)spread(plan, ns, NULL).median);
}

static struct human ratio(const struct plan *plan, const uint64_t *a, const uint64_t *b)
{
	struct spread s = spread(plan, a, b);
	struct human h;

	snprintf(h.text, sizeof h.text, "%.1f (%.1f to %.1f)", s.median, s.least, s.most);
	return h;
}

static bool print_best(const struct side *k, const struct side *o, bool copies)
{
	const struct plan *plan = k->plan;
	const struct extreme *a = &k->best, *b = &o->best;
	bool good = true;

	printf(
	    "  The best case: dropped at once. The child calls exec(), the snapshot is released.\n"
	    "  (Medians of %zu rounds.)\n\n",
	    plan->rounds);
	print_head();
	good &= row("pages copied", human_count(a->counted.copied), human_count(b->counted.copied),
		    a->counted.copied == 0 && (!copies || b->counted.copied == 0));
	good &= row("bytes held", human_bytes(a->held), human_bytes(b->held),
		    a->held == 0 && (!copies || b->held == 0));
	row("time to take it", median(plan, a->take_ns), median(plan, b->take_ns), true);
	row("time to drop it", median(plan, a->drop_ns), median(plan, b->drop_ns), true);
	row("time of an eager copy", median(plan, a->eager_ns), median(plan, b->eager_ns), true);
	if (exec_error)
		printf(
		    "  (The program 'true' cannot be run: %s. The child calls _exit() instead.)\n",
		    strerror(exec_error));
	putchar('\n');
	return good;
}

static bool print_worst(const struct side *k, const struct side *o, bool copies, bool faults)
{
	const struct plan *plan = k->plan;
	const struct extreme *a = &k->worst, *b = &o->worst;
	uint64_t n = plan->pages;
	bool good = true;

	printf(
	    "  The worst case: both sides write every page; each is copied for who comes first.\n"
	    "  (Medians of %zu rounds, and of the ratio the least and the most.)\n\n",
	    plan->rounds);
	print_head();
	good &= row("faults (not of the view)", human_count(a->counted.faults),
		    human_count(b->counted.faults),
		    (!faults || a->counted.faults == 2 * n) && (!copies || b->counted.faults == n));
	good &= row("pages copied", human_count(a->counted.copied), human_count(b->counted.copied),
		    a->counted.copied == n && (!copies || b->counted.copied == n));
	row("bytes held", human_bytes(a->held), human_bytes(b->held), true);
	row("time, copy-on-write", median(plan, a->cow_ns), median(plan, b->cow_ns), true);
	row("time, eager copy", median(plan, a->eager_ns), median(plan, b->eager_ns), true);
	row("times as long", ratio(plan, a->cow_ns, a->eager_ns),
	    ratio(plan, b->cow_ns, b->eager_ns), true);
	putchar('\n');
	return good;
}

bool print_extremes(const struct side *k, const struct side *o, bool copies, bool faults)
{
	bool good = print_best(k, o, copies);

	return print_worst(k, o, copies, faults) && good;
}
