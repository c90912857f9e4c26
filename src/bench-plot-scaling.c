/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-plot-scaling.c - plots pauses and the costs of a write against the size, log-log.
 *
 * One panel for each. The colour tells the scenario; ours is a solid line, fork() a dashed one.
 */
#include "config.h"

#include "bench.h"

#define PANEL_WIDTH 560
#define HEIGHT 560

static const char *const colours[SCALED] = {"#1f6fb4", "#d9822b", "#1f6fb4", "#d9822b"};

static bool has_rival(const struct series *s)
{
	for (unsigned i = 0; i < s->measured; i++)
		if (!s->points[i].result.alone)
			return true;
	return false;
}

/* One line per size: the size, the median, its spread. */
static void data(FILE *to, const struct series *s, bool rival)
{
	fprintf(to, "$%s_%s << EOD\n", s->key, rival ? "fork" : "ours");
	for (unsigned i = 0; i < s->measured; i++) {
		const struct result *r = &s->points[i].result;
		const struct range *range = rival ? &r->rival : &r->ours;
		if (!rival || !r->alone)
			fprintf(to, "%zu %g %g %g\n", s->points[i].size, range->median, range->min,
				range->max);
	}
	fputs("EOD\n", to);
}

static unsigned panel_lines(const struct series *series, bool pauses)
{
	unsigned n = 0;

	for (const struct series *s = series; s < series + SCALED; s++)
		n += s->is_pause == pauses && s->measured;
	return n;
}

/* Label each size that any line has. */
static void size_axis(FILE *to, const struct series *series)
{
	size_t low = SIZE_MAX, high = 0;
	const char *comma = "";

	fputs("set xtics nomirror (", to);
	for (const struct series *s = series; s < series + SCALED; s++)
		for (unsigned i = 0; i < s->measured; i++) {
			size_t size = s->points[i].size;
			bool gib = size >= (size_t)1 << 30;
			fprintf(to, "%s'%.4g %s' %zu", comma,
				(double)size / (gib ? 0x1p30 : 0x1p20), gib ? "GiB" : "MiB", size);
			low = size < low ? size : low;
			high = size > high ? size : high;
			comma = ", ";
		}
	fprintf(to, ")\nset xrange [%g:%g]\n", (double)low / 1.5, (double)high * 1.5);
}

static void line(FILE *to, const struct series *s, const char *colour, bool rival)
{
	fprintf(to, "$%s_%s using 1:2:3:4 with yerrorlines lw 2 lc '%s' %s title '%s, %s'", s->key,
		rival ? "fork" : "ours", colour, rival ? "dt 2 pt 6" : "pt 7", s->key,
		rival ? "fork()" : "ours");
}

static void panel(FILE *to, const struct series *series, bool pauses)
{
	const char *comma = "plot ";

	fprintf(to, "set title '%s'\nset ylabel '%s' noenhanced\n",
		pauses ? "pause of a snapshot" : "first write to a frozen page",
		pauses ? "us (pause_1pct: us for each page written)" : "us for each page");
	for (size_t i = 0; i < SCALED; i++) {
		const struct series *s = &series[i];
		for (int rival = 0; rival < 2; rival++) {
			if (s->is_pause != pauses || !s->measured || (rival && !has_rival(s)))
				continue;
			fputs(comma, to);
			line(to, s, colours[i], rival);
			comma = ", ";
		}
	}
	putc('\n', to);
}

int plot_scaling(const struct bench_options *want, const struct series *series, const char *engine)
{
	struct gnuplot gnuplot;
	bool pauses = panel_lines(series, true) > 0, writes = panel_lines(series, false) > 0;
	size_t panels = (size_t)pauses + writes;

	if (gnuplot_open(&gnuplot, want->plot, PANEL_WIDTH * panels, HEIGHT))
		return -1;
	FILE *to = gnuplot.to;
	for (const struct series *s = series; s < series + SCALED; s++) {
		data(to, s, false);
		data(to, s, true);
	}
	fprintf(to,
		"set multiplot layout 1,%zu title 'engine %s: cost against the size of the heap, "
		"median and spread of %u rounds' noenhanced\n"
		"set logscale xy\nset format y '%%g'\nset grid\n"
		"set key bottom outside center horizontal maxcols 2 height 1 noenhanced\n",
		panels, engine, want->rounds);
	size_axis(to, series);
	if (pauses)
		panel(to, series, true);
	if (writes)
		panel(to, series, false);
	fputs("unset multiplot\n", to);
	return gnuplot_close(&gnuplot);
}
