/* SPDX-License-Identifier: BSD-2-Clause */
/* image-read.c - see image-read.h. */
#include "config.h"

#include "image-read.h"

#include "cowarena.h"
#include "error.h"
#include "records.h"

#include <errno.h>

#define PAGE_MIN 512 /* bytes: less, and more than PAGE_MAX, no system has */
#define PAGE_MAX ((uint64_t)1 << 20)
#define PAGES_MAX ((uint64_t)1 << 32)

int image_damaged(const struct image_file *f, uint64_t offset, const char *what)
{
	return error_set(EBADMSG, "%s is no whole image: at byte %llu %s; use another copy of it",
			 f->path, (unsigned long long)offset, what);
}

static int fetch(const struct image_file *f, void *p, size_t n, uint64_t offset)
{
	if (os_read_at(&f->file, p, n, offset) == 0)
		return 0;
	if (errno == ENODATA)
		return image_damaged(f, offset, "the file ends too early");
	return error_system(errno, "%s cannot be read (%s)", f->path, error_name(errno));
}

static int fetch_words(const struct image_file *f, void *words, size_t n, uint64_t offset)
{
	if (fetch(f, words, n, offset))
		return -1;
	image_swap(words, n);
	return 0;
}

static int read_header(struct image_file *f)
{
	struct image_header *h = &f->header;

	if (f->bytes < sizeof *h)
		return image_damaged(f, f->bytes, "the file ends too early");
	if (fetch_words(f, h, sizeof *h, 0))
		return -1;
	if (h->magic != IMAGE_MAGIC)
		return image_damaged(f, 0, "the mark of an image is missing");
	if (h->version != IMAGE_VERSION)
		return error_set(ENOTSUP,
				 "%s is an image of format %llu, this version (%s) reads format "
				 "%d: load it with the version that has written it",
				 f->path, (unsigned long long)h->version, cowarena_version(),
				 IMAGE_VERSION);
	if (!image_same_checksum(h->checksum, image_header_checksum(h)))
		return image_damaged(f, 0, "the header's checksum is wrong");
	/* Whoever can forge a checksum can forge these. */
	if (h->page_size < PAGE_MIN || h->page_size > PAGE_MAX || h->page_size & (h->page_size - 1))
		return image_damaged(f, 0, "the size of pages is none");
	if (!h->pages || h->pages > PAGES_MAX || h->pages > h->reserved / h->page_size ||
	    !h->number || h->number == h->parent)
		return image_damaged(f, 0, "the header says nonsense");
	return 0;
}

static int read_trailer(struct image_file *f)
{
	struct image_trailer *t = &f->trailer;
	uint64_t page = f->header.page_size, at = f->bytes - sizeof *t;

	if (f->bytes < page + sizeof *t)
		return image_damaged(f, f->bytes, "the file ends too early");
	if (fetch_words(f, t, sizeof *t, at))
		return -1;
	if (t->magic != IMAGE_END_MAGIC ||
	    !image_same_checksum(t->checksum, image_trailer_checksum(t)) || t->bytes != f->bytes)
		return image_damaged(f, at,
				     "the end of an image is missing: it was cut short, or more "
				     "was written behind");
	/* The heap's header is no page of zeros: there is a group at least. */
	if (t->index < page || t->index > at || (!t->groups && !f->header.parent) ||
	    t->groups != (at - t->index) / sizeof *f->index || (at - t->index) % sizeof *f->index)
		return image_damaged(f, at, "the end of the image says nonsense");
	return 0;
}

int image_open(struct image_file *f, const char *path)
{
	*f = (struct image_file){.path = path, .file = OS_NO_FILE};
	if (os_file_open(&f->file, path))
		return error_system(errno, "the image %s cannot be opened (%s)", path,
				    error_name(errno));
	int result = 0;
	if (os_file_bytes(&f->file, &f->bytes))
		result = error_system(errno,
				      "the image %s cannot be read (%s): it must be a file, not a "
				      "pipe or directory",
				      path, error_name(errno));
	if (result || read_header(f) || read_trailer(f)) {
		image_close(f);
		return -1;
	}
	return 0;
}

void image_close(struct image_file *f)
{
	int e = errno;

	records_give(f->index, f->index_bytes);
	f->index = NULL;
	os_file_close(&f->file);
	errno = e;
}

static bool is_group(const struct image_file *f, const struct image_group *g)
{
	uint64_t all = g->present | g->zeros, left = f->header.pages - g->first;

	return g->first % IMAGE_GROUP == 0 && g->first < f->header.pages && all &&
	       !(left < IMAGE_GROUP && all >> left) && !(g->present & g->zeros) &&
	       !(g->zeros && !f->header.parent) &&
	       g->bytes == (uint64_t)__builtin_popcountll(g->present) * f->header.page_size;
}

static int check_index(const struct image_file *f)
{
	uint64_t page = 0, offset = f->header.page_size;

	for (size_t i = 0; i < f->trailer.groups; i++) {
		const struct image_group *g = &f->index[i];
		if (!is_group(f, g) || g->first < page || g->offset != offset)
			return image_damaged(f, f->trailer.index + i * sizeof *g,
					     "the index says nonsense");
		page = g->first + IMAGE_GROUP;
		offset += g->bytes;
	}
	return offset == f->trailer.index
		   ? 0
		   : image_damaged(f, offset, "are bytes that the index does not have");
}

int image_read_index(struct image_file *f)
{
	size_t n = f->trailer.groups * sizeof *f->index;

	f->index_bytes = n ? n : sizeof *f->index; /* an increment may have no group */
	f->index = records_take(f->index_bytes);
	if (!f->index)
		return error_set(ENOMEM, "no memory for the image's index: " ERROR_NO_ROOM);
	if (fetch(f, f->index, n, f->trailer.index))
		return -1;
	if (!image_same_checksum(image_checksum(f->index, n, f->header.checksum),
				 f->trailer.index_checksum))
		return image_damaged(f, f->trailer.index, "the index's checksum is wrong");
	image_swap(f->index, n);
	return check_index(f);
}

int image_read_group(const struct image_file *f, const struct image_group *g, char *pages)
{
	if (fetch(f, pages, g->bytes, g->offset))
		return -1;
	uint64_t checksum = image_checksum(pages, g->bytes, image_group_seed(&f->header, g->first));
	if (!image_same_checksum(checksum, g->checksum))
		return image_damaged(f, g->offset, "begin pages whose checksum is wrong");
	return 0;
}
