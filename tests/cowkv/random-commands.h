/* SPDX-License-Identifier: BSD-2-Clause */
/* random-commands.h - random commands, on few keys of all types. */
#ifndef COWARENA_TESTS_COWKV_RANDOM_COMMANDS_H
#define COWARENA_TESTS_COWKV_RANDOM_COMMANDS_H

#include "compare.h"

#include <stdint.h>

struct random_commands;

/* members: the number of different names for members and fields. */
struct random_commands *random_commands_new(uint64_t *state, unsigned members);
void random_commands_free(struct random_commands *r);

/* Get the next command. Its reply does not depend on chance, and on time only as far as
   replies_agree() allows. */
void random_command(struct random_commands *r, struct command *c);

/* What the commands are drawn from: random-forms.c. */
struct random_form {
	unsigned weight;
	const char *form;
};
extern const struct random_form random_forms[];
extern const size_t random_forms_count;

#endif
