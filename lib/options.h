/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - checks and completes the caller's options. */
#ifndef COWARENA_OPTIONS_H
#define COWARENA_OPTIONS_H

#include "cowarena.h"

/* Copy options (NULL: defaults) to *out, whatever version of the struct the caller has. -1
   with errno and message. `capacity` stays 0 if the default is wanted. */
int options_read(struct cowarena_options *out, const struct cowarena_options *in);

#endif
