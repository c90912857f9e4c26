/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * picture.h - draws pages: a map of them in the terminal, and their faults over time as an SVG.
 *
 * With --map or --svg (arguments.h) a picture traces an arena; otherwise none of this does
 * anything.
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

/* The state of a page since the newest snapshot. */
enum page_look {
	LOOK_NONE,     /* no snapshot yet, or the page is younger */
	LOOK_SHARED,   /* protected: the program and the snapshots share the page */
	LOOK_COPIED,   /* written, and copied for a snapshot at that moment */
	LOOK_AHEAD,    /* copied along with a neighbour */
	LOOK_SHADOWED, /* written in every epoch, and so copied when the snapshot was taken */
	LOOK_ARMED,    /* still protected, though no snapshot needs it any more */
	LOOK_REUSED,   /* written when no snapshot needed it: a fault without a copy */
	LOOKS
};

struct picture;

/* Begin a trace. Returns NULL without --map and --svg; all other functions accept NULL. */
struct picture *picture_begin(cowarena *arena);

/* Take a snapshot, and note it. Returns NULL if that fails. `label`: a word or two, which must stay
   valid. */
cowarena_snapshot *picture_take(struct picture *picture, cowarena *arena, unsigned flags,
				const char *label);

/* Release a snapshot, and note it. */
void picture_release(struct picture *picture, cowarena_snapshot *snapshot, const char *label);

/* Note another event, such as a rollback. */
void picture_note(struct picture *picture, const char *label);

/* With --map, draw the current map under a heading. */
void picture_map(struct picture *picture, const char *heading);

/* With --svg, draw the timeline. Drop the trace. Called before the arena is destroyed. */
void picture_end(struct picture *picture);

/* Draw n pages as a map, whatever --map says, and count the pages of each look. For pages without a
   trace, such as the kernel's. */
void picture_looks(const char *heading, const unsigned char *looks, size_t n);

#ifdef __cplusplus
}
#endif

#endif
