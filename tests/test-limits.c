/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-limits.c - arenas that cannot be made: bad options, too little address space, too few files
 * or descriptors; and what the limit of held memory costs (I7).
 */
#include "config.h"

#include "arena.h"
#include "engine-state.h"
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* No arena from these options: this errno, a message with these words. */
static void refused(const struct cowarena_options *o, int errnum, const char *words)
{
	errno = 0;
	cowarena *arena = cowarena_create(o);
	ck_assert_msg(arena == NULL, "made in spite of \"%s\"", words);
	ck_assert_msg(errno == errnum && strstr(cowarena_errmsg(), words),
		      "errno %d, \"%s\", wanted %d and \"%s\"", errno, cowarena_errmsg(), errnum,
		      words);
}

static void accepted(const struct cowarena_options *o, const char *engine)
{
	cowarena *arena = cowarena_create(o);

	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	ck_assert_str_eq(cowarena_engine_name(arena), engine);
	int *p = cowarena_calloc(arena, 1, sizeof *p);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	ck_assert(p && s);
	*p = 1;
	ck_assert_int_eq(cowarena_rollback(arena, s), 0);
	ck_assert_int_eq(*p, 0);
	cowarena_destroy(arena);
}

START_TEST(options_out_of_range)
{
	struct cowarena_options o = case_options(CASE_DEFAULT), good = o;

#define WITH(field, value) (o = good, o.field = (value), &o)
	refused(WITH(engine, 6), EINVAL, "options.engine");
	refused(WITH(engine, UINT32_MAX), EINVAL, "options.engine");
	for (unsigned flag = 64; flag; flag *= 2)
		refused(WITH(flags, flag), EINVAL, "options.flags");
	refused(WITH(limit_policy, 2), EINVAL, "options.limit_policy");
	refused(WITH(capacity, SIZE_MAX), EINVAL, "options.capacity");
	refused(WITH(capacity, SIZE_MAX / 2), EINVAL, "options.capacity");
	refused(WITH(capacity, ((size_t)16 << 40) + 1), EINVAL, "options.capacity");
	refused(WITH(held_limit, 1), EINVAL, "options.held_limit");
	refused(WITH(held_limit, page_size() - 1), EINVAL, "options.held_limit");
	refused(WITH(base, (void *)(uintptr_t)0x7e0000001000), EINVAL, "multiple of 2 MiB");
	refused(WITH(base, (void *)1), EINVAL, "multiple of 2 MiB");
	for (unsigned engine = COWARENA_ENGINE_SIGSEGV; engine <= COWARENA_ENGINE_KERNEL; engine++)
		if (engine != COWARENA_ENGINE_UFFD && engine != COWARENA_ENGINE_KERNEL) {
			o = good;
			o.engine = engine;
			o.flags = COWARENA_SYSCALL_SAFE;
			refused(&o, EINVAL, "COWARENA_ENGINE_AUTO");
		}
	/* More than the processor has addresses. (ThreadSanitizer dies of the attempt.) */
	if (!scaled(0, 0, 1))
		refused(WITH(base, (void *)(uintptr_t)0x4000000000000000), ENOMEM, "");

	accepted(&good, "sigsegv");
	accepted(WITH(held_limit, page_size()), "sigsegv");
	accepted(WITH(engine, COWARENA_ENGINE_SIGSEGV), "sigsegv");
	accepted(WITH(engine, COWARENA_ENGINE_EAGER), "eager");
	accepted(WITH(flags, COWARENA_NO_HELPER), "sigsegv");
	accepted(WITH(copy_ahead, 1), "sigsegv");
	accepted(WITH(copy_ahead, SIZE_MAX), "sigsegv");
	good.flags = COWARENA_STRICT_ENGINE;
	accepted(WITH(engine, COWARENA_ENGINE_SIGSEGV), "sigsegv");
	accepted(WITH(engine, COWARENA_ENGINE_EAGER), "eager");
	accepted(WITH(flags, COWARENA_STRICT_ENGINE | COWARENA_FAITHFUL), "sigsegv");
}
END_TEST

/* What AUTO chooses where userfaultfd is not to be had. */
static const char *without_userfaultfd(void)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;

	o.engine = COWARENA_ENGINE_KERNEL;
	o.flags = COWARENA_STRICT_ENGINE;
	cowarena *arena = cowarena_create(&o);
	bool works = arena != NULL;
	cowarena_destroy(arena);
	return works ? "kernel" : "sigsegv";
}

/* Where userfaultfd is not to be had, there is another engine, or a reason. */
START_TEST(engines_that_may_be_refused)
{
	static const struct {
		unsigned engine;
		const char *name;
	} choices[] = {{COWARENA_ENGINE_UFFD, "uffd"}, {COWARENA_ENGINE_HYBRID, "hybrid"}};
	struct cowarena_options o = case_options(CASE_DEFAULT);
	bool had = false;

	for (size_t i = 0; i < 2; i++) {
		o.engine = choices[i].engine;
		o.flags = 0;
		cowarena *arena = cowarena_create(&o);
		had = strcmp(cowarena_engine_name(arena), choices[i].name) == 0;
		if (!had)
			ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "userfaultfd"));
		cowarena_destroy(arena);
		accepted(&o, had ? choices[i].name : "sigsegv");
		o.flags = COWARENA_STRICT_ENGINE;
		if (had)
			accepted(&o, choices[i].name);
		else
			ck_assert(!cowarena_create(&o) && strstr(cowarena_errmsg(), "userfaultfd"));
	}
	/* The best of what is to be had is never refused. */
	o.engine = COWARENA_ENGINE_AUTO;
	o.flags = 0;
	accepted(&o, had ? "hybrid" : without_userfaultfd());
	accepted(NULL, had ? "hybrid" : without_userfaultfd());
	/* Each first write is to be a trap. */
	o.held_limit = (size_t)1 << 30;
	accepted(&o, had ? "hybrid" : "sigsegv");
}
END_TEST

/* As container runtimes do. The other system calls are not touched. */
static void forbid_userfaultfd(int errnum)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_userfaultfd, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)errnum),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {sizeof code / sizeof *code, code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(77);
}

static void sandboxed(void *arg)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	int errnum = *(int *)arg;

	forbid_userfaultfd(errnum);
	if (syscall(__NR_userfaultfd, 0) >= 0)
		_exit(5);
	errnum = errno; /* Valgrind does not ask the kernel, and says ENOSYS */
	const char *name = without_userfaultfd();
	cowarena *arena = cowarena_create(NULL);
	if (!arena || strcmp(cowarena_engine_name(arena), name))
		_exit(1);
	if (!strstr(cowarena_errmsg(), "userfaultfd(2)") || !strstr(cowarena_errmsg(), "seccomp"))
		_exit(2);
	int *p = cowarena_calloc(arena, 1, sizeof *p);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	*p = 1;
	if (cowarena_rollback(arena, s) || *p)
		_exit(3);
	o.engine = COWARENA_ENGINE_HYBRID;
	o.flags = COWARENA_STRICT_ENGINE;
	if (cowarena_create(&o) || errno != errnum)
		_exit(4);
	cowarena_destroy(arena);
}

/* AUTO serves what it can, and says why not the better one. */
START_TEST(a_sandbox)
{
	int errnum = _i ? ENOSYS : EPERM;
	int status = in_child(sandboxed, &errnum, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		printf("SKIP: no seccomp filters here\n");
		return;
	}
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
END_TEST

START_TEST(options_of_other_versions)
{
	struct {
		struct cowarena_options o;
		char more[64];
	} newer = {.o = case_options(CASE_DEFAULT)};
	struct cowarena_options *o = &newer.o;

	/* An older header: what it did not have is not looked at. */
	o->limit_policy = 99;
	o->base = (void *)1;
	o->held_limit = 1;
	for (size_t sz = 0; sz < sizeof o->sz; sz++) {
		o->sz = sz;
		refused(o, EINVAL, "COWARENA_OPTIONS_INIT");
	}
	o->sz = sizeof o->sz;
	cowarena *arena = cowarena_create(o); /* of the engine that is best here */
	ck_assert_ptr_nonnull(arena);
	cowarena_destroy(arena);
	o->sz = offsetof(struct cowarena_options, held_limit);
	accepted(o, "sigsegv");
	o->sz = offsetof(struct cowarena_options, limit_policy);
	refused(o, EINVAL, "options.held_limit");
	o->held_limit = 0;
	accepted(o, "sigsegv");
	o->sz = sizeof *o;
	refused(o, EINVAL, "options.limit_policy");
	o->limit_policy = 0;
	refused(o, EINVAL, "options.base");
	o->base = NULL;

	/* A newer one: fine, as long as it asks for nothing that we do not know. */
	o->sz = sizeof newer;
	accepted(o, "sigsegv");
	o->sz = sizeof *o + 1;
	accepted(o, "sigsegv");
	for (size_t i = 0; i < sizeof newer.more; i++) {
		newer.more[i] = 1;
		o->sz = sizeof newer;
		refused(o, EINVAL, PACKAGE_VERSION);
		o->sz = sizeof *o + i; /* the last byte that counts is the one before */
		accepted(o, "sigsegv");
		newer.more[i] = 0;
	}
}
END_TEST

START_TEST(base_address)
{
	struct cowarena_options o = case_options(_i);
	size_t room = (size_t)3 << 30, chunk = (size_t)2 << 20;
	char *hole =
	    mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert(hole != MAP_FAILED);
	munmap(hole, room);
	o.base = hole + (chunk - (uintptr_t)hole % chunk);
	cowarena *arena = cowarena_create(&o);
	ck_assert_msg(arena != NULL, "%s", cowarena_errmsg());
	char *p = page_block(arena, 1);
	ck_assert(cowarena_contains(arena, o.base));
	ck_assert(!cowarena_contains(arena, (char *)o.base - 1));
	ck_assert(p > (char *)o.base && p < (char *)o.base + room);
	*p = 1;
	char first_choice[16];
	snprintf(first_choice, sizeof first_choice, "%s", cowarena_engine_name(arena));

	/* Taken, wholly or by a page at the end; nothing of it is harmed. */
	refused(&o, EEXIST, "options.base");
	o.base = (char *)o.base - ((size_t)512 << 20);
	refused(&o, EEXIST, "options.base");
	ck_assert_int_eq(*p, 1);
	cowarena_destroy(arena);
	o.base = (char *)o.base + ((size_t)512 << 20);
	accepted(&o, first_choice);
}
END_TEST

/* ---- limits of the process; in children, as Check itself cannot live with them ---- */

struct limit {
	int resource;
	rlim_t bytes;
	bool defaults; /* no options at all */
	int errnum;    /* 0: an arena is made */
	const char *words;
};

#define GIB ((rlim_t)1 << 30)

static const struct limit limits[] = {
    {RLIMIT_FSIZE, 1 << 20, false, EFBIG, "ulimit -f"},
    {RLIMIT_FSIZE, GIB, false, EFBIG, "ulimit -f"}, /* the bookkeeping comes on top */
    {RLIMIT_FSIZE, 0, false, EFBIG, "ulimit -f"},
    {RLIMIT_FSIZE, 2 * GIB, false, 0, ""},
    /* A default capacity is as much as is to be had, not less than 1 GiB. */
    {RLIMIT_FSIZE, 1 << 20, true, EFBIG, "ulimit -f"},
    {RLIMIT_FSIZE, 3 * GIB, true, 0, ""},
    {RLIMIT_NOFILE, 0, false, EMFILE, "ulimit -n"},
    {RLIMIT_NOFILE, 0, true, EMFILE, "ulimit -n"},
    {RLIMIT_AS, GIB / 2, false, ENOMEM, "ulimit -v"},
    {RLIMIT_AS, GIB / 2, true, ENOMEM, "ulimit -v"},
    {RLIMIT_AS, 4 * GIB, false, 0, ""},
    {RLIMIT_AS, 4 * GIB, true, 0, ""},
};

static void create_limited(void *arg)
{
	const struct limit *l = arg;
	struct cowarena_options o = case_options(CASE_DEFAULT);

	signal(SIGXFSZ, SIG_DFL);
	struct rlimit r;
	if (getrlimit(l->resource, &r))
		_exit(2);
	rlim_t before = r.rlim_cur;
	r.rlim_cur = l->bytes;
	if (setrlimit(l->resource, &r))
		_exit(2);
	for (int i = 0; i < 3; i++) { /* a failure leaves nothing behind */
		cowarena *arena = cowarena_create(l->defaults ? NULL : &o);
		if (!arena) {
			int e = errno;
			fprintf(stderr, "errno %d, \"%s\"\n", e, cowarena_errmsg());
			/* At its end a process writes files, where coverage is measured. */
			r.rlim_cur = before;
			setrlimit(l->resource, &r);
			_exit(e == l->errnum && strstr(cowarena_errmsg(), l->words) ? 0 : 3);
		}
		if (l->errnum)
			_exit(4);
		int *p = cowarena_calloc(arena, 1, sizeof *p);
		cowarena_snapshot *s = take_snapshot(arena, 0);
		if (!p || !s)
			_exit(5);
		*p = 1;
		if (cowarena_rollback(arena, s) || *p)
			_exit(6);
		cowarena_destroy(arena);
	}
}

START_TEST(limits_of_the_process)
{
	struct limit l = limits[_i];
	char *said;

	/* Sanitizers and Valgrind want more address space than any limit leaves them. */
	if (l.resource == RLIMIT_AS && scaled(0, 0, 1))
		return;
	int status = in_child(create_limited, &l, &said);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x: %s", status,
		      said);
	free(said);
}
END_TEST

/* Address space runs out later. Each call is refused, and nothing has happened. */
static void squeezed(void *arg)
{
	struct cowarena_options o = case_options(*(int *)arg);
	cowarena *arena = cowarena_create(&o);
	size_t n = 5000; /* more than half of what frames are reserved by */
	char *p = page_block(arena, n), *copy = malloc(page_size());
	struct rlimit was;

	memset(p, 1, n * page_size());
	getrlimit(RLIMIT_AS, &was);
#define DEMAND(condition) (condition) ? (void)0 : (fprintf(stderr, "%s\n", #condition), _exit(2))
#define SQUEEZE() setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, was.rlim_max})
	SQUEEZE();
	errno = 0;
	DEMAND(!take_snapshot(arena, 0));
	DEMAND(errno == ENOMEM && strstr(cowarena_errmsg(), "ulimit -v"));
	DEMAND(stats_of(arena).snapshots_taken == 0 && stats_of(arena).snapshots_live == 0);
	memset(p, 2, n * page_size());
	setrlimit(RLIMIT_AS, &was);
	cowarena_snapshot *s = take_snapshot(arena, 0);
	DEMAND(s && cowarena_snapshot_id(s) == 1);
	memset(p, 3, n * page_size());
	SQUEEZE();
	errno = 0;
	if (!private_works(arena)) { /* or else there are frames enough */
		DEMAND(cowarena_rollback(arena, s) == -1 && errno == ENOMEM && *cowarena_errmsg());
		DEMAND(p[0] == 3 && p[n * page_size() - 1] == 3);
	}
	setrlimit(RLIMIT_AS, &was);
	cowarena_snapshot *t = take_snapshot(arena, 0);
	DEMAND(t);
	memset(p, 4, n * page_size());

	SQUEEZE();
	errno = 0;
	DEMAND(!cowarena_view_open(s, 0) && errno == ENOMEM && *cowarena_errmsg());
	DEMAND(cowarena_snapshot_release(t) == 0); /* it has no views */
	DEMAND(cowarena_snapshot_read(s, copy, p, page_size()) == 0 && copy[1] == 2);
	setrlimit(RLIMIT_AS, &was);
	DEMAND(cowarena_view_open(s, 0));
	DEMAND(cowarena_rollback(arena, s) == 0 && p[0] == 2 && p[n * page_size() - 1] == 2);
	cowarena_destroy(arena);
	free(copy);
}

START_TEST(address_space_runs_out)
{
	char *said;

	if (scaled(0, 0, 1))
		return;
	int status = in_child(squeezed, &_i, &said);
	ck_assert_msg(status == 0, "status %#x: %s", status, said);
	free(said);
}
END_TEST

/* Descriptors and mappings that a refusal could have left behind. */
static size_t open_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

#define CAPACITIES 12

/* So large that the header alone has more units than a block of descriptors describes. */
START_TEST(a_very_large_capacity)
{
	struct cowarena_options o = COWARENA_OPTIONS_INIT;
	void *block[CAPACITIES];

	if (sanitized() || getenv("COWARENA_VALGRIND")) {
		printf("SKIP: there is less address space\n");
		return;
	}
	for (size_t i = 0; i < CAPACITIES; i++) {
		o.capacity = (1004 + i) << 30;
		cowarena *arena = cowarena_create(&o);
		if (!arena) {
			printf("SKIP: %s\n", cowarena_errmsg());
			return;
		}
		ck_assert_ptr_null(cowarena_root(arena));
		for (size_t j = 0; j < CAPACITIES; j++) {
			block[j] = cowarena_alloc(arena, 16 << j);
			memset(block[j], 0xff, 16 << j);
		}
		cowarena_snapshot *s = take_snapshot(arena, 0);
		for (size_t j = 0; j < CAPACITIES; j++)
			cowarena_free(arena, block[j]);
		ck_assert_uint_eq(stats_of(arena).live_bytes, 0);
		ck_assert_int_eq(cowarena_rollback(arena, s), 0);
		cowarena_destroy(arena);
	}
}
END_TEST

START_TEST(nothing_is_left)
{
	struct cowarena_options o = case_options(_i);
	cowarena *first = cowarena_create(&o);
	size_t before = open_descriptors();

	for (int i = 0; i < 20; i++) {
		o.base = first->base;
		refused(&o, EEXIST, "options.base");
		o.base = NULL;
		cowarena *arena = cowarena_create(&o);
		ck_assert_ptr_nonnull(arena);
		cowarena_snapshot *s = take_snapshot(arena, 0);
		ck_assert_ptr_nonnull(cowarena_view_open(s, 0));
		cowarena_destroy(arena);
	}
	ck_assert_uint_eq(open_descriptors(), before);
	size_t own = 1 + (engine_uffd_file(first)->fd >= 0) + (first->privates.pagemap.fd >= 0) +
		     (first->privates.watch.fd >= 0) + (first->privates.hold.fd >= 0);
	cowarena_destroy(first);
	ck_assert_uint_eq(open_descriptors(), before - own);
}
END_TEST

/* ---- the limit of held memory ---- */

#define PAGES 10

static int see_nothing(void *ctx, const void *start, size_t len)
{
	(void)ctx, (void)start, (void)len;
	return 0;
}

static void stale(bool failed, const char *what)
{
	ck_assert_msg(failed && errno == ESTALE, "%s: errno %d", what, errno);
	ck_assert_msg(strstr(cowarena_errmsg(), "options.held_limit"), "%s: \"%s\"", what,
		      cowarena_errmsg());
	cowarena_strdup(NULL, NULL); /* another message */
	errno = 0;
}

static void spoiled(cowarena *arena, cowarena_snapshot *s, cowarena_snapshot *good, char *p)
{
	char byte;

	errno = 0;
	stale(cowarena_snapshot_read(s, &byte, p, 1) == -1, "read");
	stale(!cowarena_snapshot_root(s), "root");
	stale(cowarena_rollback(arena, s) == -1, "rollback");
	stale(!cowarena_view_open(s, 0), "view");
	stale(!cowarena_view_open(s, COWARENA_VIEW_PRIVATE), "private view");
	stale(cowarena_diff(s, NULL, see_nothing, NULL) == -1, "diff with the live heap");
	if (good && cowarena_snapshot_id(good) < cowarena_snapshot_id(s))
		stale(cowarena_diff(good, s, see_nothing, NULL) == -1, "diff, as newer");
	else if (good)
		stale(cowarena_diff(s, good, see_nothing, NULL) == -1, "diff, as older");
	ck_assert_uint_ge(cowarena_snapshot_id(s), 1);
}

static void all_bytes(const char *p, char is, const char *when)
{
	for (size_t i = 0; i < PAGES * page_size(); i++)
		if (p[i] != is)
			ck_abort_msg("%s: byte %zu is %d, not %d", when, i, p[i], is);
}

static void good_copy(cowarena_snapshot *s, const char *p, char is)
{
	char *copy = malloc(PAGES * page_size());

	ck_assert_msg(!cowarena_snapshot_read(s, copy, p, PAGES * page_size()), "%s",
		      cowarena_errmsg());
	all_bytes(copy, is, "in the snapshot");
	free(copy);
}

struct told {
	uint64_t id;
	unsigned times;
};

static void tell(void *ctx, uint64_t id)
{
	struct told *t = ctx;

	t->id = id;
	t->times++;
}

/* Two snapshots that share nothing, and room for one and a half. */
START_TEST(held_limit)
{
	struct cowarena_options o = case_options(_i % 2);
	bool drop_oldest = _i & 2;

	o.held_limit = (PAGES + PAGES / 2) * page_size();
	o.limit_policy = drop_oldest ? COWARENA_LIMIT_DROP_OLDEST : COWARENA_LIMIT_FAIL_NEWEST;
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, PAGES);
	size_t bytes = PAGES * page_size();

	memset(p, 1, bytes);
	cowarena_snapshot *a = take_snapshot(arena, 0);
	memset(p, 2, bytes);
	cowarena_snapshot *b = take_snapshot(arena, 0);
	cowarena_snapshot *bad = drop_oldest ? a : b, *good = drop_oldest ? b : a;
	struct told told = {0};
	ck_assert_int_eq(cowarena_on_spoiled(arena, tell, &told), 0);
	cowarena_view *view = cowarena_view_open(bad, 0);
	/* (The older one's view has pages of its own; then the limit is nearer, not different.) */
	if (!view) {
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "options.held_limit"));
	}
	if (view)
		ck_assert_int_eq(cowarena_view_check(view), 0);
	ck_assert_int_eq(cowarena_snapshot_check(bad), 0);
	memset(p, 3, bytes);
	all_bytes(p, 3, "live");
	stale(cowarena_snapshot_check(bad) == -1, "checking a snapshot");
	ck_assert_int_eq(cowarena_snapshot_check(good), 0);
	spoiled(arena, bad, good, p);
	good_copy(good, p, drop_oldest ? 2 : 1);
	ck_assert_uint_eq(told.times, 1);
	ck_assert_uint_eq(told.id, cowarena_snapshot_id(bad));
	ck_assert_uint_eq(stats_of(arena).spoiled, 1);
	ck_assert_uint_le(stats_of(arena).held_bytes_peak, o.held_limit);
	ck_assert_uint_eq(stats_of(arena).snapshots_live, 2);
	if (view) {
		errno = 0;
		ck_assert_int_eq(cowarena_snapshot_release(bad), -1);
		ck_assert_int_eq(errno, EBUSY);
		stale(cowarena_view_check(view) == -1, "checking a view");
		stale(cowarena_view_close(view) == -1, "closing a view");
	}
	ck_assert_int_eq(cowarena_snapshot_release(bad), 0);
	ck_assert_uint_eq(stats_of(arena).snapshots_live, 1);

	/* Life goes on: the other one still rolls back, and a new one is as good as any. */
	ck_assert_msg(!cowarena_rollback(arena, good), "%s", cowarena_errmsg());
	all_bytes(p, drop_oldest ? 2 : 1, "rolled back");
	ck_assert_int_eq(cowarena_snapshot_release(good), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	cowarena_snapshot *c = take_snapshot(arena, 0);
	memset(p, 4, bytes);
	good_copy(c, p, drop_oldest ? 2 : 1);
	ck_assert_uint_eq(told.times, 1);
	cowarena_destroy(arena);
}
END_TEST

struct reader {
	cowarena_snapshot *snap;
	const char *p;
	_Atomic bool told, early;
};

/* Takes its time: who could meet the ESTALE meanwhile does. */
static void tell_slowly(void *ctx, uint64_t id)
{
	struct reader *r = ctx;

	(void)id;
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	atomic_store(&r->told, true);
}

static void *read_until_stale(void *ctx)
{
	struct reader *r = ctx;
	char byte;

	while (cowarena_snapshot_read(r->snap, &byte, r->p, 1) == 0)
		;
	atomic_store(&r->early, !atomic_load(&r->told));
	return NULL;
}

/* Who is told of a snapshot that is given up hears of it before anybody meets it. */
START_TEST(told_before_anybody_meets_it)
{
	struct cowarena_options o = case_options(CASE_DEFAULT);
	pthread_t thread;

	o.held_limit = PAGES / 2 * page_size();
	cowarena *arena = cowarena_create(&o);
	struct reader r = {.p = page_block(arena, PAGES)};
	ck_assert_int_eq(cowarena_on_spoiled(arena, tell_slowly, &r), 0);
	r.snap = take_snapshot(arena, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_until_stale, &r), 0);
	memset((char *)r.p, 2, PAGES * page_size());
	pthread_join(thread, NULL);
	ck_assert(atomic_load(&r.told) && !atomic_load(&r.early));
	cowarena_destroy(arena);
}
END_TEST

/* The eager engine knows beforehand. */
START_TEST(held_limit_of_copies)
{
	struct cowarena_options o = case_options(CASE_EAGER);
	struct told told = {0};

	o.held_limit = (size_t)3 << 20; /* room for one copy of the 2 MiB */
	o.limit_policy = _i ? COWARENA_LIMIT_DROP_OLDEST : COWARENA_LIMIT_FAIL_NEWEST;
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, PAGES);
	ck_assert_ptr_nonnull(cowarena_alloc(arena, (size_t)2 << 20));
	ck_assert_int_eq(cowarena_on_spoiled(arena, tell, &told), 0);
	memset(p, 1, PAGES * page_size());
	cowarena_snapshot *a = take_snapshot(arena, 0);
	ck_assert_ptr_nonnull(a);
	memset(p, 2, PAGES * page_size());
	cowarena_snapshot *b = take_snapshot(arena, 0);
	memset(p, 3, PAGES * page_size());
	if (_i) {
		ck_assert_ptr_nonnull(b);
		spoiled(arena, a, b, p);
		good_copy(b, p, 2);
		ck_assert(told.times == 1 && told.id == 1);
	} else {
		ck_assert_ptr_null(b);
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_ptr_nonnull(strstr(cowarena_errmsg(), "options.held_limit"));
		good_copy(a, p, 1);
		ck_assert_uint_eq(told.times, 0);
	}
	/* Never at the cost of what could not be enough. */
	ck_assert_ptr_nonnull(cowarena_alloc(arena, (size_t)3 << 20));
	ck_assert_ptr_null(take_snapshot(arena, 0));
	good_copy(_i ? b : a, p, _i ? 2 : 1);
	cowarena_destroy(arena);
}
END_TEST

/* Address space for frames is reserved for what the limit allows, not for the whole heap. */
START_TEST(frames_for_the_limit_only)
{
	struct cowarena_options o = case_options(_i);
	size_t n = (size_t)256 << 20;

	o.held_limit = (size_t)1 << 20;
	cowarena *arena = cowarena_create(&o);
	ck_assert_ptr_nonnull(cowarena_alloc(arena, n));
	ck_assert_ptr_nonnull(take_snapshot(arena, 0));
	ck_assert_uint_lt(atomic_load(&arena->frames.total), n / page_size() / 4);
	cowarena_destroy(arena);
}
END_TEST

/* One snapshot alone that comes to need more than the limit: it goes, whatever the policy. */
START_TEST(held_limit_of_one)
{
	struct cowarena_options o = case_options(_i % 2);

	o.held_limit = (PAGES - 1) * page_size();
	o.limit_policy = _i & 2 ? COWARENA_LIMIT_DROP_OLDEST : COWARENA_LIMIT_FAIL_NEWEST;
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, PAGES);
	memset(p, 1, PAGES * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);

	memset(p, 2, (PAGES - 1) * page_size());
	good_copy(s, p, 1); /* exactly full is not too much */
	ck_assert_uint_eq(stats_of(arena).held_bytes, o.held_limit);
	memset(p, 3, PAGES * page_size());
	all_bytes(p, 3, "live");
	spoiled(arena, s, NULL, p);
	ck_assert_uint_eq(held_at_rest(arena), 0);
	ck_assert_uint_eq(stats_of(arena).held_bytes_peak, o.held_limit);
	ck_assert_int_eq(cowarena_snapshot_release(s), 0);
	cowarena_destroy(arena);
}
END_TEST

/* Scarce mappings make a fault take its neighbours along; those that do not fit any more cost
   nothing. */
START_TEST(held_limit_of_neighbours)
{
	enum { N = 64, LIMIT = 12 };
	struct cowarena_options o = case_options(CASE_DEFAULT);

	o.held_limit = LIMIT * page_size();
	cowarena *arena = cowarena_create(&o);
	char *p = cowarena_aligned_alloc(arena, 16 * page_size(), N * page_size());
	char seen;
	memset(p, 'a', N * page_size());
	cowarena_snapshot *s = take_snapshot(arena, 0);
	arena->mapping_limit = 16; /* half of it is the budget: two islands use half of that */
	p[2 * page_size()] = 'b';
	p[8 * page_size()] = 'b';
	ck_assert_uint_eq(stats_of(arena).held_bytes, 2 * page_size());
	p[32 * page_size()] = 'b';
	struct cowarena_stats stats = stats_of(arena);
	ck_assert_uint_eq(stats.spoiled, 0);
	ck_assert_uint_eq(stats.held_bytes, LIMIT * page_size());
	ck_assert_uint_eq(stats.copied_ahead, LIMIT - 3);
	for (size_t i = 0; i < N; i++)
		if (cowarena_snapshot_read(s, &seen, p + i * page_size(), 1) || seen != 'a')
			ck_abort_msg("page %zu", i);
	cowarena_destroy(arena);
}
END_TEST

/* By prepare_write and by rollback, which meet the limit in ordinary code. */
START_TEST(held_limit_without_faults)
{
	struct cowarena_options o = case_options(_i);

	o.held_limit = PAGES * page_size();
	cowarena *arena = cowarena_create(&o);
	char *p = page_block(arena, PAGES + 1);
	memset(p, 1, (PAGES + 1) * page_size());
	cowarena_snapshot *a = take_snapshot(arena, 0);
	ck_assert_int_eq(cowarena_prepare_write(arena, p, (PAGES + 1) * page_size()), 0);
	spoiled(arena, a, NULL, p);
	all_bytes(p, 1, "prepared");
	ck_assert_int_eq(cowarena_snapshot_release(a), 0);

	/* Rolling back to a needs frames for b, which is the newest, and pays. */
	a = take_snapshot(arena, 0);
	memset(p, 2, PAGES * page_size());
	cowarena_snapshot *b = take_snapshot(arena, 0);
	ck_assert_msg(!cowarena_rollback(arena, a), "%s", cowarena_errmsg());
	all_bytes(p, 1, "rolled back");
	spoiled(arena, b, a, p);
	good_copy(a, p, 1);
	ck_assert_int_eq(cowarena_snapshot_release(b), 0);
	ck_assert_int_eq(cowarena_snapshot_release(a), 0);
	ck_assert_uint_eq(held_at_rest(arena), 0);

	/* Under the other policy a itself would pay: then nothing is rolled back. */
	cowarena_destroy(arena);
	o.limit_policy = COWARENA_LIMIT_DROP_OLDEST;
	arena = cowarena_create(&o);
	p = page_block(arena, PAGES);
	memset(p, 1, PAGES * page_size());
	a = take_snapshot(arena, 0);
	memset(p, 2, PAGES * page_size());
	b = take_snapshot(arena, 0);
	errno = 0;
	stale(cowarena_rollback(arena, a) == -1, "rollback at the limit");
	all_bytes(p, 2, "not rolled back");
	good_copy(b, p, 2);
	cowarena_destroy(arena);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("limits");
	TCase *options = tcase_create("options"), *process = tcase_create("process");
	TCase *held = tcase_create("held memory");

	tcase_add_test(options, options_out_of_range);
	tcase_add_test(options, engines_that_may_be_refused);
	tcase_add_loop_test(options, a_sandbox, 0, 2);
	tcase_add_test(options, options_of_other_versions);
	tcase_add_loop_test(options, base_address, 0, CASES);
	suite_add_tcase(suite, options);
	tcase_add_loop_test(process, limits_of_the_process, 0, sizeof limits / sizeof *limits);
	tcase_add_loop_test(process, address_space_runs_out, 0, CASES);
	tcase_add_test(process, a_very_large_capacity);
	tcase_add_loop_test(process, nothing_is_left, 0, CASES);
	suite_add_tcase(suite, process);
	tcase_add_loop_test(held, held_limit, 0, 4);
	tcase_add_loop_test(held, held_limit_of_one, 0, 4);
	tcase_add_test(held, told_before_anybody_meets_it);
	tcase_add_test(held, held_limit_of_neighbours);
	tcase_add_loop_test(held, held_limit_without_faults, 0, 2);
	tcase_add_loop_test(held, held_limit_of_copies, 0, 2);
	tcase_add_test(held, frames_for_the_limit_only);
	suite_add_tcase(suite, held);
	return run_suite(suite);
}
