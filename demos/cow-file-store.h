/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-file-store.h - a file of blocks that is changed several blocks at a time, in one of several
 * designs.
 *
 * A design promises that after a power cut there is all of a change, or nothing of it. None of them
 * keeps anything in memory between two calls, so each call does what follows a restart.
 */
#ifndef COWARENA_DEMOS_COW_FILE_STORE_H
#define COWARENA_DEMOS_COW_FILE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096
#define BLOCKS_MAX 1024

/* A disk, whose blocks are zero at first. Until it is synced, writes may land in any order, and in
   part. */
struct device;
void device_read(struct device *device, uint64_t block, void *data);
void device_write(struct device *device, uint64_t block, const void *data);
void device_sync(struct device *device);

struct change {
	uint64_t index; /* of a block in the content */
	unsigned char data[BLOCK];
};

/* How many blocks of the device, of data and of pointers, the newest and the previous content
   share, and how many only one of them has. */
struct sharing {
	uint64_t shared, newer, older;
};

struct design {
	const char *name;
	bool safe;                             /* whether it keeps the promise */
	uint64_t (*device_blocks)(uint64_t n); /* device size for a content of n blocks */
	void (*format)(struct device *device); /* to a content of zeros */
	void (*update)(struct device *device, uint64_t n, const struct change *changes,
		       size_t n_changes);
	/* Read the content, or the previous one if `back` is 1. Returns false if there is none. */
	bool (*read)(struct device *device, uint64_t n, unsigned back, unsigned char *content);
	/* NULL if it keeps no old content. */
	struct sharing (*sharing)(struct device *device, uint64_t n);
};

extern const struct design in_place, copy_on_write, copy_without_fsync;

#endif
