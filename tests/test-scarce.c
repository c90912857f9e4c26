/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-scarce.c - real scarcity, made by the host: of mappings, address space, descriptors, threads
 * or memory; heaps larger than memory; and the limit of held memory with readers at work (I7).
 */
#include "config.h"

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* Most of this runs in children, where Check's assertions would not be heard. */
#define DEMAND(condition)                                                                          \
	((condition) ? (void)0                                                                     \
		     : (fprintf(stderr, "%s:%d: %s (%s; %s)\n", __func__, __LINE__, #condition,    \
				strerror(errno), cowarena_errmsg()),                               \
			_exit(2)))

#define CANNOT 77 /* what a child that says "SKIP: ..." returns */

static void cannot(const char *reason)
{
	fprintf(stderr, "SKIP: %s\n", reason);
	_exit(CANNOT);
}

/* Run it in a child that ends well, or says why it cannot be done here. */
static void child(void (*fn)(void *), void *arg)
{
	char *said;
	int status = in_child(fn, arg, &said);

	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		printf("%s", said);
	else
		ck_assert_msg(status == 0, "status %#x: %s", status, said);
	free(said);
}

/* ---- a block of pages, and what should be in them ---- */

#define PAGES 607 /* prime, and some chunks */
#define SPARE                                                                                      \
	3300 /* pages that are in use and never written: each snapshot reserves frames for them */

/* The generation of each page. Static, so that nothing has to be allocated when nothing is to
   be had. */
struct content {
	uint32_t of[PAGES];
};

struct heap {
	cowarena *arena;
	char *p;
	struct content now;
};

/* A page is right if three words of it are: torn ones are not the same in all. */
static uint64_t word(size_t page, uint32_t generation)
{
	return (page << 32 | generation) * 0x9e3779b97f4a7c15u;
}

static void fill_page(char *at, size_t page, uint32_t generation)
{
	uint64_t w = word(page, generation);

	memcpy(at, &w, sizeof w);
	memcpy(at + page_size() / 2, &w, sizeof w);
	memcpy(at + page_size() - sizeof w, &w, sizeof w);
}

static bool is_page(const char *at, size_t page, uint32_t generation)
{
	uint64_t w = word(page, generation);

	return memcmp(at, &w, sizeof w) == 0 && memcmp(at + page_size() / 2, &w, sizeof w) == 0 &&
	       memcmp(at + page_size() - sizeof w, &w, sizeof w) == 0;
}

/* n pages, each stride-th, and from the beginning again; 1 is a walk. */
static void write_pages(struct heap *h, size_t n, size_t stride)
{
	for (size_t i = 0; i < n; i++) {
		size_t page = i * stride % PAGES;
		fill_page(h->p + page * page_size(), page, ++h->now.of[page]);
	}
}

static bool holds(const char *at, const struct content *c)
{
	for (size_t i = 0; i < PAGES; i++)
		if (!is_page(at + i * page_size(), i, c->of[i]))
			return false;
	return true;
}

static bool live_holds(const struct heap *h)
{
	return holds(h->p, &h->now);
}

/* 0, or -1 with errno. Wrong bytes are the end. */
static int read_snapshot(const struct heap *h, cowarena_snapshot *s, const struct content *c)
{
	static char copy[1 << 16];

	for (size_t i = 0; i < PAGES; i++) {
		if (cowarena_snapshot_read(s, copy, h->p + i * page_size(), page_size()))
			return -1;
		DEMAND(is_page(copy, i, c->of[i]));
	}
	return 0;
}

static void make_heap(struct heap *h, const struct cowarena_options *o)
{
	h->arena = cowarena_create(o);
	DEMAND(h->arena);
	/* Chunks whole, so that engine hybrid has cold and huge ones. */
	h->p = cowarena_aligned_alloc(h->arena, CHUNK, PAGES * page_size());
	DEMAND(h->p && cowarena_alloc(h->arena, SPARE * page_size()));
	memset(&h->now, 0, sizeof h->now);
	write_pages(h, PAGES, 1);
}

/* ---- everything that a program does, where each step may be refused ---- */

/* What a refusal has to say. NULL: nothing may be refused. */
typedef const char *remedy;

static bool granted(bool success, remedy words)
{
	if (success)
		return true;
	DEMAND(words && errno == ENOMEM && strstr(cowarena_errmsg(), words));
	return false;
}

/* Writes while a view is open. What it showed is right, or it says that it was not. */
static void use_view(struct heap *h, cowarena_snapshot *s, const struct content *then,
		     unsigned flags, remedy words)
{
	cowarena_view *view = cowarena_view_open(s, flags);

	if (!granted(view != NULL, words))
		return;
	const char *at = cowarena_view_at(view, h->p);
	DEMAND(at);
	bool right = holds(at, then);
	DEMAND(right || cowarena_view_check(view));
	write_pages(h, PAGES / 2, 7);
	DEMAND(live_holds(h));
	right = holds(at, then);
	int said = cowarena_view_check(view), e = errno;
	DEMAND(right || said);
	DEMAND(cowarena_view_close(view) == said);
	DEMAND(said == 0 || (words && e == ESTALE && errno == ESTALE));
}

static void grow(struct heap *h, remedy words)
{
	size_t n = 3 * MIB;
	char *more = cowarena_alloc(h->arena, n), *little = cowarena_alloc(h->arena, 40);

	if (granted(more != NULL, words)) {
		memset(more, 'm', n);
		DEMAND(more[0] == 'm' && more[n - 1] == 'm');
	}
	if (granted(little != NULL, words))
		memset(little, 'l', 40);
	DEMAND(live_holds(h));
	cowarena_free(h->arena, little);
	cowarena_free(h->arena, more);
}

static void roll_back(struct heap *h, cowarena_snapshot *s, const struct content *then,
		      remedy words)
{
	if (granted(cowarena_rollback(h->arena, s) == 0, words))
		h->now = *then;
	DEMAND(live_holds(h));
	DEMAND(read_snapshot(h, s, then) == 0);
}

static void use_all(struct heap *h, remedy words)
{
	static struct content then;

	cowarena_snapshot *s = (cowarena_snapshot_take)(h->arena, 0);
	if (granted(s != NULL, words))
		then = h->now;
	write_pages(h, PAGES / 3, 1001); /* scattered */
	write_pages(h, PAGES, 1);
	DEMAND(live_holds(h));
	if (s) {
		DEMAND(read_snapshot(h, s, &then) == 0);
		use_view(h, s, &then, 0, words);
		use_view(h, s, &then, COWARENA_VIEW_PRIVATE, words);
		DEMAND(cowarena_compact(h->arena) == 0);
		DEMAND(live_holds(h));
		roll_back(h, s, &then, words);
	}
	write_pages(h, PAGES, 7);
	grow(h, words);
	DEMAND(!s || read_snapshot(h, s, &then) == 0);
	DEMAND(cowarena_snapshot_release(s) == 0);
	DEMAND(live_holds(h));
}

/* ---- no mappings ---- */

#define HOG_MAX (1 << 20)

static void *hog[HOG_MAX];
static size_t hogged;

/* Use up the process's mappings: neighbours do not become one, as their protections alternate. */
static void take_mappings(void)
{
	while (hogged < HOG_MAX) {
		void *p = mmap(NULL, page_size(), hogged % 2 ? PROT_READ : PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			break;
		hog[hogged++] = p;
	}
	if (hogged == HOG_MAX)
		cannot("vm.max_map_count is too large to be used up");
	DEMAND(errno == ENOMEM);
}

static void free_mappings(size_t n)
{
	for (; n && hogged; n--)
		munmap(hog[--hogged], page_size());
}

/* Another arena is refused, and leaves nothing behind. */
static void refuse_arena(const struct cowarena_options *o)
{
	int before = dup(0), after;

	close(before);
	for (int i = 0; i < 3; i++) {
		errno = 0;
		DEMAND(!cowarena_create(o) && errno == ENOMEM && *cowarena_errmsg());
	}
	after = dup(0);
	close(after);
	DEMAND(after == before);
}

static void use_few_mappings(void *arg)
{
	static const size_t left[] = {0, 1, 2, 8, 64};
	static struct heap h;
	static struct content before;
	int engine = *(int *)arg;
	struct cowarena_options o = case_options(engine);

	make_heap(&h, &o);
	for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
		if (!stressing() && (i + (size_t)engine) % 2)
			continue;
		/* A snapshot and its view from better times. */
		cowarena_snapshot *old = (cowarena_snapshot_take)(h.arena, 0);
		cowarena_view *view = cowarena_view_open(old, 0);
		DEMAND(old && view);
		before = h.now;
		take_mappings();
		refuse_arena(&o);
		free_mappings(left[i]);
		use_all(&h, "vm.max_map_count");
		DEMAND(read_snapshot(&h, old, &before) == 0);
		bool right = holds(cowarena_view_at(view, h.p), &before);
		DEMAND(right || cowarena_view_check(view));
		cowarena_view_close(view);

		free_mappings(4000);
		use_all(&h, NULL);
		DEMAND(read_snapshot(&h, old, &before) == 0);
		DEMAND(cowarena_snapshot_release(old) == 0);
	}
	cowarena_destroy(h.arena);
}

START_TEST(few_mappings)
{
	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: the tool does not live without mappings\n");
	else
		child(use_few_mappings, &_i);
}
END_TEST

/* ---- limits of the process ---- */

static struct rlimit set_limit(int resource, rlim_t bytes)
{
	struct rlimit was, r;

	DEMAND(getrlimit(resource, &was) == 0);
	r = was;
	r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
	DEMAND(setrlimit(resource, &r) == 0);
	return was;
}

/* A field of /proc/self/status, in bytes. Without stdio, which allocates. */
static size_t status_bytes(const char *field)
{
	static char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *at = strstr(text, field);
	DEMAND(at);
	return strtoull(at + strlen(field), NULL, 10) << 10;
}

struct space {
	int resource;
	const char *field, *words; /* what is used of it; the remedy */
};

static const struct space spaces[] = {{RLIMIT_AS, "VmSize:", "ulimit -v"},
				      {RLIMIT_DATA, "VmData:", "ulimit"}};

struct space_case {
	struct space space;
	int engine;
};

/* How much there may be on top of what is in use already. */
static const size_t rooms[] = {0, 64 << 10, MIB, 5 * MIB, 17 * MIB, 34 * MIB, 80 * MIB};
#define ROOMS (sizeof rooms / sizeof *rooms)

static struct rlimit squeeze(const struct space *s, size_t room)
{
	return set_limit(s->resource, status_bytes(s->field) + room);
}

/* At creation: refused, and nothing is left behind, until there is enough; and what there is
   then will do. */
static void create_in_little_space(const struct space_case *c)
{
	static struct heap h;
	struct cowarena_options o = case_options(c->engine);

	o.capacity = 64 * MIB;
	for (size_t room = 0;; room += room / 4 + 16 * page_size()) {
		size_t before = status_bytes(c->space.field);
		struct rlimit was = squeeze(&c->space, room);
		errno = 0;
		cowarena *arena = cowarena_create(&o);
		bool made = granted(arena != NULL, c->space.words);
		cowarena_destroy(arena);
		DEMAND(made || status_bytes(c->space.field) < before + MIB); /* the heap of libc */
		if (made) {
			make_heap(&h, &o);
			use_all(&h, "");
			setrlimit(c->space.resource, &was);
			use_all(&h, NULL);
			cowarena_destroy(h.arena);
			return;
		}
		setrlimit(c->space.resource, &was);
	}
}

/* Later: with `moment` counting what has been done before. */
static void lose_space(const struct space_case *c, int moment, size_t room)
{
	static struct heap h;
	static struct content then;
	struct cowarena_options o = case_options(c->engine);
	cowarena_snapshot *s = NULL;
	cowarena_view *view = NULL;

	make_heap(&h, &o);
	if (moment >= 1)
		DEMAND((s = (cowarena_snapshot_take)(h.arena, 0)));
	then = h.now;
	if (moment >= 2)
		write_pages(&h, PAGES / 2, 11);
	if (moment >= 3)
		DEMAND((view = cowarena_view_open(s, 0)));
	struct rlimit was = squeeze(&c->space, room);
	use_all(&h, c->space.words);
	DEMAND(cowarena_compact(h.arena) == 0);
	DEMAND(live_holds(&h));
	setrlimit(c->space.resource, &was);
	use_all(&h, NULL);
	DEMAND(!s || read_snapshot(&h, s, &then) == 0);
	DEMAND(!view || (holds(cowarena_view_at(view, h.p), &then) && !cowarena_view_check(view)));
	cowarena_destroy(h.arena);
}

static void use_little_space(void *arg)
{
	const struct space_case *c = arg;

	create_in_little_space(c);
	for (int moment = 0; moment < 4; moment++)
		for (size_t i = 0; i < ROOMS; i++)
			if (stressing() ||
			    ((size_t)moment * ROOMS + i) % CASES == (size_t)c->engine)
				lose_space(c, moment, rooms[i]);
}

START_TEST(little_space)
{
	struct space_case c = {spaces[_i / CASES], _i % CASES};

	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: the tool wants more address space than any limit leaves it\n");
	else
		child(use_little_space, &c);
}
END_TEST

/* All descriptors but `left`. */
static void take_descriptors(int left)
{
	int fd, last[8], n = 0;

	set_limit(RLIMIT_NOFILE, 64);
	while ((fd = dup(0)) >= 0)
		last[n++ % 8] = fd;
	DEMAND(errno == EMFILE && n >= 8);
	while (left-- > 0)
		close(last[--n % 8]);
}

/* Those that are open. */
static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* With so few left, an arena of that engine, or of another, or none. The view's way in is
   missing. */
static void create_with_few_descriptors(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg % CASES);
	int left = *(int *)arg / CASES;

	o.flags |= COWARENA_STRICT_ENGINE;
	cowarena *arena = cowarena_create(&o);
	bool to_be_had = arena;
	cowarena_destroy(arena);
	o.flags &= ~(unsigned)COWARENA_STRICT_ENGINE;
	take_descriptors(left);
	int before = count_descriptors();
	arena = cowarena_create(&o);
	if (arena) {
		DEMAND(left > 0);
		cowarena_destroy(arena);
		DEMAND(count_descriptors() == before);
		make_heap(&h, &o);
		if (left < 3)
			use_all(&h, NULL);
		cowarena_destroy(h.arena);
	} else {
		DEMAND(errno == EMFILE && strstr(cowarena_errmsg(), "ulimit -n"));
	}
	DEMAND(count_descriptors() == before);
	/* The engine itself, or the reason. */
	o.flags |= COWARENA_STRICT_ENGINE;
	errno = 0;
	arena = cowarena_create(&o);
	if (!arena && to_be_had)
		DEMAND(errno == EMFILE && strstr(cowarena_errmsg(), "ulimit -n"));
	cowarena_destroy(arena);
	DEMAND(count_descriptors() == before);
}

START_TEST(few_descriptors_at_creation)
{
	child(create_with_few_descriptors, &_i);
}
END_TEST

/* The first view finds none left, so that its pages are split in another way. */
static void view_without_descriptors(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);

	make_heap(&h, &o);
	take_descriptors(0);
	use_all(&h, NULL);
	use_all(&h, NULL);
	cowarena_destroy(h.arena);
}

START_TEST(no_descriptors_for_a_view)
{
	child(view_without_descriptors, &_i);
}
END_TEST

/* ... and no mappings either: then the view says that it was not kept. */
static void view_without_anything(void *arg)
{
	static struct heap h;
	static struct content before;
	struct cowarena_options o = case_options(*(int *)arg);

	make_heap(&h, &o);
	take_descriptors(0);
	cowarena_snapshot *s = (cowarena_snapshot_take)(h.arena, 0);
	before = h.now;
	cowarena_view *view = cowarena_view_open(s, 0);
	DEMAND(s && view);
	take_mappings();
	write_pages(&h, PAGES, 7);
	DEMAND(live_holds(&h));
	bool right = holds(cowarena_view_at(view, h.p), &before);
	int said = cowarena_view_check(view);
	DEMAND(right || said);
	DEMAND(!said || (errno == ESTALE && strstr(cowarena_errmsg(), "vm.max_map_count")));
	DEMAND(read_snapshot(&h, s, &before) == 0);
	free_mappings(hogged);
	DEMAND(cowarena_view_close(view) == said);
	use_all(&h, NULL);
	cowarena_destroy(h.arena);
}

START_TEST(neither_descriptors_nor_mappings)
{
	static int engines[] = {CASE_DEFAULT, CASE_EAGER, CASE_UFFD, CASE_HYBRID, CASE_EVENTS};

	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: the tool does not live without mappings\n");
	else
		child(view_without_anything, &engines[_i]);
}
END_TEST

/* Be nobody, to whom limits apply. What the process could do but for that it still can. */
static void drop_privileges(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];

	if (geteuid() != 0)
		return;
	if (prctl(PR_SET_KEEPCAPS, 1) || syscall(SYS_capget, &head, caps) ||
	    syscall(SYS_setresuid, 65534, 65534, 65534))
		cannot("root that cannot become somebody else");
	caps[0].permitted &= ~(1u << CAP_SYS_RESOURCE | 1u << CAP_SYS_ADMIN | 1u << CAP_IPC_LOCK);
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	if (syscall(SYS_capset, &head, caps))
		cannot("capabilities cannot be given up");
	prctl(PR_SET_DUMPABLE, 1); /* /proc/self is ours again */
}

static void *nothing(void *arg)
{
	return arg;
}

/* No thread can be started: neither the helper, nor one that resolves faults. */
static void use_no_threads(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);
	pthread_t thread;

	drop_privileges();
	set_limit(RLIMIT_NPROC, 0);
	if (pthread_create(&thread, NULL, nothing, NULL) == 0)
		cannot("RLIMIT_NPROC does not apply here");
	cowarena *arena = cowarena_create(&o);
	DEMAND(arena);
	/* Engine kernel needs no thread for that. */
	DEMAND(!cowarena_syscall_safe(arena) || !strcmp(cowarena_engine_name(arena), "kernel"));
	cowarena_destroy(arena);
	make_heap(&h, &o);
	use_all(&h, NULL);
	/* In the end there may be threads again, and nobody waits for one that never was. */
	cowarena_destroy(h.arena);
}

START_TEST(no_threads)
{
	if (sanitized())
		printf("SKIP: the sanitizer's own threads\n");
	else
		child(use_no_threads, &_i);
}
END_TEST

static void *write_all(void *arg)
{
	write_pages(arg, PAGES, 7);
	return NULL;
}

/* The handler runs on the stack of who writes. */
static void use_small_stacks(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);
	pthread_attr_t attr;
	pthread_t thread;

	set_limit(RLIMIT_STACK, 64 << 10);
	make_heap(&h, &o);
	use_all(&h, NULL);
	cowarena_snapshot *s = (cowarena_snapshot_take)(h.arena, 0);
	cowarena_view *view = cowarena_view_open(s, 0);
	DEMAND(s && view);
	pthread_attr_init(&attr);
	DEMAND(pthread_attr_setstacksize(&attr, (size_t)PTHREAD_STACK_MIN) == 0);
	DEMAND(pthread_create(&thread, &attr, write_all, &h) == 0);
	pthread_join(thread, NULL);
	DEMAND(live_holds(&h) && cowarena_view_check(view) == 0);
	cowarena_destroy(h.arena);
}

START_TEST(small_stacks)
{
	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: the tool wants larger stacks\n");
	else
		child(use_small_stacks, &_i);
}
END_TEST

/* Files may not be so large: no arena. Nor may they later: the arena's has its size already,
   and writing to a view's page through /proc/self/mem, at an offset beyond every limit, is not
   writing to a file. */
static void use_short_files(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);

	signal(SIGXFSZ, SIG_DFL);
	struct rlimit was = set_limit(RLIMIT_FSIZE, o.capacity - 1);
	errno = 0;
	DEMAND(!cowarena_create(&o) && errno == EFBIG && strstr(cowarena_errmsg(), "ulimit -f"));
	setrlimit(RLIMIT_FSIZE, &was);
	make_heap(&h, &o);
	set_limit(RLIMIT_FSIZE, 0);
	use_all(&h, NULL);
	cowarena_destroy(h.arena);
	/* At its end a process writes files, where coverage is measured. */
	setrlimit(RLIMIT_FSIZE, &was);
}

START_TEST(short_files)
{
	child(use_short_files, &_i);
}
END_TEST

/* Every new mapping is to be locked, and none may be. */
static void use_no_locked_memory(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);

	make_heap(&h, &o);
	drop_privileges();
	set_limit(RLIMIT_MEMLOCK, page_size());
	if (mlockall(MCL_FUTURE))
		cannot("mlockall(2) is not allowed");
	set_limit(RLIMIT_MEMLOCK, 0);
	void *p = mmap(NULL, page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		cannot("RLIMIT_MEMLOCK does not apply here");
	refuse_arena(&o);
	use_all(&h, "");
	munlockall();
	use_all(&h, NULL);
	cowarena_destroy(h.arena);
}

START_TEST(no_locked_memory)
{
	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: the tool needs mappings of its own\n");
	else
		child(use_no_locked_memory, &_i);
}
END_TEST

/* All mappings locked, and enough memory for it. */
static void use_locked_memory(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);

	o.capacity = 64 * MIB;
	make_heap(&h, &o);
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		cannot("mlockall(2) is not allowed");
	use_all(&h, NULL);
	cowarena_destroy(h.arena);
	make_heap(&h, &o);
	use_all(&h, NULL);
	cowarena_destroy(h.arena);
}

START_TEST(locked_memory)
{
	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: the tool's own mappings are too large to be locked\n");
	else
		child(use_locked_memory, &_i);
}
END_TEST

/* ---- no memory ---- */

/*
 * The limit of a memory control group. It is what bounds an arena's memory: the arena is a memfd,
 * whose pages count neither against the size of a tmpfs (they lie on the kernel's own mount of
 * it, which has none) nor against kernel.shm*; RLIMIT_FSIZE bounds the length of the file, holes
 * included; and an overcommit limit is asked for nothing, as all is mapped with MAP_NORESERVE.
 */
struct group {
	char path[PATH_MAX];
	const char *limit; /* name of the file */
};

#define GROUP_BYTES (64 * MIB)

static bool write_file(const char *directory, const char *name, size_t number)
{
	char path[PATH_MAX + 64], text[32];
	int n = snprintf(text, sizeof text, "%zu", number);

	snprintf(path, sizeof path, "%s/%s", directory, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	return done;
}

/* In /proc/self/cgroup. What is in front of the path ends with `before`. */
static bool own_group(const char *before, char *path, size_t room)
{
	char line[PATH_MAX];
	FILE *f = fopen("/proc/self/cgroup", "r");
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f)) {
		char *at = strstr(line, before);
		line[strcspn(line, "\n")] = '\0';
		found = at != NULL;
		if (found)
			snprintf(path, room, "%s", at + strlen(before));
	}
	if (f)
		fclose(f);
	return found;
}

/* A group inside our own, so that whatever holds for that still holds. */
static bool make_group(struct group *g)
{
	static const struct {
		const char *before, *root, *limit;
	} versions[] = {{":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
			{"0::", "/sys/fs/cgroup", "memory.max"}};
	char own[PATH_MAX / 2];

	for (size_t i = 0; i < 2; i++) {
		if (!own_group(versions[i].before, own, sizeof own))
			continue;
		snprintf(g->path, sizeof g->path, "%s%s/cowarena-test-%ld", versions[i].root, own,
			 (long)getpid());
		g->limit = versions[i].limit;
		if (mkdir(g->path, 0755))
			continue;
		if (write_file(g->path, g->limit, GROUP_BYTES)) {
			write_file(g->path, "memory.swap.max", 0); /* where there is such a thing */
			return true;
		}
		rmdir(g->path);
	}
	printf("SKIP: no memory control group may be made here\n");
	return false;
}

static void remove_group(const struct group *g)
{
	/* The kernel may still be at work on the last process. */
	AWAIT(rmdir(g->path) == 0 || errno != EBUSY);
}

struct dirtying {
	const struct group *group;
	struct cowarena_options options;
};

/* A heap of 8 MiB, and a snapshot before each time that it is written: seven of them fill the
   group. */
static void dirty_in_group(void *arg)
{
	const struct dirtying *d = arg;
	size_t n = 8 * MIB, most = 12;
	cowarena_snapshot *s[12];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!write_file(d->group->path, "cgroup.procs", (size_t)getpid()))
		cannot("no process may be put into the control group");
	cowarena *arena = cowarena_create(&d->options);
	DEMAND(arena);
	char *p = cowarena_alloc(arena, n);
	DEMAND(p);
	memset(p, 0, n);
	for (size_t i = 0; i < most; i++) {
		s[i] = (cowarena_snapshot_take)(arena, 0);
		DEMAND(s[i] || d->options.held_limit);
		memset(p, (int)i + 1, n);
	}
	/* The live heap is right, and each snapshot is, or says that it was given up. */
	for (size_t i = 0; i < n; i++)
		DEMAND(p[i] == (char)most);
	size_t stale = 0;
	for (size_t i = 0; i < most; i++) {
		char seen = 99;
		if (s[i] && cowarena_snapshot_read(s[i], &seen, p + n / 2, 1) == 0)
			DEMAND(seen == (char)i);
		else
			stale++;
	}
	DEMAND(stale >= most - 2 && stale < most);
	DEMAND(stats_of(arena).held_bytes_peak <= d->options.held_limit);
	cowarena_destroy(arena);
}

START_TEST(memory_of_a_group)
{
	struct group group;
	struct dirtying d = {&group, case_options(_i)};
	char *said;

	if (sanitized() || getenv("COWARENA_VALGRIND")) {
		printf("SKIP: the tool wants more memory than the group has\n");
		return;
	}
	if (!make_group(&group))
		return;
	int without = in_child(dirty_in_group, &d, &said);
	int with = 0;
	for (int policy = 0; policy < 2 && without != CANNOT << 8 && with == 0; policy++) {
		if (!stressing() && policy != _i % 2)
			continue;
		free(said);
		d.options.held_limit = 20 * MIB; /* two heaps */
		d.options.limit_policy = (unsigned)policy;
		with = in_child(dirty_in_group, &d, &said);
	}
	remove_group(&group);
	if (without == CANNOT << 8)
		printf("%s", said);
	else
		ck_assert_msg(WIFSIGNALED(without) && WTERMSIG(without) == SIGKILL,
			      "without a limit of held memory: status %#x: %s", without, said);
	ck_assert_msg(with == 0, "with a limit of held memory: status %#x: %s", with, said);
	free(said);
}
END_TEST

/* ---- large ---- */

static size_t memory_available(void)
{
	char line[256];
	size_t kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %zu", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib << 10;
}

#define ISLAND 16 /* pages that are written together */

struct large {
	cowarena *arena;
	char *p;
	size_t bytes, islands;
};

/* From island to island. Each begins after a third of it. */
static size_t stride_of(const struct large *l)
{
	return l->bytes / l->islands / page_size();
}

/* The pages of an island are written in descending order: that is no walk, so nothing is
   copied ahead. */
static char *island_page(const struct large *l, size_t i)
{
	size_t stride = stride_of(l);
	size_t island = i / ISLAND * 7919 % l->islands, page = ISLAND - 1 - i % ISLAND;

	return l->p + (island * stride + stride / 3 + page) * page_size();
}

static void write_islands(const struct large *l, size_t from, size_t to, uint32_t generation)
{
	for (size_t i = from * ISLAND; i < to * ISLAND; i++)
		fill_page(island_page(l, i), i, generation);
}

static bool islands_are(cowarena_view *view, const struct large *l, size_t from, size_t to,
			uint32_t generation)
{
	for (size_t i = from * ISLAND; i < to * ISLAND; i++) {
		const char *at = island_page(l, i);
		if (!is_page(view ? cowarena_view_at(view, at) : at, i, generation))
			return false;
	}
	return true;
}

static int count_pages(void *ctx, const void *start, size_t n)
{
	(void)start;
	*(size_t *)ctx += n / page_size();
	return 0;
}

static void snapshots_of(struct large *l)
{
	size_t n = l->islands, pages = n * ISLAND, changed = 0;

	write_islands(l, 0, n, 1);
	cowarena_compact(l->arena);
	cowarena_snapshot *a = (cowarena_snapshot_take)(l->arena, 0);
	DEMAND(a);
	bool eager = strcmp(cowarena_engine_name(l->arena), "eager") == 0;
	write_islands(l, 0, n, 2);
	if (!eager) {
		struct cowarena_stats s = stats_of(l->arena);
		DEMAND(s.copied == pages && s.copied_ahead == 0);
		DEMAND(s.held_bytes == pages * page_size());
		DEMAND(s.live_bytes >= l->bytes && s.arena_bytes > l->bytes);
	}
	cowarena_view *view = cowarena_view_open(a, 0);
	DEMAND(view && islands_are(view, l, 0, n, 1));
	for (size_t i = 0; i < n;
	     i += n / 256 + 1) /* never written; a few, as to read a hole fills it */
		DEMAND(*(char *)cowarena_view_at(view, l->p + i * stride_of(l) * page_size()) == 0);
	cowarena_snapshot *b = (cowarena_snapshot_take)(l->arena, 0);
	DEMAND(b);
	write_islands(l, 0, n / 2, 3);
	DEMAND(islands_are(view, l, 0, n, 1) && cowarena_view_check(view) == 0);
	DEMAND(cowarena_diff(a, b, count_pages, &changed) == 0 && changed == pages);
	changed = 0;
	DEMAND(cowarena_diff(b, NULL, count_pages, &changed) == 0);
	DEMAND(changed == n / 2 * ISLAND);
	DEMAND(cowarena_rollback(l->arena, b) == 0 && islands_are(NULL, l, 0, n, 2));
	DEMAND(cowarena_rollback(l->arena, a) == 0 && islands_are(NULL, l, 0, n, 1));
	DEMAND(cowarena_view_close(view) == 0);
	DEMAND(cowarena_snapshot_release(a) == 0 && cowarena_snapshot_release(b) == 0);
	DEMAND(held_at_rest(l->arena) == 0);
}

static void use_large(void *arg)
{
	int engine = *(int *)arg;
	struct cowarena_options o = case_options(engine);
	size_t touched = scaled(16 * MIB, 2 * GIB, 8 * MIB), before = status_bytes("VmHWM:");
	struct large l;

	if (touched > memory_available() / 8)
		touched = memory_available() / 8;
	if (engine == CASE_EAGER) /* it copies all that is in use, holes or not */
		touched /= 4;
	o.capacity = 16 * GIB;
	l.arena = cowarena_create(&o);
	if (!l.arena)
		cannot(cowarena_errmsg());
	l.bytes = engine == CASE_EAGER ? 4 * touched : 12 * GIB;
	l.islands = touched / (ISLAND * page_size());
	if (l.islands > 4000 && (engine == CASE_DEFAULT || engine == CASE_FAITHFUL))
		l.islands =
		    4000; /* two mappings each, of a budget of 16,000 without copying ahead */
	touched = l.islands * ISLAND * page_size();
	l.p = cowarena_aligned_alloc(l.arena, page_size(), l.bytes);
	DEMAND(l.p && !cowarena_alloc(l.arena, 2 * o.capacity) && errno == ENOMEM);
	char *little = cowarena_strdup(l.arena, "little");
	snapshots_of(&l);
	DEMAND(strcmp(little, "little") == 0);

	/*
	 * What was touched is there once live, twice in frames, and once in the view; the eager
	 * engine has four times as much of each. What is not proportional to that: of the heap in
	 * use, the pages' states (16 bytes of 4096), and their bitmaps; the helper's 128 MiB of
	 * frames ahead of need; and the process. The capacity counts for nothing.
	 */
	size_t copies = engine == CASE_EAGER ? 16 : 4;
	size_t most = before + copies * touched + l.bytes / 200 + 160 * MIB;
	fprintf(stderr, "%zu MiB touched, peak %zu MiB, at most %zu\n", touched >> 20,
		status_bytes("VmHWM:") >> 20, most >> 20);
	DEMAND(sanitized() || status_bytes("VmHWM:") < most); /* (not with a sanitizer's shadow) */
	cowarena_destroy(l.arena);
}

START_TEST(a_large_heap)
{
	child(use_large, &_i);
}
END_TEST

/* More than the machine has, by far. */
static void use_huge_capacity(void *arg)
{
	static struct heap h;
	struct cowarena_options o = case_options(*(int *)arg);

	o.capacity = 4096 * GIB;
	cowarena *arena = cowarena_create(&o);
	if (!arena)
		cannot(cowarena_errmsg());
	cowarena_destroy(arena);
	size_t before = status_bytes("VmHWM:");
	make_heap(&h, &o);
	use_all(&h, NULL);
	DEMAND(stats_of(h.arena).arena_bytes < 64 * MIB);
	/* Chunks, frames, copies: whatever there is, is for what is in use. */
	DEMAND(status_bytes("VmHWM:") < before + 400 * MIB);
	cowarena_destroy(h.arena);
}

START_TEST(a_huge_capacity)
{
	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: there is less address space\n");
	else
		child(use_huge_capacity, &_i);
}
END_TEST

/* A block of more than the memory there is, and a snapshot of it. */
static void use_more_than_memory(void *arg)
{
	struct cowarena_options o = case_options(*(int *)arg);
	size_t n = 2 * (size_t)sysconf(_SC_PHYS_PAGES) * page_size(), last = n - 1;

	if (n > 512 * GIB)
		cannot("so much memory that its page states alone are too many");
	o.capacity = 2 * n;
	cowarena *arena = cowarena_create(&o);
	if (!arena)
		cannot(cowarena_errmsg());
	char *p = cowarena_alloc(arena, n), seen[3] = "";
	DEMAND(p);
	p[0] = p[n / 2] = p[last] = 'a';
	cowarena_snapshot *s = (cowarena_snapshot_take)(arena, 0);
	DEMAND(s && stats_of(arena).live_bytes >= n);
	p[0] = p[n / 2] = p[last] = 'b';
	DEMAND(cowarena_snapshot_read(s, seen, p, 1) == 0 &&
	       cowarena_snapshot_read(s, seen + 1, p + last, 1) == 0 && !strcmp(seen, "aa"));
	cowarena_view *view = cowarena_view_open(s, 0);
	DEMAND(view && *(char *)cowarena_view_at(view, p + n / 2) == 'a');
	DEMAND(cowarena_view_close(view) == 0);
	DEMAND(cowarena_rollback(arena, s) == 0 && p[0] == 'a' && p[last] == 'a');
	DEMAND(stats_of(arena).held_bytes <= 3 * page_size());
	cowarena_destroy(arena);
}

START_TEST(more_than_memory)
{
	static int engines[] = {CASE_DEFAULT, CASE_HYBRID};

	if (sanitized() || getenv("COWARENA_VALGRIND"))
		printf("SKIP: there is less address space\n");
	else
		child(use_more_than_memory, &engines[_i]);
}
END_TEST

/* ---- the limit of held memory, while a view is read ---- */

struct reading {
	const struct heap *h;
	cowarena_snapshot *snapshot;
	cowarena_view *view;
	const char *at; /* the block in the view */
	const struct content *then;
	atomic_bool stop;
};

/* If the view says after the reading that all was right, then it was. So with a page of the
   snapshot. */
static void *read_on(void *arg)
{
	static char copy[1 << 16];
	struct reading *r = arg;

	for (size_t i = 0; !atomic_load(&r->stop); i = (i + 1) % PAGES) {
		if (i % 64 == 0 && !holds(r->at, r->then) && !cowarena_view_check(r->view))
			ck_abort_msg("a page of a view is wrong, and it does not say so");
		if (cowarena_snapshot_read(r->snapshot, copy, r->h->p + i * page_size(),
					   page_size()) == 0 &&
		    !is_page(copy, i, r->then->of[i]))
			ck_abort_msg("page %zu of a snapshot is wrong, and it does not say so", i);
	}
	return NULL;
}

/* 0 or 1: whether it is spoiled. Wrong bytes are the end. */
static size_t is_stale(const struct heap *h, cowarena_snapshot *s, const struct content *c)
{
	if (read_snapshot(h, s, c) == 0)
		return 0;
	ck_assert_int_eq(errno, ESTALE);
	return 1;
}

static size_t spoil_while_reading(struct heap *h, unsigned flags)
{
	static struct content first, second;
	struct reading r = {.h = h, .then = &first};
	pthread_t thread;
	size_t stale = 0, stale_view = 0;

	cowarena_snapshot *a = take_snapshot(h->arena, 0), *b;
	first = h->now;
	if (!a) { /* eager: there is no room for its copy */
		ck_assert_int_eq(errno, ENOMEM);
		write_pages(h, PAGES, 7);
		ck_assert(live_holds(h));
		return 0;
	}
	r.snapshot = a;
	r.view = cowarena_view_open(a, flags);
	if (r.view) {
		r.at = cowarena_view_at(r.view, h->p);
		ck_assert_int_eq(pthread_create(&thread, NULL, read_on, &r), 0);
	} else {
		ck_assert_int_eq(errno, ENOMEM);
	}
	write_pages(h, PAGES, 7);
	b = take_snapshot(h->arena, 0);
	second = h->now;
	if (!b)
		ck_assert_int_eq(errno, ENOMEM);
	write_pages(h, PAGES / 2, 11);
	ck_assert(live_holds(h));
	stale = is_stale(h, a, &first);
	if (r.view) {
		atomic_store(&r.stop, true);
		pthread_join(thread, NULL);
		ck_assert_int_eq(cowarena_view_check(r.view) == -1, stale);
		bool right = holds(r.at, &first);
		stale_view = cowarena_view_close(r.view) == -1;
		ck_assert(right || stale_view);
		ck_assert_uint_eq(stale_view, stale);
	}
	if (b)
		stale += is_stale(h, b, &second);
	ck_assert_uint_eq(stats_of(h->arena).spoiled, stale);
	ck_assert_int_eq(cowarena_snapshot_release(a), 0);
	ck_assert_int_eq(cowarena_snapshot_release(b), 0);
	return stale;
}

/* In use, with a heap as all have here. */
static size_t heap_bytes(void)
{
	static struct heap h;
	struct cowarena_options o = case_options(CASE_EAGER);

	make_heap(&h, &o);
	size_t bytes = stats_of(h.arena).arena_bytes;
	cowarena_destroy(h.arena);
	return bytes;
}

START_TEST(limit_while_reading)
{
	static struct heap h;
	size_t page = page_size();
	/* What it takes: a frame and a page of the view for each, and half of the frames
	   again. The eager engine has the whole heap each time. */
	size_t all = _i == CASE_EAGER ? 3 * heap_bytes() : (2 * PAGES + PAGES / 2) * page;
	size_t limits[] = {page, 2 * page, CHUNK, all / 2, all - page, all, all + page};
	size_t n = sizeof limits / sizeof *limits;

	for (size_t i = 0; i < 2 * n; i++) {
		if (!stressing() && (i + i / 2) % 2) /* each limit with one of the policies */
			continue;
		struct cowarena_options o = case_options(_i);
		o.held_limit = limits[i / 2];
		o.limit_policy = i % 2;
		make_heap(&h, &o);
		size_t stale = spoil_while_reading(&h, i / 4 % 2 ? COWARENA_VIEW_PRIVATE : 0);
		struct cowarena_stats s = stats_of(h.arena);
		ck_assert_uint_le(s.held_bytes_peak, o.held_limit);
		ck_assert_uint_eq(s.held_bytes, 0);
		if (_i != CASE_EAGER)
			ck_assert_msg((stale == 0) == (o.held_limit >= all),
				      "%zu snapshots given up with a limit of %zu pages", stale,
				      o.held_limit / page);
		cowarena_destroy(h.arena);
	}
}
END_TEST

/* A snapshot is not given up for one that would find no room all the same: what views hold
   stays. */
START_TEST(no_room_beside_views)
{
	struct cowarena_options o = case_options(CASE_EAGER);
	char seen;

	o.held_limit = 16 * MIB;
	o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	cowarena *arena = cowarena_create(&o);
	char *p = cowarena_calloc(arena, 1, 4 * MIB);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	cowarena_view *one = cowarena_view_open(s, 0), *two = cowarena_view_open(s, 0);
	ck_assert(one && two);
	ck_assert_ptr_nonnull(cowarena_alloc(arena, 6 * MIB));
	p[0] = 1;
	ck_assert_ptr_null(take_snapshot(arena, 0));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert(cowarena_snapshot_read(s, &seen, p, 1) == 0 && seen == 0);
	ck_assert_int_eq(cowarena_view_close(one), 0);
	/* Now the oldest one's place is enough. */
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	ck_assert_int_eq(cowarena_view_check(two), -1);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scarce");
	TCase *mappings = tcase_create("mappings"), *limits = tcase_create("limits");
	TCase *memory = tcase_create("memory"), *large = tcase_create("large");
	TCase *held = tcase_create("held"), *beyond = tcase_create("beyond");
	TCase *space = tcase_create("space"), *files = tcase_create("files");

	tcase_add_loop_test(mappings, few_mappings, 0, CASES);
	suite_add_tcase(suite, mappings);
	tcase_add_loop_test(space, little_space, 0, 2 * CASES);
	suite_add_tcase(suite, space);
	tcase_add_loop_test(files, few_descriptors_at_creation, 0, 5 * CASES);
	tcase_add_loop_test(files, no_descriptors_for_a_view, 0, CASES);
	tcase_add_loop_test(files, neither_descriptors_nor_mappings, 0, 5);
	suite_add_tcase(suite, files);
	tcase_add_loop_test(limits, no_threads, 0, CASES);
	tcase_add_loop_test(limits, small_stacks, 0, CASES);
	tcase_add_loop_test(limits, short_files, 0, CASES);
	tcase_add_loop_test(limits, no_locked_memory, 0, CASES);
	tcase_add_loop_test(limits, locked_memory, 0, CASES);
	suite_add_tcase(suite, limits);
	tcase_add_loop_test(memory, memory_of_a_group, 0, CASES);
	suite_add_tcase(suite, memory);
	tcase_add_loop_test(large, a_large_heap, 0, CASES);
	tcase_add_loop_test(large, a_huge_capacity, 0, CASES);
	tcase_add_loop_test(beyond, more_than_memory, 0, 2);
	suite_add_tcase(suite, beyond);
	suite_add_tcase(suite, large);
	tcase_add_loop_test(held, limit_while_reading, 0, CASES);
	tcase_add_test(held, no_room_beside_views);
	suite_add_tcase(suite, held);
	return run_suite(suite);
}
