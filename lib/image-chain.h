/* SPDX-License-Identifier: BSD-2-Clause */
/* image-chain.h - an image and those that it is an increment of, read as one. */
#ifndef COWARENA_IMAGE_CHAIN_H
#define COWARENA_IMAGE_CHAIN_H

#include "image-read.h"

struct image_chain {
	struct image_file newest;
	struct image_file *parents; /* each one's parent follows */
	size_t n, bytes;            /* how many; and bytes of memory for them */
	char *pages;                /* a group's */
};

/*
 * Find an open image's parents among files, a list that NULL ends, in any order, or NULL for none;
 * and read all indices. Files that are not needed are left out. The image is closed with the chain.
 * -1 with errno and message: EINVAL, a parent is missing; EBADMSG, they do not fit together; and
 * those of image_open(). Then too the caller closes the chain.
 */
int image_chain_open(struct image_chain *chain, const struct image_file *newest,
		     const char *const *files);
void image_chain_close(struct image_chain *chain);

/* The first page of the first group from page `from` on that any image has. False when there is
   none. Cost: logarithmic in the number of groups, for each image. */
bool image_chain_next(struct image_chain *chain, uint64_t from, uint64_t *first);

/*
 * Put the pages of the group that begins with page `first`, if there is one, to `to`, IMAGE_GROUP
 * pages. *present has a bit for each that is not zeros; of the others nothing is written, unless an
 * older image has bytes for them. Takes no memory. -1 with errno and message.
 */
int image_chain_fetch(struct image_chain *chain, uint64_t first, char *to, uint64_t *present);

#endif
