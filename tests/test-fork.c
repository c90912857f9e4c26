/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-fork.c - arenas in children of fork() that ask for a copy, and in programs started by
 * exec().
 *
 * test-faults.c has a child that touches an arena without a copy.
 */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "fork.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define BIG_CHUNKS 3

struct scene {
	cowarena *arena;
	cowarena_snapshot *s;
	cowarena_view *view;
	char *big;    /* chunks, of which some pages were never touched */
	char **names; /* small blocks */
	char *expected;
};

#define NAMES 500

static void make(struct scene *scene, int i, unsigned flags)
{
	struct cowarena_options o = case_options(i);
	char text[32];

	o.flags |= flags | forking_flags();
	scene->arena = cowarena_create(&o);
	ck_assert_msg(scene->arena != NULL, "%s", cowarena_errmsg());
	scene->big = chunk_block(scene->arena, BIG_CHUNKS);
	memset(scene->big + CHUNK, 'a', CHUNK / 2);
	scene->names = cowarena_calloc(scene->arena, NAMES, sizeof *scene->names);
	for (int j = 0; j < NAMES; j++) {
		snprintf(text, sizeof text, "name %d", j);
		scene->names[j] = cowarena_strdup(scene->arena, text);
	}
	cowarena_set_root(scene->arena, scene->names);
	scene->s = take_snapshot(scene->arena, 0);
	scene->view = cowarena_view_open(scene->s, 0);
	ck_assert(scene->s && scene->view);
	/* Some pages changed since the snapshot. */
	memset(scene->big + CHUNK, 'b', 3 * page_size());
	scene->big[2 * CHUNK] = 'c';
	scene->expected = malloc(BIG_CHUNKS * CHUNK);
	memcpy(scene->expected, scene->big, BIG_CHUNKS * CHUNK);
}

static void unmake(struct scene *scene)
{
	cowarena_destroy(scene->arena);
	free(scene->expected);
}

#define DEMAND(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s (errno %d, %s)\n", __LINE__, #condition,      \
				errno, cowarena_errmsg());                                         \
			_exit(3);                                                                  \
		}                                                                                  \
	} while (0)

static void check_heap(const struct scene *scene)
{
	char text[32];

	DEMAND(cowarena_root(scene->arena) == scene->names);
	for (int j = 0; j < NAMES; j++) {
		snprintf(text, sizeof text, "name %d", j);
		DEMAND(strcmp(scene->names[j], text) == 0);
	}
	DEMAND(memcmp(scene->big, scene->expected, BIG_CHUNKS * CHUNK) == 0);
}

/* All that an arena is for. */
static void live_on(struct scene *scene)
{
	char byte = 0;
	cowarena_snapshot *s = take_snapshot(scene->arena, 0);

	DEMAND(s);
	for (size_t i = 0; i < BIG_CHUNKS * CHUNK; i += CHUNK / 8)
		scene->big[i + 5] = 'z';
	strcpy(scene->names[7], "other");
	char *more = cowarena_calloc(scene->arena, 1, 3 * CHUNK);
	DEMAND(more);
	memset(more, 'm', 3 * CHUNK);
	DEMAND(cowarena_snapshot_read(s, &byte, scene->big + CHUNK + 5, 1) == 0 && byte == 'b');
	cowarena_view *view = cowarena_view_open(s, 0);
	DEMAND(view && strcmp(cowarena_view_at(view, scene->names[7]), "name 7") == 0);
	scene->big[6] = 1;
	DEMAND(*(char *)cowarena_view_at(view, scene->big + 6) == 0);
	DEMAND(cowarena_view_check(view) == 0 && cowarena_view_close(view) == 0);
	DEMAND(cowarena_compact(scene->arena) == 0);
	DEMAND(cowarena_rollback(scene->arena, s) == 0);
	check_heap(scene);
	DEMAND(cowarena_snapshot_release(s) == 0);
	cowarena_free(scene->arena, scene->names[7]);
	scene->names[7] = cowarena_strdup(scene->arena, "name 7");
}

/* What was a snapshot of the parent's says so. */
static void check_lost(struct scene *scene)
{
	char byte;

	errno = 0;
	DEMAND(cowarena_snapshot_read(scene->s, &byte, scene->big, 1) == -1 && errno == ESTALE);
	DEMAND(strstr(cowarena_errmsg(), "fork()"));
	errno = 0;
	DEMAND(cowarena_rollback(scene->arena, scene->s) == -1 && errno == ESTALE);
	DEMAND(!cowarena_view_open(scene->s, 0) && errno == ESTALE);
	DEMAND(cowarena_view_check(scene->view) == -1);
	DEMAND(cowarena_view_range(scene->view, NULL, NULL) == -1);
	DEMAND(!cowarena_view_at(scene->view, scene->big));
	DEMAND(cowarena_snapshot_release(scene->s) == -1 && errno == EBUSY);
	errno = 0;
	DEMAND(cowarena_view_close(scene->view) == -1 && errno == ESTALE);
	DEMAND(cowarena_snapshot_release(scene->s) == 0);
	DEMAND(stats_of(scene->arena).snapshots_live == 0);
}

/* ---- with COWARENA_FORK_COPY ---- */

static void in_grandchild(void *arg)
{
	check_heap(arg);
	live_on(arg);
}

static void in_copied_child(void *arg)
{
	struct scene *scene = arg;

	DEMAND(cowarena_after_fork_in_child() == 0); /* nothing is left to do */
	check_heap(scene);
	check_lost(scene);
	live_on(scene);
	DEMAND(in_child(in_grandchild, scene, NULL) == 0);
	memset(scene->big, 'x', BIG_CHUNKS * CHUNK);
	cowarena_destroy(scene->arena);
	cowarena *another = cowarena_create(NULL);
	DEMAND(another);
	cowarena_destroy(another);
}

static void run_child(void (*fn)(void *), void *arg)
{
	char *said;
	int status = in_child(fn, arg, &said);

	ck_assert_msg(status == 0, "status %#x: %s", (unsigned)status, said);
	free(said);
}

START_TEST(a_copy_of_each)
{
	struct scene scene;
	char byte;

	if (!children_have_threads(_i))
		return;
	make(&scene, _i, COWARENA_FORK_COPY);
	size_t descriptors = descriptors_now();
	for (int round = 0; round < 2; round++) {
		run_child(in_copied_child, &scene);
		check_heap(&scene);
		ck_assert(cowarena_snapshot_read(scene.s, &byte, scene.big + CHUNK, 1) == 0 &&
			  byte == 'a');
		ck_assert_int_eq(*(char *)cowarena_view_at(scene.view, scene.big + CHUNK), 'a');
		ck_assert_int_eq(cowarena_view_check(scene.view), 0);
		live_on(&scene);
	}
	ck_assert_uint_eq(descriptors_now(), descriptors);
	unmake(&scene);
}
END_TEST

/* ---- the child asks for it ---- */

static void in_asking_child(void *arg)
{
	struct scene *scene = arg;
	size_t descriptors = descriptors_now();

	DEMAND(cowarena_after_fork_in_child() == 0);
	DEMAND(cowarena_after_fork_in_child() == 0);
	check_heap(scene);
	check_lost(scene);
	live_on(scene);
	/* Those of the parent's are closed: that of the memory now, up to four others by fork()
	   already. */
	DEMAND(descriptors_now() <= descriptors + 4);
	memset(scene->big, 'x', BIG_CHUNKS * CHUNK);
	cowarena_destroy(scene->arena);
}

START_TEST(asked_for)
{
	struct scene scene;

	if (!children_have_threads(_i))
		return;
	ck_assert_int_eq(cowarena_after_fork_in_child(), 0); /* nobody's child */
	make(&scene, _i, 0);
	run_child(in_asking_child, &scene);
	check_heap(&scene);
	live_on(&scene);
	unmake(&scene);
}
END_TEST

/* Something else lies where the arena was: it says so, and nothing is lost. */
static void in_occupied_child(void *arg)
{
	struct scene *scene = arg;
	struct cowarena_options o = case_options(CASE_DEFAULT);

	o.base = (void *)((uintptr_t)scene->big / CHUNK * CHUNK);
	o.capacity /= 2; /* beyond the end of the old arena other things may lie */
	cowarena *own = cowarena_create(&o);
	DEMAND(own);
	errno = 0;
	DEMAND(cowarena_after_fork_in_child() == -1 && errno == EEXIST && *cowarena_errmsg());
	cowarena_destroy(own);
	DEMAND(cowarena_after_fork_in_child() == 0);
	check_heap(scene);
	live_on(scene);
}

START_TEST(occupied)
{
	struct scene scene;

	make(&scene, _i, 0);
	run_child(in_occupied_child, &scene);
	unmake(&scene);
}
END_TEST

/* ---- several arenas ---- */

#define SEVERAL 4 /* the last one is without COWARENA_FORK_COPY */

struct several {
	cowarena *arena[SEVERAL];
	unsigned char *block[SEVERAL];
};

/* What is mapped for one copy must not lie where another arena was. */
static void look_at_several(void *arg)
{
	struct several *s = arg;

	for (unsigned i = 0; i < SEVERAL - 1; i++)
		DEMAND(s->block[i][1000] == (unsigned char)(i + 1000));
	/* Nothing has been mapped since. */
	DEMAND(cowarena_after_fork_in_child() == 0);
	for (unsigned i = 0; i < SEVERAL; i++) {
		for (size_t j = 0; j < 3 * CHUNK; j += 1000)
			DEMAND(s->block[i][j] == (unsigned char)(i + j));
		cowarena_snapshot *snap = take_snapshot(s->arena[i], 0);
		s->block[i][0]++;
		DEMAND(snap && cowarena_rollback(s->arena[i], snap) == 0);
		DEMAND(cowarena_snapshot_release(snap) == 0);
	}
}

START_TEST(several_arenas)
{
	struct several s;

	if (!children_have_threads(_i))
		return;
	for (unsigned i = 0; i < SEVERAL; i++) {
		struct cowarena_options o = case_options(_i);
		o.flags |= forking_flags() | (i + 1 < SEVERAL ? COWARENA_FORK_COPY : 0);
		s.arena[i] = cowarena_create(&o);
		ck_assert_msg(s.arena[i] != NULL, "%s", cowarena_errmsg());
		s.block[i] = cowarena_alloc(s.arena[i], 3 * CHUNK);
		for (size_t j = 0; j < 3 * CHUNK; j++)
			s.block[i][j] = (unsigned char)(i + j);
	}
	run_child(look_at_several, &s);
	for (unsigned i = 0; i < SEVERAL; i++)
		cowarena_destroy(s.arena[i]);
}
END_TEST

/* ---- an arena that grows during the fork ---- */

#define GROWS_BY ((size_t)40 * 4096)

static cowarena *growing; /* once the fork has taken its snapshot: see main() */

static void grow(void)
{
	if (growing)
		memset(cowarena_alloc(growing, GROWS_BY), 'p', GROWS_BY);
}

/* Where the parent has put something since, there are zeros; and what the child puts there is
   in its snapshots. */
static void grow_in_child(void *arg)
{
	char *last = arg, *p = cowarena_calloc(growing, 1, 2 * GROWS_BY), seen;

	DEMAND(p > last);
	for (size_t i = 0; i < 2 * GROWS_BY; i++)
		DEMAND(p[i] == 0);
	memset(p, 'a', 2 * GROWS_BY);
	cowarena_snapshot *s = take_snapshot(growing, 0);
	DEMAND(s);
	memset(p, 'b', 2 * GROWS_BY);
	for (size_t i = 0; i < 2 * GROWS_BY; i += 100)
		DEMAND(cowarena_snapshot_read(s, &seen, p + i, 1) == 0 && seen == 'a');
	DEMAND(cowarena_rollback(growing, s) == 0);
	for (size_t i = 0; i < 2 * GROWS_BY; i++)
		DEMAND(p[i] == 'a');
	DEMAND(cowarena_snapshot_release(s) == 0);
}

START_TEST(grown_meanwhile)
{
	struct cowarena_options o = case_options(_i);

	if (!children_have_threads(_i))
		return;
	o.flags |= COWARENA_FORK_COPY | forking_flags();
	growing = cowarena_create(&o);
	ck_assert_ptr_nonnull(growing);
	char *last = cowarena_alloc(growing, 2 * GROWS_BY);
	memset(last, 'l', 2 * GROWS_BY);
	run_child(grow_in_child, last);
	cowarena_destroy(growing);
	growing = NULL;
}
END_TEST

/* ---- a list of snapshots that another thread is changing ---- */

static void release_all(void *arg)
{
	cowarena_snapshot **s = arg;
	cowarena *arena = s[0]->arena;

	for (int i = 0; i < 2; i++)
		DEMAND(cowarena_snapshot_release(s[i]) == 0);
	DEMAND(!arena->timeline.all && stats_of(arena).snapshots_live == 0);
	for (int i = 0; i < 3; i++)
		s[i % 2] = take_snapshot(arena, 0);
	DEMAND(s[0] && s[1] && stats_of(arena).snapshots_live == 3);
}

/* That thread is not in the child, where the list stays as it was in between. */
START_TEST(half_changed_list)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	cowarena_snapshot *s[2], gone;

	o.flags |= COWARENA_FORK_COPY | forking_flags();
	cowarena *arena = cowarena_create(&o);
	for (int i = 0; i < 2; i++)
		s[i] = take_snapshot(arena, 0);
	cowarena_snapshot **link = s[0]->link;
	gone = (cowarena_snapshot){.next = s[0]};
	s[0]->link = &gone.next; /* as when one between the two is being released */
	atomic_fetch_add(&arena->timeline.live, 1);
	run_child(release_all, s);
	s[0]->link = link;
	atomic_fetch_sub(&arena->timeline.live, 1);
	cowarena_destroy(arena);
}
END_TEST

/* ---- one cut across all threads ---- */

#define WRITERS 3

struct writer {
	pthread_t thread;
	_Atomic uint64_t *x, *y;
	_Atomic bool *stop;
};

static void *write_in_order(void *arg)
{
	struct writer *w = arg;

	for (uint64_t i = 1; !atomic_load(w->stop); i++) {
		atomic_store(w->x, i);
		atomic_store(w->y, i);
	}
	return NULL;
}

static void look_for_order(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < WRITERS; i++) {
		uint64_t x = atomic_load(w[i].x), y = atomic_load(w[i].y);
		DEMAND(x - y <= 1);
		DEMAND(atomic_load(w[i].x) == x && atomic_load(w[i].y) == y);
		atomic_store(w[i].y, 0);
	}
}

START_TEST(one_cut)
{
	struct cowarena_options o = case_options(_i);
	struct writer w[WRITERS];
	_Atomic bool stop = false;

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer does not let threads start in a child of threads\n");
		return;
	}
	o.flags |= COWARENA_FORK_COPY | forking_flags();
	cowarena *arena = cowarena_create(&o);
	char *block = chunk_block(arena, 2 * WRITERS);
	for (size_t i = 0; i < WRITERS; i++) {
		char *low = block + i * CHUNK, *high = low + WRITERS * CHUNK + 3 * page_size();
		w[i] = (struct writer){.x = (void *)(i % 2 ? high : low),
				       .y = (void *)(i % 2 ? low : high),
				       .stop = &stop};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, write_in_order, &w[i]), 0);
	}
	for (size_t i = 0; i < scaled(30, 1000, 5); i++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		run_child(look_for_order, w);
		cowarena_snapshot_release(s);
	}
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	for (int i = 0; i < WRITERS; i++)
		ck_assert_uint_eq(*w[i].x, *w[i].y);
	cowarena_destroy(arena);
}
END_TEST

/* ---- locks of others ---- */

/* The C library takes stdio's locks in a fork. Who holds one may be writing to an arena. */
struct reading {
	FILE *file;
	char *buffer;
	_Atomic bool stop;
};

static void *read_into(void *arg)
{
	struct reading *r = arg;

	while (!atomic_load(&r->stop)) {
		rewind(r->file);
		/* By way of stdio's own buffer: no system call writes into the arena. */
		if (fread(r->buffer, 1, 100, r->file) != 100)
			ck_abort_msg("fread");
	}
	return NULL;
}

static void *flush_all(void *arg)
{
	struct reading *r = arg;

	while (!atomic_load(&r->stop))
		fflush(NULL);
	return NULL;
}

static void nothing(void *arg)
{
	(void)arg;
}

START_TEST(locks_of_others)
{
	struct cowarena_options o = case_options(_i);
	struct reading r = {.file = tmpfile()};
	pthread_t reader, flusher;

	if (sanitized()) {
		printf("SKIP: sanitizers lose their own locks in a child of several threads\n");
		return;
	}
	o.flags |= COWARENA_FORK_COPY;
	cowarena *arena = cowarena_create(&o);
	r.buffer = page_block(arena, 1);
	memset(r.buffer, 1, page_size());
	ck_assert_uint_eq(fwrite(r.buffer, 1, page_size(), r.file), page_size());
	ck_assert_int_eq(pthread_create(&reader, NULL, read_into, &r), 0);
	ck_assert_int_eq(pthread_create(&flusher, NULL, flush_all, &r), 0);
	for (size_t i = 0; i < scaled(50, 2000, 5); i++)
		run_child(nothing, NULL);
	atomic_store(&r.stop, true);
	pthread_join(reader, NULL);
	pthread_join(flusher, NULL);
	cowarena_destroy(arena);
	fclose(r.file);
}
END_TEST

/* ---- no copy to be had ---- */

static void touch_in_child(void *arg)
{
	((struct scene *)arg)->big[0] = 1;
}

#define LIMIT_OF_FILES 64

/* Leave so many descriptors to be had. */
static void exhaust(int *fds, size_t left)
{
	size_t n = 0;

	while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		ck_assert_uint_lt(++n, LIMIT_OF_FILES - 1);
	while (left--)
		close(fds[--n]);
	fds[n] = -1;
}

/* What a child says before it can redirect its standard error. */
static _Atomic unsigned *complaints;

static void count_complaint(void *ctx, const char *message)
{
	if (strstr(message, ctx))
		atomic_fetch_add(complaints, 1);
}

/* No descriptor is left for the child's memory, or for waiting for it: the parent goes on, the
   child is told. */
START_TEST(no_descriptor_left)
{
	struct scene scene;
	struct rlimit was;
	int fds[LIMIT_OF_FILES];
	unsigned failed = 0;

	complaints =
	    mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(complaints != MAP_FAILED);
	cowarena_set_log(count_complaint, (void *)"has no copy of an arena");
	make(&scene, _i, COWARENA_FORK_COPY);
	getrlimit(RLIMIT_NOFILE, &was);
	for (size_t left = 2; left < 8; left++) { /* in_child() takes two */
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){LIMIT_OF_FILES, was.rlim_max});
		exhaust(fds, left);
		int status = in_child(touch_in_child, &scene, NULL);
		setrlimit(RLIMIT_NOFILE, &was);
		for (size_t i = 0; fds[i] >= 0; i++)
			close(fds[i]);
		if (status)
			ck_assert_msg(died_of_segv(status), "status %#x", (unsigned)status);
		failed += status != 0;
		ck_assert_msg(status || left > 2, "a copy without a descriptor");
		ck_assert_uint_eq(*complaints, failed);
		check_heap(&scene);
	}
	ck_assert_uint_lt(failed, 6);
	live_on(&scene);
	run_child(touch_in_child, &scene);
	unmake(&scene);
}
END_TEST

/* ---- programs that are started ---- */

START_TEST(other_programs)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};
	struct scene scene;
	int status;
	pid_t pid;

	make(&scene, _i, _i % 2 ? COWARENA_FORK_COPY : 0);
	ck_assert_int_eq(WEXITSTATUS(system("exit 5")), 5);
	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	/* Its descriptors: nothing of ours. */
	FILE *pipe = popen("ls -l /proc/self/fd", "r");
	char line[400];
	ck_assert_ptr_nonnull(pipe);
	while (fgets(line, sizeof line, pipe))
		ck_assert_msg(!strstr(line, "memfd:") && !strstr(line, "userfault") &&
				  !strstr(line, "/mem\n") && !strstr(line, "eventfd"),
			      "%s", line);
	pclose(pipe);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c",
		      "ls -l /proc/self/fd | grep -e memfd: -e userfault -e eventfd && exit 1; "
		      "exit 9",
		      (char *)NULL);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 9);
	check_heap(&scene);
	live_on(&scene);
	unmake(&scene);
}
END_TEST

/* ---- the parent goes on as if there had been no snapshot ---- */

/* With the engines whose armed pages a system call cannot write to. */
static bool can_read_into(void *p)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	bool can = read(fd[0], p, 1) == 1;
	ck_assert(can || errno == EFAULT);
	close(fd[0]);
	close(fd[1]);
	return can;
}

static void reads_everywhere(void *p)
{
	for (size_t i = 0; i < 5; i++)
		DEMAND(can_read_into((char *)p + i * CHUNK / 2));
}

START_TEST(system_calls_after_a_fork)
{
	struct cowarena_options o = case_options(_i);

	if (!children_have_threads(_i))
		return;
	o.flags |= COWARENA_FORK_COPY | forking_flags();
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	char *p = chunk_block(arena, BIG_CHUNKS);
	memset(p, 1, BIG_CHUNKS * CHUNK);
	for (int round = 0; round < 3; round++) {
		run_child(reads_everywhere, p);
		struct cowarena_stats before = stats_of(arena);
		for (size_t i = 0; i < BIG_CHUNKS * CHUNK; i += page_size())
			ck_assert_msg(can_read_into(p + i), "page %zu is armed", i / page_size());
		/* Nor does a store of the program meet one; and nothing was counted as such a
		   store. */
		memset(p, round, BIG_CHUNKS * CHUNK);
		struct cowarena_stats after = stats_of(arena);
		ck_assert_uint_eq(after.faults, before.faults);
		if (case_traps(_i))
			ck_assert_uint_eq(after.reused, before.reused);
		ck_assert_uint_eq(after.copied + after.copied_ahead + after.zero,
				  before.copied + before.copied_ahead + before.zero);
	}
	/* The next snapshot arms them, like any other. */
	cowarena_snapshot *s = take_snapshot(arena, 0);
	memset(p, 9, CHUNK);
	char byte;
	ck_assert(cowarena_snapshot_read(s, &byte, p + 5, 1) == 0 && byte == 2);
	cowarena_destroy(arena);
}
END_TEST

/* The program has a snapshot: what it needs stays armed, and what had been written since is
   writable. */
START_TEST(an_older_snapshot_stays_whole)
{
	struct cowarena_options o = case_options(_i);
	char byte;

	if (!children_have_threads(_i))
		return;
	o.flags |= COWARENA_FORK_COPY | forking_flags();
	o.copy_ahead = 1;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(arena);
	char *p = chunk_block(arena, BIG_CHUNKS);
	memset(p, 1, BIG_CHUNKS * CHUNK);
	cowarena_snapshot *older = take_snapshot(arena, 0);
	p[0] = 2;
	run_child(reads_everywhere, p);
	ck_assert(can_read_into(p));
	if (case_traps(_i))
		ck_assert(!can_read_into(p + CHUNK / 2));
	memset(p, 3, BIG_CHUNKS * CHUNK);
	for (size_t i = 0; i < BIG_CHUNKS * CHUNK; i += page_size())
		ck_assert(cowarena_snapshot_read(older, &byte, p + i, 1) == 0 && byte == 1);
	cowarena_destroy(arena);
}
END_TEST

/* Another thread takes snapshots all the time. */
struct taker {
	cowarena *arena;
	_Atomic uint64_t *value;
	_Atomic bool stop;
};

static void *take_and_read(void *arg)
{
	struct taker *t = arg;
	uint64_t then = 0, now;

	while (!atomic_load(&t->stop)) {
		cowarena_snapshot *s = take_snapshot(t->arena, 0);
		if (!s || cowarena_snapshot_read(s, &then, (void *)t->value, sizeof then))
			return "no snapshot";
		for (int i = 0; i < 1000; i++)
			if (cowarena_snapshot_read(s, &now, (void *)t->value, sizeof now) ||
			    now != then)
				return "a snapshot has changed";
		cowarena_snapshot_release(s);
	}
	return NULL;
}

static void *count_up(void *arg)
{
	struct taker *t = arg;

	while (!atomic_load(&t->stop))
		atomic_fetch_add(t->value, 1);
	return NULL;
}

START_TEST(while_others_take_snapshots)
{
	struct cowarena_options o = case_options(_i);
	pthread_t thread[2];
	void *wrong;

	if (!children_have_threads(_i))
		return;
	o.flags |= COWARENA_FORK_COPY | forking_flags();
	struct taker t = {.arena = cowarena_create(&o)};
	ck_assert_ptr_nonnull(t.arena);
	char *p = chunk_block(t.arena, BIG_CHUNKS);
	memset(p, 1, BIG_CHUNKS * CHUNK);
	t.value = (void *)(p + CHUNK);
	ck_assert_int_eq(pthread_create(&thread[0], NULL, take_and_read, &t), 0);
	ck_assert_int_eq(pthread_create(&thread[1], NULL, count_up, &t), 0);
	for (size_t i = 0; i < scaled(20, 300, 5); i++) {
		run_child(reads_everywhere, p);
		memset(p + 2 * CHUNK, (int)i, CHUNK / 4);
	}
	atomic_store(&t.stop, true);
	pthread_join(thread[0], &wrong);
	pthread_join(thread[1], NULL);
	ck_assert_msg(wrong == NULL, "%s", (const char *)wrong);
	cowarena_destroy(t.arena);
}
END_TEST

/* ---- a child that is stopped, as by a debugger ---- */

static _Atomic bool stops;

static void stop_for_a_while(void)
{
	if (atomic_load(&stops))
		nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
}

static char last_said[400];

static void has_no_copy(void *arg)
{
	(void)arg;
	DEMAND(strstr(last_said, "has no copy"));
	DEMAND(strstr(cowarena_errmsg(), "has not waited"));
	DEMAND(cowarena_after_fork_in_child() == 0); /* as it is by now */
}

static void remember(void *ctx, const char *message)
{
	(void)ctx;
	snprintf(last_said, sizeof last_said, "%s", message);
}

START_TEST(a_stopped_child)
{
	struct cowarena_options o = case_options(_i);
	cowarena *arena[2];
	char *said;

	if (!children_have_threads(_i))
		return;
	/* Before the library's, and so called before it in the child. */
	ck_assert_int_eq(pthread_atfork(NULL, NULL, stop_for_a_while), 0);
	o.flags |= COWARENA_FORK_COPY | forking_flags();
	for (int i = 0; i < 2; i++) {
		arena[i] = cowarena_create(&o);
		ck_assert_ptr_nonnull(arena[i]);
		memset(chunk_block(arena[i], 1), 1, CHUNK);
	}
	cowarena_set_log(remember, NULL);
	uint64_t patience = fork_patience_ns;
	fork_patience_ns = 50000000;
	atomic_store(&stops, true);
	int status = in_child(has_no_copy, NULL, &said);
	atomic_store(&stops, false);
	fork_patience_ns = patience;
	ck_assert_msg(status == 0, "status %#x: %s", (unsigned)status, said);
	ck_assert_ptr_nonnull(strstr(last_said, "no sign of life"));
	free(said);
	/* And the next one has its copy. */
	run_child(reads_everywhere, chunk_block(arena[0], BIG_CHUNKS));
	for (int i = 0; i < 2; i++)
		cowarena_destroy(arena[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork");
	/* Before the library's, so after it: those of the preparation go the other way round. */
	pthread_atfork(grow, NULL, NULL);
	TCase *copies = tcase_create("copies"), *parents = tcase_create("parents"),
	      *programs = tcase_create("programs");

	tcase_add_loop_test(copies, a_copy_of_each, 0, CASES);
	tcase_add_loop_test(copies, asked_for, 0, CASES);
	tcase_add_loop_test(copies, occupied, 0, CASES);
	tcase_add_loop_test(copies, several_arenas, 0, CASES);
	tcase_add_loop_test(copies, grown_meanwhile, 0, CASES);
	tcase_add_test(copies, half_changed_list);
	tcase_add_loop_test(copies, one_cut, 0, CASES);
	tcase_add_loop_test(copies, locks_of_others, 0, CASES);
	tcase_add_loop_test(copies, no_descriptor_left, 0, CASES);
	suite_add_tcase(suite, copies);
	tcase_add_loop_test(parents, system_calls_after_a_fork, 0, CASES);
	tcase_add_loop_test(parents, an_older_snapshot_stays_whole, 0, CASES);
	tcase_add_loop_test(parents, while_others_take_snapshots, 0, CASES);
	tcase_add_loop_test(parents, a_stopped_child, 0, CASES);
	suite_add_tcase(suite, parents);
	tcase_add_loop_test(programs, other_programs, 0, CASES);
	suite_add_tcase(suite, programs);
	return run_suite(suite);
}
