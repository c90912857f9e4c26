/* SPDX-License-Identifier: BSD-2-Clause */
/* bench-plot.c - runs gnuplot, and draws the ratios. */
#include "config.h"

#include "bench.h"

#include <signal.h>
#include <stdlib.h>

/* ---- gnuplot ---- */

bool plot_possible(void)
{
	return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

/* Within gnuplot's single quotes only a single quote is special. A leading | would be a command. */
static void quoted(FILE *to, const char *path)
{
	fputs(*path == '/' ? "'" : "'./", to);
	for (; *path; path++) {
		if (*path == '\'')
			putc('\'', to);
		putc(*path, to);
	}
	putc('\'', to);
}

int gnuplot_open(struct gnuplot *g, const char *path, size_t width, size_t height)
{
	/* If gnuplot ends early, its status tells. */
	g->sigpipe = signal(SIGPIPE, SIG_IGN);
	g->to = popen("gnuplot", "we");
	if (!g->to) {
		signal(SIGPIPE, g->sigpipe);
		return -1;
	}
	output_begin(&g->output, path);
	fprintf(g->to,
		"set terminal svg size %zu,%zu font 'sans,13' background 'white'\nset output ",
		width, height);
	quoted(g->to, g->output.written);
	putc('\n', g->to);
	return 0;
}

int gnuplot_close(struct gnuplot *g)
{
	int status = pclose(g->to);

	signal(SIGPIPE, g->sigpipe);
	return output_end(&g->output, status == 0);
}

/* ---- ratios ---- */

/*
 * One line per scenario: its position, the ratio, its spread, the scenario's name on the left, and
 * the ratio as text on the right, where it covers nothing.
 */
static size_t data(const struct report *report, FILE *to, const char *name, bool huge)
{
	size_t lines = 0;

	fprintf(to, "$%s << EOD\n", name);
	for (size_t i = 0; i < scenario_count; i++) {
		const struct result *r = &report->results[i];
		if (!r->scenario)
			continue;
		const struct range *ratio = huge ? &r->huge_ratio : &r->ratio;
		lines++;
		fprintf(to, "%g %g %g %g \"%s\" \"%.2g\"\n", -(double)lines - (huge ? 0.4 : 0.0),
			ratio->median, ratio->min, ratio->max, r->scenario->key, ratio->median);
	}
	fputs("EOD\n", to);
	return lines;
}

static void widen(const struct range *r, struct range *all)
{
	all->min = r->min < all->min ? r->min : all->min;
	all->max = r->max > all->max ? r->max : all->max;
}

/* The range is set here because 1 must always be visible, and gnuplot warns of a range of one
   point. */
static void ratio_axis(const struct report *report, FILE *to)
{
	struct range all = {1, 1, 1};

	for (size_t i = 0; i < scenario_count; i++) {
		const struct result *r = &report->results[i];
		if (!r->scenario)
			continue;
		widen(&r->ratio, &all);
		if (report->want->huge)
			widen(&r->huge_ratio, &all);
	}
	fprintf(to, "set logscale x\nset format x '%%g'\nset xrange [%g:%g]\n", all.min / 1.5,
		all.max * 1.5);
}

int plot_ratios(const struct report *report)
{
	const struct bench_options *want = report->want;
	struct gnuplot gnuplot;
	size_t shown = 0;

	for (size_t i = 0; i < scenario_count; i++)
		shown += report->results[i].scenario != NULL;
	if (gnuplot_open(&gnuplot, want->plot, 900, 160 + (want->huge ? 46 : 32) * shown))
		return -1;
	FILE *to = gnuplot.to;
	data(report, to, "plain", false);
	if (want->huge)
		data(report, to, "huge", true);
	ratio_axis(report, to);
	fprintf(to,
		"set title 'engine %s, %zu MiB, against fork() (left of 1 is better)' noenhanced\n"
		"set xlabel 'ours / rival: median, spread of %u rounds'\n"
		"set yrange [-%zu.%d:-0.5]\nset y2range [-%zu.%d:-0.5]\n"
		"set ytics noenhanced scale 0\nset y2tics noenhanced scale 0\nset grid x\n"
		"set arrow 1 from 1, graph 0 to 1, graph 1 nohead lc 'black' lw 1.5\n",
		report->engine, want->size >> 20, want->rounds, shown, want->huge ? 8 : 5, shown,
		want->huge ? 8 : 5);
	fputs(want->huge ? "set key bottom outside center horizontal height 1\n" : "unset key\n",
	      to);
	fputs("plot $plain using 2:1:3:4:ytic(5):y2tic(6) with xerrorbars pt 7 ps 0.8 lw 2 "
	      "lc '#1f6fb4' title 'rival: 4 KiB pages'",
	      to);
	if (want->huge)
		fputs(", $huge using 2:1:3:4:y2tic(6) with xerrorbars pt 5 ps 0.7 lw 2 "
		      "lc '#d9822b' title 'rival: huge pages'",
		      to);
	putc('\n', to);
	return gnuplot_close(&gnuplot);
}
