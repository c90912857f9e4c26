/* SPDX-License-Identifier: BSD-2-Clause */
/* image-command.c - the options of `cowarena image`. */
#include "config.h"

#include "command.h"
#include "image-command.h"

#include <getopt.h>
#include <string.h>

static const char usage[] =
    "usage: cowarena image info [--json] FILE...\n"
    "       cowarena image ls [--json] FILE\n"
    "       cowarena image verify [--json] FILE...\n"
    "       cowarena image diff [--json] [--svg FILE.svg] A B [PARENT...]\n"
    "       cowarena image extract -o OUT [--force] [--start ADDRESS] [--bytes N]\n"
    "                              FILE [PARENT...]\n";

static const struct subcommand {
	const char *name;
	int (*run)(const struct image_options *);
	size_t least, most; /* files */
	const char *takes;  /* which options */
} subcommands[] = {
    {"info", image_info, 1, SIZE_MAX, "j"},          {"ls", image_ls, 1, 1, "j"},
    {"verify", image_verify, 1, SIZE_MAX, "j"},      {"diff", image_diff, 2, SIZE_MAX, "js"},
    {"extract", image_extract, 1, SIZE_MAX, "ofab"},
};

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},         {"svg", required_argument, NULL, 's'},
    {"output", required_argument, NULL, 'o'}, {"force", no_argument, NULL, 'f'},
    {"start", required_argument, NULL, 'a'},  {"bytes", required_argument, NULL, 'b'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

static void note(struct image_options *o, int option)
{
	switch (option) {
	case 'j':
		o->json = true;
		break;
	case 's':
		o->svg = optarg;
		break;
	case 'o':
		o->output = optarg;
		break;
	case 'f':
		o->force = true;
		break;
	case 'a':
		o->start = optarg;
		break;
	case 'b':
		o->bytes = optarg;
		break;
	}
}

static const char *name_of(int option)
{
	const struct option *o = options;

	while (o->val != option)
		o++;
	return o->name;
}

static int run(const struct subcommand *s, int argc, char **argv)
{
	struct image_options o = {0};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (option == '?')
			return fail("image %s: '%s' is unknown, or its value is missing; see "
				    "'cowarena image --help'",
				    s->name, argv[optind - 1]);
		if (option == 'h')
			return fputs(usage, stdout), EXIT_OK;
		if (!strchr(s->takes, option))
			return fail("'image %s' does not take '--%s'; see 'cowarena image --help'",
				    s->name, name_of(option));
		note(&o, option);
	}
	o.files = argv + optind;
	o.n = (size_t)(argc - optind);
	if (o.n < s->least)
		return fail("image %s: name %s; see 'cowarena image --help'", s->name,
			    s->least > 1 ? "two images" : "an image");
	if (o.n > s->most)
		return fail("'image %s' does not take '%s' too; see 'cowarena image --help'",
			    s->name, o.files[s->most]);
	return s->run(&o);
}

int image(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0)
		return fputs(usage, stdout), EXIT_OK;
	for (const struct subcommand *s = subcommands; s < subcommands + COUNT(subcommands); s++)
		if (strcmp(s->name, name) == 0)
			return run(s, argc - 1, argv + 1);
	return *name ? fail("image: '%s' is not info, ls, verify, diff or extract; see 'cowarena "
			    "image --help'",
			    name)
		     : fail("image: say what to do: info, ls, verify, diff or extract; see "
			    "'cowarena image --help'");
}
