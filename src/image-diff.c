/* SPDX-License-Identifier: BSD-2-Clause */
/* image-diff.c - `cowarena image diff`: which pages two heaps differ in. */
#include "config.h"

#include "command.h"
#include "image-command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct side {
	const char *path;
	struct image_chain chain;
	char *pages;      /* a group's */
	uint64_t present; /* which of them are not zeros */
};

struct comparison {
	struct side a, b;
	struct runs runs;
};

static const struct image_header *header(const struct side *s)
{
	return &s->chain.newest.header;
}

static uint64_t pages_of(const struct comparison *c)
{
	uint64_t a = header(&c->a)->pages, b = header(&c->b)->pages;

	return a > b ? a : b;
}

/* A damaged image is trouble too: 1 says that they differ. */
static int open_side(struct side *s, const char *path, char *const *files)
{
	s->path = path;
	if (image_open_chain(&s->chain, path, files))
		return EXIT_ERROR;
	s->pages = malloc(IMAGE_GROUP * header(s)->page_size);
	return s->pages ? EXIT_OK : fail("no memory for %d pages", IMAGE_GROUP);
}

static void close_side(struct side *s)
{
	image_chain_close(&s->chain);
	free(s->pages);
}

static int check_heaps(const struct comparison *c)
{
	const struct image_header *a = header(&c->a), *b = header(&c->b);

	if (a->page_size == b->page_size && a->base == b->base)
		return EXIT_OK;
	return fail("%s has the heap at 0x%llx with pages of %llu bytes, %s at 0x%llx with pages "
		    "of %llu: compare images of one heap",
		    c->a.path, (unsigned long long)a->base, (unsigned long long)a->page_size,
		    c->b.path, (unsigned long long)b->base, (unsigned long long)b->page_size);
}

/* ---- comparing ---- */

static bool all_zeros(const char *p, size_t n)
{
	return !p[0] && memcmp(p, p + 1, n - 1) == 0;
}

static bool page_differs(const struct comparison *c, unsigned i)
{
	size_t size = header(&c->a)->page_size, at = i * size;
	bool a = c->a.present >> i & 1, b = c->b.present >> i & 1;

	if (a && b)
		return memcmp(c->a.pages + at, c->b.pages + at, size) != 0;
	/* What one does not have is zeros. */
	return (a && !all_zeros(c->a.pages + at, size)) || (b && !all_zeros(c->b.pages + at, size));
}

/* What the side has of this group. */
static int fetch(struct side *s, uint64_t first)
{
	if (image_chain_fetch(&s->chain, first, s->pages, &s->present)) {
		image_failed();
		return -1;
	}
	return 0;
}

static int compare_group(struct comparison *c, uint64_t first)
{
	if (fetch(&c->a, first) || fetch(&c->b, first))
		return -1;
	for (unsigned i = 0; i < IMAGE_GROUP; i++)
		if (page_differs(c, i) && !runs_add(&c->runs, first + i, 0, false))
			return -1;
	return 0;
}

static int compare(struct comparison *c)
{
	uint64_t a, b, pages = pages_of(c);

	for (uint64_t first = 0;; first += IMAGE_GROUP) {
		bool more = image_chain_next(&c->a.chain, first, &a);
		more |= image_chain_next(&c->b.chain, first, &b);
		if (!more)
			break;
		first = a < b ? a : b;
		progress("comparing", first, pages);
		if (compare_group(c, first))
			return EXIT_ERROR;
	}
	progress("comparing", pages, pages);
	return c->runs.n ? EXIT_BAD : EXIT_OK;
}

/* ---- the report ---- */

static void print_text(const struct comparison *c, const struct map *map)
{
	const struct image_header *h = header(&c->a);

	for (const struct run *r = c->runs.run; r < c->runs.run + c->runs.n; r++)
		printf("0x%016llx 0x%016llx %8llu page%s\n",
		       (unsigned long long)image_address(h, r->page),
		       (unsigned long long)image_address(h, r->page + r->pages),
		       (unsigned long long)r->pages, r->pages == 1 ? "" : "s");
	printf("%llu of %llu pages differ, %llu bytes, in %zu runs\n",
	       (unsigned long long)c->runs.pages, (unsigned long long)map->pages,
	       (unsigned long long)(c->runs.pages * h->page_size), c->runs.n);
	if (header(&c->b)->pages != h->pages)
		printf("%s has %llu pages in use, %s %llu\n", c->a.path,
		       (unsigned long long)h->pages, c->b.path,
		       (unsigned long long)header(&c->b)->pages);
	if (c->runs.n)
		map_print(map, stdout);
}

static void print_json(const struct comparison *c)
{
	const struct image_header *h = header(&c->a);

	fputs("{\"a\": ", stdout);
	json_text(stdout, c->a.path);
	fputs(", \"b\": ", stdout);
	json_text(stdout, c->b.path);
	printf(", \"page_size\": %llu, \"pages_a\": %llu, \"pages_b\": %llu, \"pages_differ\": "
	       "%llu, \"bytes_differ\": %llu, \"runs\": [",
	       (unsigned long long)h->page_size, (unsigned long long)h->pages,
	       (unsigned long long)header(&c->b)->pages, (unsigned long long)c->runs.pages,
	       (unsigned long long)(c->runs.pages * h->page_size));
	for (const struct run *r = c->runs.run; r < c->runs.run + c->runs.n; r++) {
		fputs(r == c->runs.run ? "{" : ", {", stdout);
		image_json_hex("address", image_address(h, r->page));
		printf(", \"page\": %llu, \"pages\": %llu}", (unsigned long long)r->page,
		       (unsigned long long)r->pages);
	}
	puts("]}");
}

static int report(const struct image_options *o, const struct comparison *c)
{
	const struct map map = {.runs = &c->runs,
				.pages = pages_of(c),
				.base = header(&c->a)->base,
				.page_size = header(&c->a)->page_size};

	if (o->json)
		print_json(c);
	else
		print_text(c, &map);
	return o->svg ? map_svg(&map, o->svg, c->a.path, c->b.path) : EXIT_OK;
}

int image_diff(const struct image_options *o)
{
	struct comparison c = {.a.chain.newest.file = OS_NO_FILE,
			       .b.chain.newest.file = OS_NO_FILE};
	int status = open_side(&c.a, o->files[0], o->files);

	if (!status)
		status = open_side(&c.b, o->files[1], o->files);
	if (!status)
		status = check_heaps(&c);
	if (!status)
		status = compare(&c);
	if (status != EXIT_ERROR && report(o, &c))
		status = EXIT_ERROR;
	close_side(&c.a);
	close_side(&c.b);
	runs_free(&c.runs);
	return status;
}
