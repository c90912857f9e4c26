/* SPDX-License-Identifier: BSD-2-Clause */
/* arguments.h - the command line of a demo, from a table: parsed, and described by --help. For
   C++ too. */
#ifndef COWARENA_DEMOS_ARGUMENTS_H
#define COWARENA_DEMOS_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An option that takes a number from min to max, or a text, or is a flag. The variable holds the
   default beforehand, which --help prints for numbers and texts. `small`, unless it is 0, is the
   number with --small. */
struct option_row {
	const char *name; /* without the dashes */
	char letter;
	const char *arg, *help;
	uint64_t *number, min, max, small;
	const char **text;
	bool *flag;
};

/*
 * --help and --version always exist. --small exists if a row has a number for it: sizes that take
 * about a second, as the tests run them.
 */
struct demo {
	const char *about;             /* what --help begins with, broken into lines */
	const char *operands;          /* what may follow the options; NULL for nothing */
	const struct option_row *rows; /* ends with a row without a name; NULL for none */
	bool pages;                    /* it has an arena: --engine, --map and --svg, below */
};

struct demo_choice {
	unsigned engine; /* of enum cowarena_engine */
	bool map;        /* picture.h: draw the pages */
	const char *svg; /* and the timeline into this file */
	bool small;
};
extern struct demo_choice demo_choice;

/* Returns where the operands start in argv. Does not return from --help, --version and mistakes. */
int demo_arguments(const struct demo *demo, int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
