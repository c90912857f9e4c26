/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-report.c - medians and their spread, as a table and as JSON.
 */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct range range_of(const double *values, unsigned n)
{
	struct range r = {0, 0, 0};
	double *sorted = malloc(n * sizeof *sorted);

	if (!sorted)
		return r;
	memcpy(sorted, values, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_value);
	r.median = (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
	r.min = sorted[0];
	r.max = sorted[n - 1];
	free(sorted);
	return r;
}

/* Three digits are as many as mean anything. */
static void number(char *to, size_t size, double v)
{
	snprintf(to, size, v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : v >= 0.1 ? "%.2f" : "%.2g", v);
}

static void print_range(const struct range *r)
{
	char median[32], min[32], max[32], spread[80];

	number(median, sizeof median, r->median);
	number(min, sizeof min, r->min);
	number(max, sizeof max, r->max);
	snprintf(spread, sizeof spread, "(%s..%s)", min, max);
	printf(" %8s %-18s", median, spread);
}

void report_head(void)
{
	printf("%-18s %-5s %8s %-18s %8s %-18s %8s\n", "scenario", "unit", "ours", "(min..max)",
	       "rival", "(min..max)", "ratio");
}

static void print_row(const char *key, const char *unit, const struct range *ours,
		      const struct range *rival, const struct range *ratio)
{
	printf("%-18s %-5s", key, unit);
	print_range(ours);
	print_range(rival);
	print_range(ratio);
	putchar('\n');
}

void report_row(const struct report *report, const struct result *r)
{
	print_row(r->scenario->key, r->scenario->unit, &r->ours, &r->rival, &r->ratio);
	if (report->with_huge)
		print_row("  huge pages", r->scenario->unit, &r->ours, &r->huge, &r->huge_ratio);
	fflush(stdout);
}

static void json_range(FILE *to, const char *name, const struct range *r)
{
	fprintf(to, "\"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g}, ", name, r->median,
		r->min, r->max);
}

int report_json(const struct report *report, FILE *to)
{
	struct utsname system;
	char date[32];
	time_t t = time(NULL);
	const char *comma = "";

	fputs("{\"scenarios\": {", to);
	for (size_t i = 0; i < scenario_count; i++) {
		const struct result *r = &report->results[i];
		if (!r->scenario)
			continue;
		fprintf(to, "%s\n\"%s\": {", comma, r->scenario->key);
		json_range(to, "ratio", &r->ratio);
		json_range(to, "ours", &r->ours);
		json_range(to, "rival", &r->rival);
		if (report->with_huge) {
			json_range(to, "ratio_huge", &r->huge_ratio);
			json_range(to, "rival_huge", &r->huge);
		}
		fprintf(to, "\"unit\": \"%s\"}", r->scenario->unit);
		comma = ",";
	}
	uname(&system);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
	fprintf(to, "},\n\"host\": {\"page_size\": %ld, \"cpus\": %ld, \"memory_bytes\": %lld, ",
		sysconf(_SC_PAGESIZE), sysconf(_SC_NPROCESSORS_ONLN),
		(long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
	fputs("\"kernel\": ", to);
	json_text(to, system.release);
	fprintf(to,
		", \"engine\": \"%s\", \"trap\": \"%s\", \"version\": \"%s\", \"size\": %zu, "
		"\"rounds\": %u, \"date\": \"%s\"}}\n",
		report->engine, trap_name, cowarena_version(), report->size, report->rounds, date);
	return ferror(to) ? -1 : 0;
}
