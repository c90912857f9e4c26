/* SPDX-License-Identifier: BSD-2-Clause */
/* stores.c - see stores.h. */
#include "config.h"

#include "stores.h"

#include "arena.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static char folder[] = "/tmp/cowarena-store.XXXXXX";
char path[STORE_PATH_MAX];

void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/store", folder);
}

/* Fails if anything but the store is left there. */
void remove_folder(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* ---- opening ---- */

cowarena_store *open_flags(int i, unsigned flags)
{
	struct cowarena_options a = case_options(i % CASES);
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	o.arena = &a;
	o.flags = flags | (i < CASES ? 0 : COWARENA_STORE_LAZY);
	return cowarena_store_open(path, &o);
}

cowarena_store *open_case(int i)
{
	cowarena_store *store = open_flags(i, 0);

	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
	if (i % CASES == CASE_UNWATCHED) {
		private_never_watch(cowarena_store_arena(store));
		private_never_wait(cowarena_store_arena(store));
	}
	return store;
}

cowarena_store *open_default(void)
{
	return open_case(CASE_HYBRID);
}

void works(int result)
{
	ck_assert_msg(result == 0, "%s", cowarena_errmsg());
}

void fails(int result, int errnum, const char *words)
{
	ck_assert_int_eq(result, -1);
	ck_assert_msg(errno == errnum, "errno %d: %s", errno, cowarena_errmsg());
	ck_assert_msg(strstr(cowarena_errmsg(), words) != NULL, "%s", cowarena_errmsg());
}

void not_opened(int errnum, const char *words)
{
	cowarena_store *store = open_flags(CASE_HYBRID, 0);

	ck_assert_msg(!store, "opened, in spite of: %s", words);
	fails(-1, errnum, words);
}

cowarena_store *reopen(cowarena_store *store, int i)
{
	works(cowarena_store_close(store));
	return open_case(i);
}

/* ---- a heap that is known again ---- */

#define BLOCKS 300

struct list {
	struct list *next;
	size_t n;
	unsigned char bytes[];
};

static size_t size_of(size_t i)
{
	return i % 50 == 7 ? i * 1000 : i * 13 % 3000;
}

static unsigned char byte_of(size_t i, size_t j, unsigned salt)
{
	return (unsigned char)(i * 7 + j * 3 + salt);
}

void make_list(cowarena *arena, unsigned salt)
{
	struct list *list = NULL;

	for (size_t i = 0; i < BLOCKS; i++) {
		void *hole = cowarena_alloc(arena, size_of(i + 1));
		struct list *l = cowarena_alloc(arena, sizeof *l + size_of(i));
		ck_assert(hole && l);
		*l = (struct list){list, size_of(i)};
		for (size_t j = 0; j < l->n; j++)
			l->bytes[j] = byte_of(i, j, salt);
		list = l;
		if (i % 3)
			cowarena_free(arena, hole);
	}
	cowarena_set_root(arena, list);
}

void free_list(cowarena *arena)
{
	for (struct list *l = cowarena_root(arena), *next; l; l = next) {
		next = l->next;
		cowarena_free(arena, l);
	}
	cowarena_set_root(arena, NULL);
}

void check_list(cowarena *arena, unsigned salt)
{
	const struct list *list = cowarena_root(arena);

	for (size_t i = BLOCKS; i--; list = list->next) {
		ck_assert_ptr_nonnull(list);
		ck_assert_uint_eq(list->n, size_of(i));
		for (size_t j = 0; j < list->n; j++)
			if (list->bytes[j] != byte_of(i, j, salt))
				ck_abort_msg("byte %zu of block %zu is of another state", j, i);
	}
	ck_assert_ptr_null(list);
	ck_assert_msg(!cowarena_heap_check(arena, NULL), "%s", cowarena_errmsg());
}

/* What the file says of each page is what the heap has, and the file holds no page that nobody
   has. */
void check_index(cowarena_store *store)
{
	const struct tree *t = &store->tree;
	char *page = malloc(page_size());

	works(store_ready(store));
	for (size_t i = 0; i < store->last.root.pages; i++) {
		const struct store_entry *e = &t->level[0].last[i];
		memset(page, 0, page_size());
		if (e->block)
			works(store_file_block(&store->file, e, 0, i, page));
		works(cowarena_snapshot_read(store->base, store->blocks,
					     arena_address(store->arena, i), page_size()));
		ck_assert_msg(!memcmp(store->blocks, page, page_size()), "page %zu", i);
	}
	free(page);
}
