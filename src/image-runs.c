/* SPDX-License-Identifier: BSD-2-Clause */
/* image-runs.c - neighbouring pages, put together. */
#include "config.h"

#include "command.h"
#include "image-command.h"

#include <stdlib.h>

bool runs_add(struct runs *r, uint64_t page, uint64_t offset, bool zeros)
{
	struct run *last = r->n ? &r->run[r->n - 1] : NULL;

	r->pages++;
	if (last && last->page + last->pages == page && last->zeros == zeros) {
		last->pages++;
		return true;
	}
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct run *more = realloc(r->run, room * sizeof *more);
		if (!more) {
			fail("no memory for a list of %zu runs of pages", room);
			return false;
		}
		r->run = more;
		r->room = room;
	}
	r->run[r->n++] = (struct run){page, 1, offset, zeros};
	return true;
}

void runs_free(struct runs *r)
{
	free(r->run);
	*r = (struct runs){0};
}
