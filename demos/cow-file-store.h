/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-file-store.h - a file of blocks that is changed several blocks at a time, in one of several
 * designs.
 *
 * What a design promises is that after a power cut there is all of a change, or nothing of it.
 * None of them keeps anything in memory between two calls, so that each call is what follows a
 * restart.
 */
#ifndef COWARENA_DEMOS_COW_FILE_STORE_H
#define COWARENA_DEMOS_COW_FILE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096
#define BLOCKS_MAX 1024

/* The disk, of blocks of zeros at first. Until it is synced, what is written may land in any order,
   and in part. */
struct device;
void device_read(struct device *device, uint64_t block, void *data);
void device_write(struct device *device, uint64_t block, const void *data);
void device_sync(struct device *device);

struct change {
	uint64_t index; /* of a block of the content */
	unsigned char data[BLOCK];
};

/* How many blocks of the device, of data and of pointers, the newest content and the one before
   share, and how many only one of them has. */
struct sharing {
	uint64_t shared, newer, older;
};

struct design {
	const char *name;
	bool safe;                             /* does it keep the promise? */
	uint64_t (*device_blocks)(uint64_t n); /* how large a device a content of n blocks takes */
	void (*format)(struct device *device); /* with a content of zeros */
	void (*update)(struct device *device, uint64_t n, const struct change *changes,
		       size_t n_changes);
	/* The content, or that before the last update if `back` is 1. False if there is none. */
	bool (*read)(struct device *device, uint64_t n, unsigned back, unsigned char *content);
	/* NULL if it keeps no old content. */
	struct sharing (*sharing)(struct device *device, uint64_t n);
};

extern const struct design in_place, copy_on_write, copy_without_fsync;

#endif
