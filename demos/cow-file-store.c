/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-file-store.c - see cow-file-store.h.
 *
 * Copy-on-write, as file systems do it:
 *
 *	block 0, block 1                 two slots for the root, with a generation and a checksum
 *	   |
 *	pointer blocks                   FANOUT pointers each; pointer 0 stands for a block of zeros
 *	   |
 *	data blocks
 *
 * An update overwrites nothing that the last two roots can reach. It writes new data into free
 * blocks, and new copies of the pointer blocks above them into free blocks; then fsync; then the
 * new root, into the slot of the older of the two; then fsync. That root is the only block that is
 * overwritten. Until all of it has landed its checksum is wrong, and the other root counts. Once it
 * has landed, all that it points to has landed before.
 *
 * So to open the file is to read two blocks, and to use the newest root that is whole. No check has
 * to run. No list of free blocks is stored either, which could be wrong after a cut: free are the
 * blocks that the two roots do not reach.
 */
#include "config.h"

#include "common.h"
#include "cow-file-store.h"
#include "digest.h"

/* In place: each block has its place ----------------------------------------------------------- */

static uint64_t plain_blocks(uint64_t n)
{
	return n;
}

static void plain_format(struct device *device)
{
	(void)device;
}

static void plain_update(struct device *device, uint64_t n, const struct change *changes,
			 size_t n_changes)
{
	(void)n;
	for (size_t i = 0; i < n_changes; i++)
		device_write(device, changes[i].index, changes[i].data);
	device_sync(device);
}

static bool plain_read(struct device *device, uint64_t n, unsigned back, unsigned char *content)
{
	for (uint64_t i = 0; i < n && !back; i++)
		device_read(device, i, content + i * BLOCK);
	return !back;
}

const struct design in_place = {
    .name = "in place",
    .device_blocks = plain_blocks,
    .format = plain_format,
    .update = plain_update,
    .read = plain_read,
};

/* Copy-on-write -------------------------------------------------------------------------------- */

#define SLOTS 2
/* 512 would fit into a block. With fewer a small file, too, has a tree. */
#define FANOUT 32
#define POINTER_BLOCKS(n) (((n) + FANOUT - 1) / FANOUT)

struct root {
	uint64_t pointers[BLOCK / sizeof(uint64_t) - 2];
	uint64_t generation; /* goes into slot generation % SLOTS */
	uint64_t checksum;   /* of the fields before it */
};
_Static_assert(sizeof(struct root) == BLOCK, "a root is a block");
_Static_assert(POINTER_BLOCKS(BLOCKS_MAX) <= BLOCK / sizeof(uint64_t) - 2, "it reaches all");

struct pointers {
	uint64_t data[BLOCK / sizeof(uint64_t)];
};

static uint64_t root_checksum(const struct root *root)
{
	return hash_block((const unsigned char *)root, offsetof(struct root, checksum), 1);
}

/* The newest complete root, or the previous one if `back` is 1. */
static bool find_root(struct device *device, unsigned back, struct root *root)
{
	struct root roots[SLOTS];

	for (unsigned i = 0; i < SLOTS; i++) {
		device_read(device, i, &roots[i]);
		if (roots[i].checksum != root_checksum(&roots[i]))
			roots[i].generation = 0;
	}
	unsigned newest = roots[1].generation > roots[0].generation;
	*root = roots[newest ^ back];
	return root->generation != 0;
}

static void write_root(struct device *device, struct root *root)
{
	root->checksum = root_checksum(root);
	device_write(device, root->generation % SLOTS, root);
	device_sync(device);
}

/* Room for the two roots' trees, and one more that shares nothing with them. */
static uint64_t copy_blocks(uint64_t n)
{
	return SLOTS + 3 * (n + POINTER_BLOCKS(n));
}

/*
 * Read a pointer block; it is empty if the root has none in this place. A block that no root was to
 * point to yet may hold anything; it is read only if the first fsync was left out.
 */
static void read_pointers(struct device *device, uint64_t n, const struct root *root, uint64_t i,
			  struct pointers *pointers)
{
	memset(pointers, 0, sizeof *pointers);
	if (root->pointers[i])
		device_read(device, root->pointers[i], pointers);
	for (unsigned j = 0; j < FANOUT; j++)
		if (pointers->data[j] >= copy_blocks(n))
			pointers->data[j] = 0;
}

/* Mark, with a bit, all blocks of the device that a root reaches. */
static void mark(struct device *device, uint64_t n, const struct root *root, unsigned bit,
		 unsigned char *marks)
{
	struct pointers pointers;

	for (uint64_t i = 0; i < POINTER_BLOCKS(n); i++) {
		read_pointers(device, n, root, i, &pointers);
		marks[root->pointers[i]] |= bit;
		for (unsigned j = 0; j < FANOUT; j++)
			marks[pointers.data[j]] |= bit;
	}
}

static unsigned char *mark_both(struct device *device, uint64_t n)
{
	unsigned char *marks = allocate(copy_blocks(n), 1);
	struct root root;

	for (unsigned back = 0; back < SLOTS; back++)
		if (find_root(device, back, &root))
			mark(device, n, &root, 1u << back, marks);
	return marks;
}

static uint64_t take_free(unsigned char *marks)
{
	uint64_t block = SLOTS; /* it exists: see copy_blocks() */

	while (marks[block])
		block++;
	marks[block] = 1;
	return block;
}

static void copy_format(struct device *device)
{
	struct root root = {.generation = 1};

	write_root(device, &root);
}

static void update(struct device *device, uint64_t n, const struct change *changes,
		   size_t n_changes, bool fsync_first)
{
	unsigned char *marks = mark_both(device, n);
	struct pointers pointers;
	struct root root;

	if (!find_root(device, 0, &root))
		die("there is no root");
	for (uint64_t i = 0; i < POINTER_BLOCKS(n); i++) {
		bool changed = false;
		read_pointers(device, n, &root, i, &pointers);
		for (size_t c = 0; c < n_changes; c++) {
			if (changes[c].index / FANOUT != i)
				continue;
			uint64_t block = take_free(marks);
			device_write(device, block, changes[c].data);
			pointers.data[changes[c].index % FANOUT] = block;
			changed = true;
		}
		if (!changed)
			continue; /* this part of the tree is shared */
		root.pointers[i] = take_free(marks);
		device_write(device, root.pointers[i], &pointers);
	}
	if (fsync_first)
		device_sync(device);
	root.generation++;
	write_root(device, &root);
	free(marks);
}

static void copy_update(struct device *device, uint64_t n, const struct change *changes,
			size_t n_changes)
{
	update(device, n, changes, n_changes, true);
}

static void unordered_update(struct device *device, uint64_t n, const struct change *changes,
			     size_t n_changes)
{
	update(device, n, changes, n_changes, false);
}

static bool copy_read(struct device *device, uint64_t n, unsigned back, unsigned char *content)
{
	struct pointers pointers;
	struct root root;

	if (!find_root(device, back, &root))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		if (i % FANOUT == 0)
			read_pointers(device, n, &root, i / FANOUT, &pointers);
		uint64_t block = pointers.data[i % FANOUT];
		if (block)
			device_read(device, block, content + i * BLOCK);
		else
			memset(content + i * BLOCK, 0, BLOCK);
	}
	return true;
}

static struct sharing copy_sharing(struct device *device, uint64_t n)
{
	unsigned char *marks = mark_both(device, n);
	struct sharing sharing = {0};

	for (uint64_t i = SLOTS; i < copy_blocks(n); i++) {
		sharing.shared += marks[i] == 3;
		sharing.newer += marks[i] == 1;
		sharing.older += marks[i] == 2;
	}
	free(marks);
	return sharing;
}

const struct design copy_on_write = {
    .name = "copy-on-write",
    .safe = true,
    .device_blocks = copy_blocks,
    .format = copy_format,
    .update = copy_update,
    .read = copy_read,
    .sharing = copy_sharing,
};

/* The same without the first fsync, to show what that is for. */
const struct design copy_without_fsync = {
    .name = "no first fsync",
    .device_blocks = copy_blocks,
    .format = copy_format,
    .update = unordered_update,
    .read = copy_read,
    .sharing = copy_sharing,
};
