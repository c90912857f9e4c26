/* SPDX-License-Identifier: BSD-2-Clause */
/* zval-pages.h - copy-on-write by counting beside copy-on-write by pages, on the same variables. */
#ifndef COWARENA_DEMOS_ZVAL_PAGES_H
#define COWARENA_DEMOS_ZVAL_PAGES_H

#include <stddef.h>
#include <stdint.h>

struct pages_cost {
	uint64_t elements, bytes; /* copied by the separation of arrays */
	uint64_t faults, pages;   /* taken and copied for the snapshot */
};

/*
 * Keep the old value of a big array while one of its elements is written: by a second name, by a
 * snapshot, by both. Then let a script change variables of all kinds under a snapshot. Each time
 * all is undone, and must be as before. Prints what each has copied. Returns the bytes of the
 * first, the pages of the second, and all faults.
 */
struct pages_cost pages_compare(uint64_t elements);

#endif
