/* SPDX-License-Identifier: BSD-2-Clause */
/* store-open.c - opens, creates and closes stores; takes checkpoints. */
#include "config.h"

#include "arena.h"
#include "arenas.h"
#include "chunks.h"
#include "error.h"
#include "objects.h"
#include "options.h"
#include "records.h"
#include "store-handle.h"

#include <errno.h>
#include <string.h>

#define PLACES 4 /* where a new store's heap is tried to be put */

/* ---- children of fork() ---- */

/* All that are open. A child closes their files, or the lock would outlive the parent. */
static struct {
	struct lock lock;
	struct cowarena_store *first;
	bool prepared;
} stores;

static void before_fork(void)
{
	lock_acquire(&stores.lock);
}

static void after_fork_in_parent(void)
{
	lock_release(&stores.lock);
}

static void after_fork_in_child(void)
{
	for (struct cowarena_store *s = stores.first; s; s = s->next) {
		atomic_store(&s->inherited, true);
		os_file_close(&s->file.file);
	}
	stores.first = NULL;
	lock_release(&stores.lock);
}

static int enter_list(struct cowarena_store *store)
{
	int result = 0;

	lock_acquire(&stores.lock);
	if (!stores.prepared &&
	    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child)) {
		result = error_set(ENOMEM, "no memory for the fork handlers");
	} else {
		stores.prepared = true;
		store->next = stores.first;
		stores.first = store;
	}
	lock_release(&stores.lock);
	return result;
}

static void leave_list(struct cowarena_store *store)
{
	lock_acquire(&stores.lock);
	for (struct cowarena_store **s = &stores.first; *s; s = &(*s)->next)
		if (*s == store) {
			*s = store->next;
			break;
		}
	lock_release(&stores.lock);
}

int store_usable(const struct cowarena_store *store, bool writes, const char *function)
{
	if (!store)
		return error_set(EINVAL, "store is NULL");
	objects_check(store, MARK_STORE, function);
	if (atomic_load(&store->inherited))
		return error_set(EPERM,
				 "in a child of fork() the store %s is the parent's: it can only "
				 "be closed here",
				 store->path);
	if (writes && store->read_only)
		return error_set(EROFS,
				 "the store %s was opened with COWARENA_STORE_READ_ONLY: open it "
				 "without",
				 store->path);
	arena_in_use(store->arena, function);
	return 0;
}

/* ---- a new store ---- */

static int create_failed(const struct cowarena_store *store)
{
	return error_system(
	    errno, "the store %s cannot be created (%s): %s", store->path, error_name(errno),
	    errno == ENOSPC || errno == EDQUOT ? "make room there, or choose another place"
					       : "see that the place can be written to");
}

/* Where other processes have nothing, so that the heap can come back there. */
static int make_arena(struct cowarena_store *store, const struct cowarena_options *options)
{
	struct cowarena_options o = *options;
	uint64_t number[PLACES];
	bool tries = !o.base && os_random(number, sizeof number) == 0;

	for (int i = 0; tries && !store->arena && i < PLACES; i++) {
		o.base = os_store_place(number[i], chunks_size());
		store->arena = arena_create(&o, 0, 1);
	}
	if (!store->arena)
		store->arena = arena_create(options, 0, 1);
	if (!store->arena)
		return -1;
	arenas_add(store->arena);
	return 0;
}

static int make_header(struct cowarena_store *store)
{
	struct store_header *h = &store->file.header;

	*h = (struct store_header){.magic = STORE_MAGIC,
				   .version = STORE_VERSION,
				   .page_size = store->file.page,
				   .layout = heap_layout(store->arena),
				   .base = (uintptr_t)store->arena->base,
				   .reserved = store->arena->reserved};
	if (os_random(h->number, sizeof h->number))
		return error_system(errno, "no random number for the store (%s)",
				    error_name(errno));
	h->checksum = store_header_checksum(h);
	return 0;
}

/* The header, a slot that says that there is no heap yet, and a slot that says nothing. */
static int put_first_blocks(struct cowarena_store *store)
{
	size_t size = store->file.page;
	struct store_slot *s = &store->last;
	char *slot = store->blocks + size;

	store->which = 1;
	store->sequence = 1;
	*s = (struct store_slot){.magic = STORE_SLOT_MAGIC, .sequence = 1, .length = STORE_FIRST};
	s->checksum = store_slot_checksum(&store->file.header, s, 1);
	memcpy(store->blocks, &store->file.header, sizeof store->file.header);
	store_swap(store->blocks, sizeof store->file.header);
	memcpy(slot, s, sizeof *s);
	store_swap(slot, sizeof *s);
	if (store_put(store, store->blocks, STORE_FIRST, 0))
		return -1;
	return os_store_sync(&store->file.file) ? create_failed(store) : 0;
}

/* Give it its name when it is whole, and not before. */
static int create_as(struct cowarena_store *store, const char *name)
{
	if (os_store_create(&store->file.file, name))
		return create_failed(store);
	int result = -1;
	if (os_store_lock(&store->file.file) == 0)
		result = put_first_blocks(store) ? -2 : os_store_name(name, store->path);
	if (result == -1 && errno == EEXIST)
		error_set(EEXIST, "somebody else has created %s just now: open it again",
			  store->path);
	else if (result == -1)
		create_failed(store);
	if (!result)
		return os_store_sync_name(store->path) ? create_failed(store) : 0;
	os_remove(name);
	return -1;
}

static int create(struct cowarena_store *store, const struct cowarena_options *options)
{
	size_t n = strlen(store->path) + OS_NAME_BESIDE;

	if (make_arena(store, options))
		return -1;
	store->file.path = store->path;
	store->file.page = os_page_size();
	store->blocks = records_take(STORE_RUN * store->file.page);
	char *name = records_take(n);
	int result = -1;
	if (!store->blocks || !name || space_reserve(&store->space, STORE_FIRST))
		error_set(ENOMEM, "no memory for the store: " ERROR_NO_ROOM);
	else if (os_name_beside(name, store->path))
		error_system(errno, "no random number for the store (%s)", error_name(errno));
	else
		result = make_header(store) || create_as(store, name) ? -1 : 0;
	store->space.length = STORE_FIRST;
	store->is_ready = true;
	records_give(name, n);
	return result;
}

/* ---- one that is there ---- */

static int lock_file(struct cowarena_store *store)
{
	if (os_store_lock(&store->file.file) == 0)
		return 0;
	if (errno == EAGAIN)
		return error_set(EBUSY,
				 "another process has the store %s open, or this one: close it "
				 "there, or open it with COWARENA_STORE_READ_ONLY",
				 store->path);
	return error_system(errno, "the store %s cannot be locked (%s)", store->path,
			    error_name(errno));
}

/* What was read may have been written by a process that was killed before it was durable. */
static int make_durable(struct cowarena_store *store)
{
	if (store_write_again(store))
		return -1;
	return os_store_sync_name(store->path)
		   ? error_system(errno,
				  "a power cut may lose the name %s (%s): see that its directory "
				  "can be read",
				  store->path, error_name(errno))
		   : 0;
}

/* The file is open. */
static int recover(struct cowarena_store *store, const struct cowarena_options *options,
		   unsigned flags)
{
	if (!store->read_only && lock_file(store))
		return -1;
	if (store_load(store, options, flags))
		return -1;
	store->is_ready = store->read_only;
	if (store->read_only)
		return 0;
	if (make_durable(store))
		return -1;
	/* Nobody has written to the heap yet: this is what the file has. */
	if (store->last.root.pages) {
		store->base = cowarena_snapshot_take(store->arena, 0);
		if (!store->base)
			return -1;
	}
	return store->arena->lazy ? 0 : store_ready(store);
}

static int open_or_create(struct cowarena_store *store, const struct cowarena_store_options *o)
{
	struct cowarena_options options;

	if (options_read(&options, o->arena))
		return -1;
	if (store_file_open(&store->file, store->path, !store->read_only) == 0)
		return recover(store, &options, o->flags);
	if (errno != ENOENT || store->read_only)
		return -1;
	return create(store, &options);
}

static void destroy(struct cowarena_store *store)
{
	leave_list(store);
	cowarena_destroy(store->arena);
	/* A child of fork() that was made just now may not have closed it yet. */
	if (!atomic_load(&store->inherited) && os_file_is_ours(&store->file.file))
		os_store_unlock(&store->file.file);
	os_file_close(&store->file.file);
	tree_destroy(&store->tree);
	space_destroy(&store->space);
	records_give(store->names, store->names_bytes);
	if (store->blocks)
		records_give(store->blocks, STORE_RUN * store->file.page);
	records_give(store->path, store->path_bytes);
	records_give(store, sizeof *store);
}

static struct cowarena_store *make(const char *path, bool read_only)
{
	struct cowarena_store *store = records_take(sizeof *store);

	if (!store)
		return NULL;
	store->file.file = OS_NO_FILE;
	store->read_only = read_only;
	store->path_bytes = strlen(path) + 1;
	store->path = records_take(store->path_bytes);
	if (!store->path) {
		records_give(store, sizeof *store);
		return NULL;
	}
	memcpy(store->path, path, store->path_bytes);
	return store;
}

_Static_assert(sizeof(struct cowarena_store) <= RECORDS_SMALL, "it stays readable");

cowarena_store *cowarena_store_open(const char *path, const struct cowarena_store_options *options)
{
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;
	int e = errno;

	if (!path)
		return error_null(EINVAL, "path is NULL");
	if (options_copy(&o, sizeof o, options, "COWARENA_STORE_OPTIONS_INIT") ||
	    options_check_flags(o.flags, COWARENA_STORE_READ_ONLY | COWARENA_STORE_SPARSE |
					     COWARENA_STORE_LAZY))
		return NULL;
	struct cowarena_store *store = make(path, o.flags & COWARENA_STORE_READ_ONLY);
	if (!store)
		return error_null(ENOMEM, "no memory for the store: " ERROR_NO_ROOM);
	if (open_or_create(store, &o) || enter_list(store)) {
		e = errno;
		destroy(store);
		errno = e;
		return NULL;
	}
	atomic_store(&store->mark, MARK_STORE);
	errno = e;
	return store;
}

cowarena *cowarena_store_arena(cowarena_store *store)
{
	if (!store)
		return error_null(EINVAL, "store is NULL");
	objects_check(store, MARK_STORE, __func__);
	return store->arena;
}

/* ---- checkpoints ---- */

/* How the checkpoints up to a number have ended. */
static void note_end(struct cowarena_store *store, uint64_t number, int result)
{
	lock_acquire(&store->state);
	store->ended = number;
	if (!result) {
		store->durable = number;
	} else {
		const char *message = cowarena_errmsg();
		size_t n = strnlen(message, sizeof store->failure_message - 1);
		memcpy(store->failure_message, message, n);
		store->failure_message[n] = 0;
		store->failure = errno;
	}
	lock_release(&store->state);
	atomic_fetch_add(&store->endings, 1);
	os_wake_all(&store->endings);
}

static int write_when_ready(struct cowarena_store *store, struct cowarena_snapshot *s)
{
	if (store_ready(store) == 0)
		return store_write(store, s);
	int e = errno;
	cowarena_snapshot_release(s);
	errno = e;
	return -1;
}

/* Write the snapshot that waits, if there is one. */
static bool write_waiting(struct cowarena_store *store)
{
	lock_acquire(&store->writer);
	lock_acquire(&store->state);
	struct cowarena_snapshot *s = store->waiting;
	uint64_t number = store->asked;
	store->waiting = NULL;
	lock_release(&store->state);
	if (s)
		note_end(store, number, write_when_ready(store, s));
	lock_release(&store->writer);
	return s != NULL;
}

static void *store_main(void *p)
{
	struct cowarena_store *store = p;

	os_thread_begins();
	for (;;) {
		/* Read before `stop`, which is set before the bell is rung. */
		uint32_t rung = atomic_load(&store->rung);
		TEST_POINT();
		if (write_waiting(store))
			continue;
		if (atomic_load(&store->stop))
			break;
		os_wait(&store->rung, rung);
	}
	os_thread_ends();
	return NULL;
}

static void ring(struct cowarena_store *store)
{
	atomic_fetch_add(&store->rung, 1);
	os_wake_one(&store->rung);
}

/* `order` held. Before the snapshot, which then holds what the C library allocates for it. */
static bool start_thread(struct cowarena_store *store)
{
	if (!store->has_thread)
		store->has_thread =
		    os_thread(&store->thread, "cowarena-store", store_main, store) == 0;
	return store->has_thread;
}

/* `order` held. Returns the number of the checkpoint; 0 on failure. */
static uint64_t ask(struct cowarena_store *store, unsigned flags)
{
	struct cowarena_snapshot *s = cowarena_snapshot_take(store->arena, flags);

	if (!s)
		return 0;
	lock_acquire(&store->state);
	struct cowarena_snapshot *merged = store->waiting;
	store->waiting = s;
	uint64_t number = ++store->asked;
	lock_release(&store->state);
	cowarena_snapshot_release(merged);
	return number;
}

/* Wait for the checkpoints up to a number. */
static int wait_for(struct cowarena_store *store, uint64_t number)
{
	for (;;) {
		uint32_t endings = atomic_load(&store->endings);
		lock_acquire(&store->state);
		bool ended = store->ended >= number, durable = store->durable >= number;
		int failure = store->failure;
		if (ended && !durable)
			error_set(failure, "%s", store->failure_message);
		lock_release(&store->state);
		if (ended)
			return durable ? 0 : -1;
		os_wait(&store->endings, endings);
	}
}

int cowarena_store_checkpoint(cowarena_store *store, unsigned flags)
{
	unsigned known = COWARENA_STORE_ASYNC | COWARENA_QUIESCENT;
	int e = errno;

	if (store_usable(store, true, __func__))
		return -1;
	if (flags & ~known)
		return error_set(EINVAL, "unknown checkpoint flags (%#x)", flags);
	lock_acquire(&store->order);
	bool leave = flags & COWARENA_STORE_ASYNC && start_thread(store);
	uint64_t number = ask(store, flags & COWARENA_QUIESCENT);
	lock_release(&store->order);
	if (!number)
		return -1;
	if (leave)
		ring(store);
	else
		write_waiting(store);
	if (!leave && wait_for(store, number))
		return -1;
	errno = e;
	return 0;
}

static int wait_for_all(struct cowarena_store *store)
{
	lock_acquire(&store->state);
	uint64_t number = store->asked;
	lock_release(&store->state);
	return wait_for(store, number);
}

int cowarena_store_wait(cowarena_store *store)
{
	int e = errno;

	if (store_usable(store, false, __func__) || wait_for_all(store))
		return -1;
	errno = e;
	return 0;
}

/* ---- the end ---- */

static int finish(struct cowarena_store *store)
{
	if (store->has_thread) {
		atomic_store(&store->stop, 1);
		ring(store);
		os_thread_join(store->thread);
	}
	return wait_for_all(store);
}

int cowarena_store_close(cowarena_store *store)
{
	int e = errno, result = 0;

	if (!store)
		return 0;
	objects_check(store, MARK_STORE, __func__);
	if (!atomic_load(&store->inherited))
		result = finish(store);
	if (result)
		e = errno;
	objects_end(store, MARK_STORE, __func__);
	destroy(store);
	errno = e;
	return result;
}
