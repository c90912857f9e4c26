/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-run.c - the rounds of one scenario: ours, the rival, ours, the rival.
 */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_UP 2 /* rounds that do not count: afterwards there are frames to recycle */

enum { OURS, RIVAL, RATIO, HUGE_RIVAL, HUGE_RATIO, COLUMNS };

/* Show progress, on a terminal only. The row replaces it. */
static void progress(const char *label, unsigned done, unsigned all)
{
	unsigned filled = done * 30 / all;

	if (!isatty(STDERR_FILENO))
		return;
	if (!label)
		fputs("\r\033[K", stderr);
	else
		fprintf(stderr, "\r[%.*s%*s] %s\033[K", (int)filled,
			"##############################", (int)(30 - filled), "", label);
}

double memory_available(void)
{
	double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	double kib;

	if (!file)
		return memory;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "MemAvailable: %lf kB", &kib) == 1)
			memory = kib * 1024;
	fclose(file);
	return memory;
}

/* values: `rounds` for each column. */
static int run_rounds(const struct scenario *scenario, struct side *ours, struct rival *rivals,
		      unsigned rival_count, const char *label, unsigned rounds, double *values)
{
	unsigned all = rounds + WARM_UP;

	for (unsigned round = 0; round < all; round++) {
		double us, other[2] = {0, 0};
		progress(label, round, all);
		if (scenario_run(scenario, ours, round, &us))
			return -1;
		for (unsigned i = 0; i < rival_count; i++)
			if (rival_run(&rivals[i], round, &other[i], ours->error))
				return -1;
		if (round < WARM_UP)
			continue;
		double *v = values + (round - WARM_UP);
		v[OURS * rounds] = us;
		v[RIVAL * rounds] = other[0];
		v[RATIO * rounds] = us / other[0];
		v[HUGE_RIVAL * rounds] = other[1];
		v[HUGE_RATIO * rounds] = us / other[1];
	}
	return 0;
}

static void summarize(struct result *result, double *values, unsigned rounds)
{
	result->ours = range_of(values + OURS * rounds, rounds);
	result->rival = range_of(values + RIVAL * rounds, rounds);
	result->ratio = range_of(values + RATIO * rounds, rounds);
	result->huge = range_of(values + HUGE_RIVAL * rounds, rounds);
	result->huge_ratio = range_of(values + HUGE_RATIO * rounds, rounds);
}

int measure(const struct bench_options *want, const struct scenario *scenario,
	    const struct pages *pages, const char *label, bool alone, struct result *result)
{
	struct side ours = {.list = pages_list(pages)};
	struct rival rivals[2] = {{0, -1}, {0, -1}};
	unsigned rival_count = alone ? 0 : want->huge ? 2 : 1;
	double *values = calloc(want->rounds, COLUMNS * sizeof *values);
	int status = -1;

	progress(label, 0, 1);
	strcpy(ours.error, "no memory, or no process left: choose a smaller --size");
	if (!ours.list || !values)
		goto out;
	for (unsigned i = 0; i < rival_count; i++)
		if (rival_start(&rivals[i], scenario, pages, i == 1))
			goto out;
	if (ours_open(&ours, pages, want->engine) ||
	    run_rounds(scenario, &ours, rivals, rival_count, label, want->rounds, values))
		goto out;
	summarize(result, values, want->rounds);
	result->scenario = scenario;
	result->alone = alone;
	snprintf(result->engine, sizeof result->engine, "%s", cowarena_engine_name(ours.arena));
	status = 0;
out:
	progress(NULL, 0, 1);
	if (status)
		fail("%s: %s", label, ours.error);
	ours_close(&ours);
	rival_stop(&rivals[0]);
	rival_stop(&rivals[1]);
	free(ours.list);
	free(values);
	return status;
}
