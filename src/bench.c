/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.c - cowarena bench: snapshots against fork(), round by round.
 */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_UP 2 /* rounds that do not count: frames are there to be recycled */
#define MIN_SIZE ((size_t)4 << 20)

static struct {
	size_t size;
	unsigned rounds, engine;
	bool huge, chosen[32]; /* nothing chosen = all */
	size_t choices;
	const char *json, *plot;
} want = {(size_t)1 << 30, 5, COWARENA_ENGINE_AUTO, false, {false}, 0, NULL, NULL};

/* On a terminal only, and gone when the row is printed. */
static void progress(const char *key, unsigned done, unsigned all)
{
	unsigned filled = done * 30 / all;

	if (!isatty(STDERR_FILENO))
		return;
	if (!key)
		fputs("\r\033[K", stderr);
	else
		fprintf(stderr, "\r[%.*s%*s] %s\033[K", (int)filled,
			"##############################", (int)(30 - filled), "", key);
}

/* ---- options ---- */

static bool parse_size(const char *s, size_t *size)
{
	static const char suffixes[] = "KMG";
	char *end;

	errno = 0;
	unsigned long long n = strtoull(s, &end, 10);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;
	unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
	if (errno || end == s || *s == '-' || (*end && (!suffix || end[1])) ||
	    n > SIZE_MAX >> shift)
		return false;
	*size = (size_t)n << shift;
	return *size >= MIN_SIZE && *size < SIZE_MAX / 16;
}

static bool choose(const char *key)
{
	for (size_t i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].key, key) == 0) {
			want.choices += !want.chosen[i];
			want.chosen[i] = true;
			return true;
		}
	return false;
}

static int parse_options(int argc, char **argv)
{
	static const struct option options[] = {
	    {"size", required_argument, NULL, 's'},   {"scenario", required_argument, NULL, 'c'},
	    {"engine", required_argument, NULL, 'e'}, {"rounds", required_argument, NULL, 'r'},
	    {"rival-huge", no_argument, NULL, 'h'},   {"json", required_argument, NULL, 'j'},
	    {"plot", required_argument, NULL, 'p'},   {NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's' && !parse_size(optarg, &want.size))
			return fail("--size: '%s' is not a number of bytes, at least 4M", optarg);
		if (option == 'c' && !choose(optarg))
			return fail("'%s' is not a scenario; see cowarena(1)", optarg);
		if (option == 'e' && !find_engine(optarg, &want.engine))
			return fail("'%s' is not an engine; see 'cowarena info'", optarg);
		if (option == 'r') {
			char *end;
			unsigned long n = strtoul(optarg, &end, 10);
			if (*end || n < 1 || n > 1000)
				return fail("--rounds: '%s' is not from 1 to 1000", optarg);
			want.rounds = (unsigned)n;
		}
		if (option == 'h')
			want.huge = true;
		if (option == 'j')
			want.json = optarg;
		if (option == 'p')
			want.plot = optarg;
		if (option == '?')
			return fail(
			    "bench: '%s' is unknown or lacks its value; see 'cowarena help'",
			    argv[optind - 1]);
	}
	if (optind < argc)
		return fail("'bench' does not take '%s'; see 'cowarena help'", argv[optind]);
	return EXIT_OK;
}

/* Now rather than after minutes. */
static int check(void)
{
	const char *reason = try_engine(want.engine);
	double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
	double need = (double)want.size * (want.huge ? 6 : 4);

	if (reason)
		return fail("the engine does not work here: %s", reason);
	/* Each side has the memory twice when all of it was written. */
	if (need > memory)
		return fail("--size: this takes %.1f GiB of memory, and here are %.1f GiB",
			    need / 0x1p30, memory / 0x1p30);
	if (want.plot && !plot_possible())
		return fail("--plot: gnuplot is not installed (package gnuplot-nox)");
	if (want.plot && strchr(want.plot, '\n'))
		return fail("--plot: no line breaks in the name");
	return EXIT_OK;
}

/* ---- rounds ---- */

/* values: ours, rival, ratio, huge, ratio to huge; want.rounds of each. */
static int run_rounds(const struct scenario *scenario, struct side *ours, struct rival *rivals,
		      double *values)
{
	unsigned all = want.rounds + WARM_UP;

	for (unsigned round = 0; round < all; round++) {
		double us, other[2] = {0, 0};
		progress(scenario->key, round, all);
		if (scenario_run(scenario, ours, round, &us))
			return -1;
		for (int i = 0; i < 1 + want.huge; i++)
			if (rival_run(&rivals[i], round, &other[i], ours->error))
				return -1;
		if (round < WARM_UP)
			continue;
		double *v = values + (round - WARM_UP);
		v[0] = us;
		v[want.rounds] = other[0];
		v[2 * want.rounds] = us / other[0];
		v[3 * want.rounds] = other[1];
		v[4 * want.rounds] = us / other[1];
	}
	return 0;
}

static int run_scenario(const struct scenario *scenario, const struct pages *pages,
			struct report *report, struct result *result)
{
	struct side ours = {.list = calloc(pages->count, sizeof *ours.list)};
	struct rival rivals[2] = {{0, -1}, {0, -1}};
	double *values = calloc(want.rounds, 5 * sizeof *values);
	int status = -1;

	strcpy(ours.error, "no memory, or no process left");
	if (!ours.list || !values || rival_start(&rivals[0], scenario, pages, false) ||
	    (want.huge && rival_start(&rivals[1], scenario, pages, true)))
		goto out;
	progress(scenario->key, 0, 1);
	if (ours_open(&ours, pages, want.engine) || run_rounds(scenario, &ours, rivals, values))
		goto out;
	result->scenario = scenario;
	result->ours = range_of(values, want.rounds);
	result->rival = range_of(values + want.rounds, want.rounds);
	result->ratio = range_of(values + 2 * want.rounds, want.rounds);
	result->huge = range_of(values + 3 * want.rounds, want.rounds);
	result->huge_ratio = range_of(values + 4 * want.rounds, want.rounds);
	snprintf(report->engine, sizeof report->engine, "%s", cowarena_engine_name(ours.arena));
	status = 0;
out:
	progress(NULL, 0, 1);
	if (status)
		fail("%s: %s", scenario->key, ours.error);
	ours_close(&ours);
	rival_stop(&rivals[0]);
	rival_stop(&rivals[1]);
	free(ours.list);
	free(values);
	return status;
}

int bench(int argc, char **argv)
{
	static struct result results[COUNT(want.chosen)];
	struct report report = {results, 0, 0, false, ""};
	struct pages pages = {.page = (size_t)sysconf(_SC_PAGESIZE)};
	FILE *json = NULL;

	if (parse_options(argc, argv) || check())
		return EXIT_ERROR;
	if (want.json && !(json = fopen(want.json, "we")))
		return fail("%s: %s", want.json, strerror(errno));
	report.size = want.size;
	report.rounds = want.rounds;
	report.with_huge = want.huge;
	int status = pages_init(&pages, want.size) ? fail("no memory") : EXIT_OK;
	if (!status)
		report_head();
	for (size_t i = 0; i < scenario_count && !status; i++) {
		if (want.choices && !want.chosen[i])
			continue;
		if (run_scenario(&scenarios[i], &pages, &report, &results[i]))
			status = EXIT_ERROR;
		else
			report_row(&report, &results[i]);
	}
	pages_free(&pages);
	if (json) {
		int bad = status ? 0 : report_json(&report, json);
		if (fclose(json) || bad)
			status = fail("%s: %s", want.json, strerror(errno));
	}
	if (want.plot && !status && plot(&report, want.plot))
		status = fail("%s: gnuplot could not draw it", want.plot);
	return status;
}
