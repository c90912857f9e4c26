/* SPDX-License-Identifier: BSD-2-Clause */
/* image-chain.c - see image-chain.h. */
#include "config.h"

#include "image-chain.h"

#include "error.h"
#include "records.h"

#include <errno.h>
#include <string.h>

/* 0 is the newest one. */
static struct image_file *file(struct image_chain *c, size_t i)
{
	return i ? &c->parents[i - 1] : &c->newest;
}

static int is_missing(const struct image_file *child)
{
	return error_set(EINVAL,
			 "%s has only what changed since image %016llx: name that image too, and "
			 "those that it builds on (options.parents)",
			 child->path, (unsigned long long)child->header.parent);
}

/* Whether the child's pages can be the parent's. */
static bool fits(const struct image_header *child, const struct image_header *parent)
{
	return parent->page_size == child->page_size && parent->layout == child->layout &&
	       parent->base == child->base && parent->reserved == child->reserved &&
	       parent->pages <= child->pages;
}

static int find_parent(struct image_file *parent, const struct image_file *child,
		       const char *const *files)
{
	for (; files && *files; files++) {
		if (image_open(parent, *files))
			return -1;
		if (parent->header.number == child->header.parent)
			return fits(&child->header, &parent->header)
				   ? 0
				   : image_damaged(parent, 0, "begins the image of another heap");
		image_close(parent);
	}
	return is_missing(child);
}

static int find_parents(struct image_chain *c, const char *const *files)
{
	size_t most = 0;

	while (files && files[most])
		most++;
	if (c->newest.header.parent && !most)
		return is_missing(&c->newest);
	c->bytes = most * sizeof *c->parents;
	c->parents = most ? records_take(c->bytes) : NULL;
	if (most && !c->parents)
		return error_set(ENOMEM, "no memory for %zu images: " ERROR_NO_ROOM, most);
	while (file(c, c->n)->header.parent) {
		const struct image_file *child = file(c, c->n);
		if (c->n == most) /* forged ones may go round in a circle */
			return is_missing(child);
		c->n++;
		file(c, c->n)->file = OS_NO_FILE; /* if it is not found */
		if (find_parent(file(c, c->n), child, files))
			return -1;
	}
	return 0;
}

int image_chain_open(struct image_chain *c, const struct image_file *newest,
		     const char *const *files)
{
	*c = (struct image_chain){.newest = *newest};
	if (find_parents(c, files))
		return -1;
	for (size_t i = 0; i <= c->n; i++)
		if (image_read_index(file(c, i)))
			return -1;
	c->pages = records_take(IMAGE_GROUP * newest->header.page_size);
	return c->pages ? 0 : error_set(ENOMEM, "no memory for an image: " ERROR_NO_ROOM);
}

void image_chain_close(struct image_chain *c)
{
	for (size_t i = 0; i <= c->n; i++)
		image_close(file(c, i));
	records_give(c->parents, c->bytes);
	records_give(c->pages, IMAGE_GROUP * c->newest.header.page_size);
	c->parents = NULL;
	c->pages = NULL;
	c->n = 0;
}

/* The first group of a file that does not lie before that page; NULL if there is none. */
static const struct image_group *find(const struct image_file *f, uint64_t first)
{
	size_t low = 0, high = f->trailer.groups;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (f->index[middle].first < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->trailer.groups ? &f->index[low] : NULL;
}

bool image_chain_next(struct image_chain *c, uint64_t from, uint64_t *first)
{
	*first = UINT64_MAX;
	for (size_t i = 0; i <= c->n; i++) {
		const struct image_group *g = find(file(c, i), from);
		if (g && g->first < *first)
			*first = g->first;
	}
	return *first != UINT64_MAX;
}

static void spread(const struct image_chain *c, const struct image_group *g, char *to)
{
	size_t size = c->newest.header.page_size;
	const char *from = c->pages;

	for (uint64_t left = g->present; left; left &= left - 1, from += size)
		memcpy(to + (unsigned)__builtin_ctzll(left) * size, from, size);
}

int image_chain_fetch(struct image_chain *c, uint64_t first, char *to, uint64_t *present)
{
	size_t size = c->newest.header.page_size;

	*present = 0;
	for (size_t i = c->n + 1; i--;) { /* the oldest first */
		const struct image_file *f = file(c, i);
		const struct image_group *g = find(f, first);
		if (!g || g->first != first)
			continue;
		if (image_read_group(f, g, c->pages))
			return -1;
		spread(c, g, to);
		for (uint64_t left = *present & g->zeros; left; left &= left - 1)
			memset(to + (unsigned)__builtin_ctzll(left) * size, 0, size);
		*present = (*present | g->present) & ~g->zeros;
	}
	return 0;
}
