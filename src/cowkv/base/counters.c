/* SPDX-License-Identifier: BSD-2-Clause */
/* counters.c - see counters.h. */
#include "config.h"

#include "base/counters.h"

struct counters counters;
