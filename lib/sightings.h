/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sightings.h - records where views are, so that the handler can say what a wild access has met.
 *
 * The handler must not take a lock, and a view must not wait for the handler. So there are slots,
 * in blocks that are never freed; a reader of a slot that is being changed sees no view, or the
 * whole view.
 */
#ifndef COWARENA_SIGHTINGS_H
#define COWARENA_SIGHTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* Note a view at [base, base + n), which without memory is not noted; and forget it. */
void sightings_add(const void *base, size_t n);
void sightings_remove(const void *base);

/* Whether the address is in a view. Async-signal-safe. */
bool sightings_hold(const void *address);

#endif
