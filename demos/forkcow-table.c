/* SPDX-License-Identifier: BSD-2-Clause */
/* forkcow-table.c - tables of the two sides. */
#include "config.h"

#include "forkcow.h"

#include <stdio.h>

bool row(const char *what, struct human kernel, struct human ours, bool good)
{
	printf("  %-28s %20s %20s%s\n", what, kernel.text, ours.text, good ? "" : "  <- wrong");
	return good;
}

void print_head(void)
{
	struct human name;

	snprintf(name.text, sizeof name.text, "arena, %s", cowarena_engine_name(arena));
	row("", (struct human){"fork()"}, name, true);
}
