/* SPDX-License-Identifier: BSD-2-Clause */
/* bench-range.c - median, minimum and maximum. */
#include "config.h"

#include "bench.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct range range_of(double *values, unsigned n)
{
	struct range r;

	qsort(values, n, sizeof *values, by_value);
	r.median = (values[n / 2] + values[(n - 1) / 2]) / 2;
	r.min = values[0];
	r.max = values[n - 1];
	return r;
}
