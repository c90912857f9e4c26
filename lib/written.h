/* SPDX-License-Identifier: BSD-2-Clause */
/* written.h - which pages were written to between two snapshots, or since one. */
#ifndef COWARENA_WRITTEN_H
#define COWARENA_WRITTEN_H

#include "bitmap.h"
#include "cowarena.h"

struct written {
	struct bitmap pages; /* of those that the older snapshot has */
	size_t end;          /* pages that the newer one has; all from older->pages on are new */
	void *memory;
	size_t bytes;
};

/*
 * Collect them. newer: NULL for the live heap. The content of such a page may be what it was. -1
 * with errno and message: EINVAL, two arenas, or the newer one is older; ESTALE, older was given
 * up; ENOMEM. Takes the snapshot lock. Cost: a bit a page, and what private_collect() costs.
 */
int written_between(struct cowarena_snapshot *older, struct cowarena_snapshot *newer,
		    struct written *written);
void written_discard(struct written *written);

#endif
