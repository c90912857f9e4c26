/* SPDX-License-Identifier: BSD-2-Clause */
/* image-save.c - writes snapshots to images (image.h). */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "image.h"
#include "objects.h"
#include "options.h"
#include "records.h"
#include "snapshot-read.h"
#include "track.h"

#include <errno.h>
#include <string.h>

struct saver {
	struct cowarena_snapshot *snapshot;
	const struct cowarena_save_options *options;
	const char *path; /* NULL: the user's descriptor */
	int fd;
	const struct os_file *file; /* NULL: the user's descriptor */
	uint64_t offset;            /* bytes written so far */
	char *pages;                /* a group's */
	size_t pages_bytes;
	struct image_header header;
	struct image_group *index;
	size_t index_bytes, groups;
};

static int write_failed(const struct saver *s)
{
	return error_system(
	    errno, "the image cannot be written%s%s (%s): %s", s->path ? " to " : "",
	    s->path ? s->path : "", error_name(errno),
	    errno == ENOSPC || errno == EDQUOT   ? "make room there, or choose another place"
	    : errno == EMFILE || errno == ENFILE ? "raise ulimit -n"
						 : "see that the place can be written to");
}

static int put(struct saver *s, const void *p, size_t n)
{
	if (s->file && !os_file_is_ours(s->file))
		return error_set(EBADF, "the program has closed the image's descriptor while it "
					"was being written: close only what is your own");
	if (os_write(s->fd, p, n))
		return write_failed(s);
	s->offset += n;
	return 0;
}

static int put_words(struct saver *s, void *words, size_t n)
{
	image_swap(words, n);
	int result = put(s, words, n);
	image_swap(words, n);
	return result;
}

/* Up to this offset. */
static int put_zeros(struct saver *s, uint64_t end)
{
	size_t n = (size_t)(end - s->offset);

	memset(s->pages, 0, n);
	return put(s, s->pages, n);
}

static int put_header(struct saver *s)
{
	struct cowarena *arena = s->snapshot->arena;

	s->header = (struct image_header){
	    .magic = IMAGE_MAGIC,
	    .version = IMAGE_VERSION,
	    .page_size = arena_page_size(arena),
	    .layout = heap_layout(arena),
	    .base = (uintptr_t)arena->base,
	    .reserved = arena->reserved,
	    .pages = s->snapshot->pages,
	    .epoch = s->snapshot->epoch,
	    .snapshot = s->snapshot->id,
	};
	if (os_random(s->header.number, sizeof s->header.number))
		return error_system(errno, "no random number for the image (%s)",
				    error_name(errno));
	s->header.checksum = image_header_checksum(&s->header);
	return put_words(s, &s->header, sizeof s->header) || put_zeros(s, s->header.page_size) ? -1
											       : 0;
}

/* Move the pages that are not zeros to the front. Returns a bit for each. */
static uint64_t compress(char *pages, size_t n, size_t size)
{
	uint64_t present = 0;
	char *to = pages;

	for (size_t i = 0; i < n; i++) {
		if (track_is_zeros(pages + i * size, size))
			continue;
		present |= (uint64_t)1 << i;
		if (to != pages + i * size)
			memcpy(to, pages + i * size, size);
		to += size;
	}
	return present;
}

static int put_group(struct saver *s, size_t first)
{
	struct cowarena *arena = s->snapshot->arena;
	size_t size = arena_page_size(arena), left = s->snapshot->pages - first;
	size_t n = left < IMAGE_GROUP ? left : IMAGE_GROUP;

	if (cowarena_snapshot_read(s->snapshot, s->pages, arena_address(arena, first), n * size))
		return -1;
	uint64_t present = compress(s->pages, n, size);
	if (!present)
		return 0;
	size_t bytes = (size_t)__builtin_popcountll(present) * size;
	s->index[s->groups++] = (struct image_group){
	    .first = first,
	    .present = present,
	    .offset = s->offset,
	    .checksum = image_checksum(s->pages, bytes, image_group_seed(&s->header, first)),
	};
	return put(s, s->pages, bytes);
}

static int put_groups(struct saver *s)
{
	const struct cowarena_save_options *o = s->options;
	size_t pages = s->snapshot->pages;

	for (size_t first = 0, done; first < pages; first = done) {
		done = first + IMAGE_GROUP < pages ? first + IMAGE_GROUP : pages;
		if (put_group(s, first))
			return -1;
		if (o->progress && o->progress(o->ctx, done, pages))
			return error_set(ECANCELED, "options.progress has ended the save");
	}
	return 0;
}

static int put_index(struct saver *s)
{
	struct image_trailer trailer = {
	    .index = s->offset, .groups = s->groups, .magic = IMAGE_END_MAGIC};
	size_t n = s->groups * sizeof *s->index;

	image_swap(s->index, n);
	trailer.index_checksum = image_checksum(s->index, n, s->header.checksum);
	trailer.bytes = s->offset + n + sizeof trailer;
	trailer.checksum = image_trailer_checksum(&trailer);
	return put(s, s->index, n) || put_words(s, &trailer, sizeof trailer) ? -1 : 0;
}

static int put_all(struct saver *s)
{
	size_t groups = s->snapshot->pages / IMAGE_GROUP + 1;

	s->pages_bytes = IMAGE_GROUP * arena_page_size(s->snapshot->arena);
	s->index_bytes = groups * sizeof *s->index;
	s->pages = records_take(s->pages_bytes);
	s->index = records_take(s->index_bytes);
	int result = s->pages && s->index
			 ? put_header(s) || put_groups(s) || put_index(s)
			 : error_set(ENOMEM, "no memory to save with: " ERROR_NO_ROOM);
	records_give(s->pages, s->pages_bytes);
	records_give(s->index, s->index_bytes);
	return result ? -1 : 0;
}

/* ---- to a file with a name ---- */

/* A name beside the image's. NULL when there is no memory. */
static char *name_beside(const char *path, size_t *bytes)
{
	static const char mark[] = ".tmp-";
	unsigned char number[8];
	size_t n = strlen(path);

	*bytes = n + sizeof mark + 2 * sizeof number;
	char *name = os_random(number, sizeof number) ? NULL : records_take(*bytes);
	if (!name)
		return NULL;
	memcpy(name, path, n);
	memcpy(name + n, mark, sizeof mark - 1);
	n += sizeof mark - 1;
	for (size_t i = 0; i < sizeof number; i++) {
		name[n++] = "0123456789abcdef"[number[i] / 16];
		name[n++] = "0123456789abcdef"[number[i] % 16];
	}
	return name;
}

static int complete(struct saver *s, struct os_file *file, const char *name)
{
	bool sync = !(s->options->flags & COWARENA_SAVE_NO_SYNC);

	if (sync && os_file_sync(file))
		return write_failed(s);
	os_file_close(file);
	if (os_rename(name, s->path))
		return write_failed(s);
	if (sync && os_sync_name(s->path))
		return error_system(errno,
				    "the image is complete, but a power cut may lose its name "
				    "%s (%s): sync the directory",
				    s->path, error_name(errno));
	return 0;
}

static int save_to_name(struct saver *s, const char *name)
{
	struct os_file file;

	if (os_file_create(&file, name))
		return write_failed(s);
	s->fd = file.fd;
	s->file = &file;
	int result = put_all(s) || complete(s, &file, name) ? -1 : 0;
	int e = errno;
	os_file_close(&file);
	if (result)
		os_remove(name);
	errno = e;
	return result;
}

static int save_to_path(struct saver *s)
{
	size_t bytes;
	char *name = name_beside(s->path, &bytes);

	if (!name)
		return error_system(errno, "no name for the image (%s): " ERROR_NO_ROOM,
				    error_name(errno));
	int result = save_to_name(s, name);
	records_give(name, bytes);
	return result;
}

static int read_options(struct cowarena_save_options *out, const struct cowarena_save_options *in)
{
	*out = (struct cowarena_save_options)COWARENA_SAVE_OPTIONS_INIT;
	return options_copy(out, sizeof *out, in, "COWARENA_SAVE_OPTIONS_INIT")
		   ? -1
		   : options_check_flags(out->flags, COWARENA_SAVE_NO_SYNC);
}

int cowarena_snapshot_save(cowarena_snapshot *snapshot, const char *path,
			   const struct cowarena_save_options *options)
{
	struct cowarena_save_options o;
	int e = errno;

	snapshot_in_use(snapshot, __func__);
	if (snapshot_intact(snapshot) || read_options(&o, options))
		return -1;
	if (!path && o.fd < 0)
		return error_set(EINVAL, "neither a path nor options.fd: give one of them");
	struct saver s = {.snapshot = snapshot, .options = &o, .path = path, .fd = o.fd};
	int result = path ? save_to_path(&s) : put_all(&s);
	if (!result)
		errno = e;
	return result;
}
