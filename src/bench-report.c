/* SPDX-License-Identifier: BSD-2-Clause */
/* bench-report.c - prints medians and their spread, as a table and as JSON. */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <math.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* ---- table ---- */

/* Print three digits, as more would mean nothing. At most seven characters. */
static const char *number(char to[32], double v)
{
	const char *format = "%.2g";

	if (v >= 9999999.5)
		format = "%.1e";
	else if (v >= 99.95)
		format = "%.0f";
	else if (v >= 9.995)
		format = "%.1f";
	else if (v >= 0.0995)
		format = "%.2f";
	snprintf(to, 32, format, v);
	return to;
}

static void print_range(const struct range *r, bool last)
{
	char median[32], min[32], max[32], spread[80];

	snprintf(spread, sizeof spread, "(%s..%s)", number(min, r->min), number(max, r->max));
	printf("  %7s %*s", number(median, r->median), last ? 0 : -18, spread);
}

void report_head(const char *label)
{
	static const char *const columns[] = {"ours", "rival", "ratio"};

	fputs(label, stdout);
	for (size_t i = 0; i < COUNT(columns); i++)
		printf("  %7s %*s", columns[i], i + 1 < COUNT(columns) ? -18 : 0, "(min..max)");
	putchar('\n');
	fflush(stdout);
}

static void print_row(const char *label, const struct range *ours, const struct range *rival,
		      const struct range *ratio)
{
	fputs(label, stdout);
	print_range(ours, !rival);
	if (rival) {
		print_range(rival, false);
		print_range(ratio, true);
	}
	putchar('\n');
	fflush(stdout);
}

void report_row(const char *label, const struct result *r)
{
	print_row(label, &r->ours, r->alone ? NULL : &r->rival, &r->ratio);
}

void report_huge_row(const char *label, const struct result *r)
{
	print_row(label, &r->ours, &r->huge, &r->huge_ratio);
}

/* ---- JSON ---- */

/* JSON has no infinity. */
static void json_number(FILE *to, const char *name, double v)
{
	fprintf(to, isfinite(v) ? "\"%s\": %.6g" : "\"%s\": null", name, v);
}

static void json_range(FILE *to, const char *name, const struct range *r)
{
	fprintf(to, "\"%s\": {", name);
	json_number(to, "median", r->median);
	fputs(", ", to);
	json_number(to, "min", r->min);
	fputs(", ", to);
	json_number(to, "max", r->max);
	putc('}', to);
}

void json_ranges(FILE *to, const struct result *r, bool huge)
{
	json_range(to, "ours", &r->ours);
	if (r->alone) {
		fputs(", \"rival\": null, \"ratio\": null", to);
		return;
	}
	fputs(", ", to);
	json_range(to, "rival", &r->rival);
	fputs(", ", to);
	json_range(to, "ratio", &r->ratio);
	if (!huge)
		return;
	fputs(", ", to);
	json_range(to, "rival_huge", &r->huge);
	fputs(", ", to);
	json_range(to, "ratio_huge", &r->huge_ratio);
}

void report_costs(const struct costs *costs)
{
	printf("page tables are %s here: the kernel copies a page at its first write in %.2f us, "
	       "memcpy(3) in %.2f; mprotect(2) takes %.2f, a signal %.2f\n\n",
	       costs_are_dear(costs) ? "dear" : "cheap", costs->fault_ns / 1e3,
	       costs->copy_ns / 1e3, costs->protect_ns / 1e3, costs->signal_ns / 1e3);
}

static void json_costs(FILE *to, const struct costs *costs)
{
	const struct {
		const char *name;
		double ns;
	} each[] = {
	    {"fault_ns", costs->fault_ns},
	    {"protect_ns", costs->protect_ns},
	    {"signal_ns", costs->signal_ns},
	    {"copy_ns", costs->copy_ns},
	};

	fprintf(to, "\"page_tables\": \"%s\", ", costs_are_dear(costs) ? "dear" : "cheap");
	for (size_t i = 0; i < COUNT(each); i++) {
		json_number(to, each[i].name, each[i].ns);
		fputs(", ", to);
	}
}

void json_host(FILE *to, const struct bench_options *want, const char *engine,
	       const struct costs *costs)
{
	struct utsname system;
	char date[32];
	time_t t = time(NULL);

	uname(&system);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&t));
	fprintf(to, "\"host\": {\"page_size\": %ld, \"cpus\": %ld, \"memory_bytes\": %lld, ",
		sysconf(_SC_PAGESIZE), sysconf(_SC_NPROCESSORS_ONLN),
		(long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
	if (costs)
		json_costs(to, costs);
	fputs("\"kernel\": ", to);
	json_text(to, system.release);
	fprintf(to,
		", \"engine\": \"%s\", \"trap\": \"%s\", \"version\": \"%s\", \"size\": %zu, "
		"\"rounds\": %u, \"date\": \"%s\"}",
		engine, trap_name, cowarena_version(), want->size, want->rounds, date);
}

int report_json(const struct report *report)
{
	struct output output;
	FILE *to = output_open(&output, report->want->json);
	const char *comma = "";

	if (!to)
		return -1;
	fputs("{\"scenarios\": {", to);
	for (size_t i = 0; i < scenario_count; i++) {
		const struct result *r = &report->results[i];
		if (!r->scenario)
			continue;
		fprintf(to, "%s\n\"%s\": {\"unit\": \"%s\", ", comma, r->scenario->key,
			r->scenario->unit);
		json_ranges(to, r, report->want->huge);
		putc('}', to);
		comma = ",";
	}
	fputs("},\n", to);
	json_host(to, report->want, report->engine, report->costs);
	fputs("}\n", to);
	return output_close(&output);
}
