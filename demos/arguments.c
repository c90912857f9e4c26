/* SPDX-License-Identifier: BSD-2-Clause */
/* arguments.c - see arguments.h. */
#include "config.h"

#include "common.h"
#include "arguments.h"

#include <getopt.h>

#define ROWS_MAX 24
#define COLUMN 24 /* where the explanations begin */

struct demo_choice demo_choice;

static const char *engine = "auto";
static bool help, version;

static const struct option_row page_rows[] = {
    {"engine", 'e', "NAME", "auto, hybrid, sigsegv, uffd, eager", .text = &engine},
    {"map", 'm', NULL, "draw what became of each page", .flag = &demo_choice.map},
    {"svg", 0, "FILE", "draw the faults in the course of time (needs gnuplot)",
     .text = &demo_choice.svg},
    {0},
};
static const struct option_row small_rows[] = {
    {"small", 0, NULL, "sizes that are done in a second", .flag = &demo_choice.small},
    {0},
};
static const struct option_row common_rows[] = {
    {"help", 'h', NULL, "print this", .flag = &help},
    {"version", 'V', NULL, "print the version", .flag = &version},
    {0},
};

static size_t add(const struct option_row **rows, size_t n, const struct option_row *more)
{
	for (; more && more->name && n < ROWS_MAX; more++)
		rows[n++] = more;
	return n;
}

static void print_row(const struct option_row *row)
{
	int width = row->letter ? printf("  -%c, ", row->letter) : printf("      ");

	width += printf("--%s%s%s", row->name, row->arg ? " " : "", row->arg ? row->arg : "");
	if (width >= COLUMN - 1)
		width = printf("\n") - 1;
	printf("%*s%s", COLUMN - width, "", row->help);
	if (row->number)
		printf(" (default %" PRIu64 ")", *row->number);
	if (row->text && *row->text)
		printf(" (default %s)", *row->text);
	putchar('\n');
}

__attribute__((noreturn)) static void print_help(const struct demo *demo,
						 const struct option_row **rows, size_t n)
{
	printf("Usage: %s [OPTION...]%s%s\n\n%s\n\n", demo_name(), demo->operands ? " " : "",
	       demo->operands ? demo->operands : "", demo->about);
	for (size_t i = 0; i < n; i++)
		print_row(rows[i]);
	finish_output();
	exit(EXIT_SUCCESS);
}

static void set(const struct option_row *row, const char *arg)
{
	char name[40];

	snprintf(name, sizeof name, "--%s", row->name);
	if (row->number)
		*row->number = parse_number(name, arg, row->min, row->max);
	else if (row->text)
		*row->text = arg;
	else
		*row->flag = true;
}

int demo_arguments(const struct demo *demo, int argc, char **argv)
{
	const struct option_row *rows[ROWS_MAX];
	struct option long_options[ROWS_MAX + 1] = {{0}};
	char letters[2 * ROWS_MAX + 1];
	size_t own = add(rows, 0, demo->rows), n = own, l = 0;
	uint64_t given = 0; /* bits of the rows */
	bool has_small = false;

	for (size_t i = 0; i < own; i++)
		has_small |= rows[i]->small != 0;
	if (demo->pages)
		n = add(rows, n, page_rows);
	if (has_small)
		n = add(rows, n, small_rows);
	n = add(rows, n, common_rows);
	for (size_t i = 0; i < n; i++) {
		long_options[i] =
		    (struct option){rows[i]->name, rows[i]->arg ? required_argument : no_argument,
				    NULL, 256 + (int)i};
		if (rows[i]->letter)
			letters[l++] = rows[i]->letter;
		if (rows[i]->letter && rows[i]->arg)
			letters[l++] = ':';
	}
	letters[l] = 0;
	for (int c; (c = getopt_long(argc, argv, letters, long_options, NULL)) != -1;) {
		if (c == '?')
			usage_hint();
		size_t i = 0;
		while (c >= 256 ? i != (size_t)c - 256 : rows[i]->letter != c)
			i++;
		if (rows[i]->flag == &help)
			print_help(demo, rows, n);
		if (rows[i]->flag == &version)
			print_version();
		set(rows[i], optarg);
		given |= (uint64_t)1 << i;
	}
	if (optind < argc && !demo->operands)
		usage_error("unexpected argument '%s'", argv[optind]);
	for (size_t i = 0; i < own && demo_choice.small; i++)
		if (rows[i]->small && !(given >> i & 1))
			*rows[i]->number = rows[i]->small;
	demo_choice.engine = parse_engine(engine);
	return optind;
}
