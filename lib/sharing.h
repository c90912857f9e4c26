/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sharing.h - pages of the heap's file that open views still show.
 *
 * A view maps the file privately (view.c). Before a page of the file changes, each view that shows
 * the page gets a page of its own with the old content.
 *
 * All of this is called inside the gate or with it closed, with the page locked; async-signal-safe.
 */
#ifndef COWARENA_SHARING_H
#define COWARENA_SHARING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cowarena;
struct cowarena_view;

/* How many views, of snapshots of the epochs first..last, show the file's page. */
size_t sharing_count(const struct cowarena *arena, size_t page, uint64_t first, uint64_t last);

/* Make the page private in each of these views. frames.held has been charged for them. A view of
   which the kernel refuses to split off the page is marked as broken. */
void sharing_end(struct cowarena *arena, size_t page, uint64_t first, uint64_t last);

/* Make the page of one view private (K15). False when the kernel refuses. */
bool sharing_split(struct cowarena *arena, struct cowarena_view *view, size_t page);

#endif
