/* SPDX-License-Identifier: BSD-2-Clause */
/* image-command.h - the parts of `cowarena image`. */
#ifndef IMAGE_COMMAND_H
#define IMAGE_COMMAND_H

#include "image-chain.h"

#include <stdio.h>

/* The exit status when an image is damaged, or two differ; EXIT_ERROR for all other trouble. */
enum { EXIT_BAD = 1 };

struct image_options {
	bool json, force;
	const char *svg, *output, *start, *bytes; /* NULL: not given */
	char **files;                             /* NULL ends them */
	size_t n;
};

/* Each returns the exit status, after a message if that is EXIT_ERROR. */
int image_info(const struct image_options *o);
int image_ls(const struct image_options *o);
int image_verify(const struct image_options *o);
int image_diff(const struct image_options *o);
int image_extract(const struct image_options *o);

/* ---- image-open.c ---- */

/* Say why a function of the library has failed. Returns: EXIT_BAD if the image is damaged, else
   EXIT_ERROR. */
int image_failed(void);

/* Open an image and read its index. Returns: EXIT_OK, or after a message as image_failed(). */
int image_open_whole(struct image_file *image, const char *path);

/* The same with the images that it is an increment of, which are among the files. In any case the
   caller closes the chain. */
int image_open_chain(struct image_chain *chain, const char *path, char *const *files);

/* Where a page is in the process that has saved the image. */
uint64_t image_address(const struct image_header *h, uint64_t page);

/* An address, or the number of an image, as JSON: numbers there have 53 bits only. */
void image_json_hex(const char *key, uint64_t number);

/* ---- runs of pages: image-runs.c ---- */

struct run {
	uint64_t page, pages;
	uint64_t offset; /* in the file */
	bool zeros;
};

struct runs {
	struct run *run;
	size_t n, room;
	uint64_t pages; /* in all of them */
};

/* Add a page, which is after all others. Returns: false when there is no memory. */
bool runs_add(struct runs *runs, uint64_t page, uint64_t offset, bool zeros);
void runs_free(struct runs *runs);

/* ---- maps of changed pages: image-map.c, image-svg.c ---- */

/* Between none and all pages of a cell, four shades. */
enum { MAP_SHADES = 4 };

struct map {
	const struct runs *runs;
	uint64_t pages;   /* of the heap */
	uint64_t base;    /* its address */
	size_t page_size; /* bytes */
};

/* How many pages a cell has for no more cells than these: a power of two. */
uint64_t map_pages_in_cell(const struct map *map, uint64_t cells);

/* The shade of the next cell, 0 if no page of it has changed. *run is where the last call stopped,
   0 for the first cell. */
unsigned map_shade(const struct map *map, uint64_t first, uint64_t pages, size_t *run);

void map_print(const struct map *map, FILE *to);

/* Returns: EXIT_OK, or EXIT_ERROR after a message. */
int map_svg(const struct map *map, const char *path, const char *a, const char *b);

/* ---- image-progress.c ---- */

/* Draw a bar on standard error, if that is a terminal and the work takes long. With done == total
   it goes away. */
void progress(const char *what, uint64_t done, uint64_t total);

#endif
