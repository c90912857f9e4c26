/* SPDX-License-Identifier: BSD-2-Clause */
/* test-store.c - arenas in files: checkpoints, names, readers, damage. (Power cuts: test-cuts.) */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "store-handle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cowarena-store.XXXXXX";
static char path[sizeof folder + 8];

static void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/store", folder);
}

/* Fails if anything but the store is left there. */
static void remove_folder(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* ---- opening ---- */

static cowarena_store *open_flags(int i, unsigned flags)
{
	struct cowarena_options a = case_options(i);
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	o.arena = &a;
	o.flags = flags;
	return cowarena_store_open(path, &o);
}

static cowarena_store *open_case(int i)
{
	cowarena_store *store = open_flags(i, 0);

	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
	if (i == CASE_UNWATCHED) {
		private_never_watch(cowarena_store_arena(store));
		private_never_wait(cowarena_store_arena(store));
	}
	return store;
}

static cowarena_store *open_default(void)
{
	return open_case(CASE_HYBRID);
}

static void works(int result)
{
	ck_assert_msg(result == 0, "%s", cowarena_errmsg());
}

static void fails(int result, int errnum, const char *words)
{
	ck_assert_int_eq(result, -1);
	ck_assert_msg(errno == errnum, "errno %d: %s", errno, cowarena_errmsg());
	ck_assert_msg(strstr(cowarena_errmsg(), words) != NULL, "%s", cowarena_errmsg());
}

static void not_opened(int errnum, const char *words)
{
	cowarena_store *store = open_flags(CASE_HYBRID, 0);

	ck_assert_msg(!store, "opened, in spite of: %s", words);
	fails(-1, errnum, words);
}

static cowarena_store *reopen(cowarena_store *store, int i)
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

static void make_list(cowarena *arena, unsigned salt)
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

static void free_list(cowarena *arena)
{
	for (struct list *l = cowarena_root(arena), *next; l; l = next) {
		next = l->next;
		cowarena_free(arena, l);
	}
	cowarena_set_root(arena, NULL);
}

static void check_list(cowarena *arena, unsigned salt)
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
static void check_index(cowarena_store *store)
{
	const struct tree *t = &store->tree;
	char *page = malloc(page_size());

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

/* ---- what is checkpointed is there again ---- */

START_TEST(round_trip)
{
	make_folder();
	cowarena_store *store = open_case(_i);
	cowarena *arena = cowarena_store_arena(store);
	errno = 77;
	make_list(arena, 1);
	works(cowarena_store_checkpoint(store, 0));
	check_index(store);
	void *root = cowarena_root(arena);
	/* What comes later goes. */
	free_list(arena);
	make_list(arena, 2);
	store = reopen(store, _i);
	arena = cowarena_store_arena(store);
	ck_assert_ptr_eq(cowarena_root(arena), root);
	check_list(arena, 1);
	check_index(store);
	for (unsigned salt = 3; salt < 7; salt++) {
		free_list(arena);
		make_list(arena, salt);
		works(cowarena_store_checkpoint(store, 0));
		check_index(store);
		ck_assert_int_eq(errno, 77);
		if (salt % 2)
			store = reopen(store, _i);
		arena = cowarena_store_arena(store);
		check_list(arena, salt);
	}
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* A store without a checkpoint is an empty one. */
START_TEST(never_checkpointed)
{
	make_folder();
	cowarena_store *store = open_default();
	void *base = cowarena_store_arena(store)->base;
	make_list(cowarena_store_arena(store), 1);
	store = reopen(store, CASE_HYBRID);
	ck_assert_ptr_null(cowarena_root(cowarena_store_arena(store)));
	ck_assert_ptr_eq(cowarena_store_arena(store)->base, base);
	fails(cowarena_store_keep(store, "first"), ENOENT, "no checkpoint yet");
	make_list(cowarena_store_arena(store), 1);
	works(cowarena_store_wait(store));
	works(cowarena_store_close(store));
	works(cowarena_store_close(NULL));
	remove_folder();
}
END_TEST

/* The next blocks are where they would have been: the allocator's state is the same. */
START_TEST(allocator_goes_on)
{
	void *next[200];

	make_folder();
	cowarena_store *store = open_default();
	make_list(cowarena_store_arena(store), 1);
	works(cowarena_store_checkpoint(store, 0));
	cowarena *arena = cowarena_store_arena(store);
	for (size_t i = 0; i < 200; i++)
		next[i] = cowarena_alloc(arena, 3000 + i * 150);
	store = reopen(store, CASE_HYBRID);
	/* (Opening has taken a snapshot too, as the checkpoint had.) */
	arena = cowarena_store_arena(store);
	for (size_t i = 0; i < 200; i++)
		ck_assert_ptr_eq(cowarena_alloc(arena, 3000 + i * 150), next[i]);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* Only what has changed is written. */
static uint64_t bytes_written;

static int count_bytes(const struct os_store_call *call)
{
	if (call->kind == OS_STORE_WRITE)
		bytes_written += call->n;
	return 0;
}

START_TEST(changes_only)
{
	enum { PAGES = 2000 };

	make_folder();
	cowarena_store *store = open_case(_i);
	char *p = page_block(cowarena_store_arena(store), PAGES);
	memset(p, 1, PAGES * page_size());
	works(cowarena_store_checkpoint(store, 0));
	store = reopen(store, _i);
	for (int round = 0; round < 3 && _i != CASE_EAGER; round++) {
		for (size_t i = 0; i < 10; i++)
			p[i * 150 * page_size()]++;
		os_store_hook = count_bytes;
		bytes_written = 0;
		works(cowarena_store_checkpoint(store, 0));
		os_store_hook = NULL;
		/* Ten pages, some nodes, the heap's header; a fault copies its neighbours. */
		ck_assert_uint_le(bytes_written, 60 * page_size());
		check_index(store);
	}
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* The index gets higher. */
START_TEST(grows)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	char *block[12];
	size_t pages = 20;

	for (int i = 0; i < 12; i++, pages = pages * 2) {
		block[i] = page_block(arena, pages);
		memset(block[i], i + 1, pages * page_size());
		works(cowarena_store_checkpoint(store, 0));
		check_index(store);
		if (i % 4 == 3) {
			store = reopen(store, CASE_HYBRID);
			arena = cowarena_store_arena(store);
			check_index(store);
		}
	}
	for (int i = 0; i < 12; i++)
		ck_assert(block[i][0] == i + 1 && block[i][page_size() - 1] == i + 1);
	ck_assert_uint_ge(store->tree.levels, page_size() == 4096 ? 2 : 1);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- one instant ---- */

struct storm {
	_Atomic uint64_t *p;
	size_t pages;
	_Atomic bool stop;
};

/* The first word of each page in turn: no page may be ahead of one before it. */
static void *write_on(void *arg)
{
	struct storm *storm = arg;
	size_t step = page_size() / sizeof *storm->p;

	for (uint64_t round = 1; !atomic_load(&storm->stop); round++)
		for (size_t i = 0; i < storm->pages; i++)
			atomic_store(&storm->p[i * step], round);
	return NULL;
}

static void check_instant(const struct storm *storm)
{
	size_t step = page_size() / sizeof *storm->p, falls = 0;

	for (size_t i = 1; i < storm->pages; i++) {
		uint64_t before = storm->p[(i - 1) * step], here = storm->p[i * step];
		ck_assert_msg(before == here || before == here + 1, "page %zu: %llu after %llu", i,
			      (unsigned long long)here, (unsigned long long)before);
		falls += before != here;
	}
	ck_assert_uint_le(falls, 1);
}

START_TEST(while_all_is_written)
{
	make_folder();
	cowarena_store *store = open_case(_i);
	cowarena *arena = cowarena_store_arena(store);
	struct storm storm = {.pages = 500};
	pthread_t thread;

	storm.p = (void *)page_block(arena, storm.pages);
	memset((void *)storm.p, 0, storm.pages * page_size());
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &storm), 0);
	for (int round = 0; round < 10; round++)
		works(cowarena_store_checkpoint(store, round % 2 ? COWARENA_STORE_ASYNC : 0));
	works(cowarena_store_wait(store));
	atomic_store(&storm.stop, true);
	pthread_join(thread, NULL);
	check_index(store);
	store = reopen(store, _i);
	check_instant(&storm);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- asynchronous ones ---- */

static _Atomic bool held;
static _Atomic unsigned slots_written;

static int hold_syncs(const struct os_store_call *call)
{
	if (call->kind == OS_STORE_WRITE && call->offset && call->offset < 3 * page_size())
		atomic_fetch_add(&slots_written, 1);
	if (call->kind == OS_STORE_SYNC)
		AWAIT(!atomic_load(&held));
	return 0;
}

START_TEST(merged)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	unsigned *counter = cowarena_calloc(arena, 1, sizeof *counter);
	cowarena_set_root(arena, counter);
	os_store_hook = hold_syncs;
	atomic_store(&held, true);
	for (unsigned i = 1; i <= 50; i++) {
		*counter = i;
		works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC));
	}
	/* One is being written, one waits, one is the base. */
	ck_assert_uint_le(stats_of(arena).snapshots_live, 3);
	*counter = 77;
	atomic_store(&held, false);
	works(cowarena_store_wait(store));
	ck_assert_uint_le(atomic_load(&slots_written), 3);
	works(cowarena_store_wait(store));
	os_store_hook = NULL;
	store = reopen(store, CASE_HYBRID);
	ck_assert_uint_eq(*(unsigned *)cowarena_root(cowarena_store_arena(store)), 50);
	/* What waits at the end is written. */
	*counter = 51;
	works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC | COWARENA_QUIESCENT));
	store = reopen(store, CASE_HYBRID);
	ck_assert_uint_eq(*counter, 51);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

static void *take_many(void *arg)
{
	for (int i = 0; i < 30; i++)
		works(cowarena_store_checkpoint(arg, i % 3 ? COWARENA_STORE_ASYNC : 0));
	return NULL;
}

START_TEST(asked_by_threads)
{
	pthread_t thread[4];

	make_folder();
	cowarena_store *store = open_default();
	make_list(cowarena_store_arena(store), 9);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, take_many, store), 0);
	for (int i = 0; i < 10; i++) {
		char name[8];
		snprintf(name, sizeof name, "n%d", i);
		if (cowarena_store_keep(store, name))
			ck_assert_int_eq(errno, ENOENT);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	works(cowarena_store_wait(store));
	check_index(store);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 9);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- failures ---- */

static unsigned fail_at;
static int fail_with;
static enum os_store_kind fail_kind;

static int fail_one(const struct os_store_call *call)
{
	return call->kind == fail_kind && fail_at && --fail_at == 0 ? fail_with : 0;
}

START_TEST(failed_ones)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	make_list(arena, 1);
	works(cowarena_store_checkpoint(store, 0));
	free_list(arena);
	make_list(arena, 2);
	os_store_hook = fail_one;
	fail_kind = OS_STORE_WRITE;
	fail_with = ENOSPC;
	fail_at = 2;
	fails(cowarena_store_checkpoint(store, 0), ENOSPC, "make room");
	fails(cowarena_store_wait(store), ENOSPC, "make room");
	fail_at = 1;
	works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC));
	fails(cowarena_store_wait(store), ENOSPC, "the last one is as it was");
	fail_kind = OS_STORE_SYNC;
	fail_with = EIO;
	fail_at = 1;
	fails(cowarena_store_checkpoint(store, 0), EIO, "disk");
	fail_at = 1;
	works(cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC));
	fails(cowarena_store_close(store), EIO, "disk");
	store = open_default();
	arena = cowarena_store_arena(store);
	check_list(arena, 1);
	free_list(arena);
	make_list(arena, 3);
	fail_at = 2; /* the slot's */
	fails(cowarena_store_checkpoint(store, 0), EIO, "disk");
	fail_at = 1;
	fails(cowarena_store_keep(store, "kept"), EIO, "disk");
	works(cowarena_store_checkpoint(store, 0));
	os_store_hook = NULL;
	check_index(store);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 3);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* The base was given up: all is written. */
START_TEST(base_given_up)
{
	struct cowarena_options a = case_options(CASE_DEFAULT);
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	make_folder();
	a.held_limit = 16 * page_size();
	a.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	o.arena = &a;
	cowarena_store *store = cowarena_store_open(path, &o);
	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
	cowarena *arena = cowarena_store_arena(store);
	for (unsigned salt = 1; salt < 4; salt++) {
		make_list(arena, salt);
		works(cowarena_store_checkpoint(store, 0));
	}
	ck_assert_uint_ge(stats_of(arena).spoiled, 1);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 3);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- names ---- */

static int note_name(void *ctx, const struct cowarena_store_checkpoint *c)
{
	ck_assert_uint_eq(c->sz, sizeof *c);
	ck_assert_uint_gt(c->bytes, 0);
	strcat(ctx, c->name);
	strcat(ctx, " ");
	return strcmp(c->name, "stop") == 0 ? 5 : 0;
}

static void has_names(cowarena_store *store, const char *names)
{
	char list[4096] = "";

	works(cowarena_store_list(store, note_name, list));
	ck_assert_str_eq(list, names);
}

START_TEST(names)
{
	static const char *const name[] = {"", "one", "two", "three"};

	make_folder();
	cowarena_store *store = open_case(_i);
	for (unsigned salt = 1; salt < 4; salt++) {
		cowarena *arena = cowarena_store_arena(store);
		free_list(arena);
		make_list(arena, salt);
		works(cowarena_store_checkpoint(store, 0));
		works(cowarena_store_keep(store, name[salt]));
		fails(cowarena_store_keep(store, name[salt]), EEXIST, name[salt]);
		if (salt == 2)
			store = reopen(store, _i);
	}
	has_names(store, "one two three ");
	for (unsigned round = 0; round < 6; round++) {
		unsigned salt = 1 + round * 2 % 3;
		works(cowarena_store_restore(store, name[salt]));
		check_list(cowarena_store_arena(store), salt);
		if (round % 2)
			works(cowarena_store_checkpoint(store, 0));
		if (round == 3) {
			store = reopen(store, _i);
			check_list(cowarena_store_arena(store), salt);
			check_index(store);
		}
	}
	works(cowarena_store_drop(store, "two"));
	fails(cowarena_store_drop(store, "two"), ENOENT, "two");
	fails(cowarena_store_restore(store, "two"), ENOENT, "two");
	free_list(cowarena_store_arena(store));
	for (unsigned salt = 4; salt < 8; salt++) {
		make_list(cowarena_store_arena(store), salt);
		works(cowarena_store_checkpoint(store, 0));
	}
	store = reopen(store, _i);
	has_names(store, "one three ");
	check_list(cowarena_store_arena(store), 7);
	works(cowarena_store_restore(store, "one"));
	check_list(cowarena_store_arena(store), 1);
	works(cowarena_store_restore(store, "three"));
	check_list(cowarena_store_arena(store), 3);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

START_TEST(many_names)
{
	char name[STORE_NAME_MAX + 1], list[4096] = "";

	make_folder();
	cowarena_store *store = open_default();
	unsigned *counter = cowarena_calloc(cowarena_store_arena(store), 1, sizeof *counter);
	for (unsigned i = 0; i < 100; i++) {
		*counter = i;
		works(cowarena_store_checkpoint(store, 0));
		snprintf(name, sizeof name, "name %u", i);
		works(cowarena_store_keep(store, name));
	}
	store = reopen(store, CASE_HYBRID);
	for (unsigned i = 0; i < 100; i += 7) {
		snprintf(name, sizeof name, "name %u", i);
		works(cowarena_store_restore(store, name));
		ck_assert_uint_eq(*counter, i);
		works(cowarena_store_drop(store, name));
	}
	works(cowarena_store_list(store, note_name, list));
	memset(name, 'x', STORE_NAME_MAX);
	name[STORE_NAME_MAX] = 0;
	fails(cowarena_store_keep(store, name), ENAMETOOLONG, "63");
	name[STORE_NAME_MAX - 1] = 0;
	works(cowarena_store_keep(store, name));
	works(cowarena_store_keep(store, "stop"));
	works(cowarena_store_keep(store, "beyond"));
	*list = 0;
	ck_assert_int_eq(cowarena_store_list(store, note_name, list), 5);
	ck_assert_ptr_null(strstr(list, "beyond"));
	for (unsigned i = 1; i < 100; i++) {
		snprintf(name, sizeof name, "name %u", i);
		ck_assert_int_eq(cowarena_store_drop(store, name), i % 7 ? 0 : -1);
	}
	store = reopen(store, CASE_HYBRID);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* A damaged one is not restored, not even in parts. */
START_TEST(restore_of_damage)
{
	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	make_list(arena, 1);
	works(cowarena_store_checkpoint(store, 0));
	works(cowarena_store_keep(store, "old"));
	size_t pages = store->last.root.pages, i = pages;
	while (!store->tree.level[0].last[--i].block)
		;
	uint64_t block = store->tree.level[0].last[i].block;
	free_list(arena);
	make_list(arena, 2);
	works(cowarena_store_checkpoint(store, 0));
	char byte;
	ck_assert_int_eq(pread(store->file.file.fd, &byte, 1, block * page_size()), 1);
	byte ^= 1;
	ck_assert_int_eq(pwrite(store->file.file.fd, &byte, 1, block * page_size()), 1);
	fails(cowarena_store_restore(store, "old"), EBADMSG, "checksum");
	check_list(arena, 2);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- room ---- */

static uint64_t room_of_file(void)
{
	struct stat status;

	ck_assert_int_eq(stat(path, &status), 0);
	return (uint64_t)status.st_blocks * 512 / page_size();
}

/* Writes, frees, checkpoints and names at random: the file has three times what is needed at
   most. */
START_TEST(takes_little_room)
{
	enum { BLOCKS_MAX = 40 };
	uint64_t state = seed_of_run(23);
	char *block[BLOCKS_MAX] = {0}, name[16];
	unsigned first = 0, last = 0;

	make_folder();
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	for (size_t round = 0; round < scaled(200, 2000, 50); round++) {
		for (size_t n = rng(&state) % 20; n--;) {
			size_t i = rng(&state) % BLOCKS_MAX, pages = 1 + rng(&state) % 40;
			cowarena_free(arena, block[i]);
			block[i] = NULL;
			if (rng(&state) % 8 < (round / 50 % 2 ? 1 : 6)) {
				block[i] = page_block(arena, pages);
				memset(block[i], (int)(rng(&state) % 255 + 1), pages * page_size());
			}
		}
		if (rng(&state) % 8 == 0)
			cowarena_trim(arena);
		works(cowarena_store_checkpoint(store, 0));
		if (rng(&state) % 8 == 0) {
			snprintf(name, sizeof name, "%u", last++);
			works(cowarena_store_keep(store, name));
		}
		if (first < last && rng(&state) % 8 == 0) {
			snprintf(name, sizeof name, "%u", first++);
			works(cowarena_store_drop(store, name));
		}
		uint64_t used = space_used(&store->space), room = room_of_file();
		ck_assert_msg(room <= 3 * used + 80, "%llu blocks for %llu",
			      (unsigned long long)room, (unsigned long long)used);
	}
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- others ---- */

START_TEST(locked)
{
	make_folder();
	cowarena_store *store = open_default();
	not_opened(EBUSY, "COWARENA_STORE_READ_ONLY");
	pid_t pid = fork();
	if (pid == 0) {
		int failed = cowarena_store_checkpoint(store, 0) == 0 || errno != EPERM ||
			     cowarena_store_wait(store) == 0 || errno != EPERM ||
			     cowarena_store_keep(store, "x") == 0 || errno != EPERM ||
			     !cowarena_store_arena(store) || cowarena_store_close(store);
		pause();
		_exit(failed);
	}
	ck_assert_int_gt(pid, 0);
	works(cowarena_store_checkpoint(store, 0));
	/* The child, which lives on, does not hold the lock. */
	store = reopen(store, CASE_HYBRID);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

static void use_in_child(void *arg)
{
	cowarena_store *store = arg;

	if (cowarena_store_checkpoint(store, 0) == 0 || errno != EPERM ||
	    cowarena_store_wait(store) == 0 || errno != EPERM ||
	    cowarena_store_keep(store, "x") == 0 || errno != EPERM ||
	    cowarena_store_restore(store, "x") == 0 || errno != EPERM ||
	    !cowarena_store_arena(store) || cowarena_store_close(store))
		abort();
}

START_TEST(in_children)
{
	struct cowarena_options a = case_options(CASE_HYBRID);
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	make_folder();
	a.flags |= forking_flags() | (_i ? COWARENA_FORK_COPY : 0);
	o.arena = &a;
	cowarena_store *store = cowarena_store_open(path, &o);
	make_list(cowarena_store_arena(store), 1);
	works(cowarena_store_checkpoint(store, SANITIZED ? 0 : COWARENA_STORE_ASYNC));
	ck_assert_int_eq(in_child(use_in_child, store, NULL), 0);
	works(cowarena_store_checkpoint(store, 0));
	check_index(store);
	store = reopen(store, CASE_HYBRID);
	check_list(cowarena_store_arena(store), 1);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* A reader opens the store again and again: each time all is of one checkpoint. */
static _Noreturn void read_on(size_t pages, size_t rounds)
{
	unsigned last = 0;

	for (size_t i = 0; i < rounds; i++) {
		cowarena_store *store = open_flags(CASE_DEFAULT, COWARENA_STORE_READ_ONLY);
		if (!store) {
			fprintf(stderr, "reader: %s\n", cowarena_errmsg());
			_exit(1);
		}
		unsigned *p = cowarena_root(cowarena_store_arena(store));
		size_t step = page_size() / sizeof *p;
		for (size_t page = 1; page < pages; page++)
			if (p[page * step] != p[0])
				_exit(2);
		if (*p < last || cowarena_store_checkpoint(store, 0) == 0 || errno != EROFS)
			_exit(3);
		last = *p;
		if (cowarena_store_close(store))
			_exit(4);
	}
	_exit(0);
}

START_TEST(read_beside_a_writer)
{
	enum { PAGES = 400 };
	size_t rounds = scaled(60, 2000, 10), step = page_size() / sizeof(unsigned);
	int status = 0;

	make_folder();
	ck_assert(!open_flags(CASE_HYBRID, COWARENA_STORE_READ_ONLY));
	fails(-1, ENOENT, "opened");
	cowarena_store *store = open_default();
	cowarena *arena = cowarena_store_arena(store);
	unsigned *p = (unsigned *)page_block(arena, PAGES);
	memset(p, 0, PAGES * page_size());
	cowarena_set_root(arena, p);
	works(cowarena_store_checkpoint(store, 0));
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		cowarena_store_close(store);
		read_on(PAGES, rounds);
	}
	ck_assert_int_gt(pid, 0);
	for (unsigned i = 1; waitpid(pid, &status, WNOHANG) == 0; i++) {
		for (size_t page = 0; page < PAGES; page++)
			p[page * step] = i;
		works(cowarena_store_checkpoint(store, 0));
	}
	ck_assert_int_eq(status, 0);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* ---- what is refused ---- */

START_TEST(wrong_arguments)
{
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	make_folder();
	ck_assert(!cowarena_store_open(NULL, NULL));
	fails(-1, EINVAL, "path is NULL");
	o.flags = 64;
	ck_assert(!cowarena_store_open(path, &o));
	fails(-1, EINVAL, "flags");
	o.sz = 1;
	ck_assert(!cowarena_store_open(path, &o));
	fails(-1, EINVAL, "COWARENA_STORE_OPTIONS_INIT");
	ck_assert(!cowarena_store_open(folder, NULL));
	fails(-1, EISDIR, folder);
	ck_assert(!cowarena_store_open("/nowhere/at/all", NULL));
	fails(-1, ENOENT, "/nowhere/at/all");
	ck_assert(!cowarena_store_open("/dev/zero", NULL));
	fails(-1, ESPIPE, "a file");
	ck_assert(!cowarena_store_arena(NULL));
	fails(-1, EINVAL, "store is NULL");
	fails(cowarena_store_checkpoint(NULL, 0), EINVAL, "store is NULL");
	fails(cowarena_store_wait(NULL), EINVAL, "store is NULL");
	cowarena_store *store = open_default();
	fails(cowarena_store_checkpoint(store, 4), EINVAL, "flags");
	fails(cowarena_store_keep(store, ""), EINVAL, "name");
	fails(cowarena_store_keep(store, NULL), EINVAL, "name");
	fails(cowarena_store_list(store, NULL, NULL), EINVAL, "fn");
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store"), *more = tcase_create("more");

	tcase_add_loop_test(tc, round_trip, 0, CASES);
	tcase_add_test(tc, never_checkpointed);
	tcase_add_test(tc, allocator_goes_on);
	tcase_add_loop_test(tc, changes_only, 0, CASES);
	tcase_add_test(tc, grows);
	tcase_add_loop_test(tc, while_all_is_written, 0, CASES);
	tcase_add_test(tc, merged);
	tcase_add_test(tc, asked_by_threads);
	tcase_add_test(tc, failed_ones);
	tcase_add_test(tc, base_given_up);
	suite_add_tcase(suite, tc);
	tcase_add_loop_test(more, names, 0, CASES);
	tcase_add_test(more, many_names);
	tcase_add_test(more, restore_of_damage);
	tcase_add_test(more, takes_little_room);
	tcase_add_test(more, locked);
	tcase_add_loop_test(more, in_children, 0, 2);
	tcase_add_test(more, read_beside_a_writer);
	tcase_add_test(more, wrong_arguments);
	suite_add_tcase(suite, more);
	return run_suite(suite);
}
