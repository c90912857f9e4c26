/* SPDX-License-Identifier: BSD-2-Clause */
/* stores.h - what the tests of stores share: a folder, stores in it, and heaps that are known. */
#ifndef COWARENA_TESTS_STORES_H
#define COWARENA_TESTS_STORES_H

#include "common.h"
#include "store-handle.h"

/* Where the store of this test is; in a folder of its own, which must hold nothing else at the
   end. */
#define STORE_PATH_MAX 64
extern char path[STORE_PATH_MAX];
void make_folder(void);
void remove_folder(void);

/* Cases of stores: those of arenas, and once more as stores that come in as they are touched. */
#define STORE_CASES (2 * CASES)

/* Open it, with the arena of a case. open_flags(): NULL on failure; the others fail the test. */
cowarena_store *open_flags(int i, unsigned flags);
cowarena_store *open_case(int i);
cowarena_store *open_default(void);
cowarena_store *reopen(cowarena_store *store, int i); /* closed first */

/* The result must be 0; or -1 with this errno, and these words in the message. */
void works(int result);
void fails(int result, int errnum, const char *words);

/* The store cannot be opened. */
void not_opened(int errnum, const char *words);

/* A list, the arena's root, whose bytes the salt tells. */
void make_list(cowarena *arena, unsigned salt);
void free_list(cowarena *arena);
void check_list(cowarena *arena, unsigned salt);

/* What the file has of the last checkpoint is what its snapshot has, page by page. */
void check_index(cowarena_store *store);

#endif
