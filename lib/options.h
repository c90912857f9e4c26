/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - checks and completes the caller's options. */
#ifndef COWARENA_OPTIONS_H
#define COWARENA_OPTIONS_H

#include "cowarena.h"

#include <stddef.h>

/* The most address space that an arena has, in bytes. */
#define OPTIONS_RANGE_MAX ((size_t)1 << 45)

/* Copy options (NULL: defaults) to *out, whatever version of the struct the caller has. -1
   with errno and message. `capacity` stays 0 if the default is wanted. */
int options_read(struct cowarena_options *out, const struct cowarena_options *in);

/*
 * Copy options that begin with `sz`, of any version, over the defaults in *out, of `size` bytes.
 * in: NULL for the defaults. start: the macro that users start from. -1 with errno and message.
 */
int options_copy(void *out, size_t size, const void *in, const char *start);

/* -1 with errno and message if options.flags has bits beside the known ones. */
int options_check_flags(unsigned flags, unsigned known);

#endif
