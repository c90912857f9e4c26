/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-seeds.c - makes the images that fuzzing starts from: image-seeds DIRECTORY
 *
 * Their heaps lie where nothing does, in a process with AddressSanitizer neither.
 */
#include "config.h"

#include "cowarena.h"
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE ((void *)UINT64_C(0x200000000000))
#define PAGE 4096

static const char *directory;

static void must(int is, const char *what)
{
	if (is)
		return;
	fprintf(stderr, "image-seeds: %s: %s\n", what, cowarena_errmsg());
	exit(1);
}

static const char *name(const char *file)
{
	static char path[4096];

	must(snprintf(path, sizeof path, "%s/%s", directory, file) < (int)sizeof path, file);
	return path;
}

static cowarena_snapshot *save(cowarena *arena, const char *file, cowarena_snapshot *parent)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);

	o.parent = parent;
	must(s != NULL, "snapshot");
	must(cowarena_snapshot_save(s, name(file), &o) == 0, file);
	return s;
}

static cowarena *make_arena(void)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;

	o.capacity = (size_t)2 << 20;
	o.base = BASE;
	o.engine = COWARENA_ENGINE_SIGSEGV;
	cowarena *arena = cowarena_create(&o);
	must(arena != NULL, "arena");
	return arena;
}

/* ---- as programs make them ---- */

static void append(const char *to, const char *from)
{
	FILE *out = fopen(name(to), "ae"), *in = fopen(name(from), "re");
	int c;

	must(in && out, "files");
	while ((c = getc(in)) != EOF)
		putc(c, out);
	must(fclose(in) == 0 && fclose(out) == 0, "files");
}

static void make_heaps(void)
{
	cowarena *arena = make_arena();

	save(arena, "empty", NULL);
	char *small = cowarena_calloc(arena, 1, 40), *zeros = cowarena_alloc(arena, 3 * PAGE);
	must(small && zeros, "blocks");
	memset(small, 1, 40);
	zeros[PAGE] = 2;
	cowarena_set_root(arena, small);
	cowarena_free(arena, cowarena_alloc(arena, 100));
	cowarena_snapshot *s = save(arena, "blocks", NULL);
	zeros[PAGE] = 0;
	small[0] = 3;
	cowarena_snapshot *increment = save(arena, "increment", s);
	append("increment", "blocks");
	small[0] = 4;
	save(arena, "same", increment); /* the parent's parents are not there */
	cowarena_destroy(arena);
}

/* ---- of the smallest pages, to be read and not loaded ---- */

static void put(FILE *to, void *words, size_t n)
{
	image_swap(words, n);
	must(fwrite(words, 1, n, to) == n, "write");
	image_swap(words, n);
}

static void make_small(void)
{
	enum { SMALL = 512, GROUPS = 3 };
	static unsigned char pages[GROUPS * 2 * SMALL], rest[SMALL - sizeof(struct image_header)];
	struct image_group index[GROUPS];
	struct image_header h = {.magic = IMAGE_MAGIC,
				 .version = IMAGE_VERSION,
				 .page_size = SMALL,
				 .base = (uintptr_t)BASE,
				 .reserved = (uint64_t)1 << 21,
				 .pages = 500,
				 .number = 5,
				 .epoch = 7,
				 .snapshot = 9};
	FILE *to = fopen(name("small-pages"), "we");

	must(to != NULL, "small-pages");
	h.checksum = image_header_checksum(&h);
	memset(pages, 6, sizeof pages);
	put(to, &h, sizeof h);
	must(fwrite(rest, sizeof rest, 1, to) == 1 && fwrite(pages, sizeof pages, 1, to) == 1,
	     "write");
	for (size_t i = 0; i < GROUPS; i++)
		index[i] = (struct image_group){
		    .first = 3 * i * IMAGE_GROUP,
		    .present = UINT64_C(0x10001),
		    .offset = SMALL * (1 + 2 * i),
		    .bytes = 2 * SMALL,
		    .checksum =
			image_checksum(pages, 2 * SMALL, image_group_seed(&h, 3 * i * IMAGE_GROUP)),
		};
	struct image_trailer t = {
	    .index = SMALL + sizeof pages, .groups = GROUPS, .magic = IMAGE_END_MAGIC};
	t.bytes = t.index + sizeof index + sizeof t;
	image_swap(index, sizeof index);
	t.index_checksum = image_checksum(index, sizeof index, h.checksum);
	t.checksum = image_trailer_checksum(&t);
	must(fwrite(index, sizeof index, 1, to) == 1, "write");
	put(to, &t, sizeof t);
	must(fclose(to) == 0, "write");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return fprintf(stderr, "usage: image-seeds DIRECTORY\n"), 1;
	directory = argv[1];
	make_heaps();
	make_small();
	return 0;
}
