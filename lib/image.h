/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image.h - the format of images: snapshots in files.
 *
 *	header      a page, of which struct image_header is the beginning
 *	data        of each group its pages that are not zeros, one after the other
 *	index       a struct image_group for each group that has any, in ascending order
 *	trailer     struct image_trailer, the file's end
 *
 * A group is 64 pages, so that a word says which of them are there. All numbers are of 64 bits,
 * little-endian. The index comes last, so that an image can be written to a pipe; data lie at
 * multiples of a page, so that they can be mapped.
 *
 * An increment is an image of the pages that have changed since another one, its parent: other
 * pages are the parent's. A page that has become zeros has a bit and no bytes.
 *
 * Checksums are XXH3 of 64 bits. That of a group has the image's number and the group's place for
 * its seed, that of the index the header's checksum: parts of other images, or other parts of this
 * one, do not pass.
 */
#ifndef COWARENA_IMAGE_H
#define COWARENA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAGIC UINT64_C(0x414e455241574f43)     /* "COWARENA" */
#define IMAGE_END_MAGIC UINT64_C(0x444e45414e455241) /* "ARENAEND" */
#define IMAGE_VERSION 1
#define IMAGE_GROUP 64 /* pages */

struct image_header {
	uint64_t magic, version;
	uint64_t page_size; /* bytes; the header takes so many */
	uint64_t layout;    /* heap_layout() */
	uint64_t base;      /* address of the heap */
	uint64_t reserved;  /* bytes of address space */
	uint64_t pages;     /* in use */
	uint64_t number;    /* of this image, random, not 0 */
	uint64_t parent;    /* number of the image that this one is an increment of, or 0 */
	uint64_t epoch;     /* that the snapshot has ended */
	uint64_t snapshot;  /* cowarena_snapshot_id() */
	uint64_t checksum;  /* of all before */
};

struct image_group {
	uint64_t first;    /* page, a multiple of IMAGE_GROUP */
	uint64_t present;  /* a bit for each page whose bytes are there */
	uint64_t zeros;    /* in an increment, a bit for each page that is zeros; else 0 */
	uint64_t offset;   /* in the file */
	uint64_t bytes;    /* in the file */
	uint64_t checksum; /* of these bytes */
};

struct image_trailer {
	uint64_t index;          /* where it begins */
	uint64_t groups;         /* in the index */
	uint64_t index_checksum; /* of the index */
	uint64_t bytes;          /* of the whole file */
	uint64_t checksum;       /* of all before, with the index's for a seed */
	uint64_t magic;
};

/* Numbers in memory to numbers in a file, or back. */
void image_swap(void *words, size_t bytes);

uint64_t image_checksum(const void *p, size_t n, uint64_t seed);

/* Every comparison is made here. A fuzzer, which cannot guess checksums, is told that all are right
   (tests/fuzz/). */
bool image_same_checksum(uint64_t is, uint64_t should_be);

/* The checksums that belong to these. */
uint64_t image_header_checksum(const struct image_header *h);
uint64_t image_trailer_checksum(const struct image_trailer *t);
uint64_t image_group_seed(const struct image_header *h, uint64_t first);

#endif
