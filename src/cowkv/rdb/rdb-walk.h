/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-walk.h - how rdb_write() walks through the data of a cut.
 *
 * A snapshot can be given up while it is read (--cow-limit). From then on its view shows newer
 * pages among older ones, and a pointer or a length read from it may be anything. So each pointer
 * is checked to lie in the view before it is followed, and the object that it points to must end
 * there; and the view is checked from time to time, so that no walk goes in circles for long. What
 * was written by then is wrong, and the caller is told.
 */
#ifndef COWKV_RDB_WALK_H
#define COWKV_RDB_WALK_H

#include "rdb/rdb-out.h"

#define WALK_GROUP 32 /* entries prefetched at once; steps between two checks of the view */

struct walk {
	struct rdb_out out;
	ptrdiff_t shift;
	uintptr_t low;
	size_t size;
	cowarena_view *view;
	const struct expiry *expiries; /* in the view */
	size_t expiring;
	uint64_t keys;
	bool torn;
};

/* Keep the compiler from reading x again after the check, when it may have changed. */
#define WALK_PIN(x) __asm__ volatile("" : "+r"(x))

/* Where to read the n bytes at p of the live heap. If they are not in the view, returns NULL, and
   the walk ends. */
static inline const void *walk_reach(struct walk *w, const void *p, size_t n)
{
	uintptr_t at = (uintptr_t)p - w->low;

	WALK_PIN(at);
	p = (const void *)(w->low + at);
	if (__builtin_expect(at > w->size || n > w->size - at || (uintptr_t)p % 16, 0)) {
		w->torn = true;
		return NULL;
	}
	return AT((const char *)p, w->shift);
}

/* Where to read the struct *p of the live heap; NULL as walk_reach(). */
#define WALK_REACH(w, p) ((const __typeof__(*(p)) *)walk_reach((w), (p), sizeof *(p)))

static inline bool walk_goes_on(struct walk *w)
{
	if (!w->torn && w->view && cowarena_view_check(w->view))
		w->torn = true;
	return !w->torn && !w->out.failed;
}

/* Write n bytes as a string. They follow something that was reached. */
static inline void walk_text(struct walk *w, const char *data, size_t n)
{
	size_t before = (uintptr_t)data - (uintptr_t)w->shift - w->low;

	WALK_PIN(n);
	if (n > w->size - before)
		w->torn = true;
	else
		rdb_out_string(&w->out, data, n);
}

/* Call fn for all entries of a dict. `d` and what fn gets are addresses in the view. */
void walk_dict(struct walk *w, const struct dict *d,
	       void (*fn)(struct walk *w, const struct entry *e));

/* Write a struct text as a string. */
static inline void walk_struct_text(struct walk *w, const struct text *live)
{
	const struct text *t = WALK_REACH(w, live);

	if (t)
		walk_text(w, t->data, t->len);
}

#endif
