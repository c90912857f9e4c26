/* SPDX-License-Identifier: BSD-2-Clause */
/* test-image.c - snapshots that are saved to files, and loaded. */
#include "config.h"

#include "arena.h"
#include "common.h"
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/cowarena-image.XXXXXX";
static char path[sizeof folder + 8];

static void make_folder(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/image", folder);
}

/* Fails if anything but the image is left there. */
static void remove_folder(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}

/* ---- a heap that is known again ---- */

#define BLOCKS 400

struct list {
	struct list *next;
	size_t n;
	unsigned char bytes[];
};

static size_t size_of(size_t i)
{
	return i % 50 == 7 ? i * 1000 : i * 13 % 3000;
}

static struct list *make_part(cowarena *arena, unsigned char salt, size_t n)
{
	struct list *list = NULL;

	for (size_t i = 0; i < n; i++) {
		void *hole = cowarena_alloc(arena, size_of(i + 1));
		struct list *l = cowarena_alloc(arena, sizeof *l + size_of(i));
		ck_assert(hole && l);
		*l = (struct list){list, size_of(i)};
		for (size_t j = 0; j < l->n; j++)
			l->bytes[j] = (unsigned char)(i * 7 + j * 3 + salt);
		list = l;
		if (i % 3)
			cowarena_free(arena, hole);
	}
	cowarena_set_root(arena, list);
	return list;
}

static struct list *make_list(cowarena *arena, unsigned char salt)
{
	return make_part(arena, salt, BLOCKS);
}

static void check_list(const struct list *list, unsigned char salt)
{
	for (size_t i = BLOCKS; i--; list = list->next) {
		ck_assert_ptr_nonnull(list);
		ck_assert_uint_eq(list->n, size_of(i));
		for (size_t j = 0; j < list->n; j++)
			if (list->bytes[j] != (unsigned char)(i * 7 + j * 3 + salt))
				ck_abort_msg("byte %zu of block %zu has changed", j, i);
	}
	ck_assert_ptr_null(list);
}

static int note_block(void *ctx, void *p, size_t size)
{
	uint64_t *sum = ctx;

	*sum = (*sum ^ (uintptr_t)p) * 31 + size;
	return 0;
}

static uint64_t blocks_of(cowarena *arena, cowarena_snapshot *s)
{
	uint64_t sum = 0;

	ck_assert_int_eq(cowarena_heap_walk(arena, s, note_block, &sum), 0);
	return sum;
}

static void save(cowarena_snapshot *s, const struct cowarena_save_options *o)
{
	ck_assert_msg(cowarena_snapshot_save(s, path, o) == 0, "%s", cowarena_errmsg());
}

static cowarena *load_with(int i)
{
	struct cowarena_options a = case_options(i);
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;

	o.arena = &a;
	cowarena *arena = cowarena_load(path, &o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	return arena;
}

/* An image of a small heap at path; the arena is gone. */
static void make_image(void)
{
	cowarena *arena = arena_case(CASE_DEFAULT);

	make_folder();
	make_part(arena, 0, 40);
	save(take_snapshot(arena, 0),
	     &(struct cowarena_save_options){.sz = sizeof(struct cowarena_save_options),
					     .flags = COWARENA_SAVE_NO_SYNC});
	cowarena_destroy(arena);
}

/* ---- what is saved is loaded ---- */

START_TEST(saved_and_loaded)
{
	cowarena *arena = arena_case(_i);

	make_folder();
	struct list *list = make_list(arena, 1);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	uint64_t blocks = blocks_of(arena, s);
	/* The heap goes on: the image is of the snapshot. */
	for (struct list *l = list; l; l = l->next)
		memset(l->bytes, 0xee, l->n);
	ck_assert_ptr_nonnull(cowarena_alloc(arena, 100));
	cowarena_set_root(arena, NULL);
	errno = 77;
	save(s, NULL);
	ck_assert_int_eq(errno, 77);
	cowarena_destroy(arena);

	arena = load_with(_i);
	ck_assert_ptr_eq(cowarena_root(arena), list);
	check_list(list, 1);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	ck_assert_uint_eq(blocks_of(arena, NULL), blocks);
	/* It is a heap like any other. */
	s = take_snapshot(arena, 0);
	for (struct list *l = list; l; l = l->next)
		memset(l->bytes, 0xdd, l->n);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	check_list(list, 1);
	for (struct list *l = list, *next; l; l = next) {
		next = l->next;
		cowarena_free(arena, l);
	}
	make_list(arena, 2);
	ck_assert_int_eq(cowarena_heap_check(arena, NULL), 0);
	save(take_snapshot(arena, 0), &(struct cowarena_save_options){
					  .sz = sizeof(struct cowarena_save_options),
					  .flags = COWARENA_SAVE_NO_SYNC,
				      });
	list = cowarena_root(arena);
	cowarena_destroy(arena);
	arena = load_with(_i);
	ck_assert_ptr_eq(cowarena_root(arena), list);
	check_list(list, 2);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* The next blocks are where they would have been: the allocator's state is the same. */
START_TEST(allocator_goes_on)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	void *next[200];

	make_folder();
	make_list(arena, 1);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	save(s, NULL);
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	for (size_t i = 0; i < 200; i++)
		next[i] = cowarena_alloc(arena, 3000 + i * 150);
	cowarena_destroy(arena);
	arena = load_with(CASE_DEFAULT);
	for (size_t i = 0; i < 200; i++)
		ck_assert_ptr_eq(cowarena_alloc(arena, 3000 + i * 150), next[i]);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

struct storm {
	unsigned char *p;
	size_t n;
	_Atomic bool stop;
};

static void *write_on(void *arg)
{
	struct storm *storm = arg;

	for (unsigned char round = 1; !atomic_load(&storm->stop); round++)
		for (size_t i = 0; i < storm->n; i += 512)
			storm->p[i] = round;
	return NULL;
}

START_TEST(saved_while_others_write)
{
	enum { PAGES = 600 };
	cowarena *arena = arena_case(_i);
	struct storm storm = {.p = (unsigned char *)page_block(arena, PAGES),
			      .n = PAGES * page_size()};
	unsigned char *then = malloc(storm.n);
	pthread_t thread;

	make_folder();
	memset(storm.p, 0, storm.n);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &storm), 0);
	for (size_t round = 0; round < 4; round++) {
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_int_eq(cowarena_snapshot_read(s, then, storm.p, storm.n), 0);
		save(s, NULL);
		ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	}
	atomic_store(&storm.stop, true);
	pthread_join(thread, NULL);
	cowarena_destroy(arena);
	arena = load_with(_i);
	ck_assert_int_eq(memcmp(storm.p, then, storm.n), 0);
	cowarena_destroy(arena);
	free(then);
	remove_folder();
}
END_TEST

START_TEST(zeros_take_no_room)
{
	cowarena *arena = arena_case(_i);
	size_t n = (size_t)256 << 20;
	struct stat status;

	make_folder();
	char *p = cowarena_alloc(arena, n);
	p[n / 2] = 1;
	p[n / 2 + 3 * page_size()] = 2;
	save(take_snapshot(arena, 0), NULL);
	ck_assert_int_eq(stat(path, &status), 0);
	/* Descriptors take 1.2 %, of which most are zeros. */
	ck_assert_uint_le((size_t)status.st_size, n / 50);
	cowarena_destroy(arena);
	arena = load_with(_i);
	ck_assert_uint_le(os_memory_used(&arena->file), n / 50);
	ck_assert(p[n / 2] == 1 && p[n / 2 + 3 * page_size()] == 2 && p[n / 2 + 1] == 0);
	ck_assert(p[n / 2 + page_size()] == 0 && p[n - 1] == 0);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

static void fails(int result, int errnum, const char *words)
{
	ck_assert_int_eq(result, -1);
	ck_assert_msg(errno == errnum, "errno %d: %s", errno, cowarena_errmsg());
	ck_assert_msg(strstr(cowarena_errmsg(), words) != NULL, "%s", cowarena_errmsg());
}

/* A heap that is larger than its file in earnest. */
START_TEST(sparse)
{
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;
	cowarena *arena = cowarena_create(NULL);

	make_folder();
	char *p = cowarena_alloc(arena, (size_t)6 << 30);
	if (!p) {
		printf("SKIP: %s\n", cowarena_errmsg());
		cowarena_destroy(arena);
		remove_folder();
		return;
	}
	p[(size_t)5 << 30] = 5;
	save(take_snapshot(arena, 0), NULL);
	cowarena_destroy(arena);
	ck_assert(!cowarena_load(path, &o));
	fails(-1, EFBIG, "COWARENA_LOAD_SPARSE");
	o.flags = COWARENA_LOAD_SPARSE;
	arena = cowarena_load(path, &o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	ck_assert_int_eq(p[(size_t)5 << 30], 5);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* ---- where to ---- */

START_TEST(through_a_pipe)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	char command[sizeof path + 8];

	make_folder();
	snprintf(command, sizeof command, "cat >%s", path);
	FILE *pipe = popen(command, "w");
	struct list *list = make_list(arena, 3);
	o.fd = fileno(pipe);
	ck_assert_msg(cowarena_snapshot_save(take_snapshot(arena, 0), NULL, &o) == 0, "%s",
		      cowarena_errmsg());
	ck_assert_int_eq(pclose(pipe), 0);
	cowarena_destroy(arena);
	arena = load_with(CASE_DEFAULT);
	check_list(list, 3);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

static int no_more(void *ctx, uint64_t done, uint64_t all)
{
	ck_assert_uint_le(done, all);
	return --*(int *)ctx < 0;
}

/* What had the name has it still, and nothing else is left. */
START_TEST(save_that_fails)
{
	cowarena *arena = arena_case(CASE_DEFAULT);
	struct cowarena_save_options o = COWARENA_SAVE_OPTIONS_INIT;
	int parts = 1;

	make_folder();
	struct list *list = make_list(arena, 4);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	save(s, NULL);
	memset(list->bytes, 0, list->n);
	cowarena_snapshot *later = take_snapshot(arena, 0);
	o.progress = no_more;
	o.ctx = &parts;
	fails(cowarena_snapshot_save(later, path, &o), ECANCELED, "progress");
	struct rlimit limit, small;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	fails(cowarena_snapshot_save(later, path, NULL), EFBIG, path);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	o = (struct cowarena_save_options)COWARENA_SAVE_OPTIONS_INIT;
	fails(cowarena_snapshot_save(NULL, path, NULL), EINVAL, "snapshot is NULL");
	fails(cowarena_snapshot_save(s, NULL, NULL), EINVAL, "options.fd");
	fails(cowarena_snapshot_save(s, "", NULL), ENOENT, "written");
	fails(cowarena_snapshot_save(s, "/nowhere/at/all", NULL), ENOENT, "/nowhere/at/all");
	fails(cowarena_snapshot_save(s, folder, NULL), EISDIR, folder);
	o.flags = 4;
	fails(cowarena_snapshot_save(s, path, &o), EINVAL, "flags");
	o.sz = 0;
	fails(cowarena_snapshot_save(s, path, &o), EINVAL, "COWARENA_SAVE_OPTIONS_INIT");
	o = (struct cowarena_save_options)COWARENA_SAVE_OPTIONS_INIT;
	o.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (o.fd >= 0) {
		fails(cowarena_snapshot_save(s, NULL, &o), ENOSPC, "room");
		close(o.fd);
	}
	cowarena_destroy(arena);
	arena = load_with(CASE_DEFAULT);
	check_list(list, 4);
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

START_TEST(given_up_meanwhile)
{
	struct cowarena_options a = case_options(CASE_DEFAULT);

	a.engine = COWARENA_ENGINE_SIGSEGV;
	a.held_limit = 4 * page_size();
	a.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *arena = cowarena_create(&a);
	make_folder();
	char *p = page_block(arena, 64);
	memset(p, 1, 64 * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	memset(p, 2, 64 * page_size());
	fails(cowarena_snapshot_save(s, path, NULL), ESTALE, "given up");
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

static void *end_at_once(void *arena)
{
	cowarena_free(arena, cowarena_alloc(arena, 10));
	return NULL;
}

static int end_threads(void *ctx, uint64_t done, uint64_t all)
{
	pthread_t thread;

	(void)done;
	(void)all;
	ck_assert_int_eq(pthread_create(&thread, NULL, end_at_once, ctx), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return 0;
}

/* Threads that end while a heap is being loaded do not wait for it. */
START_TEST(loaded_while_threads_end)
{
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;

	o.ctx = arena_case(CASE_EAGER); /* first, so that it does not take the image's place */
	o.progress = end_threads;
	end_at_once(o.ctx);
	end_threads(o.ctx, 0, 0);
	make_image();
	cowarena *arena = cowarena_load(path, &o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	cowarena_destroy(arena);
	cowarena_destroy(o.ctx);
	remove_folder();
}
END_TEST

/* ---- what is refused ---- */

static void not_loaded(int errnum, const char *words)
{
	cowarena *arena = cowarena_load(path, NULL);

	ck_assert_msg(!arena, "loaded, in spite of: %s", words);
	fails(-1, errnum, words);
}

START_TEST(load_that_fails)
{
	struct cowarena_load_options o = COWARENA_LOAD_OPTIONS_INIT;
	int parts = 1;

	make_image();
	ck_assert(!cowarena_load(NULL, NULL));
	fails(-1, EINVAL, "path is NULL");
	ck_assert(!cowarena_load("/nowhere/at/all", NULL));
	fails(-1, ENOENT, "/nowhere/at/all");
	ck_assert(!cowarena_load(folder, NULL));
	fails(-1, EISDIR, folder);
	ck_assert(!cowarena_load("/dev/zero", NULL));
	fails(-1, ESPIPE, "a file");
	char fifo[sizeof path];
	snprintf(fifo, sizeof fifo, "%s/fifo", folder);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert(!cowarena_load(fifo, NULL));
	fails(-1, ESPIPE, "a file");
	unlink(fifo);
	o.progress = no_more;
	o.ctx = &parts;
	ck_assert(!cowarena_load(path, &o));
	fails(-1, ECANCELED, "progress");
	o.flags = 4;
	ck_assert(!cowarena_load(path, &o));
	fails(-1, EINVAL, "flags");
	o.sz = 1;
	ck_assert(!cowarena_load(path, &o));
	fails(-1, EINVAL, "COWARENA_LOAD_OPTIONS_INIT");
	cowarena *arena = load_with(CASE_DEFAULT);
	not_loaded(EADDRINUSE, "options.base");
	ck_assert_uint_eq(((struct list *)cowarena_root(arena))->n, size_of(39));
	cowarena_destroy(arena);
	remove_folder();
}
END_TEST

/* Not from malloc(), which could take the arena's place. */
#define IMAGE_MOST ((size_t)16 << 20)
static unsigned char room[2][IMAGE_MOST];

static size_t read_image(unsigned char **bytes)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert(fd >= 0 && fstat(fd, &status) == 0);
	ck_assert_int_lt(status.st_size, IMAGE_MOST);
	*bytes = room[0];
	ck_assert_int_eq(read(fd, *bytes, (size_t)status.st_size), status.st_size);
	close(fd);
	return (size_t)status.st_size;
}

static void write_image(const unsigned char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	close(fd);
}

/* A flipped bit anywhere, a cut anywhere, and more bytes behind. */
START_TEST(damage_is_refused)
{
	unsigned char *bytes;
	uint64_t state = seed_of_run(17);

	make_image();
	size_t n = read_image(&bytes), page = page_size(), tail = n;
	struct image_trailer trailer;
	memcpy(&trailer, bytes + n - sizeof trailer, sizeof trailer);
	image_swap(&trailer, sizeof trailer);
	tail = (size_t)trailer.index;
	for (size_t i = 0; i < scaled(500, 20000, 100); i++) {
		/* Each byte of the header, index and trailer in turn; others at random. */
		size_t metadata = sizeof(struct image_header) + n - tail;
		size_t at = i % 4 == 0 ? page + rng(&state) % (tail - page) : i % metadata;
		if (i % 4 && at >= sizeof(struct image_header))
			at += tail - sizeof(struct image_header);
		unsigned char bit = (unsigned char)(1 << rng(&state) % 8);
		bytes[at] ^= bit;
		write_image(bytes, n);
		cowarena *arena = cowarena_load(path, NULL);
		ck_assert_msg(!arena, "byte %zu of %zu, bit %u", at, n, bit);
		ck_assert_msg(errno == EBADMSG || errno == ENOTSUP, "%d: %s", errno,
			      cowarena_errmsg());
		bytes[at] ^= bit;
	}
	for (size_t i = 0; i < scaled(60, 1000, 30); i++) {
		write_image(bytes, i < 2 ? i : i < 4 ? n - i + 1 : rng(&state) % n);
		not_loaded(EBADMSG, "no whole image");
	}
	bytes[n] = 0;
	write_image(bytes, n + 1);
	not_loaded(EBADMSG, "written behind");
	write_image(bytes, n);
	cowarena_destroy(load_with(CASE_DEFAULT));
	remove_folder();
}
END_TEST

/* ---- images that were made to harm: with right checksums ---- */

struct forged {
	unsigned char *bytes;
	size_t n;
	struct image_header header;
	struct image_trailer trailer;
	struct image_group index[4096];
};

static struct forged forged, changed;

static void open_forged(struct forged *f)
{
	make_image();
	f->n = read_image(&f->bytes);
	memcpy(&f->header, f->bytes, sizeof f->header);
	memcpy(&f->trailer, f->bytes + f->n - sizeof f->trailer, sizeof f->trailer);
	image_swap(&f->header, sizeof f->header);
	image_swap(&f->trailer, sizeof f->trailer);
	ck_assert_uint_lt(f->trailer.groups, 4000);
	memcpy(f->index, f->bytes + f->trailer.index, f->trailer.groups * sizeof *f->index);
	image_swap(f->index, f->trailer.groups * sizeof *f->index);
}

/* Write it with the checksums of what it is now. */
static void write_forged(struct forged *f)
{
	size_t n = f->trailer.groups * sizeof *f->index, page = page_size();
	unsigned char *bytes = room[1];

	memcpy(bytes, f->bytes, f->n);
	struct image_header h = f->header;
	struct image_trailer t = f->trailer;
	h.checksum = image_header_checksum(&h);
	for (size_t i = 0; i < t.groups; i++) {
		struct image_group g = f->index[i];
		size_t size = (size_t)__builtin_popcountll(g.present) * page;
		if (g.offset < f->n && size <= f->n - g.offset)
			g.checksum =
			    image_checksum(bytes + g.offset, size, image_group_seed(&h, g.first));
		image_swap(&g, sizeof g);
		memcpy(bytes + f->trailer.index + i * sizeof g, &g, sizeof g);
	}
	t.index_checksum = image_checksum(bytes + f->trailer.index, n, h.checksum);
	t.checksum = image_trailer_checksum(&t);
	image_swap(&h, sizeof h);
	image_swap(&t, sizeof t);
	memcpy(bytes, &h, sizeof h);
	memcpy(bytes + f->n - sizeof t, &t, sizeof t);
	write_image(bytes, f->n);
}

#define FORGE(change, errnum, words)                                                               \
	do {                                                                                       \
		struct forged *g = &changed;                                                       \
		*g = forged;                                                                       \
		change;                                                                            \
		write_forged(g);                                                                   \
		not_loaded(errnum, words);                                                         \
	} while (0)

START_TEST(forged_numbers)
{
	open_forged(&forged);
	write_forged(&forged);
	cowarena_destroy(load_with(CASE_DEFAULT));
	FORGE(g->header.magic++, EBADMSG, "mark");
	FORGE(g->header.version++, ENOTSUP, "format 2");
	FORGE(g->header.page_size *= 2, ENOTSUP, "pages");
	FORGE(g->header.layout++, ENOTSUP, "lays its heap out");
	FORGE(g->header.base++, EBADMSG, "place");
	FORGE(g->header.base = 0, EBADMSG, "place");
	FORGE(g->header.base = -(uint64_t)chunks_size(), EBADMSG, "place");
	FORGE(g->header.reserved++, EBADMSG, "place");
	FORGE(g->header.reserved = 0, EBADMSG, "nonsense");
	FORGE(g->header.reserved = (uint64_t)1 << 62, EBADMSG, "place");
	FORGE(g->header.pages = 0, EBADMSG, "nonsense");
	FORGE(g->header.pages = 1, EBADMSG, "");
	FORGE(g->header.pages = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->header.page_size++, EBADMSG, "size of pages");
	FORGE(g->header.page_size = 0, EBADMSG, "size of pages");
	FORGE(g->header.page_size <<= 32, EBADMSG, "size of pages");
	FORGE(g->header.number = 0, EBADMSG, "nonsense");
	FORGE(g->header.parent = g->header.number, EBADMSG, "nonsense");
	FORGE(g->header.parent++, EINVAL, "options.parents");
	FORGE((g->header.reserved = (uint64_t)1 << 44, g->header.pages = (uint64_t)1 << 30), EFBIG,
	      "COWARENA_LOAD_SPARSE");
	FORGE(g->index[0].first = 1, EBADMSG, "nonsense");
	FORGE(g->index[0].first = (uint64_t)1 << 40, EBADMSG, "nonsense");
	FORGE(g->index[0].present = 0, EBADMSG, "nonsense");
	FORGE(g->index[0].zeros = ~g->index[0].present, EBADMSG, "nonsense");
	FORGE(g->index[0].bytes -= page_size(), EBADMSG, "nonsense");
	FORGE(g->index[0].bytes = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->index[0].present ^= (uint64_t)1 << 63, EBADMSG, "");
	FORGE(g->index[0].offset += page_size(), EBADMSG, "nonsense");
	FORGE(g->index[1].first = 0, EBADMSG, "nonsense");
	FORGE(g->trailer.groups++, EBADMSG, "nonsense");
	FORGE(g->trailer.groups--, EBADMSG, "nonsense");
	FORGE(g->trailer.bytes++, EBADMSG, "end of an image");
	FORGE(g->trailer.magic++, EBADMSG, "end of an image");
	remove_folder();
}
END_TEST

/* The heap's bookkeeping, changed at random: refused, or a heap in which blocks come and go. */
START_TEST(forged_heap)
{
	struct forged *f = &forged;
	uint64_t state = seed_of_run(18);
	size_t loaded = 0, tries = scaled(150, 20000, 30);

	open_forged(f);
	size_t data = f->trailer.index - page_size();
	for (size_t i = 0; i < tries; i++) {
		unsigned char before[8][2];
		size_t at[8], n = 1 + rng(&state) % 8;
		for (size_t j = 0; j < n; j++) {
			/* Mostly the header and the first descriptors, which come first. */
			size_t span = rng(&state) % 4 ? 20 * UNIT_SIZE : data;
			at[j] = page_size() + rng(&state) % (span < data ? span : data);
			before[j][0] = f->bytes[at[j]];
			f->bytes[at[j]] = rng(&state) % 2 ? (unsigned char)rng(&state) : 0;
		}
		write_forged(f);
		cowarena *arena = cowarena_load(path, NULL);
		if (arena) {
			void *p[50];
			for (size_t j = 0; j < 50; j++)
				p[j] = cowarena_alloc(arena, rng(&state) % 40000);
			for (size_t j = 0; j < 50; j++)
				cowarena_free(arena, p[j]);
			ck_assert_msg(!cowarena_heap_check(arena, NULL), "%s", cowarena_errmsg());
			cowarena_destroy(arena);
			loaded++;
		} else {
			fails(-1, EBADMSG, "bookkeeping");
		}
		for (size_t j = n; j--;)
			f->bytes[at[j]] = before[j][0];
	}
	printf("%zu of %zu forged heaps were fine\n", loaded, tries);
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("image");
	TCase *tc = tcase_create("files"), *refused = tcase_create("refused");

	tcase_add_loop_test(tc, saved_and_loaded, 0, CASES);
	tcase_add_test(tc, allocator_goes_on);
	tcase_add_loop_test(tc, saved_while_others_write, 0, CASES);
	tcase_add_loop_test(tc, zeros_take_no_room, 0, CASES);
	tcase_add_test(tc, sparse);
	tcase_add_test(tc, through_a_pipe);
	tcase_add_test(tc, save_that_fails);
	tcase_add_test(tc, given_up_meanwhile);
	tcase_add_test(tc, loaded_while_threads_end);
	suite_add_tcase(suite, tc);
	tcase_add_test(refused, load_that_fails);
	tcase_add_test(refused, damage_is_refused);
	tcase_add_test(refused, forged_numbers);
	tcase_add_test(refused, forged_heap);
	suite_add_tcase(suite, refused);
	return run_suite(suite);
}
