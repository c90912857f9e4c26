/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store-file.h - blocks of a store's file, read and checked.
 *
 * Nothing read from the file is trusted until it was checked: it may be damaged, or made to harm.
 * Failures are -1 with errno and message; EBADMSG is damage.
 */
#ifndef COWARENA_STORE_FILE_H
#define COWARENA_STORE_FILE_H

#include "store.h"

/* Open the file and read the header. */
int store_file_open(struct store_file *f, const char *path, bool writes);

/* The newer slot that is whole, and which of the two it is. */
int store_file_slot(const struct store_file *f, struct store_slot *slot, unsigned *which);

/* Read the bytes of an entry at that place, and compare the checksum. */
int store_file_block(const struct store_file *f, const struct store_entry *e, unsigned level,
		     uint64_t index, void *p);

/* The same of n pages, the first of which is `page`, whose blocks follow each other. */
int store_file_run(const struct store_file *f, const struct store_entry *e, size_t n, uint64_t page,
		   char *p);

/* For what is found to be wrong elsewhere. what: as in "at byte 5 begins a page that ..." */
int store_file_damaged(const struct store_file *f, uint64_t block, const char *what);

/* Read the node above so many entries of a level, and check each entry: they begin with number
   index * fan, and e is the node's. pages: of the heap. length: as for store_file_walk(). */
int store_file_node(const struct store_file *f, const struct store_entry *e, uint64_t length,
		    uint64_t pages, unsigned level, uint64_t index, struct store_entry *entries);

/*
 * Walk the index below a root, each node before what is below it, in ascending order. fn: called
 * for each entry but those of zeros: level 0 are pages. Anything but 0 that it returns ends the
 * walk, which returns that.
 */
typedef int store_entry_fn(void *ctx, unsigned level, uint64_t index, const struct store_entry *e);
int store_file_walk(const struct store_file *f, const struct store_root *root, uint64_t length,
		    store_entry_fn *fn, void *ctx);

#endif
