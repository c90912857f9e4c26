/* SPDX-License-Identifier: BSD-2-Clause */
/* store-names.c - checkpoints with names. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "heap.h"
#include "records.h"
#include "store-handle.h"

#include <errno.h>
#include <string.h>

static struct store_name *find(const struct cowarena_store *store, const char *name)
{
	for (size_t i = 0; i < store->names_count; i++)
		if (strcmp(store->names[i].name, name) == 0)
			return &store->names[i];
	return NULL;
}

static int check_name(const char *name)
{
	if (!name || !*name)
		return error_set(EINVAL, "a checkpoint's name must have a byte at least");
	if (strlen(name) >= STORE_NAME_MAX)
		return error_set(ENAMETOOLONG, "a checkpoint's name may have %d bytes",
				 STORE_NAME_MAX - 1);
	return 0;
}

static int no_memory(void)
{
	return error_set(ENOMEM, "no memory for the list of names: " ERROR_NO_ROOM);
}

static int unknown(const char *name)
{
	return error_set(ENOENT, "no checkpoint has the name %s: see cowarena_store_list()", name);
}

/* Make these names durable, and the store's. Takes the array over. */
static int set_names(struct cowarena_store *store, struct store_name *names, size_t n, size_t bytes)
{
	if (store_write_names(store, names, n)) {
		int e = errno;
		records_give(names, bytes);
		errno = e;
		return -1;
	}
	records_give(store->names, store->names_bytes);
	store->names = names;
	store->names_count = n;
	store->names_bytes = bytes;
	return 0;
}

static int keep(struct cowarena_store *store, const char *name)
{
	size_t n = store->names_count, bytes = (n + 1) * sizeof *store->names;

	if (!store->last.root.pages)
		return error_set(ENOENT, "there is no checkpoint yet to be named: take one first");
	if (find(store, name))
		return error_set(EEXIST, "a checkpoint has the name %s already: drop it first",
				 name);
	struct store_name *names = records_take(bytes);
	if (!names)
		return no_memory();
	if (n)
		memcpy(names, store->names, n * sizeof *names);
	memcpy(names[n].name, name, strlen(name));
	names[n].root = store->last.root;
	if (set_names(store, names, n + 1, bytes))
		return -1;
	space_join(&store->space, SPACE_KEPT, SPACE_LAST);
	return 0;
}

/* What no name has any more is free. */
static void mark_anew(struct cowarena_store *store)
{
	struct space *s = &store->space;
	int e = errno;

	/* If a name cannot be read now, all stay as they are until the store is opened again. */
	space_move(s, SPACE_ATTEMPT, SPACE_KEPT);
	if (store_mark_kept(store, store->names, store->names_count))
		space_join(s, SPACE_KEPT, SPACE_ATTEMPT);
	space_clear(s, SPACE_ATTEMPT);
	store_tidy(store);
	errno = e;
}

static int drop(struct cowarena_store *store, const char *name)
{
	struct store_name *there = find(store, name), *names = NULL;
	size_t n = store->names_count - 1, bytes = n * sizeof *names;

	if (!there)
		return unknown(name);
	size_t before = (size_t)(there - store->names);
	if (n && !(names = records_take(bytes)))
		return no_memory();
	if (n) {
		memcpy(names, store->names, before * sizeof *names);
		memcpy(names + before, there + 1, (n - before) * sizeof *names);
	}
	if (set_names(store, names, n, bytes))
		return -1;
	mark_anew(store);
	return 0;
}

static int change(struct cowarena_store *store, const char *name, const char *function,
		  int (*fn)(struct cowarena_store *store, const char *name))
{
	int e = errno;

	if (store_usable(store, true, function) || check_name(name))
		return -1;
	lock_acquire(&store->writer);
	int result = store_ready(store) ? -1 : fn(store, name);
	lock_release(&store->writer);
	if (!result)
		errno = e;
	return result;
}

int cowarena_store_keep(cowarena_store *store, const char *name)
{
	return change(store, name, __func__, keep);
}

int cowarena_store_drop(cowarena_store *store, const char *name)
{
	return change(store, name, __func__, drop);
}

/* ---- back to one ---- */

/* The heap becomes the checkpoint's, or is as it was. */
static int replace(struct cowarena_store *store, const struct store_root *root,
		   struct cowarena_snapshot *before)
{
	struct cowarena *arena = store->arena;

	heap_stop(arena);
	/* First without a change: damage is found then. */
	int result = store_fill(store, root, false) || store_fill(store, root, true) ? -1 : 0;
	/* It may have local heaps that this process has no records of. */
	if (!result)
		result = heap_attached(arena);
	heap_go(arena);
	if (!result && cowarena_heap_check(arena, NULL)) {
		result = -1;
		if (errno == EUCLEAN)
			store_file_damaged(&store->file, root->root.block,
					   "begins the index of a heap whose bookkeeping is "
					   "damaged");
	}
	if (!result)
		return 0;
	int e = errno;
	if (cowarena_rollback(arena, before) == 0)
		errno = e; /* with the first message, or what it was */
	return -1;
}

static int restore(struct cowarena_store *store, const char *name)
{
	const struct store_name *there = find(store, name);

	if (!there)
		return unknown(name);
	struct cowarena_snapshot *before = cowarena_snapshot_take(store->arena, 0);
	if (!before)
		return -1;
	int result = replace(store, &there->root, before), e = errno;
	cowarena_snapshot_release(before);
	errno = e;
	return result;
}

int cowarena_store_restore(cowarena_store *store, const char *name)
{
	return change(store, name, __func__, restore);
}

/* ---- all of them ---- */

/* The function may call the store: so it gets a copy. */
static struct store_name *copy_names(struct cowarena_store *store, size_t *n, size_t *bytes)
{
	struct store_name *names = NULL;

	lock_acquire(&store->writer);
	if (store_ready(store) == 0) {
		*n = store->names_count;
		*bytes = (*n + 1) * sizeof *names;
		names = records_take(*bytes);
		if (!names)
			no_memory();
		else if (*n)
			memcpy(names, store->names, *n * sizeof *names);
	}
	lock_release(&store->writer);
	return names;
}

int cowarena_store_list(cowarena_store *store, cowarena_store_fn *fn, void *ctx)
{
	size_t n, bytes;
	int e = errno, result = 0;

	if (store_usable(store, false, __func__))
		return -1;
	if (!fn)
		return error_set(EINVAL, "fn is NULL");
	struct store_name *names = copy_names(store, &n, &bytes);
	if (!names)
		return -1;
	for (size_t i = 0; !result && i < n; i++)
		result = fn(ctx, &(struct cowarena_store_checkpoint){
				     .sz = sizeof(struct cowarena_store_checkpoint),
				     .name = names[i].name,
				     .snapshot = names[i].root.snapshot,
				     .bytes = names[i].root.pages * store->file.page});
	records_give(names, bytes);
	errno = e;
	return result;
}
