/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.c - cowarena bench: snapshots against fork(), round by round.
 */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LABEL "%-17s %-5s" /* scenario, unit */

/* Check these now rather than after minutes of measuring. */
static int check(const struct bench_options *want)
{
	const char *reason = try_engine(want->engine);

	if (reason)
		return fail("the engine does not work here: %s", reason);
	if (want->plot && !plot_possible())
		return fail("--plot: gnuplot is not installed (package gnuplot-nox)");
	const char *files[] = {want->json, want->plot};
	for (size_t i = 0; i < COUNT(files); i++)
		if (files[i] && !output_possible(files[i]))
			return fail("%s: %s: name a file that can be written", files[i],
				    strerror(errno));
	return EXIT_OK;
}

/* Each side has the memory twice when all of it was written. */
static int check_memory(const struct bench_options *want)
{
	double need = (double)want->size * (want->huge ? 6 : 4), available = memory_available();

	if (need > available)
		return fail("this takes %.1f GiB of memory, and %.1f GiB are available: choose a "
			    "smaller --size",
			    need / 0x1p30, available / 0x1p30);
	return EXIT_OK;
}

/* A scenario that fails does not keep the others from running. Returns: EXIT_OK or EXIT_ERROR. */
static int run_all(struct report *report, const struct pages *pages)
{
	const struct bench_options *want = report->want;
	int status = EXIT_OK;
	char label[80];

	snprintf(label, sizeof label, LABEL, "scenario", "unit");
	report_head(label);
	for (size_t i = 0; i < scenario_count; i++) {
		struct result *result = &report->results[i];
		if (!bench_wants(want, i))
			continue;
		if (measure(want, &scenarios[i], pages, scenarios[i].key, false, result)) {
			status = EXIT_ERROR;
			continue;
		}
		report->engine = result->engine;
		snprintf(label, sizeof label, LABEL, scenarios[i].key, scenarios[i].unit);
		report_row(label, result);
		snprintf(label, sizeof label, LABEL, "  huge pages", scenarios[i].unit);
		if (want->huge)
			report_huge_row(label, result);
	}
	return status;
}

static int compare(const struct bench_options *want)
{
	static struct result results[COUNT(want->chosen)];
	struct costs costs;
	struct report report = {.want = want, .results = results};
	struct pages pages = {.page = (size_t)sysconf(_SC_PAGESIZE)};
	int status;

	if (check_memory(want))
		return EXIT_ERROR;
	if (costs_measure(&costs)) {
		report.costs = &costs;
		report_costs(&costs);
	}
	if (pages_init(&pages, want->size))
		status = fail("no memory: choose a smaller --size");
	else
		status = run_all(&report, &pages);
	pages_free(&pages);
	/* If nothing was measured, earlier output files stay. */
	if (!report.engine)
		return status;
	if (want->json && report_json(&report))
		status = fail("%s: %s", want->json, strerror(errno));
	if (want->plot && plot_ratios(&report))
		status = fail("%s: gnuplot could not draw it", want->plot);
	return status;
}

int bench(int argc, char **argv)
{
	struct bench_options want = {.rounds = 5, .engine = COWARENA_ENGINE_AUTO};

	if (bench_parse(argc, argv, &want) || check(&want))
		return EXIT_ERROR;
	return want.scaling ? bench_scaling(&want) : compare(&want);
}
