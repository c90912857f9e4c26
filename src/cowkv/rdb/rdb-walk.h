/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdb-walk.h - the way through the data of a cut, for rdb_write().
 *
 * A snapshot can be given up while it is read (--cow-limit). From then on its view shows newer
 * pages between older ones, and a pointer or a length that is read there may be anything. So each
 * pointer is checked to lie in the view before it is followed, and what it leads to to end there;
 * and the view is asked every now and then, so that no walk goes round in circles for long. What
 * went out by then is wrong, and the caller is told so.
 */
#ifndef COWKV_RDB_WALK_H
#define COWKV_RDB_WALK_H

#include "rdb/rdb-out.h"

#define WALK_GROUP 32 /* entries that are fetched at once; steps between two looks at the view */

struct walk {
	struct rdb_out out;
	ptrdiff_t shift;
	uintptr_t low;
	size_t size;
	cowarena_view *view;
	const struct expiry *expiries; /* where they can be read */
	size_t expiring;
	uint64_t keys;
	bool torn;
};

/* What was read once must not be read again behind the check, where it could be something else. */
#define WALK_PIN(x) __asm__ volatile("" : "+r"(x))

/* Where n bytes can be read that are at p in the live heap. NULL, and the end of it all, if they
   are not there. */
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

/* Where the struct *p can be read; NULL, and the end of it all, if it is not there. */
#define WALK_REACH(w, p) ((const __typeof__(*(p)) *)walk_reach((w), (p), sizeof *(p)))

static inline bool walk_goes_on(struct walk *w)
{
	if (!w->torn && w->view && cowarena_view_check(w->view))
		w->torn = true;
	return !w->torn && !w->out.failed;
}

/* n bytes behind something that was reached, as a string. */
static inline void walk_text(struct walk *w, const char *data, size_t n)
{
	size_t before = (uintptr_t)data - (uintptr_t)w->shift - w->low;

	WALK_PIN(n);
	if (n > w->size - before)
		w->torn = true;
	else
		rdb_out_string(&w->out, data, n);
}

/* Call fn for all entries of a dict, which is where it can be read; so is what fn gets. */
void walk_dict(struct walk *w, const struct dict *d,
	       void (*fn)(struct walk *w, const struct entry *e));

/* A struct text, as a string. */
static inline void walk_struct_text(struct walk *w, const struct text *live)
{
	const struct text *t = WALK_REACH(w, live);

	if (t)
		walk_text(w, t->data, t->len);
}

#endif
