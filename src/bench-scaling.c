/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-scaling.c - whether the cost follows the pages written, not the size of the heap.
 *
 * Runs a few scenarios at sizes that differ by powers of 4. The influence of the size is shown as
 * flatness: our largest median over our smallest, which is 1 if the size does not matter.
 */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SMALLEST ((size_t)64 << 20)
#define LABEL "%-11s %9s %-7s" /* scenario, size, unit */
/* Page tables and bookkeeping take a share of the memory; programs need some besides. */
#define OVERHEAD 1.03
#define PROGRAMS ((double)(192 << 20))

const char scaling_keys[] = "pause_clean, pause_1pct, write_seq and write_rand";

static struct series series[SCALED] = {
    {.key = "pause_clean", .unit = "us", .dirty = 0, .is_pause = true},
    {.key = "pause_1pct", .unit = "us/page", .dirty = 0.01, .per_page = true, .is_pause = true},
    {.key = "write_seq", .unit = "us/page", .dirty = 1},
    {.key = "write_rand", .unit = "us/page", .dirty = 0.1},
};

bool scaling_has(const char *key)
{
	for (size_t i = 0; i < SCALED; i++)
		if (strcmp(series[i].key, key) == 0)
			return true;
	return false;
}

/* ---- sizes ---- */

/* 64 MiB, four times as much each time, and the largest size. */
static size_t list_sizes(size_t largest, size_t sizes[MAX_SIZES])
{
	size_t n = 0;

	for (size_t size = SMALLEST; size < largest && n < MAX_SIZES - 1; size *= 4)
		sizes[n++] = size;
	sizes[n++] = largest;
	return n;
}

static const char *size_text(char to[32], double size)
{
	bool gib = size >= 0x1p30;

	snprintf(to, 32, "%.4g %s", size / (gib ? 0x1p30 : 0x1p20), gib ? "GiB" : "MiB");
	return to;
}

/* The memory, and a copy of what is written. Engine eager copies everything, for two snapshots. */
static double memory_needed(const struct series *s, const struct bench_options *want, size_t size,
			    unsigned sides)
{
	double copies = want->engine == COWARENA_ENGINE_EAGER ? 2 : s->dirty;

	return (double)size * (1 + copies) * sides * OVERHEAD + PROGRAMS;
}

/* ---- measuring ---- */

/* The scenario as in the comparison, but repeated often within a round, and scaled to one page. */
static struct scenario scaled_scenario(const struct series *s, size_t pages)
{
	struct scenario scenario = {0};

	for (size_t i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].key, s->key) == 0)
			scenario = scenarios[i];
	scenario.unit = s->unit;
	scenario.repeated = true;
	if (s->per_page)
		scenario.scale /= (double)(pages / 100);
	return scenario;
}

/* Returns: 0, also when memory is too short for this size; -1 after a message. */
static int measure_size(const struct bench_options *want, struct series *s, size_t size)
{
	struct pages pages = {.page = (size_t)sysconf(_SC_PAGESIZE)};
	struct point *point = &s->points[s->measured];
	double available = memory_available();
	bool alone = memory_needed(s, want, size, 2) > available;
	char text[32], label[80];

	size_text(text, (double)size);
	if (memory_needed(s, want, size, 1) > available) {
		printf(LABEL "  left out: it takes %.1f GiB of memory, and %.1f are available\n",
		       s->key, text, s->unit, memory_needed(s, want, size, 1) / 0x1p30,
		       available / 0x1p30);
		return 0;
	}
	snprintf(label, sizeof label, "%s %s", s->key, text);
	int status = pages_init(&pages, size);
	point->size = size;
	point->scenario = scaled_scenario(s, pages.count);
	if (status)
		fail("%s: no memory: choose a smaller --size", label);
	else
		status = measure(want, &point->scenario, &pages, label, alone, &point->result);
	pages_free(&pages);
	if (status)
		return -1;
	s->measured++;
	snprintf(label, sizeof label, LABEL, s->key, text, s->unit);
	report_row(label, &point->result);
	if (alone)
		printf("%29s  without the rival: both take %.1f GiB, and %.1f are available\n", "",
		       memory_needed(s, want, size, 2) / 0x1p30, available / 0x1p30);
	return 0;
}

static bool is_wanted(const struct bench_options *want, const struct series *s)
{
	for (size_t i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].key, s->key) == 0)
			return bench_wants(want, i);
	return false;
}

static int measure_all(const struct bench_options *want)
{
	size_t sizes[MAX_SIZES], count = list_sizes(want->size, sizes);
	char label[80];
	int status = EXIT_OK;

	printf("%u rounds; each is the median of up to %d measurements, as many as fit in %g s\n",
	       want->rounds, REPEATS, REPEAT_SECONDS);
	snprintf(label, sizeof label, LABEL, "scenario", "size", "unit");
	report_head(label);
	for (struct series *s = series; s < series + SCALED; s++)
		for (size_t i = 0; i < count && is_wanted(want, s); i++)
			if (measure_size(want, s, sizes[i]))
				status = EXIT_ERROR;
	return status;
}

/* ---- telling ---- */

/* Returns: 0 when there are less than two sizes to compare. */
static double flatness(const struct series *s)
{
	double low = 0, high = 0;

	for (unsigned i = 0; i < s->measured; i++) {
		double median = s->points[i].result.ours.median;
		low = i && low < median ? low : median;
		high = high > median ? high : median;
	}
	return s->measured > 1 && low > 0 ? high / low : 0;
}

static void print_flatness(void)
{
	puts("\nflatness (largest median of ours / smallest; 1 = the size does not matter)");
	for (const struct series *s = series; s < series + SCALED; s++) {
		if (!s->measured)
			continue;
		if (flatness(s) > 0)
			printf("%-11s %.2f, over %u sizes\n", s->key, flatness(s), s->measured);
		else
			printf("%-11s not known from one size\n", s->key);
	}
}

static void json_series(FILE *to, const struct series *s)
{
	fprintf(to, "\"%s\": [", s->key);
	for (unsigned i = 0; i < s->measured; i++) {
		fprintf(to, "%s\n {\"size\": %zu, \"unit\": \"%s\", ", i ? "," : "",
			s->points[i].size, s->unit);
		json_ranges(to, &s->points[i].result, false);
		putc('}', to);
	}
	putc(']', to);
}

static int write_json(const struct bench_options *want, const char *engine)
{
	struct output output;
	FILE *to = output_open(&output, want->json);
	const char *comma = "";

	if (!to)
		return -1;
	fputs("{\"scaling\": {", to);
	for (const struct series *s = series; s < series + SCALED; s++)
		if (s->measured) {
			fprintf(to, "%s\n", comma);
			json_series(to, s);
			comma = ",";
		}
	fputs("},\n\"flat\": {", to);
	comma = "";
	for (const struct series *s = series; s < series + SCALED; s++)
		if (s->measured) {
			fprintf(to, "%s\"%s\": ", comma, s->key);
			fprintf(to, flatness(s) > 0 ? "%.4g" : "null", flatness(s));
			comma = ", ";
		}
	fputs("},\n", to);
	json_host(to, want, engine, NULL);
	fputs("}\n", to);
	return output_close(&output);
}

int bench_scaling(const struct bench_options *want)
{
	int status = measure_all(want);
	const char *engine = NULL;

	for (const struct series *s = series; s < series + SCALED; s++)
		if (s->measured)
			engine = s->points[0].result.engine;
	/* If nothing was measured, earlier output files stay. */
	if (!engine)
		return status ? status : fail("no size fits in memory: choose a smaller --size");
	print_flatness();
	if (want->json && write_json(want, engine))
		status = fail("%s: %s", want->json, strerror(errno));
	if (want->plot && plot_scaling(want, series, engine))
		status = fail("%s: gnuplot could not draw it", want->plot);
	return status;
}
