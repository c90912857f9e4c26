/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sightings.h - where views are: so that the handler can say what a wild access has met.
 *
 * It must not take a lock, and a view must not wait for it. So there are slots, in blocks that
 * are never freed; what a reader sees of a slot that is being changed is no view, or the whole
 * one.
 */
#ifndef COWARENA_SIGHTINGS_H
#define COWARENA_SIGHTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* A view is at [base, base + n) from now on; and no longer. Without memory it is not noted. */
void sightings_add(const void *base, size_t n);
void sightings_remove(const void *base);

/* Whether the address is in a view. Async-signal-safe. */
bool sightings_hold(const void *address);

#endif
