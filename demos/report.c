/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. */
#include "config.h"

#include "common.h"
#include "report.h"

void report(const char *shared, const char *copied, uint64_t faults, const char *verified)
{
	const char *path = getenv("COWARENA_DEMO_REPORT");

	printf("\nshared    %s\ncopied    %s\nfaults    %s\nverified  %s\n", shared, copied,
	       human_count(faults).text, verified);
	finish_output();
	if (!path)
		return;
	FILE *table = fopen(path, "a");
	if (!table)
		die("%s: %s", path, strerror(errno));
	fprintf(table, "%s\t%s\t%s\t%s\n", demo_name(), shared, copied, human_count(faults).text);
	if (fclose(table))
		die("%s: %s", path, strerror(errno));
}
