/* SPDX-License-Identifier: BSD-2-Clause */
/* image-ls.c - `cowarena image ls`: which pages an image has. */
#include "config.h"

#include "command.h"
#include "image-command.h"

static bool add_group(struct runs *runs, const struct image_group *g, size_t page_size)
{
	uint64_t offset = g->offset;

	for (unsigned i = 0; i < IMAGE_GROUP; i++) {
		uint64_t bit = (uint64_t)1 << i;
		if (!((g->present | g->zeros) & bit))
			continue;
		if (!runs_add(runs, g->first + i, offset, g->zeros & bit))
			return false;
		offset += g->present & bit ? page_size : 0;
	}
	return true;
}

static void print_text(const struct image_file *f, const struct runs *runs)
{
	const struct image_header *h = &f->header;

	printf("%-18s %-18s %14s %14s\n", "from", "up to", "offset", "bytes");
	for (const struct run *r = runs->run; r < runs->run + runs->n; r++) {
		char offset[24] = "zeros";
		if (!r->zeros)
			snprintf(offset, sizeof offset, "%llu", (unsigned long long)r->offset);
		printf("0x%016llx 0x%016llx %14s %14llu\n",
		       (unsigned long long)image_address(h, r->page),
		       (unsigned long long)image_address(h, r->page + r->pages), offset,
		       (unsigned long long)(r->pages * h->page_size));
	}
}

static void print_json(const struct image_file *f, const struct runs *runs)
{
	const struct image_header *h = &f->header;

	fputs("{\"file\": ", stdout);
	json_text(stdout, f->path);
	printf(", \"page_size\": %llu, \"runs\": [", (unsigned long long)h->page_size);
	for (const struct run *r = runs->run; r < runs->run + runs->n; r++) {
		fputs(r == runs->run ? "{" : ", {", stdout);
		image_json_hex("address", image_address(h, r->page));
		printf(", \"page\": %llu, \"bytes\": %llu, \"offset\": ",
		       (unsigned long long)r->page, (unsigned long long)(r->pages * h->page_size));
		if (r->zeros)
			fputs("null, \"zeros\": true}", stdout);
		else
			printf("%llu, \"zeros\": false}", (unsigned long long)r->offset);
	}
	puts("]}");
}

int image_ls(const struct image_options *o)
{
	struct image_file f;
	struct runs runs = {0};
	int status = image_open_whole(&f, o->files[0]);

	if (status)
		return status;
	for (size_t i = 0; !status && i < f.trailer.groups; i++)
		if (!add_group(&runs, &f.index[i], f.header.page_size))
			status = EXIT_ERROR;
	if (!status)
		(o->json ? print_json : print_text)(&f, &runs);
	runs_free(&runs);
	image_close(&f);
	return status;
}
