/* SPDX-License-Identifier: BSD-2-Clause */
/* test-increment.c - images of what has changed since other images. */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "image-chain.h"
#include "snapshot-read.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 24
#define PAGES 300

static char folder[] = "/tmp/cowarena-increment.XXXXXX";
static char file[FILES][sizeof folder + 8];

static void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	for (size_t i = 0; i < FILES; i++)
		snprintf(file[i], sizeof file[i], "%s/%zu", folder, i);
}

/* Fails if anything but images is left there. */
static void remove_folder(void)
{
	for (size_t i = 0; i < FILES; i++)
		unlink(file[i]);
	ck_assert_int_eq(rmdir(folder), 0);
}

static struct cowarena_save_options since(cowarena_snapshot *parent, const char *const *parents)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;

	o.flags = COWARENA_SAVE_NO_SYNC;
	o.parent = parent;
	o.parents = parents;
	return o;
}

static void save(cowarena_snapshot *s, size_t i, cowarena_snapshot *parent,
		 const char *const *parents)
{
	struct cowarena_save_options o = since(parent, parents);

	ck_assert_msg(cowarena_snapshot_save(s, file[i], &o) == 0, "%s", cowarena_errmsg());
}

static cowarena *load_case(int kind, size_t i, const char *const *parents)
{
	struct cowarena_options a = case_options(kind);
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;

	o.arena = &a;
	o.parents = parents;
	return cowarena_load(file[i], &o);
}

static cowarena *load(int kind, size_t i, const char *const *parents)
{
	cowarena *arena = load_case(kind, i, parents);

	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	return arena;
}

static void fails(bool failed, int errnum, const char *words)
{
	ck_assert_msg(failed, "no failure, in spite of: %s", words);
	ck_assert_msg(errno == errnum, "errno %d: %s", errno, cowarena_errmsg());
	ck_assert_msg(strstr(cowarena_errmsg(), words) != NULL, "%s", cowarena_errmsg());
}

static size_t bytes_of(size_t i)
{
	struct stat status;

	ck_assert_int_eq(stat(file[i], &status), 0);
	return (size_t)status.st_size;
}

/* Write to a page: noise, or zeros. */
static void write_page(char *p, size_t page, unsigned char salt)
{
	for (size_t i = 0; i < page_size(); i++)
		p[page * page_size() + i] = salt ? (char)(i * 31 + page + salt) : 0;
}

static void write_pages(char *p, unsigned char salt)
{
	for (size_t i = 0; i < PAGES; i++)
		write_page(p, i, salt);
}

static bool is_page(const char *p, size_t page, unsigned char salt)
{
	for (size_t i = 0; i < page_size(); i++)
		if (p[page * page_size() + i] != (salt ? (char)(i * 31 + page + salt) : 0))
			return false;
	return true;
}

static bool all_zeros(const char *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* ---- since a snapshot ---- */

START_TEST(chains)
{
	static char then[3][PAGES * 4096 * 16];
	cowarena *arena = arena_case(_i);
	size_t n = PAGES * page_size();
	cowarena_snapshot *s[3];

	ck_assert_uint_le(n, sizeof then[0]);
	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	s[0] = take_snapshot(arena, 0);
	save(s[0], 0, NULL, NULL);
	memcpy(then[0], p, n);

	/* A few pages, one of which becomes zeros; and the heap grows. */
	write_page(p, 5, 2);
	write_page(p, 6, 0);
	write_page(p, 200, 2);
	char *more = page_block(arena, 100);
	memset(more, 7, 100 * page_size());
	s[1] = take_snapshot(arena, 0);
	memcpy(then[1], p, n);
	write_page(p, 5, 0);
	write_page(p, 6, 3);
	write_page(p, 299, 3);
	memset(more, 0, 100 * page_size());
	s[2] = take_snapshot(arena, 0);
	memcpy(then[2], p, n);
	write_pages(p, 9); /* the images are of the snapshots */
	save(s[1], 1, s[0], NULL);
	save(s[2], 2, s[1], NULL);
	save(s[2], 3, s[0], NULL);
	if (_i != CASE_EAGER) { /* which takes each page for written to */
		ck_assert_uint_lt(bytes_of(1), 140 * page_size());
		ck_assert_uint_lt(bytes_of(2), 40 * page_size());
	}
	cowarena_destroy(arena);

	const char *all[] = {file[3], file[0], file[1], NULL}, *base[] = {file[0], NULL};
	arena = load(_i, 2, all);
	ck_assert_int_eq(memcmp(p, then[2], n), 0);
	ck_assert(all_zeros(more, 100 * page_size()));
	cowarena_destroy(arena);
	arena = load(_i, 1, base);
	ck_assert_int_eq(memcmp(p, then[1], n), 0);
	ck_assert(more[0] == 7 && more[100 * page_size() - 1] == 7);
	cowarena_destroy(arena);
	arena = load(_i, 3, base);
	ck_assert_int_eq(memcmp(p, then[2], n), 0);
	cowarena_destroy(arena);
	arena = load(_i, 0, all); /* needs none */
	ck_assert_int_eq(memcmp(p, then[0], n), 0);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

START_TEST(nothing_has_changed)
{
	cowarena *arena = arena_case(_i);

	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	save(s, 0, NULL, NULL);
	save(s, 1, s, NULL);
	ck_assert_uint_le(bytes_of(1), page_size() + sizeof(struct image_trailer));
	cowarena_destroy(arena);
	const char *base[] = {file[0], NULL};
	arena = load(_i, 1, base);
	ck_assert(is_page(p, 0, 1) && is_page(p, PAGES - 1, 1));
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* A snapshot can be a parent again after a rollback. */
START_TEST(after_a_rollback)
{
	cowarena *arena = arena_case(_i);

	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	save(s, 0, NULL, NULL);
	write_page(p, 7, 2);
	save(take_snapshot(arena, 0), 1, s, NULL);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	write_page(p, 8, 3);
	save(take_snapshot(arena, 0), 2, s, NULL);
	cowarena_destroy(arena);
	const char *base[] = {file[0], NULL};
	arena = load(_i, 2, base);
	ck_assert(p[7 * page_size()] == 7 + 1 && p[8 * page_size()] == 8 + 3);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* ---- since files ---- */

START_TEST(since_what_was_loaded)
{
	cowarena *arena = arena_case(_i);

	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	save(s, 0, NULL, NULL);
	write_page(p, 10, 2);
	write_page(p, 11, 0);
	save(take_snapshot(arena, 0), 1, s, NULL);
	cowarena_destroy(arena);

	const char *first[] = {file[1], file[0], NULL}, *rest[] = {file[0], file[1], NULL};
	arena = load(_i, 1, rest);
	write_page(p, 11, 3);
	write_page(p, 12, 0);
	write_page(p, 13, 1); /* as it was */
	save(take_snapshot(arena, 0), 2, NULL, first);
	ck_assert_uint_lt(bytes_of(2), 40 * page_size());
	cowarena_destroy(arena);

	arena = load(_i, 2, rest);
	ck_assert(p[10 * page_size()] == 10 + 2 && p[11 * page_size()] == 11 + 3);
	ck_assert(p[12 * page_size()] == 0 && p[13 * page_size()] == 13 + 1);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* ---- at random, beside an array of what each image must have ---- */

START_TEST(random_chains)
{
	enum { SMALL = 150 };
	static unsigned char salts[FILES][SMALL];
	unsigned char now[SMALL] = {0};
	cowarena *arena = arena_case(_i);
	uint64_t state = seed_of_run(23 + (uint64_t)_i);
	cowarena_snapshot *s[FILES];
	size_t parent[FILES], n = scaled(8, FILES, 5);

	make_folder();
	char *p = page_block(arena, SMALL);
	memset(p, 0, SMALL * page_size());
	for (size_t i = 0; i < n; i++) {
		for (size_t left = rng(&state) % 60; left--;) {
			size_t page = rng(&state) % SMALL;
			now[page] = (unsigned char)(rng(&state) % 4);
			write_page(p, page, now[page]);
		}
		s[i] = take_snapshot(arena, 0);
		memcpy(salts[i], now, sizeof now);
		parent[i] = rng(&state) % (i + 1); /* itself: none */
		save(s[i], i, parent[i] == i ? NULL : s[parent[i]], NULL);
		if (rng(&state) % 3 == 0) {
			size_t to = rng(&state) % (i + 1);
			ck_assert_int_eq(cowarena_rollback(arena, s[to]), 0);
			memcpy(now, salts[to], sizeof now);
		}
	}
	cowarena_destroy(arena);
	const char *all[FILES + 1] = {0};
	for (size_t i = 0; i < n; i++)
		all[(i * 7) % n] = file[i]; /* n is no multiple of 7 */
	for (size_t i = 0; i < n; i++) {
		arena = load(_i, i, all);
		for (size_t page = 0; page < SMALL; page++)
			if (!is_page(p, page, salts[i][page]))
				ck_abort_msg("image %zu, page %zu", i, page);
		cowarena_destroy(arena);
	}
	remove_folder();
}
END_TEST

struct storm {
	char *p;
	_Atomic bool stop;
};

/* All pages are zeros, and then none is. */
static void *write_on(void *arg)
{
	struct storm *storm = arg;

	for (unsigned char round = 0; !atomic_load(&storm->stop); round++)
		for (size_t i = 0; i < PAGES; i++)
			memset(storm->p + i * page_size(), round % 2 ? round : 0, page_size());
	return NULL;
}

START_TEST(saved_while_zeros_come_and_go)
{
	static char then[PAGES * 4096 * 16];
	cowarena *arena = arena_case(_i);
	struct storm storm = {.p = page_block(arena, PAGES)};
	size_t n = PAGES * page_size(), last = 1 + scaled(3, 22, 2);
	cowarena_snapshot *before = NULL;
	const char *files[FILES + 1] = {0};
	pthread_t thread;

	make_folder();
	memset(storm.p, 1, n);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &storm), 0);
	for (size_t i = 0; i < last; i++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_int_eq(cowarena_snapshot_read(s, then, storm.p, n), 0);
		save(s, i, before, NULL);
		if (before)
			ck_assert_int_eq(cowarena_snapshot_release(before), 0);
		before = s;
		files[i] = file[i];
	}
	atomic_store(&storm.stop, true);
	pthread_join(thread, NULL);
	cowarena_destroy(arena);
	arena = load(_i, last - 1, files);
	ck_assert_int_eq(memcmp(storm.p, then, n), 0);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* ---- a group that is written to between two looks ---- */

/* The program is linked with --wrap for this function. */
bool __real_snapshot_borrow(struct cowarena_snapshot *s, size_t first, size_t n,
			    struct borrowed *b);
bool __wrap_snapshot_borrow(struct cowarena_snapshot *s, size_t first, size_t n,
			    struct borrowed *b);

static char *written_when_borrowed; /* a byte */

bool __wrap_snapshot_borrow(struct cowarena_snapshot *s, size_t first, size_t n, struct borrowed *b)
{
	bool yes = __real_snapshot_borrow(s, first, n, b);

	if (!yes || !written_when_borrowed)
		return yes;
	size_t page = arena_page(s->arena, written_when_borrowed);
	if (page >= first && page - first < n) {
		*written_when_borrowed = 99;
		written_when_borrowed = NULL;
	}
	return true;
}

/* What the image has is the snapshot's. */
static void same_as_snapshot(cowarena_snapshot *s, size_t i)
{
	static char group[2][IMAGE_GROUP << 16];
	struct image_file newest;
	struct image_chain chain;
	uint64_t first = 0, present;
	size_t n = IMAGE_GROUP * page_size(), groups = 0;

	ck_assert_int_eq(image_open(&newest, file[i]), 0);
	ck_assert_int_eq(image_chain_open(&chain, &newest, NULL), 0);
	for (; image_chain_next(&chain, first, &first); first += IMAGE_GROUP, groups++) {
		memset(group, 0, sizeof group);
		ck_assert_msg(!image_chain_fetch(&chain, first, group[0], &present), "%s",
			      cowarena_errmsg());
		size_t left = (s->pages - first) * page_size();
		ck_assert_int_eq(cowarena_snapshot_read(s, group[1], arena_address(s->arena, first),
							left < n ? left : n),
				 0);
		ck_assert_msg(!memcmp(group[0], group[1], n), "group of page %zu", (size_t)first);
	}
	ck_assert_uint_gt(groups, 1);
	image_chain_close(&chain);
}

/* In the first group that is all block, and in the heap's last one, where what is written again is
   shorter. */
START_TEST(written_between_two_looks)
{
	cowarena *arena = arena_case(_i);

	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	/* No page is without memory. */
	size_t end = arena_pages(arena), page = page_size();
	char *all_end = arena_address(arena, end), *last = all_end - page;
	for (char *at = p + PAGES * page; at < all_end; at += page)
		at[1] = 1;
	last[1] = 0;
	cowarena_snapshot *s = take_snapshot(arena, 0);
	written_when_borrowed = p + 100 * page;
	save(s, 0, NULL, NULL);
	same_as_snapshot(s, 0);
	/* Engine eager has copied each page. */
	ck_assert(!written_when_borrowed || _i == CASE_EAGER);
	written_when_borrowed = last;
	save(s, 1, NULL, NULL);
	same_as_snapshot(s, 1);
	ck_assert(!written_when_borrowed || _i == CASE_EAGER);
	written_when_borrowed = NULL;
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* ---- what is refused ---- */

START_TEST(saves_that_fail)
{
	cowarena *arena = arena_case(CASE_DEFAULT), *other = arena_case(CASE_EAGER);
	struct cowarena_save_options o;

	make_folder();
	write_pages(page_block(arena, PAGES), 1);
	write_pages(page_block(other, PAGES), 1);
	cowarena_snapshot *s = take_snapshot(arena, 0), *t = take_snapshot(arena, 0);
	cowarena_snapshot *foreign = take_snapshot(other, 0);
	const char *base[] = {file[0], NULL}, *none[] = {file[1], NULL};
	o = since(s, NULL);
	fails(cowarena_snapshot_save(t, file[1], &o), EINVAL, "never saved");
	save(s, 0, NULL, NULL);
	save(t, 2, NULL, NULL);
	o = since(t, NULL);
	fails(cowarena_snapshot_save(s, file[1], &o), EINVAL, "newer");
	o = since(s, NULL);
	fails(cowarena_snapshot_save(foreign, file[1], &o), EINVAL, "two arenas");
	o = since(s, base);
	fails(cowarena_snapshot_save(t, file[1], &o), EINVAL, "give one");
	o = since(NULL, none);
	fails(cowarena_snapshot_save(t, file[1], &o), ENOENT, file[1]);
	o = since(NULL, base);
	fails(cowarena_snapshot_save(foreign, file[1], &o), EINVAL, "another heap");
	ck_assert_int_eq(access(file[1], F_OK), -1);
	/* The parent of a failed save is what it was. */
	save(t, 1, s, NULL);
	const char *lone[] = {file[1], NULL};
	o = since(NULL, lone);
	fails(cowarena_snapshot_save(t, file[3], &o), EINVAL, "options.parents");
	cowarena_destroy(other);
	cowarena_destroy(arena);
	arena = load(CASE_DEFAULT, 1, base);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

START_TEST(parent_was_given_up)
{
	struct cowarena_options a = case_options(CASE_DEFAULT);
	struct cowarena_save_options o;

	a.engine = COWARENA_ENGINE_SIGSEGV;
	a.held_limit = 4 * page_size();
	a.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *arena = cowarena_create(&a);
	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	save(s, 0, NULL, NULL);
	write_pages(p, 2);
	cowarena_snapshot *t = take_snapshot(arena, 0);
	o = since(s, NULL);
	fails(cowarena_snapshot_save(t, file[1], &o), ESTALE, "given up");
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

static void flip(size_t i, off_t at)
{
	unsigned char byte;
	int fd = open(file[i], O_RDWR | O_CLOEXEC);

	ck_assert(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 1;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

START_TEST(loads_that_fail)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	cowarena_snapshot *s[3];

	make_folder();
	char *p = page_block(arena, PAGES);
	write_pages(p, 1);
	for (size_t i = 0; i < 3; i++) {
		write_page(p, i, 2);
		s[i] = take_snapshot(arena, 0);
		save(s[i], i, i ? s[i - 1] : NULL, NULL);
	}
	cowarena_destroy(arena);
	const char *base[] = {file[0], NULL}, *middle[] = {file[1], NULL}, *none[] = {NULL};
	const char *both[] = {file[0], file[1], NULL}, *absent[] = {file[5], file[0], NULL};
	const char *itself[] = {file[2], NULL};
	fails(!load_case(CASE_DEFAULT, 2, NULL), EINVAL, "options.parents");
	fails(!load_case(CASE_DEFAULT, 2, none), EINVAL, "options.parents");
	fails(!load_case(CASE_DEFAULT, 2, base), EINVAL, "options.parents");
	fails(!load_case(CASE_DEFAULT, 2, itself), EINVAL, "options.parents");
	fails(!load_case(CASE_DEFAULT, 2, middle), EINVAL, file[1]);
	fails(!load_case(CASE_DEFAULT, 1, absent), ENOENT, file[5]);
	/* Damage in any of them is found. */
	off_t in_data = (off_t)(page_size() + page_size() / 2);
	for (size_t i = 0; i < 3; i++) {
		flip(i, in_data);
		fails(!load_case(CASE_DEFAULT, 2, both), EBADMSG, file[i]);
		flip(i, in_data);
		flip(i, 8 * 5);
		fails(!load_case(CASE_DEFAULT, 2, both), EBADMSG, file[i]);
		flip(i, 8 * 5);
	}
	cowarena_destroy(load(CASE_DEFAULT, 2, both));
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("increment");
	TCase *tc = tcase_create("chains"), *refused = tcase_create("refused");

	tcase_add_loop_test(tc, chains, 0, CASES);
	tcase_add_loop_test(tc, nothing_has_changed, 0, CASES);
	tcase_add_loop_test(tc, after_a_rollback, 0, CASES);
	tcase_add_loop_test(tc, since_what_was_loaded, 0, CASES);
	tcase_add_loop_test(tc, random_chains, 0, CASES);
	tcase_add_loop_test(tc, saved_while_zeros_come_and_go, 0, CASES);
	tcase_add_loop_test(tc, written_between_two_looks, 0, CASES);
	suite_add_tcase(suite, tc);
	tcase_add_test(refused, saves_that_fail);
	tcase_add_test(refused, parent_was_given_up);
	tcase_add_test(refused, loads_that_fail);
	suite_add_tcase(suite, refused);
	return run_suite(suite);
}
