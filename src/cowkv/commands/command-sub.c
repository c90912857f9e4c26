/* SPDX-License-Identifier: BSD-2-Clause */
/* command-sub.c - names that stand for several commands (command.h). */
#include "config.h"

#include "commands/command.h"

#include <ctype.h>
#include <stdio.h>

const struct subcommand *subcommand_find(const struct subcommand *subs, struct slice name)
{
	for (const struct subcommand *s = subs; s->name; s++)
		if (slice_is(name, s->name))
			return s;
	return NULL;
}

void subcommand_upper(char *to, size_t size, const char *name)
{
	size_t i = 0;

	for (; name[i] && i < size - 1; i++)
		to[i] = (char)toupper((unsigned char)name[i]);
	to[i] = 0;
}

static void help(struct client *c)
{
	char name[40], line[128];
	const struct subcommand *subs = c->command->subs;
	size_t n = 2;

	for (const struct subcommand *s = subs; s->name; s++)
		n++;
	subcommand_upper(name, sizeof name, c->command->name);
	snprintf(line, sizeof line,
		 "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
	reply_array(c, n);
	reply_status(c, line);
	for (const struct subcommand *s = subs; s->name; s++) {
		subcommand_upper(name, sizeof name, s->name);
		reply_status(c, name);
	}
	reply_status(c, "HELP");
}

void command_sub(struct client *c)
{
	if (slice_is(c->argv[1], "help") && c->argc == 2)
		help(c);
	else
		subcommand_find(c->command->subs, c->argv[1])->fn(c);
}
