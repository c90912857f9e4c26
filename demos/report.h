/* SPDX-License-Identifier: BSD-2-Clause */
/* report.h - how a demo ends: what was shared, what was copied, and that it held. For C++ too. */
#ifndef COWARENA_DEMOS_REPORT_H
#define COWARENA_DEMOS_REPORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Print the last lines of a demo: a few words each, with a number, on what was shared and what
 * was copied, the faults that this cost, and what was verified. Called last, when all of it has
 * been: a demo that finds something wrong leaves by die() instead.
 *
 * If the environment has COWARENA_DEMO_REPORT, a line of the table that `make demo` ends with is
 * appended to the file of that name.
 */
void report(const char *shared, const char *copied, uint64_t faults, const char *verified);

#ifdef __cplusplus
}
#endif

#endif
