/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-plot.c - the ratios as a picture, drawn by gnuplot.
 */
#include "config.h"

#include "bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

bool plot_possible(void)
{
	return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

/* In gnuplot's single quotes only they themselves are special; a leading | would be a command. */
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

/* One line a scenario: where it is drawn, the ratio, its spread, and its name. */
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
		fprintf(to, "%g %g %g %g \"%s\" \"%.2g\"\n", -(double)lines - (huge ? 0.25 : 0.0),
			ratio->median, ratio->min, ratio->max, r->scenario->key, ratio->median);
	}
	fputs("EOD\n", to);
	return lines;
}

int plot(const struct report *report, const char *path)
{
	/* If gnuplot ends early, that is told by its status. */
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	FILE *to = popen("gnuplot", "we");

	if (!to) {
		signal(SIGPIPE, before);
		return -1;
	}
	size_t lines = data(report, to, "plain", false);
	if (report->with_huge)
		data(report, to, "huge", true);
	fprintf(to, "set terminal svg size 900,%zu font 'sans,13' background 'white'\nset output ",
		160 + 36 * lines);
	quoted(to, path);
	fprintf(
	    to,
	    "\nset title 'engine %s, %zu MiB: time against fork() (left of 1 is faster)' "
	    "noenhanced\n"
	    "set logscale x\nset format x '%%g'\nset xlabel 'ours / rival, median and spread of "
	    "%u rounds'\nset yrange [-%zu.6:-0.4]\nset ytics noenhanced\nset grid x\n"
	    "set arrow 1 from 1, graph 0 to 1, graph 1 nohead lc 'black' lw 1.5\n"
	    "set offsets 0, 0, 0, 0\n%s\n"
	    "plot $plain using 2:1:3:4:ytic(5) with xerrorbars pt 7 ps 0.8 lw 2 lc '#1f6fb4' "
	    "title 'rival: 4 KiB pages', '' using 2:1:6 with labels offset 0,0.8 notitle",
	    report->engine, report->size >> 20, report->rounds, lines,
	    report->with_huge ? "set key bottom outside center" : "unset key");
	if (report->with_huge)
		fputs(", $huge using 2:1:3:4 with xerrorbars pt 5 ps 0.7 lw 2 lc '#d9822b' "
		      "title 'rival: huge pages'",
		      to);
	fputs("\n", to);
	int status = pclose(to);
	signal(SIGPIPE, before);
	return status ? -1 : 0;
}
