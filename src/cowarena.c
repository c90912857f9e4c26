/* SPDX-License-Identifier: BSD-2-Clause */
/* cowarena.c - the command cowarena: runs the subcommand. */
#include "config.h"

#include "command.h"
#include "cowarena.h"

#include <errno.h>
#include <string.h>

static const char usage[] =
    "usage: cowarena version\n"
    "       cowarena info [--json]\n"
    "       cowarena bench [--size BYTES] [--rounds N] [--scenario KEY]... [--engine NAME]\n"
    "                      [--rival-huge] [--json FILE] [--plot FILE.svg]\n"
    "       cowarena bench --scaling [--size LARGEST] [--rounds N] [--scenario KEY]...\n"
    "                      [--engine NAME] [--json FILE] [--plot FILE.svg]\n"
    "       cowarena image info|ls|verify|diff|extract ...   (see 'cowarena image --help')\n"
    "       cowarena help\n";

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	bool json = argc == 3 && strcmp(argv[2], "--json") == 0;
	int status = EXIT_OK;

	if (!*command)
		return fail("a command is missing; see 'cowarena help'");
	if (strcmp(command, "info") == 0 && (argc == 2 || json))
		status = info(json);
	else if (strcmp(command, "bench") == 0)
		status = bench(argc - 1, argv + 1);
	else if (strcmp(command, "image") == 0)
		status = image(argc - 1, argv + 1);
	else if (argc > 2)
		return fail("'%s' does not take '%s'; see 'cowarena help'", command,
			    argv[argc - 1]);
	else if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0)
		puts(cowarena_version());
	else if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0)
		fputs(usage, stdout);
	else
		return fail("'%s' is not a command; see 'cowarena help'", command);
	if (fflush(stdout) || ferror(stdout))
		return fail("standard output: %s", strerror(errno));
	return status;
}
