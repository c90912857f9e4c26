/* SPDX-License-Identifier: BSD-2-Clause */
/* test-lazy.c - heaps that come in as they are touched. (Stores do so in test-store.c too.) */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "error.h"
#include "heap.h"
#include "lazy.h"
#include "loaded-heap.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNKS 4 /* of the block that most tests use */
#define NOT_BAD SIZE_MAX

/*
 * Where a heap comes from in these tests: the bytes of another one. A group of a block that
 * nobody touches is kept back until it is released, so that the heap is not whole before. One of
 * the others may be bad.
 */
struct past {
	char *bytes;
	size_t pages, kept_back; /* group */
	_Atomic size_t bad;      /* group */
	_Atomic bool released;
	_Atomic int ended;
};

static int fetch(void *ctx, size_t first, size_t n, char *to, uint64_t *present)
{
	struct past *p = ctx;
	size_t group = first / LAZY_GROUP;

	if (group == atomic_load(&p->bad))
		return error_set(EBADMSG, "group %zu is bad", group);
	if (group == p->kept_back && !atomic_load(&p->released))
		return error_set(EAGAIN, "group %zu is kept back", group);
	*present = 0;
	for (size_t i = 0; i < n; i++) {
		const char *page = p->bytes + (first + i) * page_size();
		if (!page[0] && !memcmp(page, page + 1, page_size() - 1))
			continue; /* what is there need not be zeros */
		memcpy(to + i * page_size(), page, page_size());
		*present |= (uint64_t)1 << i;
	}
	return 0;
}

static void end(void *ctx)
{
	atomic_fetch_add(&((struct past *)ctx)->ended, 1);
}

static void release(struct past *p)
{
	atomic_store(&p->released, true);
}

/* A byte of the big block: pages differ, and every eighth is zeros. */
static char byte_of(size_t i)
{
	size_t page = i / page_size();

	return page % 8 == 5 ? 0 : (char)(page * 7 + i % 251 + 1);
}

static void check_page(const char *p, size_t page)
{
	for (size_t i = page * page_size(); i < (page + 1) * page_size(); i++)
		if (p[i] != byte_of(i))
			ck_abort_msg("byte %zu, of page %zu, is %d", i, page, p[i]);
}

static size_t block_pages(void)
{
	return CHUNKS * chunk_pages();
}

static void check_block(const char *p)
{
	for (size_t i = 0; i < block_pages(); i++)
		check_page(p, i);
}

/* Make a heap, keep its bytes in `past`, and make it anew from them. NULL where heaps cannot come
   in so; prints why. */
static cowarena *come_in(int kind, struct past *past)
{
	struct cowarena_options o = case_options(kind);
	struct cowarena_options read;
	cowarena *arena = arena_case(kind);
	char *block = chunk_block(arena, CHUNKS);

	for (size_t i = 0; i < block_pages() * page_size(); i++)
		block[i] = byte_of(i);
	cowarena_set_root(arena, block);
	char *guard = cowarena_alloc(arena, 2 * CHUNK);
	memset(guard, 1, 2 * CHUNK);
	struct loaded_heap from = {.path = "the past",
				   .kind = "heap",
				   .base = (uintptr_t)arena->base,
				   .reserved = arena->reserved,
				   .layout = heap_layout(arena)};
	memset(past, 0, sizeof *past);
	past->pages = arena_pages(arena);
	past->kept_back = arena_page(arena, guard + CHUNK) / LAZY_GROUP;
	atomic_store(&past->bad, NOT_BAD);
	past->bytes = malloc(past->pages * page_size());
	memcpy(past->bytes, arena->base, past->pages * page_size());
	cowarena_destroy(arena);

	ck_assert_int_eq(options_read(&read, &o), 0);
	arena = loaded_heap_create(&from, &read, 5);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	struct lazy *lazy = lazy_open(arena);
	if (!lazy) {
		printf("SKIP: %s: no heap comes in as it is touched: %s\n", case_name(kind),
		       error_name(errno));
		cowarena_destroy(arena);
		free(past->bytes);
		return NULL;
	}
	struct lazy_source source = {fetch, end, past};
	ck_assert_msg(!loaded_heap_begin_lazily(arena, lazy, past->pages, &source), "%s",
		      cowarena_errmsg());
	ck_assert_msg(!loaded_heap_attach(arena, false), "%s", cowarena_errmsg());
	return arena;
}

static void finish(cowarena *arena, struct past *past)
{
	release(past);
	ck_assert_msg(!lazy_finish(arena), "%s", cowarena_errmsg());
	ck_assert(!arena_has_absent(arena));
}

static void destroy(cowarena *arena, struct past *past)
{
	cowarena_destroy(arena);
	ck_assert_int_eq(atomic_load(&past->ended), 1);
	free(past->bytes);
}

/* ---- what is touched is there ---- */

START_TEST(touched)
{
	struct past past;
	cowarena *arena = come_in(_i, &past);
	uint64_t state = seed_of_run(7);

	if (!arena)
		return;
	char *block = cowarena_root(arena);
	for (size_t i = 0; i < 2000; i++)
		check_page(block, rng(&state) % block_pages());
	ck_assert(arena_has_absent(arena));
	check_block(block);
	finish(arena, &past);
	check_block(block);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	destroy(arena, &past);
}
END_TEST

/* The kernel's own accesses wait too. */
START_TEST(system_calls)
{
	struct past past;
	cowarena *arena = come_in(_i, &past);
	char *copy = malloc(page_size());
	int ends[2];

	if (!arena)
		return;
	char *block = cowarena_root(arena);
	ck_assert_int_eq(pipe(ends), 0);
	for (size_t page = block_pages(); page--;) {
		char *at = block + page * page_size();
		ck_assert_int_eq(write(ends[1], at, page_size()), (ssize_t)page_size());
		ck_assert_int_eq(read(ends[0], copy, page_size()), (ssize_t)page_size());
		ck_assert_int_eq(memcmp(copy, past.bytes + (at - arena->base), page_size()), 0);
	}
	close(ends[0]);
	close(ends[1]);
	free(copy);
	ck_assert(arena_has_absent(arena));
	finish(arena, &past);
	destroy(arena, &past);
}
END_TEST

/* What was a hole is one again: neither its coming in nor its being read gives it memory for good,
   but a page that was touched too early. */
START_TEST(holes)
{
	struct past past;
	cowarena *arena = come_in(_i, &past);

	if (!arena)
		return;
	finish(arena, &past);
	size_t most = (past.pages - block_pages() / 8 - LAZY_GROUP / 2) * page_size();
	ck_assert_uint_le(os_memory_used(&arena->file), most);
	check_block(cowarena_root(arena));
	destroy(arena, &past);
}
END_TEST

struct reader {
	pthread_t thread;
	const char *block;
	uint64_t seed;
};

static void *read_pages(void *p)
{
	struct reader *r = p;

	for (size_t i = 0; i < 4000; i++)
		check_page(r->block, rng(&r->seed) % block_pages());
	return NULL;
}

START_TEST(many_threads)
{
	struct past past;
	struct reader readers[6];
	cowarena *arena = come_in(_i, &past);

	if (!arena)
		return;
	for (size_t i = 0; i < 6; i++) {
		readers[i] = (struct reader){.block = cowarena_root(arena), .seed = i + 1};
		pthread_create(&readers[i].thread, NULL, read_pages, &readers[i]);
	}
	for (size_t i = 0; i < 6; i++)
		pthread_join(readers[i].thread, NULL);
	ck_assert(arena_has_absent(arena));
	finish(arena, &past);
	destroy(arena, &past);
}
END_TEST

/* ---- snapshots meanwhile ---- */

/* A snapshot has what was not there when it was taken; so has a rollback to it. */
START_TEST(snapshots)
{
	struct past past;
	cowarena *arena = come_in(_i, &past);
	char *copy = malloc(page_size());
	uint64_t state = seed_of_run(3);

	if (!arena)
		return;
	char *block = cowarena_root(arena);
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
	ck_assert_msg(s != NULL, "%s", cowarena_errmsg());
	for (size_t round = 0; round < 3; round++) {
		cowarena_snapshot *later = NULL;
		for (size_t i = 0; i < 1500; i++) {
			size_t page = rng(&state) % block_pages();
			block[page * page_size() + 9] ^= 1;
			if (i == 700)
				later = cowarena_snapshot_take(arena, 0);
		}
		ck_assert_ptr_nonnull(later);
		for (size_t page = 0; page < block_pages(); page++) {
			ck_assert_int_eq(cowarena_snapshot_read(s, copy, block + page * page_size(),
								page_size()),
					 0);
			ck_assert_int_eq(
			    memcmp(copy, past.bytes + (block - arena->base) + page * page_size(),
				   page_size()),
			    0);
		}
		ck_assert_int_eq(cowarena_snapshot_release(later), 0);
		ck_assert_msg(!cowarena_rollback(arena, s), "%s", cowarena_errmsg());
		check_block(block);
		/* Nothing is mapped in its place, though the writes were scattered. */
		ck_assert(arena_has_absent(arena));
		ck_assert_uint_eq(atomic_load(&arena->privates.chunks), 0);
	}
	finish(arena, &past);
	check_block(block);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	free(copy);
	destroy(arena, &past);
}
END_TEST

/* When all is there, chunks become what they would have become. */
START_TEST(chunks_afterwards)
{
	struct past past;
	cowarena *arena = come_in(CASE_MIXED, &past);
	uint64_t state = 11;

	if (!arena)
		return;
	char *block = cowarena_root(arena);
	finish(arena, &past);
	for (size_t round = 0; round < 6; round++) {
		cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
		for (size_t i = 0; i < block_pages() / 2; i++)
			block[rng(&state) % block_pages() * page_size()]++;
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	}
	struct cowarena_stats stats = stats_of(arena);
	ck_assert(!private_works(arena) || atomic_load(&arena->privates.chunks) > 0 ||
		  stats.faults > 0);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	destroy(arena, &past);
}
END_TEST

/* ---- the heap meanwhile ---- */

START_TEST(heap)
{
	struct past past;
	cowarena *arena = come_in(_i, &past);
	char *blocks[400];

	if (!arena)
		return;
	for (size_t i = 0; i < 400; i++) {
		blocks[i] = cowarena_calloc(arena, 1, 100 + i * 40);
		ck_assert_ptr_nonnull(blocks[i]);
		ck_assert_int_eq(blocks[i][99 + i * 40], 0);
		blocks[i][0] = (char)i;
	}
	/* No memory that might come in again is given back. */
	char *big = cowarena_alloc(arena, 4 * CHUNK);
	memset(big, 1, 4 * CHUNK);
	cowarena_free(arena, big);
	cowarena_trim(arena);
	ck_assert(arena_has_absent(arena));
	check_block(cowarena_root(arena));
	finish(arena, &past);
	cowarena_trim(arena);
	for (size_t i = 0; i < 400; i++) {
		ck_assert_int_eq(blocks[i][0], (char)i);
		cowarena_free(arena, blocks[i]);
	}
	check_block(cowarena_root(arena));
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	destroy(arena, &past);
}
END_TEST

/* The arena may go before all has come. */
START_TEST(destroyed)
{
	for (size_t i = 0; i < 8; i++) {
		struct past past;
		cowarena *arena = come_in(_i, &past);
		if (!arena)
			return;
		if (i % 2)
			check_page(cowarena_root(arena), i);
		release(&past);
		destroy(arena, &past);
	}
}
END_TEST

/* ---- those who wait until all is there ---- */

static void *release_soon(void *p)
{
	usleep(20000);
	release(p);
	return NULL;
}

START_TEST(view)
{
	struct past past;
	pthread_t thread;
	cowarena *arena = come_in(_i, &past);

	if (!arena)
		return;
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
	pthread_create(&thread, NULL, release_soon, &past);
	cowarena_view *v = cowarena_view_open(s, 0);
	ck_assert_msg(v != NULL, "%s", cowarena_errmsg());
	ck_assert(!arena_has_absent(arena));
	check_block(cowarena_view_at(v, cowarena_root(arena)));
	pthread_join(thread, NULL);
	ck_assert_int_eq(cowarena_view_close(v), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	destroy(arena, &past);
}
END_TEST

START_TEST(child)
{
	struct past past;
	pthread_t thread;
	cowarena *arena = come_in(_i, &past);
	int status;

	if (!arena)
		return;
	pthread_create(&thread, NULL, release_soon, &past);
	pid_t pid = fork();
	if (pid == 0) {
		if (cowarena_after_fork_in_child())
			_exit(1);
		const char *block = cowarena_root(arena);
		for (size_t i = 0; i < block_pages() * page_size(); i++)
			if (block[i] != byte_of(i))
				_exit(2);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	pthread_join(thread, NULL);
	check_block(cowarena_root(arena));
	destroy(arena, &past);
}
END_TEST

/* ---- what cannot be fetched ---- */

START_TEST(bad)
{
	struct past past;
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	cowarena *arena = come_in(_i, &past);

	if (!arena)
		return;
	atomic_store(&past.bad, past.kept_back);
	ck_assert_int_eq(lazy_finish(arena), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "is bad"));
	cowarena_snapshot *s = cowarena_snapshot_take(arena, 0);
	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_null(cowarena_view_open(s, 0));
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(cowarena_snapshot_save(s, "/tmp/cowarena-not-made", &o), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(access("/tmp/cowarena-not-made", F_OK), -1);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	/* The rest can be used. */
	check_block(cowarena_root(arena));
	destroy(arena, &past);
}
END_TEST

static void touch_bad(void *unused)
{
	struct past past;
	cowarena *arena = come_in(CASE_DEFAULT, &past);

	(void)unused;
	if (!arena)
		return;
	const char *block = cowarena_root(arena);
	size_t page = arena_page(arena, block) + block_pages() / 2;
	atomic_store(&past.bad, page / LAZY_GROUP); /* unless it is there already */
	const char *at = arena_address(arena, page / LAZY_GROUP * LAZY_GROUP);
	fprintf(stderr, "%s\n", *at == byte_of((size_t)(at - block)) ? "right" : "wrong");
}

/* The process ends rather than see other bytes. */
START_TEST(bad_touched)
{
	char *output;
	int status = in_child(touch_bad, NULL, &output);

	ck_assert_ptr_null(strstr(output, "wrong"));
	if (strstr(output, "is bad")) {
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%d", status);
		ck_assert_ptr_nonnull(strstr(output, "cannot be loaded"));
	} else {
		ck_assert_int_eq(status, 0);
	}
	free(output);
}
END_TEST

static void close_all(void *unused)
{
	struct past past;
	cowarena *arena = come_in(CASE_DEFAULT, &past);

	(void)unused;
	if (!arena)
		return;
	for (int fd = 3; fd < 100; fd++)
		close(fd);
	release(&past);
	lazy_finish(arena);
	fputs("went on\n", stderr);
}

START_TEST(descriptor_closed)
{
	char *output;
	int status = in_child(close_all, NULL, &output);

	if (strstr(output, "has closed the descriptor"))
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%d", status);
	free(output);
}
END_TEST

/* ---- images ---- */

static char path[] = "/tmp/cowarena-lazy.XXXXXX";

static void make_path(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static cowarena *load(int kind, const char *file, const char *const *parents)
{
	struct cowarena_options a = case_options(kind);
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;

	o.flags = COWARENA_LOAD_LAZY;
	o.arena = &a;
	o.parents = parents;
	return cowarena_load(file, &o);
}

/* Two images, one of which has what was changed since the other one. */
static void save_two(int kind, char *second)
{
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	cowarena *arena = arena_case(kind);
	char *block = chunk_block(arena, CHUNKS);

	cowarena_set_root(arena, block);
	for (size_t i = 0; i < block_pages() * page_size(); i++)
		block[i] = i / page_size() % 3 ? byte_of(i) : 1;
	cowarena_snapshot *first = cowarena_snapshot_take(arena, 0);
	ck_assert_int_eq(cowarena_snapshot_save(first, path, &o), 0);
	for (size_t i = 0; i < block_pages() * page_size(); i++)
		block[i] = byte_of(i);
	cowarena_snapshot *then = cowarena_snapshot_take(arena, 0);
	o.parent = first;
	ck_assert_int_eq(cowarena_snapshot_save(then, second, &o), 0);
	ck_assert_int_eq(cowarena_snapshot_release(first), 0);
	ck_assert_int_eq(cowarena_snapshot_release(then), 0);
	cowarena_destroy(arena);
}

/* (Where an engine does not go with it, the image is loaded at once.) */
START_TEST(images)
{
	char second[sizeof path + 2], first[sizeof path];

	make_path();
	snprintf(second, sizeof second, "%s.2", path);
	memcpy(first, path, sizeof first);
	save_two(_i, second);
	const char *parents[] = {first, NULL};
	errno = 77;
	cowarena *arena = load(_i, second, parents);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	ck_assert_int_eq(errno, 77);
	/* The caller's strings, and the names of the files, are of no use any more. */
	memset(first, 0, sizeof first);
	memset(second, 0, sizeof path - 1);
	unlink(path);
	check_block(cowarena_root(arena));
	ck_assert_int_eq(lazy_finish(arena), 0);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	cowarena_destroy(arena);
	snprintf(second, sizeof second, "%s.2", path);
	ck_assert_int_eq(unlink(second), 0);
}
END_TEST

/* Damage is found when the pages come in, and the message names the file. */
START_TEST(damaged_image)
{
	char second[sizeof path + 2], name[sizeof path];

	make_path();
	snprintf(second, sizeof second, "%s.2", path);
	save_two(CASE_DEFAULT, second);
	ck_assert_int_eq(unlink(second), 0);
	int fd = open(path, O_RDWR);
	off_t at = (off_t)(block_pages() / 2 * page_size());
	ck_assert_int_eq(pwrite(fd, "?", 1, at), 1);
	close(fd);
	memcpy(name, path, sizeof name);
	cowarena *arena = load(CASE_DEFAULT, name, NULL);
	memset(name, 0, sizeof name);
	if (arena) {
		ck_assert_int_eq(lazy_finish(arena), -1);
		cowarena_destroy(arena);
	}
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), path));
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lazy");
	TCase *tc = tcase_create("lazy");

	tcase_add_loop_test(tc, touched, 0, CASES);
	tcase_add_loop_test(tc, system_calls, 0, CASES);
	tcase_add_loop_test(tc, holes, 0, CASES);
	tcase_add_loop_test(tc, many_threads, 0, CASES);
	tcase_add_loop_test(tc, snapshots, 0, CASES);
	tcase_add_test(tc, chunks_afterwards);
	tcase_add_loop_test(tc, heap, 0, CASES);
	tcase_add_loop_test(tc, destroyed, 0, CASES);
	tcase_add_loop_test(tc, view, 0, CASES);
	tcase_add_loop_test(tc, child, 0, CASES);
	tcase_add_loop_test(tc, bad, 0, CASES);
	tcase_add_test(tc, bad_touched);
	tcase_add_test(tc, descriptor_closed);
	tcase_add_loop_test(tc, images, 0, CASES);
	tcase_add_test(tc, damaged_image);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
