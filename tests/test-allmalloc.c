/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-allmalloc.c - an arena is the malloc of the process, for the C library and the test alike.
 *
 * So the library's calls of the C library may come back as calls of the heap, while pages are
 * armed. In a child of fork(), memory that the C library has allocated is missing until the child
 * has its copy.
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __GLIBC__ && !SANITIZED

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

/* For the C library too. (The build hides what does not say otherwise.) */
#pragma GCC visibility push(default)
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void *aligned_alloc(size_t align, size_t n);
void free(void *p);
#pragma GCC visibility pop

static cowarena *heap;     /* whose blocks free() takes */
static _Atomic bool serve; /* and malloc() gives */

void *malloc(size_t n)
{
	return serve ? cowarena_alloc(heap, n) : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return serve ? cowarena_calloc(heap, n, size) : __libc_calloc(n, size);
}

void free(void *p)
{
	if (heap && cowarena_contains(heap, p))
		cowarena_free(heap, p);
	else
		__libc_free(p);
}

void *realloc(void *p, size_t n)
{
	bool ours = p ? heap && cowarena_contains(heap, p) : serve;

	return ours ? cowarena_realloc(heap, p, n) : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return serve ? cowarena_aligned_alloc(heap, align, n) : __libc_memalign(align, n);
}

static bool can_replace(void)
{
	if (!getenv("COWARENA_VALGRIND"))
		return true;
	printf("SKIP: the tool has a malloc of its own\n");
	return false;
}

#else

static cowarena *heap;
static _Atomic bool serve;

static bool can_replace(void)
{
	printf("SKIP: only with glibc, and no sanitizer, can malloc be replaced here\n");
	return false;
}

#endif

static void begin(int i, unsigned flags, size_t capacity)
{
	struct cowarena_options o = case_options(i);

	o.flags |= flags;
	if (capacity)
		o.capacity = capacity;
	cowarena *arena = cowarena_create(&o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	heap = arena;
	serve = true;
}

/* From here on Check may have what it likes. (The arena stays: what the C library has in it is
   freed at the end of the process only.) */
static void end(void)
{
	serve = false;
}

#define DEMAND(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			end();                                                                     \
			ck_abort_msg("line %d: %s (%s)", __LINE__, #condition, cowarena_errmsg()); \
		}                                                                                  \
	} while (0)

/* ---- one thread ---- */

static void *allocates(void *p)
{
	for (size_t i = 1; i < 300; i++)
		free(malloc(i * 7));
	return p;
}

static void run_thread(void)
{
	pthread_t thread;

	DEMAND(pthread_create(&thread, NULL, allocates, NULL) == 0);
	DEMAND(pthread_join(thread, NULL) == 0);
}

START_TEST(snapshots_and_rollbacks)
{
	if (!can_replace())
		return;
	begin(_i, 0, 0);
	char *text = malloc(100);
	strcpy(text, "before");
	for (int i = 0; i < 100; i++) {
		cowarena_snapshot *s = cowarena_snapshot_take(heap, i % 2 ? COWARENA_QUIESCENT : 0);
		DEMAND(s);
		cowarena_view *view = cowarena_view_open(s, 0);
		DEMAND(view);
		sprintf(text, "after %f", (double)i);
		char *more = strdup("what a rollback takes away");
		DEMAND(more && cowarena_heap_check(heap, NULL) == 0);
		DEMAND(strcmp(cowarena_view_at(view, text), "before") == 0);
		DEMAND(cowarena_view_close(view) == 0);
		DEMAND(cowarena_rollback(heap, s) == 0);
		DEMAND(strcmp(text, "before") == 0);
		DEMAND(cowarena_snapshot_release(s) == 0);
		if (i % 10 == 0)
			run_thread();
	}
	DEMAND(cowarena_heap_check(heap, NULL) == 0);
	end();
}
END_TEST

/* The C library keeps the values of the first 32 keys in the thread, and of others in memory
   from malloc. */
#define KEYS 40

static void *fails_and_allocates(void *p)
{
	cowarena_prepare_write(NULL, NULL, 0); /* a message of the thread's own */
	return allocates(p);
}

START_TEST(many_keys)
{
	pthread_t thread;
	pthread_key_t key;

	if (!can_replace())
		return;
	for (int i = 0; i < KEYS; i++)
		ck_assert_int_eq(pthread_key_create(&key, NULL), 0);
	begin(_i, 0, 0);
	for (int i = 0; i < 30; i++) {
		DEMAND(pthread_create(&thread, NULL, i % 2 ? allocates : fails_and_allocates, &i) ==
		       0);
		DEMAND(pthread_join(thread, NULL) == 0);
	}
	cowarena_snapshot *s = cowarena_snapshot_take(heap, 0);
	DEMAND(s);
	run_thread();
	DEMAND(cowarena_snapshot_release(s) == 0);
	DEMAND(cowarena_heap_check(heap, NULL) == 0);
	end();
}
END_TEST

/* Each failure has its message, for which there is no memory either. */
static void *meets_the_end(void *p)
{
	bool right = !malloc(1 << 20) && errno == ENOMEM && strstr(cowarena_errmsg(), "capacity");

	return right ? p : NULL;
}

START_TEST(full)
{
	pthread_t thread[20];
	void *result;
	bool right = true;
	size_t started = 0;

	if (!can_replace())
		return;
	begin(_i, 0, 1 << 20);
	while (malloc(1 << 16))
		;
	DEMAND(errno == ENOMEM && strstr(cowarena_errmsg(), "capacity"));
	for (size_t n = 0; n < 20; n++)
		started += pthread_create(&thread[started], NULL, meets_the_end, &thread[n]) == 0;
	for (size_t n = 0; n < started; n++) {
		pthread_join(thread[n], &result);
		right &= result != NULL;
	}
	end();
	ck_assert(right);
	ck_assert_uint_gt(started, 0);
}
END_TEST

/* ---- children ---- */

#define BLOCKS 64

static char *block[BLOCKS];

static void fill_blocks(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc((size_t)100 << i % 8);
		DEMAND(block[i]);
		sprintf(block[i], "block %d", i);
	}
}

static bool blocks_are_whole(void)
{
	char text[32];

	for (int i = 0; i < BLOCKS; i++) {
		snprintf(text, sizeof text, "block %d", i);
		if (strcmp(block[i], text))
			return false;
	}
	return true;
}

/* What a child does with the C library: allocate, look into the locale, start a thread. */
static int child_lives(void)
{
	pthread_t thread;
	char text[64];

	if (!blocks_are_whole())
		return 2;
	snprintf(text, sizeof text, "%'d %.3f %s", 12345, 1.5, strerror(EIO));
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	fill_blocks();
	cowarena_snapshot *s = cowarena_snapshot_take(heap, 0);
	if (!s)
		return 3;
	if (pthread_create(&thread, NULL, allocates, NULL) || pthread_join(thread, NULL))
		return 4;
	block[0][0] = 'B';
	if (cowarena_rollback(heap, s) || !blocks_are_whole() || cowarena_snapshot_release(s))
		return 5;
	return cowarena_heap_check(heap, NULL) ? 6 : 0;
}

static void have_children(int n, int (*lives)(void))
{
	int status;

	for (int i = 0; i < n; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(lives());
		DEMAND(child > 0 && waitpid(child, &status, 0) == child);
		end();
		ck_assert_msg(status == 0, "child %d: status %#x", i, (unsigned)status);
		serve = true;
	}
}

START_TEST(children_with_a_copy)
{
	if (!can_replace() || !children_have_threads(_i))
		return;
	begin(_i, COWARENA_FORK_COPY, 0);
	DEMAND(setlocale(LC_ALL, "C.UTF-8") || setlocale(LC_ALL, "C"));
	fill_blocks();
	have_children(20, child_lives);
	DEMAND(blocks_are_whole());
	end();
}
END_TEST

static int asks_and_lives(void)
{
	return cowarena_after_fork_in_child() ? 1 : child_lives();
}

START_TEST(children_that_ask)
{
	if (!can_replace() || !children_have_threads(_i))
		return;
	begin(_i, 0, 0);
	DEMAND(setlocale(LC_ALL, "C.UTF-8") || setlocale(LC_ALL, "C"));
	fill_blocks();
	have_children(10, asks_and_lives);
	end();
}
END_TEST

/* A second arena, whose copy is made first, has parts that the C library has allocated in the
   first. */
static cowarena *second;
static int *counter;

static int has_both(void)
{
	if (*counter != 42)
		return 7;
	cowarena_snapshot *s = cowarena_snapshot_take(second, 0);
	*counter = 43;
	if (!s || cowarena_rollback(second, s) || *counter != 42 || cowarena_snapshot_release(s))
		return 8;
	return child_lives();
}

START_TEST(children_with_two_arenas)
{
	struct cowarena_options o = case_options(_i);

	if (!can_replace() || !children_have_threads(_i))
		return;
	begin(_i, COWARENA_FORK_COPY, 0);
	DEMAND(setlocale(LC_ALL, "C.UTF-8") || setlocale(LC_ALL, "C"));
	o.flags |= COWARENA_FORK_COPY;
	second = cowarena_create(&o);
	DEMAND(second);
	counter = cowarena_calloc(second, 1, sizeof *counter);
	*counter = 42;
	fill_blocks();
	have_children(10, has_both);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("malloc is an arena");
	TCase *tc = tcase_create("one"), *children = tcase_create("children");

	tcase_add_loop_test(tc, snapshots_and_rollbacks, 0, CASES);
	tcase_add_loop_test(tc, many_keys, 0, CASES);
	tcase_add_loop_test(tc, full, 0, CASES);
	tcase_add_loop_test(children, children_with_a_copy, 0, CASES);
	tcase_add_loop_test(children, children_that_ask, 0, CASES);
	tcase_add_loop_test(children, children_with_two_arenas, 0, CASES);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, children);
	return run_suite(suite);
}
