/* SPDX-License-Identifier: BSD-2-Clause */
/* costs.h - see costs.c. */
#ifndef COSTS_H
#define COSTS_H

#include <stdbool.h>

/* In nanoseconds, medians. */
struct costs {
	double fault_ns;   /* the kernel's own copy-on-write of a page */
	double protect_ns; /* mprotect(2) of a page */
	double signal_ns;  /* raise(3), to the end of an empty handler */
	double copy_ns;    /* memcpy(3) of a page that is in no cache */
};

/* Takes a tenth of a second. False when there is no memory. */
bool costs_measure(struct costs *costs);

/* Whether changes of page tables cost much beside copying, as in a virtual machine under load:
   there a fault weighs more than the bytes that it saves. */
bool costs_are_dear(const struct costs *costs);

#endif
