/* SPDX-License-Identifier: BSD-2-Clause */
/* test-store-names.c - checkpoints with names, the room that a store takes, and its other users:
   readers, children of fork(), wrong arguments. */
#include "config.h"

#include "arena.h"
#include "stores.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void *allocate_some(void *arena)
{
	for (size_t i = 0; i < 500; i++)
		ck_assert_ptr_nonnull(cowarena_alloc(arena, 1 + i % 200));
	return NULL;
}

static void allocate_in_thread(cowarena_store *store)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, allocate_some, cowarena_store_arena(store)),
			 0);
	pthread_join(thread, NULL);
}

/* A named checkpoint has a local heap of a thread that this process has never had. */
START_TEST(names_of_threads)
{
	make_folder();
	cowarena_store *store = open_default();
	works(cowarena_store_checkpoint(store, 0));
	works(cowarena_store_keep(store, "none"));
	allocate_some(cowarena_store_arena(store));
	allocate_in_thread(store);
	works(cowarena_store_checkpoint(store, 0));
	works(cowarena_store_keep(store, "two"));
	uint64_t live = stats_of(cowarena_store_arena(store)).live_bytes;
	works(cowarena_store_restore(store, "none"));
	works(cowarena_store_checkpoint(store, 0));
	store = reopen(store, CASE_HYBRID);
	works(cowarena_store_restore(store, "two"));
	cowarena *arena = cowarena_store_arena(store);
	ck_assert_uint_eq(stats_of(arena).live_bytes, live);
	allocate_some(arena);
	allocate_in_thread(store);
	ck_assert_msg(!cowarena_heap_check(arena, NULL), "%s", cowarena_errmsg());
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
		pause();
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	works(cowarena_store_checkpoint(store, 0));
	store = reopen(store, CASE_HYBRID);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	works(cowarena_store_close(store));
	remove_folder();
}
END_TEST

/* Ends without closing the store, and leaves a child that lives on. */
static _Noreturn void leave_a_child(int fd)
{
	int there[2];
	char byte;
	cowarena_store *store = open_flags(CASE_HYBRID, 0);

	if (!store || cowarena_store_checkpoint(store, 0) || pipe(there))
		_exit(1);
	pid_t pid = fork();
	if (pid == 0) {
		if (write(there[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	if (read(there[0], &byte, 1) != 1 || write(fd, &pid, sizeof pid) != sizeof pid)
		_exit(1);
	_exit(0);
}

START_TEST(locked_no_longer_than_needed)
{
	int fd[2], status;
	pid_t grandchild = 0;

	make_folder();
	ck_assert_int_eq(pipe(fd), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		leave_a_child(fd[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(read(fd[0], &grandchild, sizeof grandchild), sizeof grandchild);
	cowarena_store *store = open_flags(CASE_HYBRID, 0);
	kill(grandchild, SIGKILL);
	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
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

static void close_twice(void *arg)
{
	cowarena_store_close(arg);
	cowarena_store_close(arg);
}

static void take_for_a_store(void *arg)
{
	cowarena_store_checkpoint(arg, 0);
}

START_TEST(misused)
{
	char *said;

	make_folder();
	cowarena_store *store = open_default();
	int status = in_child(close_twice, store, &said);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert_msg(strstr(said, "cowarena_store_close: the store was closed already"), "%s",
		      said);
	free(said);
	status = in_child(take_for_a_store, cowarena_store_arena(store), &said);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert_msg(strstr(said, "is an arena"), "%s", said);
	free(said);
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
	ck_assert(!cowarena_store_open("/tmp", NULL));
	fails(-1, EISDIR, "/tmp");
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
	Suite *suite = suite_create("store-names");
	TCase *tc = tcase_create("names"), *others = tcase_create("others");

	tcase_add_loop_test(tc, names, 0, STORE_CASES);
	tcase_add_test(tc, names_of_threads);
	tcase_add_test(tc, many_names);
	tcase_add_test(tc, restore_of_damage);
	tcase_add_test(tc, takes_little_room);
	suite_add_tcase(suite, tc);
	tcase_add_test(others, locked);
	tcase_add_test(others, locked_no_longer_than_needed);
	tcase_add_loop_test(others, in_children, 0, 2);
	tcase_add_test(others, read_beside_a_writer);
	tcase_add_test(others, misused);
	tcase_add_test(others, wrong_arguments);
	suite_add_tcase(suite, others);
	return run_suite(suite);
}
