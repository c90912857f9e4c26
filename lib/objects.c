/* SPDX-License-Identifier: BSD-2-Clause */
/* objects.c - see objects.h. */
#include "config.h"

#include "error.h"
#include "objects.h"

static const struct {
	enum mark mark;
	const char *gone, *never, *is;
} kinds[] = {
    {MARK_ARENA, "the arena was destroyed already", "the pointer is not an arena",
     "the pointer is an arena, which is not what is wanted"},
    {MARK_SNAPSHOT, "the snapshot was released already, or its arena destroyed",
     "the pointer is not a snapshot", "the pointer is a snapshot, which is not what is wanted"},
    {MARK_VIEW, "the view was closed already, or its arena destroyed", "the pointer is not a view",
     "the pointer is a view, which is not what is wanted"},
    {MARK_STORE, "the store was closed already", "the pointer is not a store",
     "the pointer is a store, which is not what is wanted"},
};

void objects_complain(const void *object, enum mark kind, const char *function)
{
	uint32_t mark = records_holds(object) ? atomic_load((const _Atomic uint32_t *)object) : 0;
	const char *why = NULL;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (mark == kinds[i].mark)
			why = kinds[i].is;
		else if (kinds[i].mark == kind && !why)
			why = mark == ~(uint32_t)kind ? kinds[i].gone : kinds[i].never;
	error_misuse(function, why, object);
}

void objects_complain_of_child(const struct cowarena *arena, const char *function)
{
	error_misuse(function,
		     "a child of fork() has no copy of the arena: call "
		     "cowarena_after_fork_in_child() there, or create it with COWARENA_FORK_COPY",
		     arena);
}
