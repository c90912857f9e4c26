/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command.h - what the subcommands share.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdio.h>

enum { EXIT_OK, EXIT_NO_ENGINE, EXIT_ERROR };

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The trap that the library was built with. */
extern const char trap_name[];

/* Print what went wrong on standard error. Returns: EXIT_ERROR. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Write a string as JSON, or null for an empty one. */
void json_text(FILE *to, const char *s);

/* Find an engine's number. Returns: false when no engine has that name. */
bool find_engine(const char *name, unsigned *engine);

/* Use an engine once. Returns: NULL, or why it does not work here; the text is valid until the next
   call. */
const char *try_engine(unsigned engine);

int info(bool json);
int bench(int argc, char **argv);
int image(int argc, char **argv);

#endif
