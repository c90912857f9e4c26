/* SPDX-License-Identifier: BSD-2-Clause */
/* image-fuzz.c - see image-fuzz.h. Whatever the bytes are, nothing may crash, leak or be silent. */
#include "config.h"

#include "image-fuzz.h"

#include "cowarena.h"
#include "image-chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PARTS 4
#define WALKED_MAX 65536 /* bytes of a page; a group of larger ones takes too long */
#define BLOCKS 24

static struct part {
	int fd;
	char path[32];
} parts[PARTS];

/* The paths of the parts, and NULL. */
static const char *paths[PARTS + 1];

static void must(int is, const char *what)
{
	if (is)
		return;
	fprintf(stderr, "not so: %s (errno %d, %s)\n", what, errno, cowarena_errmsg());
	abort();
}

static void open_parts(void)
{
	if (parts[0].fd)
		return;
	for (struct part *p = parts; p < parts + PARTS; p++) {
		p->fd = memfd_create("image", MFD_CLOEXEC);
		must(p->fd > 0, "a file in memory");
		snprintf(p->path, sizeof p->path, "/proc/self/fd/%d", p->fd);
	}
}

static void put(struct part *p, const uint8_t *data, size_t n)
{
	must(!ftruncate(p->fd, 0) && pwrite(p->fd, data, n, 0) == (ssize_t)n, "a write to memory");
}

/* A file for each image. */
static void split(const uint8_t *data, size_t n)
{
	size_t count = 0;

	open_parts();
	while (count < PARTS) {
		const uint8_t *next = n > 8 ? memmem(data + 1, n - 1, "COWARENA", 8) : NULL;
		size_t part = next && count + 1 < PARTS ? (size_t)(next - data) : n;
		put(&parts[count], data, part);
		paths[count] = parts[count].path;
		count++;
		data += part;
		n -= part;
		if (!n)
			break;
	}
	paths[count] = NULL;
}

/* A call that fails says why. */
static void has_message(void)
{
	must(errno && *cowarena_errmsg(), "a message");
}

/* Memory of just the size, so that a sanitizer sees each byte beyond. */
static int read_group(const struct image_file *f, const struct image_group *g)
{
	char *pages = malloc(g->bytes ? g->bytes : 1);

	must(pages != NULL, "memory");
	int result = image_read_group(f, g, pages);
	if (result)
		has_message();
	free(pages);
	return result;
}

static int read_one(const char *path)
{
	struct image_file f;

	if (image_open(&f, path)) {
		has_message();
		return -1;
	}
	int result = image_read_index(&f);
	if (result)
		has_message();
	for (size_t i = 0; !result && i < f.trailer.groups; i++) {
		must(f.index[i].offset + f.index[i].bytes <= f.bytes, "pages in the file");
		result = read_group(&f, &f.index[i]);
	}
	image_close(&f);
	return result;
}

static int walk(struct image_chain *c)
{
	uint64_t first, from = 0, present, pages = c->newest.header.pages;
	size_t size = c->newest.header.page_size;
	char *group = size <= WALKED_MAX ? malloc(IMAGE_GROUP * size) : NULL;
	int result = 0;

	while (group && !result && image_chain_next(c, from, &first)) {
		must(first < pages && first >= from, "groups in their order");
		result = image_chain_fetch(c, first, group, &present);
		must(result || pages - first >= IMAGE_GROUP || !(present >> (pages - first)),
		     "pages in the heap");
		from = first + IMAGE_GROUP;
	}
	free(group);
	return result;
}

static int read_chain(void)
{
	struct image_chain chain;
	struct image_file newest;

	if (image_open(&newest, paths[0]))
		return -1;
	int result = image_chain_open(&chain, &newest, paths + 1);
	if (!result)
		result = walk(&chain);
	if (result)
		has_message();
	image_chain_close(&chain);
	return result;
}

int fuzz_read(const uint8_t *data, size_t n)
{
	split(data, n);
	int result = 0;
	for (size_t i = 0; paths[i]; i++)
		result |= read_one(paths[i]);
	return !(read_chain() | result);
}

/* ---- a heap ---- */

static void use(cowarena *arena)
{
	static const size_t sizes[] = {1, 16, 100, 1000, 5000, 40000, 300};
	void *p[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++) {
		size_t size = sizes[i % (sizeof sizes / sizeof *sizes)];
		p[i] = cowarena_alloc(arena, size);
		if (p[i])
			memset(p[i], (int)i, size);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		cowarena_free(arena, p[i]);
	must(cowarena_heap_check(arena, NULL) == 0, "a sound heap after its use");
}

static int nothing(void *ctx, void *p, size_t size)
{
	(void)ctx, (void)p, (void)size;
	return 0;
}

/* What was loaded can be saved, and read again. */
static void save(cowarena *arena)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);

	if (!s)
		return;
	must(!ftruncate(parts[0].fd, 0) && lseek(parts[0].fd, 0, SEEK_SET) == 0, "an empty file");
	o.fd = parts[0].fd;
	must(cowarena_snapshot_save(s, NULL, &o) == 0, "a save");
	must(read_one(parts[0].path) == 0, "a whole image");
}

int fuzz_load(const uint8_t *data, size_t n)
{
	struct cowarena_options a = COWARENA_OPTIONS_INIT;
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;

	split(data, n);
	a.engine = COWARENA_ENGINE_SIGSEGV;
	a.flags = COWARENA_NO_HELPER;
	o.arena = &a;
	o.parents = paths + 1;
	cowarena *arena = cowarena_load(paths[0], &o);
	if (!arena) {
		has_message();
		return 0;
	}
	must(cowarena_heap_walk(arena, NULL, nothing, NULL) == 0, "a walk");
	use(arena);
	save(arena);
	cowarena_destroy(arena);
	return 1;
}

/* ---- fuzzers ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *what = getenv("COWARENA_FUZZ");

	if (what && strcmp(what, "load") == 0)
		fuzz_load(data, n);
	else
		fuzz_read(data, n);
	return 0;
}
