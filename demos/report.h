/* SPDX-License-Identifier: BSD-2-Clause */
/* report.h - the end of a demo: what was shared, what was copied, and that it was verified. For C++
   too. */
#ifndef COWARENA_DEMOS_REPORT_H
#define COWARENA_DEMOS_REPORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Print a demo's last lines: a few words each, with a number, on what was shared and copied, the
 * faults that this cost, and what was verified. Called last, after everything was verified: a demo
 * that finds an error leaves by die() instead.
 *
 * If COWARENA_DEMO_REPORT is set, appends a line to that file, for the table at the end of `make
 * demo`.
 */
void report(const char *shared, const char *copied, uint64_t faults, const char *verified);

#ifdef __cplusplus
}
#endif

#endif
