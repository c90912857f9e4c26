/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-read.h - one image (image.h), read.
 *
 * Nothing read from the file is trusted until it was checked: it may be damaged, or made to harm.
 */
#ifndef COWARENA_IMAGE_READ_H
#define COWARENA_IMAGE_READ_H

#include "image.h"
#include "os.h"

struct image_file {
	const char *path;
	struct os_file file;
	uint64_t bytes; /* of the file */
	struct image_header header;
	struct image_trailer trailer;
	struct image_group *index; /* NULL until it was read */
	size_t index_bytes;
};

/*
 * Open an image, and check header and trailer. Takes no memory. -1 with errno and message, and the
 * file is closed: EBADMSG, it is no image or a damaged one; ENOTSUP, of another version; EISDIR,
 * ESPIPE, no file.
 */
int image_open(struct image_file *image, const char *path);
void image_close(struct image_file *image);

/* Read and check the index: each group comes after the one before, in the heap and in the file, and
   all are in the heap. Takes no more memory than the file is long. -1 with errno and message. */
int image_read_index(struct image_file *image);

/* Read and check the bytes of a group: its present pages, one after the other, IMAGE_GROUP at most.
   -1 with errno and message. */
int image_read_group(const struct image_file *image, const struct image_group *group, char *pages);

/* EBADMSG: "...at byte N WHAT...". Returns -1. */
int image_damaged(const struct image_file *image, uint64_t offset, const char *what);

#endif
