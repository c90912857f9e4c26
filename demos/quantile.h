/* SPDX-License-Identifier: BSD-2-Clause */
/* quantile.h - medians of measurements. */
#ifndef COWARENA_DEMOS_QUANTILE_H
#define COWARENA_DEMOS_QUANTILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static inline int quantile_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The quantile `part` of n values: 0.5 is the median. Sorts them. Returns 0 if n is 0. */
static inline uint64_t quantile(uint64_t *values, size_t n, double part)
{
	qsort(values, n, sizeof *values, quantile_order);
	return n ? values[(size_t)((double)(n - 1) * part)] : 0;
}

#endif
