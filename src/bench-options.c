/* SPDX-License-Identifier: BSD-2-Clause */
/* bench-options.c - the options of `cowarena bench`, and whether they fit together. */
#include "config.h"

#include "bench.h"
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MIN_SIZE ((size_t)4 << 20)
#define MAX_ROUNDS 1000

static bool parse_size(const char *s, size_t *size)
{
	static const char suffixes[] = "KMG";
	char *end;

	errno = 0;
	unsigned long long n = strtoull(s, &end, 10);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;
	unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
	if (errno || end == s || *s == '-' || (*end && (!suffix || end[1])) ||
	    n > SIZE_MAX >> shift)
		return false;
	*size = (size_t)n << shift;
	return *size >= MIN_SIZE && *size < SIZE_MAX / 16;
}

static bool parse_rounds(const char *s, unsigned *rounds)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*end || n < 1 || n > MAX_ROUNDS)
		return false;
	*rounds = (unsigned)n;
	return true;
}

static bool choose(struct bench_options *want, const char *key)
{
	for (size_t i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].key, key) == 0) {
			want->choices += !want->chosen[i];
			want->chosen[i] = true;
			return true;
		}
	return false;
}

static int unknown_scenario(const char *key)
{
	char keys[400] = "";
	size_t n = 0;

	for (size_t i = 0; i < scenario_count && n < sizeof keys; i++)
		n += (size_t)snprintf(keys + n, sizeof keys - n, "%s%s", i ? ", " : "",
				      scenarios[i].key);
	return fail("--scenario: '%s' is none of %s", key, keys);
}

static int parse_option(struct bench_options *want, int option)
{
	switch (option) {
	case 's':
		if (!parse_size(optarg, &want->size))
			return fail("--size: '%s' is not a number of bytes, at least 4M, such as "
				    "256M or 1G",
				    optarg);
		break;
	case 'c':
		if (!choose(want, optarg))
			return unknown_scenario(optarg);
		break;
	case 'e':
		if (!find_engine(optarg, &want->engine))
			return fail("--engine: '%s' is not an engine; 'cowarena info' lists them",
				    optarg);
		break;
	case 'r':
		if (!parse_rounds(optarg, &want->rounds))
			return fail("--rounds: '%s' is not a number from 1 to %d", optarg,
				    MAX_ROUNDS);
		break;
	case 'S':
		want->scaling = true;
		break;
	case 'h':
		want->huge = true;
		break;
	case 'j':
		want->json = optarg;
		break;
	case 'p':
		want->plot = optarg;
		break;
	}
	return EXIT_OK;
}

/* Checks that involve several options. */
static int check_together(const struct bench_options *want)
{
	if (want->scaling && want->huge)
		return fail("--scaling compares with a fork of small pages only: leave out "
			    "--rival-huge, or --scaling");
	for (size_t i = 0; i < scenario_count && want->scaling; i++)
		if (want->chosen[i] && !scaling_has(scenarios[i].key))
			return fail("--scaling measures %s; it has no --scenario %s", scaling_keys,
				    scenarios[i].key);
	if (want->json && want->plot && strcmp(want->json, want->plot) == 0)
		return fail("--json and --plot both name '%s': give each a file of its own",
			    want->json);
	/* The name becomes part of a line in a gnuplot script. */
	if (want->plot && strchr(want->plot, '\n'))
		return fail("--plot: the name has a line break: choose another");
	return EXIT_OK;
}

int bench_parse(int argc, char **argv, struct bench_options *want)
{
	static const struct option options[] = {
	    {"size", required_argument, NULL, 's'},
	    {"scenario", required_argument, NULL, 'c'},
	    {"engine", required_argument, NULL, 'e'},
	    {"rounds", required_argument, NULL, 'r'},
	    {"rival-huge", no_argument, NULL, 'h'},
	    {"scaling", no_argument, NULL, 'S'},
	    {"json", required_argument, NULL, 'j'},
	    {"plot", required_argument, NULL, 'p'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return fail(
			    "bench: '%s' is unknown, or its value is missing; see 'cowarena help'",
			    argv[optind - 1]);
		if (parse_option(want, option))
			return EXIT_ERROR;
	}
	if (optind < argc)
		return fail("'bench' does not take '%s'; see 'cowarena help'", argv[optind]);
	if (!want->size)
		want->size = (size_t)(want->scaling ? 8 : 1) << 30;
	return check_together(want);
}
