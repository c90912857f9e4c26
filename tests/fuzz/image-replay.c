/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-replay.c - reads the corpus of the fuzzers, and damages each image of it: cut short, and
 * with bits flipped. Both with the checksums, which must find all damage, and as the fuzzers do,
 * for which all checksums are right.
 *
 *	test-image-fuzz [FILE...]: the corpus in $srcdir without
 */
#include "config.h"

#include "image-fuzz.h"

#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool believing; /* that checksums are right */

bool __real_image_same_checksum(uint64_t is, uint64_t should_be);
bool __wrap_image_same_checksum(uint64_t is, uint64_t should_be);
bool __wrap_image_same_checksum(uint64_t is, uint64_t should_be)
{
	return believing || __real_image_same_checksum(is, should_be);
}

static unsigned long runs, heaps;

struct input {
	const char *path;
	uint8_t *bytes;
	size_t n;
	bool whole, loads; /* before it was damaged */
};

static _Noreturn void die(const struct input *in, const char *what, size_t at)
{
	fprintf(stderr, "%s: %s %zu\n", in->path, what, at);
	exit(1);
}

static void read_input(struct input *in)
{
	FILE *from = fopen(in->path, "re");

	if (!from || fseek(from, 0, SEEK_END) || (in->n = (size_t)ftell(from)) == SIZE_MAX)
		die(in, "cannot be read", (size_t)errno);
	rewind(from);
	in->bytes = malloc(in->n + 1);
	if (!in->bytes || fread(in->bytes, 1, in->n, from) != in->n)
		die(in, "cannot be read", (size_t)errno);
	fclose(from);
}

static int read_all(const uint8_t *bytes, size_t n)
{
	runs++;
	return fuzz_read(bytes, n);
}

static int load(const uint8_t *bytes, size_t n)
{
	runs++;
	int loaded = fuzz_load(bytes, n);
	heaps += (unsigned long)loaded;
	return loaded;
}

/* The rest of a header's page, which nothing reads. */
static bool unread(const struct input *in, size_t at)
{
	struct image_header h;
	size_t start = at;

	for (;; start--) {
		if (in->n - start < sizeof h)
			continue;
		memcpy(&h, in->bytes + start, sizeof h);
		image_swap(&h, sizeof h);
		if (h.magic == IMAGE_MAGIC)
			return at - start >= sizeof h && at - start < h.page_size;
		if (!start)
			return false;
	}
}

/* Every byte of the numbers in front and at the end, and some of those between. */
static size_t step(const struct input *in, size_t at, size_t most)
{
	return at < 128 || at + 400 > in->n ? 1 : most;
}

static void cut(struct input *in)
{
	for (size_t n = 0; n < in->n; n += step(in, n, 499)) {
		/* Of several images only the first is sure to be cut. */
		uint8_t *part = malloc(n + 1);
		if (!part)
			die(in, "no memory for", n);
		memcpy(part, in->bytes, n);
		if (read_all(part, n) && in->whole)
			die(in, "is taken for whole, cut at byte", n);
		if (n % 5 == 0)
			load(part, n);
		free(part);
	}
}

static void flip(struct input *in)
{
	for (size_t at = 0; at < in->n; at += step(in, at, 211)) {
		uint8_t bit = (uint8_t)(1 << at % 8), flips[] = {bit, 0xff};
		for (size_t i = 0; i < 2; i++) {
			in->bytes[at] ^= flips[i];
			int whole = read_all(in->bytes, in->n);
			if (!believing && in->whole && whole && !unread(in, at))
				die(in, "damage that is not seen, at byte", at);
			if (i == at % 2)
				load(in->bytes, in->n);
			in->bytes[at] ^= flips[i];
		}
	}
}

static void replay(const char *path)
{
	struct input in = {.path = path};

	read_input(&in);
	believing = false;
	in.whole = read_all(in.bytes, in.n);
	in.loads = load(in.bytes, in.n);
	for (int i = 0; i < 2; i++, believing = true) {
		cut(&in);
		flip(&in);
	}
	printf("%s: %s%s\n", path, in.whole ? "whole" : "not whole", in.loads ? ", a heap" : "");
	free(in.bytes);
}

static int replay_corpus(void)
{
	const char *srcdir = getenv("srcdir");
	struct dirent **files;
	char folder[4096], path[4096 + 256];

	snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus-image", srcdir ? srcdir : ".");
	int n = scandir(folder, &files, NULL, alphasort), done = 0;
	for (int i = 0; i < n; i++) {
		if (files[i]->d_name[0] != '.') {
			snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
			replay(path);
			done++;
		}
		free(files[i]);
	}
	if (n >= 0)
		free(files);
	if (!done)
		fprintf(stderr, "no images in %s\n", folder);
	return done;
}

int main(int argc, char **argv)
{
	int done = argc > 1 ? argc - 1 : replay_corpus();

	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%lu runs, %lu of them with a heap\n", runs, heaps);
	return done ? 0 : 1;
}
