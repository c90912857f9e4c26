/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * picture.h - pages, drawn: a map of them in the terminal, and their faults in the course of time
 * as an SVG.
 *
 * With --map or --svg (arguments.h) a picture keeps a trace of an arena; without, all of this
 * does nothing.
 *
 *	struct picture *picture = picture_begin(arena);
 *	cowarena_snapshot *s = picture_take(picture, arena, 0, "A");
 *	...
 *	picture_release(picture, s, "A gone");
 *	picture_end(picture);
 *
 * For C++ too.
 */
#ifndef COWARENA_DEMOS_PICTURE_H
#define COWARENA_DEMOS_PICTURE_H

#include "cowarena.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of a page since the newest snapshot. */
enum page_look {
	LOOK_NONE,     /* no snapshot yet, or the page is younger */
	LOOK_SHARED,   /* protected: one page serves the program and the snapshots */
	LOOK_COPIED,   /* written, and copied for a snapshot at that moment */
	LOOK_AHEAD,    /* copied along with a neighbour */
	LOOK_SHADOWED, /* written in each epoch, and so copied when the snapshot was taken */
	LOOK_ARMED,    /* protected still, though no snapshot needs it any more */
	LOOK_REUSED,   /* written when no snapshot needed it: a fault without a copy */
	LOOKS
};

struct picture;

/* Keep a trace from now on. Returns NULL without --map and --svg, which all other functions
   take. */
struct picture *picture_begin(cowarena *arena);

/* Take a snapshot, and note it. NULL if it cannot be taken. `label`: a word or two, kept, not
   copied. */
cowarena_snapshot *picture_take(struct picture *picture, cowarena *arena, unsigned flags,
				const char *label);

/* Release one, and note that. */
void picture_release(struct picture *picture, cowarena_snapshot *snapshot, const char *label);

/* Note something else that happens now, such as a rollback. */
void picture_note(struct picture *picture, const char *label);

/* Draw the map of this moment, if that is wanted, under a heading. */
void picture_map(struct picture *picture, const char *heading);

/* Draw the timeline, if that is wanted, and forget the trace. To be called before the arena
   goes. */
void picture_end(struct picture *picture);

/* Draw n pages as a map, whatever --map says, and tell how many there are of each look. For
   pages of which there is no trace, such as the kernel's. */
void picture_looks(const char *heading, const unsigned char *looks, size_t n);

#ifdef __cplusplus
}
#endif

#endif
