/* SPDX-License-Identifier: BSD-2-Clause */
/* settings-arguments.c - reads the settings (settings.h) from the command line, and from a file
   that it names. */
#include "config.h"

#include "base/settings-parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

__attribute__((noreturn)) static void mistake(const char *where, const char *what,
					      const char *about)
{
	fprintf(stderr, "cowkv: %s%s%s\nTry 'cowkv --help'.\n", where, what, about);
	exit(EXIT_USAGE);
}

__attribute__((noreturn)) static void print_help(void)
{
	printf("Usage: cowkv [FILE] [--SETTING VALUE]...\n\n"
	       "An in-memory key-value server that speaks the protocol of Redis, and saves from a\n"
	       "copy-on-write snapshot in its own process: it does not fork. FILE has a line\n"
	       "'SETTING VALUE' for each setting; those of the command line count more.\n\n");
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *s = &settings[i];
		int n = printf("  --%s %s", s->name, s->arg);
		printf("%*s%s", n < 30 ? 31 - n : 1, "", s->help);
		if (*s->initial)
			printf(" (%s)", s->initial);
		putchar('\n');
	}
	printf("  --no-rehash-guard            the same as --rehash-guard no\n"
	       "  --help, --version\n");
	exit(fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* `where` begins a message: "" or "FILE:LINE: ". */
static void apply(const char *where, const char *name, const char *value)
{
	const struct setting *s = setting_find(name);
	char what[400];

	if (!s)
		mistake(where, "unknown setting ", name);
	const char *wants = setting_set(s, value);
	if (wants) {
		snprintf(what, sizeof what, "%s wants %s, not ", name, wants);
		mistake(where, what, value);
	}
}

static void read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[1024], where[512];
	bool rules = false;

	if (!f)
		mistake(path, ": ", strerror(errno));
	for (int n = 1; fgets(line, sizeof line, f); n++) {
		char *name = line + strspn(line, " \t"), *value;
		snprintf(where, sizeof where, "%s:%d: ", path, n);
		name[strcspn(name, "\r\n")] = 0;
		if (!*name || *name == '#')
			continue;
		value = name + strcspn(name, " \t");
		if (*value)
			*value++ = 0;
		value += strspn(value, " \t");
		for (size_t len = strlen(value); len && strchr(" \t", value[len - 1]);)
			value[--len] = 0;
		size_t len = strlen(value);
		if (len >= 2 && (*value == '"' || *value == '\'') && value[len - 1] == *value) {
			value[len - 1] = 0;
			value++;
		}
		/* Several `save` lines add up, as in Redis' files. */
		char all[2048], before[1024];
		if (strcasecmp(name, "save") == 0 && rules && *value) {
			setting_get(setting_find("save"), before, sizeof before);
			snprintf(all, sizeof all, "%s %s", before, value);
			value = all;
		}
		rules |= strcasecmp(name, "save") == 0;
		apply(where, name, value);
	}
	fclose(f);
}

void config_arguments(int argc, char **argv)
{
	int i = 1;

	if (i < argc && argv[i][0] != '-')
		read_file(argv[i++]);
	for (; i < argc; i++) {
		const char *name = argv[i];
		if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
			print_help();
		if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0) {
			printf("cowkv (cowarena) %s\n", PACKAGE_VERSION);
			exit(fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS);
		}
		if (strncmp(name, "--", 2) != 0)
			mistake("", "unexpected argument ", name);
		name += 2;
		if (strcmp(name, "no-rehash-guard") == 0) {
			apply("", "rehash-guard", "no");
			continue;
		}
		const struct setting *s = setting_find(name);
		if (!s)
			mistake("", "unknown setting ", name);
		bool value = i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0;
		if (s->kind == FLAG && !value) { /* --daemonize alone */
			apply("", name, "yes");
			continue;
		}
		if (!value)
			mistake("", "a value is missing behind --", name);
		char both[512];
		if (s->kind == HOST_PORT && i + 2 < argc && !strchr(argv[i + 1], ' ')) {
			snprintf(both, sizeof both, "%s %s", argv[i + 1], argv[i + 2]);
			apply("", name, both);
			i += 2;
			continue;
		}
		apply("", name, argv[++i]);
	}
}
