/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-store-cuts.c - stores after a power cut, a kill or a failure at any call: what is found is
 * one of the states that were asked for, the last one that was acknowledged or a later one.
 */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "store-disk.h"
#include "store-handle.h"
#include "track.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static char folder[] = "/tmp/cowarena-cuts.XXXXXX";
static char path[sizeof folder + 8], cut_path[sizeof folder + 8];

static void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/store", folder);
	snprintf(cut_path, sizeof cut_path, "%s/cut", folder);
}

static void remove_folder(void)
{
	unlink(path);
	unlink(cut_path);
	ck_assert_int_eq(rmdir(folder), 0);
}

static cowarena_store *open_at(const char *at)
{
	struct cowarena_options a = COWARENA_OPTIONS_INIT;
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	a.capacity = (size_t)4 << 20; /* a small heap */
	a.flags = COWARENA_NO_HELPER;
	a.engine = COWARENA_ENGINE_SIGSEGV;
	o.arena = &a;
	return cowarena_store_open(at, &o);
}

static cowarena_store *must_open(const char *at)
{
	cowarena_store *store = open_at(at);

	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
	return store;
}

/* ---- states ---- */

#define NAMES 4

/* What a heap is: of all its pages, those of zeros count nothing. 0: none. */
struct state {
	uint64_t heap;
	uint64_t name[NAMES]; /* what the heap of that name is; 0: there is none */
};

static uint64_t page_sum(uint64_t page, const void *bytes)
{
	return XXH3_64bits_withSeed(bytes, page_size(), page);
}

static uint64_t live_sum(cowarena *arena)
{
	static char page[65536];
	uint64_t sum = 0;

	for (size_t i = 0; i < arena_pages(arena); i++) {
		track_copy(page, arena_address(arena, i), page_size()); /* parts are in no block */
		track_read(page, page_size());
		if (!track_is_zeros(page, page_size()))
			sum += page_sum(i, page);
	}
	return sum;
}

struct reader {
	const struct store_file *file;
	uint64_t sum;
};

static int add_page(void *ctx, unsigned level, uint64_t index, const struct store_entry *e)
{
	static char page[65536];
	struct reader *r = ctx;

	if (level)
		return 0;
	if (store_file_block(r->file, e, level, index, page))
		return -1;
	r->sum += page_sum(index, page);
	return 0;
}

static uint64_t root_sum(const struct store_file *f, const struct store_root *root, uint64_t length)
{
	struct reader r = {f, 0};

	ck_assert_msg(store_file_walk(f, root, length, add_page, &r) == 0, "%s", cowarena_errmsg());
	return r.sum;
}

static void read_names(const struct store_file *f, const struct store_slot *slot, struct state *s)
{
	static uint64_t block[65536 / 8];
	struct store_table *t = (void *)block;
	const struct store_name *name = (void *)(t + 1);

	if (!slot->names.block)
		return;
	ck_assert_msg(store_file_block(f, &slot->names, STORE_AT_TABLE, 0, block) == 0, "%s",
		      cowarena_errmsg());
	store_swap(t, sizeof *t);
	for (size_t i = 0; i < t->names; i++) {
		struct store_root root = name[i].root;
		store_swap(&root, sizeof root);
		ck_assert_uint_eq(strlen(name[i].name), 1);
		s->name[name[i].name[0] - 'a'] = root_sum(f, &root, slot->length);
	}
}

/* What the library's own reading finds in a file, all of it. */
static struct state state_of_file(const char *at)
{
	struct store_file f = {.path = at};
	struct store_slot slot;
	struct state s = {0};
	unsigned which;

	ck_assert_msg(store_file_open(&f, at, false) == 0 &&
			  store_file_slot(&f, &slot, &which) == 0,
		      "%s", cowarena_errmsg());
	s.heap = root_sum(&f, &slot.root, slot.length);
	read_names(&f, &slot, &s);
	os_file_close(&f.file);
	return s;
}

static bool same(const struct state *a, const struct state *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* ---- a history ---- */

#define EVENTS 60
#define PAGES 14

/* The states that were asked for, in their order; and after how many calls each was acknowledged,
   SIZE_MAX for never. */
static struct {
	struct state state[EVENTS + 1];
	size_t asked[EVENTS + 1], acknowledged[EVENTS + 1];
	size_t n;
	size_t opened; /* after so many calls */
} history;

static unsigned char *block;
static void **small; /* in the heap, which may be restored */

static void write_some(cowarena *arena, uint64_t *state)
{
	for (size_t n = 1 + rng(state) % 5; n--;)
		block[rng(state) % PAGES * page_size() + rng(state) % page_size()]++;
	for (size_t n = rng(state) % 4; n--;) {
		size_t i = rng(state) % 30;
		cowarena_free(arena, small[i]);
		small[i] = cowarena_alloc(arena, rng(state) % 9000);
	}
	(*(uint64_t *)block)++; /* no two states are the same */
	if (rng(state) % 8 == 0)
		memset(block + rng(state) % PAGES * page_size(), 0, page_size());
}

/* One of the calls that change the file. Returns its result; *next: the state that it asks for. */
static int call_store(cowarena_store *store, const struct state *now, struct state *next,
		      uint64_t *state)
{
	unsigned what = (unsigned)(rng(state) % 8);
	char name[2] = {(char)('a' + rng(state) % NAMES), 0};
	uint64_t *there = &next->name[name[0] - 'a'];

	*next = *now;
	if (what == 0 && now->heap && !*there) {
		*there = now->heap;
		return cowarena_store_keep(store, name);
	}
	if (what <= 1 && *there) {
		*there = 0;
		return cowarena_store_drop(store, name);
	}
	next->heap = live_sum(cowarena_store_arena(store));
	if (what > 2)
		return cowarena_store_checkpoint(store, 0);
	if (cowarena_store_checkpoint(store, COWARENA_STORE_ASYNC))
		return -1;
	return cowarena_store_wait(store);
}

/* The process ends without a word to the file, and another one finds what the kernel has: perhaps a
   slot that no disk has, of which a sync has failed. */
static cowarena_store *open_again(cowarena_store *store, struct state *now)
{
	size_t i = history.n++;

	cowarena_store_close(store);
	history.asked[i] = disk_calls();
	store = must_open(path);
	*now = state_of_file(path);
	history.state[i] = *now;
	history.acknowledged[i] = disk_calls();
	return store;
}

/* A store lives for a while; failures: some of its calls fail. */
static void make_history(uint64_t *state, bool failures)
{
	struct state now = {0}, next;

	disk_forget();
	memset(&history, 0, sizeof history);
	unlink(path);
	os_store_hook = disk_record;
	cowarena_store *store = must_open(path);
	history.opened = disk_calls();
	cowarena *arena = cowarena_store_arena(store);
	block = (unsigned char *)page_block(arena, PAGES);
	memset(block, 0, PAGES * page_size());
	small = cowarena_calloc(arena, 30, sizeof *small);
	ck_assert_ptr_nonnull(small);
	history.n = 1;
	while (history.n < EVENTS) {
		if (now.heap && rng(state) % 8 == 0) {
			store = open_again(store, &now);
			arena = cowarena_store_arena(store);
		}
		size_t i = history.n;
		write_some(arena, state);
		/* (A restore is a write like any other.) */
		char name[2] = {(char)('a' + rng(state) % NAMES), 0};
		if (rng(state) % 10 == 0 && now.name[name[0] - 'a'])
			ck_assert_msg(cowarena_store_restore(store, name) == 0, "%s",
				      cowarena_errmsg());
		(*(uint64_t *)block) = i * 1000;
		history.asked[i] = disk_calls();
		if (failures && rng(state) % 3 == 0)
			disk_fail_at(1 + rng(state) % 8, rng(state) % 2 ? EIO : ENOSPC, rng(state));
		int result = call_store(store, &now, &next, state);
		if (!disk_fail_at(0, 0, 0))
			ck_assert_msg(result == 0, "%s", cowarena_errmsg());
		history.state[i] = next;
		history.acknowledged[i] = result ? SIZE_MAX : disk_calls();
		if (!result)
			now = next;
		history.n++;
	}
	if (cowarena_store_close(store)) /* as the last one has ended */
		ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "cannot be written"));
	os_store_hook = NULL;
}

/* Whether a state may be found after a cut after so many calls. */
static bool allowed(const struct state *s, size_t calls)
{
	size_t last = 0;

	for (size_t i = 1; i < history.n; i++)
		if (history.acknowledged[i] < calls ||
		    (calls == disk_calls() && history.acknowledged[i] == calls))
			last = i;
	for (size_t i = last; i < history.n; i++)
		if ((i == last || history.asked[i] < calls) && same(&history.state[i], s))
			return true;
	return false;
}

/* The library opens it, goes on with it, and finds what it has added. */
static void go_on(void)
{
	struct state s = state_of_file(cut_path);
	cowarena_store *store = must_open(cut_path);
	cowarena *arena = cowarena_store_arena(store);

	if (s.heap)
		ck_assert_uint_eq(live_sum(arena), s.heap);
	ck_assert_msg(!cowarena_heap_check(arena, NULL), "%s", cowarena_errmsg());
	char *p = cowarena_alloc(arena, 5000);
	memset(p, 0x55, 5000);
	ck_assert_msg(!cowarena_store_checkpoint(store, 0), "%s", cowarena_errmsg());
	uint64_t sum = live_sum(arena);
	ck_assert_int_eq(cowarena_store_close(store), 0);
	struct state after = state_of_file(cut_path);
	s.heap = sum;
	ck_assert(same(&s, &after));
}

static void check_cut(size_t calls, uint64_t *state, bool opens)
{
	uint64_t seed = *state;

	if (!disk_make(cut_path, calls, state)) {
		ck_assert_msg(calls <= history.opened, "the name is lost");
		return;
	}
	struct state s = state_of_file(cut_path);
	ck_assert_msg(allowed(&s, calls), "a cut after %zu of %zu calls, state %llu", calls,
		      disk_calls(), (unsigned long long)seed);
	if (opens)
		go_on();
}

START_TEST(power_cuts)
{
	uint64_t state = seed_of_run(31 + (uint64_t)_i);
	size_t histories = scaled(10, 100, 2), cuts = scaled(100, 1000, 25), done = 0;

	make_folder();
	for (size_t i = 0; i < histories; i++) {
		make_history(&state, _i);
		for (size_t j = 0; j < cuts; j++, done++)
			check_cut(1 + rng(&state) % disk_calls(), &state, j % 20 == 0);
	}
	printf("%zu states after power cuts%s\n", done, _i ? ", of stores with failures" : "");
	disk_forget();
	remove_folder();
}
END_TEST

/* At each call of one history, several times. */
START_TEST(cut_everywhere)
{
	uint64_t state = seed_of_run(35);

	make_folder();
	make_history(&state, false);
	for (size_t calls = 1; calls <= disk_calls(); calls++)
		for (size_t i = 0; i < scaled(4, 100, 1); i++)
			check_cut(calls, &state, false);
	disk_forget();
	remove_folder();
}
END_TEST

/* ---- failures and kills at the n-th call ---- */

#define STEPS 8

/* Shared with the child: the last number that was asked for, and that was acknowledged. */
static struct {
	_Atomic unsigned asked, acknowledged;
	_Atomic bool opened;
} * progress;

static void fill_block(unsigned char *p, unsigned number)
{
	for (size_t i = 0; i < PAGES; i++)
		if (i % 3 != number % 3 || !number)
			memset(p + i * page_size(), (int)(number + i), page_size());
	*(unsigned *)p = number;
}

static unsigned char *first_block(cowarena_store *store)
{
	cowarena *arena = cowarena_store_arena(store);

	if (cowarena_root(arena))
		return cowarena_root(arena);
	unsigned char *p = (unsigned char *)page_block(arena, PAGES);
	memset(p, 0, PAGES * page_size());
	cowarena_set_root(arena, p);
	return p;
}

/* The script; what fails is left out. Returns whether all has worked. */
static bool run_script(void)
{
	bool worked = true;
	cowarena_store *store = open_at(path);

	if (!store)
		return false;
	atomic_store(&progress->opened, true);
	unsigned char *p = first_block(store);
	for (unsigned i = 1; i <= STEPS; i++) {
		fill_block(p, i);
		atomic_store(&progress->asked, i);
		int failed = cowarena_store_checkpoint(store, i % 3 ? 0 : COWARENA_STORE_ASYNC);
		if (!failed && i % 3 == 0)
			failed = cowarena_store_wait(store);
		if (!failed)
			atomic_store(&progress->acknowledged, i);
		if (i == 2 || i == 5)
			failed |= cowarena_store_keep(store, i == 2 ? "two" : "five");
		if (i == 6)
			failed |= cowarena_store_drop(store, "two");
		worked = worked && !failed;
	}
	worked = cowarena_store_close(store) == 0 && worked;
	return worked;
}

/* Numbers below 3 left pages alone that later ones have written: so all are to be compared. */
static void check_block(const unsigned char *p, unsigned number)
{
	static unsigned char expected[PAGES * 65536];

	memset(expected, 0, sizeof expected);
	for (unsigned i = 1; i <= number; i++)
		fill_block(expected, i);
	ck_assert_msg(memcmp(p, expected, PAGES * page_size()) == 0, "state %u", number);
}

/* What is there now is at or after what was acknowledged. */
static void check_script(void)
{
	cowarena_store *store = must_open(path);
	const unsigned char *p = cowarena_root(cowarena_store_arena(store));
	unsigned number = p ? *(const unsigned *)p : 0;

	ck_assert_uint_ge(number, atomic_load(&progress->acknowledged));
	ck_assert_uint_le(number, atomic_load(&progress->asked));
	if (p)
		check_block(p, number);
	ck_assert_msg(!cowarena_heap_check(cowarena_store_arena(store), NULL), "%s",
		      cowarena_errmsg());
	ck_assert_int_eq(cowarena_store_close(store), 0);
}

static _Atomic size_t calls_left;
static int with;
static bool torn;

/* The n-th call kills, a write perhaps after a part of it. */
static int kill_at(const struct os_store_call *call)
{
	if (atomic_fetch_sub(&calls_left, 1) != 1)
		return 0;
	if (call->kind == OS_STORE_WRITE && torn &&
	    pwrite(call->fd, call->p, call->n / 2 + 100, (off_t)call->offset) < 0)
		abort();
	kill(getpid(), SIGKILL);
	pause();
	return EIO;
}

static int fail_at(const struct os_store_call *call)
{
	if (atomic_fetch_sub(&calls_left, 1) != 1)
		return 0;
	if (call->kind == OS_STORE_WRITE && torn &&
	    pwrite(call->fd, call->p, call->n / 2 + 100, (off_t)call->offset) < 0)
		abort();
	return with;
}

static void begin_script(size_t n)
{
	if (!progress)
		progress = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(progress, MAP_FAILED);
	atomic_store(&progress->asked, 0);
	atomic_store(&progress->acknowledged, 0);
	atomic_store(&progress->opened, false);
	atomic_store(&calls_left, n);
	char command[sizeof folder + 16];
	snprintf(command, sizeof command, "rm -f %s/*", folder);
	ck_assert_int_eq(system(command), 0);
}

static void run_and_die(void *ctx)
{
	(void)ctx;
	os_store_hook = kill_at;
	_exit(run_script() ? 0 : 1);
}

START_TEST(killed_at_each_call)
{
	int status = 1;
	size_t n = 1;

	make_folder();
	for (; status; n += scaled(1, 1, 9)) {
		torn = (_i + n) % 2;
		begin_script(n);
		status = in_child(run_and_die, NULL, NULL);
		ck_assert(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
		if (atomic_load(&progress->opened))
			check_script();
		/* A file that is there is whole. */
		else if (access(path, F_OK) == 0)
			check_script();
		if (status)
			begin_script(0);
	}
	printf("killed at each of %zu calls\n", n - 2);
	begin_script(0);
	remove_folder();
}
END_TEST

START_TEST(failed_at_each_call)
{
	static const int errnums[] = {ENOSPC, EIO, EDQUOT};
	bool all = false;
	size_t n = 1, descriptors = descriptors_now();

	make_folder();
	with = errnums[_i];
	for (; !all; n++) {
		torn = n % 2;
		begin_script(n);
		os_store_hook = fail_at;
		all = run_script();
		os_store_hook = NULL;
		/* A cut or a hole may fail, and the name of a file that opens may be lost. */
		bool met = atomic_load(&calls_left) == 0 || atomic_load(&calls_left) > n;
		ck_assert(met || all);
		all = all && !met;
		if (access(path, F_OK) == 0)
			check_script();
		else
			ck_assert(!atomic_load(&progress->opened));
		ck_assert_uint_eq(descriptors_now(), descriptors);
	}
	printf("each of %zu calls failed\n", n - 2);
	begin_script(0);
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store-cuts");
	TCase *tc = tcase_create("cuts"), *each = tcase_create("each");

	tcase_add_loop_test(tc, power_cuts, 0, 2);
	tcase_add_test(tc, cut_everywhere);
	suite_add_tcase(suite, tc);
	tcase_add_loop_test(each, killed_at_each_call, 0, 2);
	tcase_add_loop_test(each, failed_at_each_call, 0, 3);
	suite_add_tcase(suite, each);
	return run_suite(suite);
}
