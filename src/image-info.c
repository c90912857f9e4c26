/* SPDX-License-Identifier: BSD-2-Clause */
/* image-info.c - `cowarena image info`: what an image says of itself. */
#include "config.h"

#include "command.h"
#include "image-command.h"

struct counts {
	uint64_t bytes, zeros, parents; /* pages: with bytes, of zeros, as in the parent */
};

static struct counts count(const struct image_file *f)
{
	struct counts c = {0};

	for (size_t i = 0; i < f->trailer.groups; i++) {
		c.bytes += (uint64_t)__builtin_popcountll(f->index[i].present);
		c.zeros += (uint64_t)__builtin_popcountll(f->index[i].zeros);
	}
	uint64_t others = f->header.pages - c.bytes - c.zeros;
	*(f->header.parent ? &c.parents : &c.zeros) += others;
	return c;
}

static void print_number(const char *label, uint64_t n, const char *unit)
{
	printf("%-20s %llu%s\n", label, (unsigned long long)n, unit);
}

static void print_text(const struct image_file *f)
{
	const struct image_header *h = &f->header;
	struct counts c = count(f);

	printf("%-20s %s\n", "image", f->path);
	print_number("format", h->version, "");
	print_number("page size", h->page_size, " bytes");
	printf("%-20s 0x%llx\n", "address of the heap", (unsigned long long)h->base);
	print_number("reserved", h->reserved, " bytes");
	print_number("in use", h->pages * h->page_size, " bytes");
	printf("%-20s %016llx\n", "number", (unsigned long long)h->number);
	if (h->parent)
		printf("%-20s %016llx\n", "increment of", (unsigned long long)h->parent);
	print_number("epoch", h->epoch, "");
	print_number("snapshot", h->snapshot, "");
	print_number("pages with bytes", c.bytes, "");
	print_number("pages of zeros", c.zeros, "");
	if (h->parent)
		print_number("pages of the parent", c.parents, "");
	print_number("file", f->bytes, " bytes");
}

static void json_number(const char *key, uint64_t n)
{
	printf(", \"%s\": %llu", key, (unsigned long long)n);
}

static void print_json(const struct image_file *f)
{
	const struct image_header *h = &f->header;
	struct counts c = count(f);

	fputs("{\"file\": ", stdout);
	json_text(stdout, f->path);
	json_number("format", h->version);
	json_number("page_size", h->page_size);
	fputs(", ", stdout);
	image_json_hex("address", h->base);
	json_number("reserved_bytes", h->reserved);
	json_number("used_bytes", h->pages * h->page_size);
	fputs(", ", stdout);
	image_json_hex("number", h->number);
	fputs(", ", stdout);
	if (h->parent)
		image_json_hex("parent", h->parent);
	else
		fputs("\"parent\": null", stdout);
	json_number("epoch", h->epoch);
	json_number("snapshot", h->snapshot);
	json_number("pages", h->pages);
	json_number("pages_with_bytes", c.bytes);
	json_number("pages_of_zeros", c.zeros);
	json_number("pages_of_parent", c.parents);
	json_number("file_bytes", f->bytes);
	putchar('}');
}

int image_info(const struct image_options *o)
{
	int status = EXIT_OK;
	const char *between = "";

	if (o->json)
		putchar('[');
	for (size_t i = 0; i < o->n; i++) {
		struct image_file f;
		int failed = image_open_whole(&f, o->files[i]);
		if (failed) {
			status = failed > status ? failed : status;
			continue;
		}
		fputs(between, stdout);
		between = o->json ? ", " : "\n";
		(o->json ? print_json : print_text)(&f);
		image_close(&f);
	}
	if (o->json)
		puts("]");
	return status;
}
