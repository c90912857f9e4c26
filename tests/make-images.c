/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * make-images.c - for test-image-command.sh: make-images DIRECTORY
 *
 * Images of one heap at three times, "full", "second" and "third", of which the latter are
 * increments; the bytes of the heap at these times, "full.heap" and so on; and "other", the image
 * of another heap. Prints the page, counted from the heap's first, from which on BLOCK pages of a
 * block are full; of these the second image has changed 10 to 12, and made zeros of 70.
 */
#include "config.h"

#include "cowarena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 300

static const char *directory;

static void must(int is, const char *what)
{
	if (is)
		return;
	fprintf(stderr, "make-images: %s: %s\n", what, cowarena_errmsg());
	exit(1);
}

static const char *name(const char *file, const char *end)
{
	static char path[4096];

	must(snprintf(path, sizeof path, "%s/%s%s", directory, file, end) < (int)sizeof path, file);
	return path;
}

static const char *write_heap(cowarena_snapshot *s, const char *file)
{
	cowarena_view *view = cowarena_view_open(s, 0);
	const void *start, *end;

	must(view != NULL, "view");
	cowarena_view_range(view, &start, &end);
	size_t n = (size_t)((const char *)end - (const char *)start);
	FILE *to = fopen(name(file, ".heap"), "we");
	must(to && fwrite(cowarena_view_at(view, start), 1, n, to) == n && fclose(to) == 0, "heap");
	must(cowarena_view_close(view) == 0, "view");
	return start;
}

static cowarena_snapshot *save(cowarena *arena, cowarena_snapshot *parent, const char *file,
			       const char **base)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);

	o.flags = COWARENA_SAVE_NO_SYNC;
	o.parent = parent;
	must(s && cowarena_snapshot_save(s, name(file, ""), &o) == 0, file);
	*base = write_heap(s, file);
	return s;
}

int main(int argc, char **argv)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const char *base;

	if (argc != 2)
		return fprintf(stderr, "usage: make-images DIRECTORY\n"), 1;
	directory = argv[1];
	o.capacity = (size_t)64 << 20;
	cowarena *arena = cowarena_create(&o);
	must(arena != NULL, "arena");
	char *p = cowarena_aligned_alloc(arena, page, BLOCK * page);
	must(p != NULL, "block");
	for (size_t i = 0; i < BLOCK * page; i++)
		p[i] = (char)(1 + i / page + i % 251);
	cowarena_snapshot *full = save(arena, NULL, "full", &base);

	memset(p + 10 * page, 2, 3 * page);
	memset(p + 70 * page, 0, page);
	cowarena_snapshot *second = save(arena, full, "second", &base);
	p[70 * page] = 3;
	p[0]++;
	save(arena, second, "third", &base);
	printf("%zu\n", (size_t)(p - base) / page);

	/* While the first is there, so that it lies elsewhere. */
	cowarena *other = cowarena_create(NULL);
	must(other != NULL, "arena");
	save(other, NULL, "other", &base);
	cowarena_destroy(other);
	cowarena_destroy(arena);
	return 0;
}
