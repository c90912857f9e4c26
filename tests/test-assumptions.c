/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-assumptions.c - the promises of the kernel that the library relies on, K by K.
 *
 * The list is in doc/design.md. Each test asks the kernel alone, by the functions of os.h, with no
 * arena around. So a kernel that breaks a promise is found here, and not by a torn snapshot once in
 * a million.
 */
#include "config.h"

#include "common.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- memory like an arena's ---- */

#define PAGES 8

struct memory {
	struct os_file file;
	size_t page, n;
	char *p;
};

static struct memory memory_of(size_t pages)
{
	struct memory m = {.page = page_size(), .n = pages * page_size()};

	ck_assert_int_eq(os_memory_file(&m.file, m.n), 0);
	m.p = os_reserve(m.n, m.page, NULL);
	ck_assert_ptr_nonnull(m.p);
	ck_assert_int_eq(os_map_shared(m.p, m.n, &m.file), 0);
	ck_assert_int_eq(os_protect(m.p, m.n, OS_READ_WRITE), 0);
	return m;
}

static bool uffd_of(struct os_file *uffd, struct memory *m)
{
	if (os_uffd_open(uffd, UFFD_SIGNALS)) {
		printf("SKIP: no userfaultfd here: errno %d\n", errno);
		return false;
	}
	ck_assert_int_eq(os_uffd_register(uffd, m->p, m->n), 0);
	return true;
}

/* ---- K1, K2: when protecting returns, nobody can write any more ---- */

#define WRITERS 3

static struct {
	struct memory m;
	struct os_file uffd;
	bool by_uffd;
	_Atomic bool stop, closed;
	_Atomic uint32_t faults;
} race;

/* Sleeps until the protection is lifted: the store is done again then. */
static void on_race(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (os_trap_of(signo, info, context) != OS_TRAP_WRITE)
		_exit(9);
	atomic_fetch_add(&race.faults, 1);
	while (atomic_load(&race.closed) && !atomic_load(&race.stop))
		os_nap();
}

static void *write_on(void *arg)
{
	volatile uint64_t *at = arg;

	while (!atomic_load(&race.stop))
		for (size_t i = 0; i < 64; i++)
			at[i]++;
	return NULL;
}

static void protect_race(bool protect)
{
	if (race.by_uffd)
		ck_assert_int_eq(os_uffd_protect(&race.uffd, race.m.p, race.m.n, protect), 0);
	else
		ck_assert_int_eq(os_protect(race.m.p, race.m.n, protect ? OS_READ : OS_READ_WRITE),
				 0);
}

START_TEST(no_store_after_protecting)
{
	struct sigaction sa = {.sa_sigaction = on_race, .sa_flags = SA_SIGINFO};
	pthread_t thread[WRITERS];
	size_t rounds = scaled(2000, 100000, 100);

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer takes these stores for the race that they are\n");
		return;
	}
	race.m = memory_of(PAGES);
	race.by_uffd = _i;
	if (race.by_uffd && !uffd_of(&race.uffd, &race.m))
		return;
	sigaction(race.by_uffd ? SIGBUS : SIGSEGV, &sa, NULL);
	char *then = malloc(race.m.n);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_create(&thread[i], NULL, write_on, race.m.p + 2 * i * race.m.page);
	for (size_t i = 0; i < rounds; i++) {
		atomic_store(&race.closed, true);
		protect_race(true);
		memcpy(then, race.m.p, race.m.n);
		if (i % 16 == 0)
			os_sleep(200000);
		ck_assert(memcmp(then, race.m.p, race.m.n) == 0);
		protect_race(false);
		atomic_store(&race.closed, false);
		if (i % 16 == 1)
			os_sleep(100000); /* they get to write */
	}
	atomic_store(&race.stop, true);
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_gt(atomic_load(&race.faults), 0);
	free(then);
}
END_TEST

/* ---- K3, K5: the fault comes in the thread that writes, and the store is done again ---- */

static struct {
	struct memory m;
	struct os_file uffd;
	int signo, code;
	char *address, before;
	uintptr_t thread;
	bool link_was_null;
} fault;

static void on_store(int signo, siginfo_t *info, void *context)
{
	fault.signo = signo;
	fault.code = info->si_code;
	fault.address = info->si_addr;
	fault.thread = os_this_thread();
	fault.before = *(volatile char *)fault.address;
	fault.link_was_null = *os_context_note(context) == NULL;
	*os_context_note(context) = fault.m.p + 1; /* wild: the kernel must not look */
	if (signo == SIGBUS)
		os_uffd_protect(&fault.uffd, fault.m.p, fault.m.n, false);
	else
		os_protect(fault.m.p, fault.m.n, OS_READ_WRITE);
}

START_TEST(a_store_faults_before_it_is_done)
{
	struct sigaction sa = {.sa_sigaction = on_store, .sa_flags = SA_SIGINFO};

	fault.m = memory_of(PAGES);
	fault.m.p[5] = 'a';
	sigaction(SIGSEGV, &sa, NULL), sigaction(SIGBUS, &sa, NULL);
	if (_i) {
		if (!uffd_of(&fault.uffd, &fault.m))
			return;
		ck_assert_int_eq(os_uffd_protect(&fault.uffd, fault.m.p, fault.m.n, true), 0);
	} else {
		ck_assert_int_eq(os_protect(fault.m.p, fault.m.n, OS_READ), 0);
	}
	((volatile char *)fault.m.p)[5] = 'b';
	ck_assert_int_eq(fault.signo, _i ? SIGBUS : SIGSEGV);
	ck_assert_int_eq(fault.code, _i ? BUS_ADRERR : SEGV_ACCERR);
	ck_assert_int_eq(fault.before, 'a');
	ck_assert_int_eq(fault.m.p[5], 'b');
	ck_assert(fault.thread == os_this_thread());
	/* userfaultfd's may be told by its page (UFFD_FEATURE_EXACT_ADDRESS is for messages). */
	ck_assert_ptr_eq(fault.address, fault.m.p + 5);
	ck_assert(fault.link_was_null);
}
END_TEST

/* ---- K4: a fault whose signal is blocked kills, handler or not ---- */

static void fault_while_blocked(void *arg)
{
	struct sigaction sa = {.sa_sigaction = on_store, .sa_flags = SA_SIGINFO};
	sigset_t set;

	(void)arg;
	fault.m = memory_of(1);
	sigaction(SIGSEGV, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	os_protect(fault.m.p, fault.m.n, OS_READ);
	*(volatile char *)fault.m.p = 1;
}

START_TEST(a_blocked_fault_kills)
{
	ck_assert(died_of_segv(in_child(fault_while_blocked, NULL, NULL)));
}
END_TEST

/* ---- K9: a thread may send itself any siginfo, as whole ---- */

static siginfo_t resent;

static void on_resent(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	resent = *info;
}

START_TEST(a_signal_is_sent_again_as_it_was)
{
	static const int codes[] = {SI_USER, SI_QUEUE, SEGV_ACCERR};
	struct sigaction sa = {.sa_sigaction = on_resent, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &sa, NULL);
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		siginfo_t info = {.si_signo = SIGSEGV, .si_code = codes[i]};
		info.si_pid = 4711;
		info.si_uid = 12;
		os_resend_signal(SIGSEGV, &info);
		ck_assert_int_eq(resent.si_code, codes[i]);
		if (codes[i] <= 0)
			ck_assert(resent.si_pid == 4711 && resent.si_uid == 12);
	}
}
END_TEST

/* ---- K10, K11: userfaultfd protects what has memory, and what has none ---- */

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

/* Whether the kernel can write to it. It cannot take the signal. */
static bool kernel_writes(char *at)
{
	uint32_t nobody = 0;

	errno = 0;
	return syscall(SYS_futex, &nobody, FUTEX_WAKE_OP_PRIVATE, 0, NULL, at,
		       FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)) >= 0;
}

START_TEST(protection_of_holes)
{
	struct memory m = memory_of(PAGES);
	struct os_file uffd;
	if (!uffd_of(&uffd, &m))
		return;
	memset(m.p + m.n / 2, 1, m.n / 2);
	ck_assert_int_eq(os_uffd_protect(&uffd, m.p, m.n, true), 0);
	for (size_t i = 0; i < PAGES; i++) {
		char *at = m.p + i * m.page;
		ck_assert(!kernel_writes(at));
		ck_assert_int_eq(errno, EFAULT);
		ck_assert_int_eq(*at, i < PAGES / 2 ? 0 : 1);
	}
	ck_assert_int_eq(os_uffd_protect(&uffd, m.p, m.n, false), 0);
	char *last = m.p + m.n - m.page;
	long before = minor_faults();
	*(volatile char *)last = 2;
	printf("minor faults of a store to a page that userfaultfd has let go: %ld\n",
	       minor_faults() - before);
	ck_assert(kernel_writes(m.p) && *m.p == 0);
}
END_TEST

/* ---- K12: the kernel does not write to what is protected ---- */

START_TEST(system_calls_fail)
{
	struct memory m = memory_of(2);
	struct os_file uffd;
	int fd[2];
	char text[8] = "";

	if (_i && !uffd_of(&uffd, &m))
		return;
	memset(m.p, 'x', m.n);
	if (_i)
		ck_assert_int_eq(os_uffd_protect(&uffd, m.p, m.n, true), 0);
	else
		ck_assert_int_eq(os_protect(m.p, m.n, OS_READ), 0);
	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "abcd", 4), 4);
	errno = 0;
	ck_assert_int_eq(read(fd[0], m.p + 10, 4), -1);
	ck_assert_int_eq(errno, EFAULT);
	ck_assert_int_eq(m.p[10], 'x');
	/* From a pipe nothing is lost. */
	ck_assert_int_eq(read(fd[0], text, sizeof text), 4);
	ck_assert_str_eq(text, "abcd");
	/* Reading it is allowed. */
	ck_assert_int_eq(write(fd[1], m.p, 4), 4);
}
END_TEST

/* ---- K13 to K15: private mappings of the file ---- */

START_TEST(private_mappings)
{
	struct memory m = memory_of(PAGES);
	char *view = os_map_private(m.n, &m.file);
	struct os_file poke;

	ck_assert_ptr_nonnull(view);
	memset(m.p, 'a', m.n);
	ck_assert_int_eq(view[0], 'a');
	/* K14: shared until it is written to, whatever was read before. */
	m.p[0] = 'b';
	ck_assert_int_eq(((volatile char *)view)[0], 'b');
	/* K15: an or with 0 makes all of the page its own. */
	os_touch(view);
	memset(m.p, 'c', m.page);
	ck_assert_int_eq(((volatile char *)view)[0], 'b');
	for (size_t i = 1; i < m.page; i++)
		ck_assert_int_eq(((volatile char *)view)[i], 'a');
	ck_assert_int_eq(((volatile char *)view)[m.page], 'a');
	/* K13: through /proc/self/mem too, while it is read-only, and not the file's. */
	if (os_poke_open(&poke)) {
		printf("SKIP: /proc/self/mem does not write to read-only memory here\n");
		return;
	}
	ck_assert_int_eq(os_protect(view, m.n, OS_READ), 0);
	ck_assert_int_eq(os_poke(&poke, view + 2 * m.page, "p", 1), 0);
	ck_assert_int_eq(((volatile char *)view)[2 * m.page], 'p');
	ck_assert_int_eq(m.p[2 * m.page], 'a');
	memset(m.p + 2 * m.page, 'd', m.page);
	ck_assert_int_eq(((volatile char *)view)[3 * m.page - 1], 'a');
	os_file_close(&poke);
}
END_TEST

/* ---- K16, K17: holes of the file ---- */

static bool is_hole(struct memory *m, size_t page)
{
	size_t start, end;

	ck_assert(os_next_memory(&m->file, page * m->page, &start, &end));
	return start > page * m->page;
}

START_TEST(holes)
{
	struct memory m = memory_of(PAGES);

	for (size_t i = 0; i < PAGES; i++)
		ck_assert(is_hole(&m, i));
	m.p[2 * m.page] = 1;
	ck_assert(is_hole(&m, 1) && !is_hole(&m, 2) && is_hole(&m, 3));
	/* K16: who reads a hole through a mapping gives it memory. */
	ck_assert_int_eq(((volatile char *)m.p)[4 * m.page], 0);
	ck_assert(!is_hole(&m, 4));
	/* K17: a punched page is a hole, and zeros; its neighbours stay. */
	memset(m.p, 'a', m.n);
	os_punch(m.p + 3 * m.page, 2 * m.page);
	ck_assert(!is_hole(&m, 2) && is_hole(&m, 3) && is_hole(&m, 4) && !is_hole(&m, 5));
	ck_assert_int_eq(m.p[3 * m.page - 1], 'a');
	ck_assert_int_eq(m.p[5 * m.page], 'a');
	ck_assert_int_eq(m.p[3 * m.page], 0);
	ck_assert_int_eq(m.p[5 * m.page - 1], 0);
}
END_TEST

/* ---- K19: collapsing ---- */

START_TEST(collapsing_changes_no_byte)
{
	size_t huge = os_huge_page_size();
	struct memory m = {.page = page_size(), .n = huge};
	struct os_file uffd;

	ck_assert_int_eq(os_memory_file(&m.file, m.n), 0);
	m.p = os_reserve(m.n, huge, NULL);
	ck_assert_int_eq(os_map_shared(m.p, m.n, &m.file), 0);
	ck_assert_int_eq(os_protect(m.p, m.n, OS_READ_WRITE), 0);
	for (size_t i = 0; i < m.n; i++)
		m.p[i] = (char)(i * 7 + i / m.page);
	if (uffd_of(&uffd, &m)) {
		/* Refused while it is registered. */
		ck_assert_int_eq(os_uffd_protect(&uffd, m.p, m.n, true), 0);
		ck_assert_int_eq(os_collapse(m.p, m.n), -1);
		ck_assert_int_eq(os_uffd_unregister(&uffd, m.p, m.n), 0);
	}
	if (os_collapse(m.p, m.n))
		printf("SKIP: the kernel does not collapse: errno %d\n", errno);
	for (size_t i = 0; i < m.n; i++)
		if (m.p[i] != (char)(i * 7 + i / m.page))
			ck_abort_msg("byte %zu has changed", i);
}
END_TEST

/* ---- K21: a second mapping takes the place of the first ---- */

START_TEST(mapped_anew)
{
	struct memory m = memory_of(PAGES);
	struct os_file uffd;

	memset(m.p, 'a', m.n);
	if (!uffd_of(&uffd, &m))
		return;
	ck_assert_int_eq(os_uffd_protect(&uffd, m.p, m.n, true), 0);
	ck_assert_int_eq(os_map_anew(m.p, m.n, m.n / 2), 0);
	/* No protection is left, the bytes are, and it still is that file. */
	((volatile char *)m.p)[1] = 'b';
	ck_assert_int_eq(m.p[m.n / 2 - 1], 'a');
	char *other = mmap(NULL, m.page, PROT_READ, MAP_SHARED, m.file.fd, 0);
	ck_assert_int_eq(other[1], 'b');
}
END_TEST

/* ---- K22, K24: children ---- */

static struct memory kept;

static void touch_kept(void *arg)
{
	(void)arg;
	(void)*(volatile char *)kept.p;
}

START_TEST(children_do_not_have_it)
{
	kept = memory_of(1);
	ck_assert_int_eq(os_keep_from_children(kept.p, kept.n), 0);
	ck_assert(died_of_segv(in_child(touch_kept, NULL, NULL)));
	kept.p[0] = 1;
}
END_TEST

/* ---- K23: the protection goes with the last descriptor ---- */

START_TEST(closing_lifts_the_protection)
{
	struct memory m = memory_of(1);
	struct os_file uffd;

	if (!uffd_of(&uffd, &m))
		return;
	ck_assert_int_eq(os_uffd_protect(&uffd, m.p, m.n, true), 0);
	ck_assert(!os_can_write(m.p, m.n));
	int other = dup(uffd.fd);
	close(uffd.fd);
	ck_assert(!os_can_write(m.p, m.n));
	close(other);
	ck_assert(os_can_write(m.p, m.n));
}
END_TEST

/* ---- K26: futexes ---- */

static _Atomic uint32_t word;

static void *sleeper(void *arg)
{
	while (atomic_load(&word) == 0)
		os_wait(&word, 0);
	return arg;
}

START_TEST(no_wakeup_is_lost)
{
	size_t rounds = scaled(2000, 50000, 100);

	os_wait(&word, 1); /* another value: it returns at once */
	for (size_t i = 0; i < rounds; i++) {
		pthread_t thread;
		atomic_store(&word, 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, sleeper, NULL), 0);
		if (i % 2)
			sched_yield();
		atomic_store(&word, 1);
		os_wake_all(&word);
		pthread_join(thread, NULL);
	}
}
END_TEST

/* ---- K28: which file a descriptor is ---- */

START_TEST(files_are_told_apart)
{
	struct os_file a, b;

	ck_assert_int_eq(os_memory_file(&a, page_size()), 0);
	ck_assert_int_eq(os_memory_file(&b, page_size()), 0);
	ck_assert(os_file_is_ours(&a) && os_file_is_ours(&b));
	ck_assert(a.device != b.device || a.inode != b.inode);
	ck_assert_int_eq(dup2(b.fd, a.fd), a.fd);
	ck_assert(!os_file_is_ours(&a));
	if (os_uffd_open(&a, UFFD_SIGNALS) || os_uffd_open(&b, UFFD_SIGNALS)) {
		printf("SKIP: no userfaultfd here: errno %d\n", errno);
		return;
	}
	ck_assert_int_eq(dup2(b.fd, a.fd), a.fd);
	ck_assert_msg(!os_file_is_ours(&a), "two userfaultfds are one file: Linux before 5.12?");
}
END_TEST

/* ---- K32: a private mapping takes the place of the shared one at one instant ---- */

#define CELLS 64
#define CELL_WRITERS 3

static struct {
	struct memory m;
	size_t order[CELL_WRITERS][CELLS]; /* the page of each of a writer's cells */
	_Atomic uint64_t round[CELL_WRITERS];
	uint64_t since[CELL_WRITERS]; /* the round in which the shared mapping came back */
	_Atomic bool stop;
} litmus;

static volatile uint64_t *cell(char *base, size_t writer, size_t i)
{
	return (volatile uint64_t *)(base + litmus.order[writer][i] * litmus.m.page) + 8 * writer;
}

/* Each cell gets the number of the round, one after the other. */
static void *write_in_order(void *arg)
{
	size_t writer = (size_t)(uintptr_t)arg;

	for (uint64_t round = 1; !atomic_load(&litmus.stop); round++) {
		atomic_store(&litmus.round[writer], round);
		for (size_t i = 0; i < CELLS; i++)
			*cell(litmus.m.p, writer, i) = round;
	}
	return NULL;
}

/* In the file the rounds descend along the order, by one at most. -1 when some cell has not been
   written to since the shared mapping is back. */
static int is_torn(char *file, size_t writer)
{
	uint64_t first = *cell(file, writer, 0), before = first, now;
	int torn = 0;

	for (size_t i = 0; i < CELLS; i++, before = now) {
		now = *cell(file, writer, i);
		if (now <= litmus.since[writer])
			return -1;
		torn |= now > before || first - now > 1;
	}
	return torn;
}

START_TEST(covered_at_one_instant)
{
	pthread_t thread[CELL_WRITERS];
	size_t wanted = scaled(3000, 1000000, 100), seen = 0, torn = 0;
	uint64_t seed = seed_of_run(4711);

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer takes these stores for the race that they are\n");
		return;
	}
	struct memory m = litmus.m = memory_of(CELLS);
	char *file = mmap(NULL, m.n, PROT_READ | PROT_WRITE, MAP_SHARED, m.file.fd, 0);
	char *then = malloc(m.n);
	for (size_t w = 0; w < CELL_WRITERS; w++)
		for (size_t i = 0; i < CELLS; i++) {
			size_t j = rng(&seed) % (i + 1);
			litmus.order[w][i] = litmus.order[w][j];
			litmus.order[w][j] = i;
		}
	for (size_t w = 0; w < CELL_WRITERS; w++)
		ck_assert_int_eq(
		    pthread_create(&thread[w], NULL, write_in_order, (void *)(uintptr_t)w), 0);
	while (seen < wanted) {
		/* Let one of them write to all of its cells, and go on. */
		uint64_t ahead = litmus.since[seen % CELL_WRITERS] + 2;
		while (atomic_load(&litmus.round[seen % CELL_WRITERS]) < ahead)
			sched_yield();
		ck_assert_int_eq(os_map_cow(m.p, m.n, &m.file, 0, NULL), 0);
		memcpy(then, file, m.n);
		for (size_t w = 0; w < CELL_WRITERS; w++) {
			int found = is_torn(then, w);
			seen += found >= 0;
			torn += found > 0;
		}
		if (rng(&seed) % 16 == 0)
			os_nap();
		ck_assert_int_eq(memcmp(then, file, m.n), 0); /* the file stands still */
		ck_assert_int_eq(os_map_alias(m.p, m.n, file, &m.file, 0, OS_READ_WRITE), 0);
		for (size_t w = 0; w < CELL_WRITERS; w++)
			litmus.since[w] = atomic_load(&litmus.round[w]);
	}
	atomic_store(&litmus.stop, true);
	for (size_t w = 0; w < CELL_WRITERS; w++)
		pthread_join(thread[w], NULL);
	printf("%zu cuts, %zu torn\n", seen, torn);
	free(then);
	ck_assert_uint_eq(torn, 0);
}
END_TEST

/* ---- K33, K34: the pages that a mapping has of its own ---- */

/* Whether these, of all pages, are own; found `max` runs at a time. */
static void expect_own(struct memory *m, const struct os_file *pagemap, const bool *own, int max)
{
	bool found[PAGES] = {false};
	struct os_run runs[PAGES];
	void *at = m->p;

	while (at != m->p + m->n) {
		int n =
		    os_own_pages(pagemap, at, (size_t)(m->p + m->n - (char *)at), runs, max, &at);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			for (size_t b = 0; b < runs[i].bytes; b += m->page)
				found[(size_t)(runs[i].start + b - m->p) / m->page] = true;
	}
	for (size_t i = 0; i < PAGES; i++)
		ck_assert_msg(found[i] == own[i], "page %zu, %d runs at a time", i, max);
}

/* As on a kernel before 6.7: PAGEMAP_SCAN is not to be had. */
static void refuse_scanning(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* _i: without PAGEMAP_SCAN. */
START_TEST(own_pages_are_told)
{
	struct memory m = memory_of(PAGES);
	struct os_file pagemap;
	bool own[PAGES] = {false};
	struct os_run runs[2] = {{m.p + m.page, 2 * m.page, false},
				 {m.p + 5 * m.page, m.page, false}};
	char *file = mmap(NULL, m.n, PROT_READ | PROT_WRITE, MAP_SHARED, m.file.fd, 0);

	if (os_pagemap_open(&pagemap)) {
		printf("SKIP: no /proc/self/pagemap here: errno %d\n", errno);
		return;
	}
	if (_i)
		refuse_scanning();
	memset(file, 'a', m.n - m.page); /* the last one is a hole */
	ck_assert_int_eq(os_map_cow(m.p, m.n, &m.file, 0, NULL), 0);
	expect_own(&m, &pagemap, own, PAGES);
	for (size_t i = 0; i < PAGES; i++) /* to read makes no page one's own */
		ck_assert_int_eq(m.p[i * m.page], i == PAGES - 1 ? 0 : 'a');
	expect_own(&m, &pagemap, own, PAGES);
	for (size_t i = 0; i < PAGES; i++)
		if (i == 1 || i == 2 || i == 5 || i == PAGES - 1) {
			m.p[i * m.page] = 'b';
			own[i] = true;
		}
	for (int max = 1; max <= PAGES; max++)
		expect_own(&m, &pagemap, own, max);
	/* Also while they are read-only. */
	ck_assert_int_eq(os_protect(m.p, m.n, OS_READ), 0);
	expect_own(&m, &pagemap, own, PAGES);
	ck_assert_int_eq(os_protect(m.p, m.n, OS_READ_WRITE), 0);
	/* The file has not changed; what changes there is not seen in own pages. */
	ck_assert_int_eq(file[m.page], 'a');
	memset(file, 'c', m.n);
	ck_assert(m.p[m.page] == 'b' && m.p[m.page + 1] == 'a' && m.p[0] == 'c');
	/* Dropped, they show the file again. */
	ck_assert_int_eq(os_drop_own(runs, 2), 0);
	own[1] = own[2] = own[5] = false;
	expect_own(&m, &pagemap, own, PAGES);
	ck_assert(m.p[m.page] == 'c' && m.p[5 * m.page] == 'c');
	ck_assert_int_eq(m.p[m.n - m.page], 'b');
}
END_TEST

/* ---- K36: the pages that were written to ---- */

static void expect_written(struct memory *m, const struct os_file *pagemap, bool *written, int max,
			   bool again)
{
	bool found[PAGES] = {false};
	struct os_run runs[PAGES];
	void *at = m->p;

	while (at != m->p + m->n) {
		int n = os_written_pages(pagemap, at, (size_t)(m->p + m->n - (char *)at), again,
					 runs, max, &at);
		ck_assert_int_ge(n, 0);
		for (int i = 0; i < n; i++)
			for (size_t b = 0; b < runs[i].bytes; b += m->page)
				found[(size_t)(runs[i].start + b - m->p) / m->page] = true;
	}
	for (size_t i = 0; i < PAGES; i++) {
		ck_assert_msg(found[i] == written[i], "page %zu, %d runs at a time", i, max);
		written[i] = written[i] && !again;
	}
}

START_TEST(written_pages_are_told)
{
	struct memory m = memory_of(PAGES);
	struct os_file pagemap, watch;
	struct os_run runs[2] = {{m.p + m.page, 2 * m.page, false},
				 {m.p + 5 * m.page, m.page, false}},
		      run;
	char *file = mmap(NULL, m.n, PROT_READ | PROT_WRITE, MAP_SHARED, m.file.fd, 0);
	bool written[PAGES] = {false};
	int zero = open("/dev/zero", O_RDONLY);
	void *at;

	if (os_pagemap_open(&pagemap) || os_watch_open(&watch, &pagemap)) {
		printf("SKIP: the kernel does not note writes here: errno %d\n", errno);
		return;
	}
	memset(file, 'a', m.n - m.page); /* the last one is a hole */
	ck_assert_int_eq(os_map_cow(m.p, m.n, &m.file, 0, NULL), 0);
	m.p[0] = 'b'; /* before it is watched */
	ck_assert_int_eq(os_watch(&watch, m.p, m.n), 0);
	expect_written(&m, &pagemap, written, PAGES, false);
	for (size_t i = 0; i < PAGES; i++) /* to read is not to write */
		ck_assert_int_eq(m.p[i * m.page], i == PAGES - 1 ? 0 : i ? 'a' : 'b');
	expect_written(&m, &pagemap, written, PAGES, true);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < PAGES; i++)
			if (i == 1 || i == 2 || i == 5 || i == PAGES - 1)
				m.p[i * m.page] = written[i] = true;
		/* A system call's stores are told too. */
		ck_assert_int_eq(read(zero, m.p, 1), 1);
		written[0] = true;
		for (int max = 1; max <= PAGES; max++)
			expect_written(&m, &pagemap, written, max, false);
		/* Protection and dropping change nothing of that. */
		ck_assert_int_eq(os_protect(m.p, m.n, OS_READ), 0);
		ck_assert_int_eq(os_protect(m.p, m.n, OS_READ_WRITE), 0);
		expect_written(&m, &pagemap, written, PAGES, false);
		expect_written(&m, &pagemap, written, round ? round : PAGES, true);
		ck_assert_int_eq(os_drop_own(runs, 2), 0);
		expect_written(&m, &pagemap, written, PAGES, false);
		ck_assert_int_eq(m.p[m.page], 'a');
		expect_written(&m, &pagemap, written, PAGES, false);
	}
	/* Watched by word, while others are not. */
	m.p[m.page] = m.p[3 * m.page] = 'd';
	ck_assert_int_eq(os_watch(&watch, m.p, 3 * m.page), 0);
	written[3] = true;
	expect_written(&m, &pagemap, written, PAGES, false);
	/* A mapping that is not watched, or no more, is told apart from one without writes. */
	os_file_close(&watch);
	ck_assert_int_eq(os_written_pages(&pagemap, m.p, m.n, true, &run, 1, &at), -1);
	ck_assert_int_eq(os_written_pages(&pagemap, file, m.n, false, &run, 1, &at), -1);
}
END_TEST

/* ---- K38: a hole in the file under own pages ---- */

START_TEST(own_pages_stay)
{
	struct memory m = memory_of(PAGES);
	char *file = mmap(NULL, m.n, PROT_READ | PROT_WRITE, MAP_SHARED, m.file.fd, 0);

	memset(file, 'a', m.n);
	ck_assert_int_eq(os_map_cow(m.p, m.n, &m.file, 0, NULL), 0);
	m.p[0] = 'b';
	if (os_make_own(m.p, 2 * m.page)) {
		printf("SKIP: MADV_POPULATE_WRITE: errno %d\n", errno);
		return;
	}
	ck_assert_int_eq(m.p[2 * m.page], 'a'); /* in the page table, and the file's */
	size_t before = os_memory_used(&m.file);
	os_punch(file, 3 * m.page);
	ck_assert_uint_eq(os_memory_used(&m.file), before - 3 * m.page);
	ck_assert(m.p[0] == 'b' && m.p[1] == 'a' && m.p[m.page] == 'a' && m.p[2 * m.page] == 0);
	m.p[m.page] = 'c';
	ck_assert(file[m.page] == 0 && m.p[m.page] == 'c' && m.p[2 * m.page - 1] == 'a');
}
END_TEST

/* ---- K37: writers that wait ---- */

static struct {
	struct memory *m;
	_Atomic size_t done;
	_Atomic bool begun;
} waiter;

/* Odd pages by a store, even ones by a system call. */
static void *write_in_turn(void *arg)
{
	int zero = open("/dev/zero", O_RDONLY);
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	atomic_store(&waiter.begun, true);
	for (size_t i = 0; i < PAGES; i++) {
		char *at = waiter.m->p + i * waiter.m->page;
		if (i % 2 || !arg)
			__atomic_store_n(at, 0, __ATOMIC_RELAXED);
		else /* ThreadSanitizer need not know */
			ck_assert_int_eq(syscall(SYS_read, zero, at, 1), 1);
		atomic_fetch_add(&waiter.done, 1);
	}
	close(zero);
	return NULL;
}

/* Each page keeps its writer waiting, whatever the page is; a fresh mapping in its place alone
   wakes nobody. */
START_TEST(writers_wait)
{
	struct memory m = memory_of(PAGES);
	char *file = mmap(NULL, m.n, PROT_READ | PROT_WRITE, MAP_SHARED, m.file.fd, 0);
	bool system_calls;
	struct os_file hold;
	pthread_t thread;

	if (os_hold_open(&hold, &system_calls)) {
		printf("SKIP: writers cannot be held here: errno %d\n", errno);
		return;
	}
	if (!system_calls)
		printf("SKIP: system calls that wait (the privilege of userfaultfd)\n");
	memset(file, 'a', m.n - m.page); /* the last one is a hole */
	ck_assert_int_eq(os_map_cow(m.p, m.n, &m.file, 0, NULL), 0);
	m.p[0] = m.p[m.page] = 'b'; /* own */
	ck_assert_int_eq(((volatile char *)m.p)[2 * m.page],
			 'a'); /* of the file; others untouched */
	ck_assert_int_eq(os_hold(&hold, m.p, m.n), 0);
	waiter.m = &m;
	ck_assert_int_eq(pthread_create(&thread, NULL, write_in_turn, system_calls ? &m : NULL), 0);
	AWAIT(atomic_load(&waiter.begun));
	for (size_t i = 0; i < PAGES; i++) {
		for (int nap = 0; nap < 20; nap++) {
			os_nap();
			ck_assert_uint_eq(atomic_load(&waiter.done), i);
		}
		ck_assert_int_eq(__atomic_load_n(&m.p[i * m.page], __ATOMIC_RELAXED),
				 i == PAGES - 1 ? 0
				 : i < 2        ? 'b'
						: 'a');
		if (i == 3) /* others take its place, and show something else */
			ck_assert_int_eq(
			    os_map_alias(m.p + i * m.page, m.page, file, &m.file, 0, OS_READ_WRITE),
			    0);
		os_let_go(&hold, m.p + i * m.page, m.page);
		AWAIT(atomic_load(&waiter.done) > i);
		ck_assert_int_eq(m.p[i * m.page], 0);
	}
	pthread_join(thread, NULL);
	/* It was done once, and in the mapping that was there in the end. */
	ck_assert(file[0] == 0 && file[m.page] == 'a');
	os_file_close(&hold);
}
END_TEST

/* ---- K35: other threads ---- */

static void *wait_for_word(void *arg)
{
	AWAIT(atomic_load(&word));
	return arg;
}

static void *one_of_ours(void *arg)
{
	os_thread_begins();
	wait_for_word(arg);
	os_thread_ends();
	return arg;
}

START_TEST(alone_or_not)
{
	pthread_t theirs, ours;

	if (thread_sanitized()) {
		printf("SKIP: ThreadSanitizer has a thread of its own\n");
		return;
	}
	atomic_store(&word, 0);
	ck_assert(os_is_alone());
	ck_assert_int_eq(os_thread(&ours, "ours", one_of_ours, NULL), 0);
	AWAIT(os_is_alone()); /* it has begun */
	ck_assert_int_eq(pthread_create(&theirs, NULL, wait_for_word, NULL), 0);
	ck_assert(!os_is_alone());
	atomic_store(&word, 1);
	os_thread_join(ours);
	ck_assert(!os_is_alone() || threads_now() == 1);
	pthread_join(theirs, NULL);
	AWAIT(os_is_alone()); /* the kernel has forgotten them */
}
END_TEST

/* ---- files with names ---- */

/* Closed by the parent, a child has it still. */
static pid_t child_with(int fd)
{
	pid_t child = fork();

	if (child == 0) {
		char byte;
		_exit(read(fd, &byte, 1) < 0);
	}
	ck_assert_int_gt(child, 0);
	return child;
}

START_TEST(a_lock_belongs_to_an_opening)
{
	char folder[] = "/tmp/cowarena-assumptions.XXXXXX", path[sizeof folder + 8];
	struct os_file first, second;
	int pipes[2];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/a", folder);
	ck_assert_int_eq(os_store_create(&first, path), 0);
	ck_assert_int_eq(os_store_open(&second, path, true), 0);
	ck_assert_int_eq(os_store_lock(&first), 0);
	ck_assert_int_eq(os_store_lock(&first), 0);
	ck_assert(os_store_lock(&second) == -1 && errno == EAGAIN);
	ck_assert_int_eq(pipe(pipes), 0);
	pid_t child = child_with(pipes[0]);
	os_file_close(&first);
	ck_assert(os_store_lock(&second) == -1 && errno == EAGAIN);
	close(pipes[1]);
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_int_eq(os_store_lock(&second), 0);
	os_file_close(&second);
	close(pipes[0]);
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static uint64_t length_of(const char *path)
{
	struct os_file file;
	uint64_t bytes;

	ck_assert_int_eq(os_file_open(&file, path), 0);
	ck_assert_int_eq(os_file_bytes(&file, &bytes), 0);
	os_file_close(&file);
	return bytes;
}

START_TEST(names_are_given_and_taken)
{
	char folder[] = "/tmp/cowarena-assumptions.XXXXXX";
	char a[sizeof folder + 8], b[sizeof folder + 8];
	struct os_file file;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(a, sizeof a, "%s/a", folder);
	snprintf(b, sizeof b, "%s/b", folder);
	ck_assert_int_eq(os_file_create(&file, a), 0);
	ck_assert_int_eq(os_write(file.fd, "abc", 3), 0);
	os_file_close(&file);
	ck_assert_int_eq(os_file_create(&file, b), 0);
	os_file_close(&file);
	ck_assert(os_store_name(a, b) == -1 && errno == EEXIST);
	ck_assert_uint_eq(length_of(b), 0);
	ck_assert_int_eq(os_rename(a, b), 0);
	ck_assert_uint_eq(length_of(b), 3);
	ck_assert(os_file_open(&file, a) == -1 && errno == ENOENT);
	ck_assert_int_eq(os_store_name(b, a), 0);
	ck_assert_uint_eq(length_of(a), 3);
	ck_assert(os_file_open(&file, b) == -1 && errno == ENOENT);
	unlink(a);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

struct sleeper {
	pthread_t thread;
	const char *at;
	int fd; /* write there, if it is a descriptor */
	char seen;
	_Atomic bool awake;
};

static void *sleep_at(void *p)
{
	struct sleeper *s = p;

	if (s->fd < 0)
		s->seen = *s->at;
	else if (write(s->fd, s->at, 1) != 1)
		s->seen = '!';
	atomic_store(&s->awake, true);
	return NULL;
}

/* Three sleep at one page, by either mapping and in a system call, and wake to its bytes. */
START_TEST(absent_pages_come)
{
	struct os_file file, absent;
	size_t size = page_size(), n = 8 * size;
	char *bytes = malloc(2 * size), *both[2], in_pipe;
	struct sleeper s[3];
	int ends[2], seen = 0;
	void *pages[8];

	if (os_absent_open(&absent)) {
		printf("SKIP: no userfaultfd for faults of the kernel here\n");
		return;
	}
	memset(bytes, 'x', 2 * size);
	ck_assert_int_eq(os_memory_file(&file, n), 0);
	for (int i = 0; i < 2; i++) {
		both[i] = os_reserve(n, size, NULL);
		ck_assert_int_eq(os_map_shared(both[i], n, &file), 0);
		ck_assert_int_eq(os_protect(both[i], n, i ? OS_READ : OS_READ_WRITE), 0);
		ck_assert_int_eq(os_absent_begin(&absent, both[i], n), 0);
	}
	ck_assert_int_eq(pipe(ends), 0);
	for (int i = 0; i < 3; i++) {
		s[i] = (struct sleeper){.at = both[i % 2] + 3 * size, .fd = i == 2 ? ends[1] : -1};
		pthread_create(&s[i].thread, NULL, sleep_at, &s[i]);
	}
	while (seen < 3) {
		int got = os_absent_next(&absent, pages, 8, 1000000);
		ck_assert_int_ge(got, 0);
		for (int i = 0; i < got; i++)
			ck_assert(pages[i] == both[0] + 3 * size || pages[i] == both[1] + 3 * size);
		seen += got;
	}
	/* A change of protection meanwhile changes nothing else. */
	ck_assert_int_eq(os_protect(both[0] + 2 * size, 2 * size, OS_READ), 0);
	ck_assert_int_eq(os_absent_fill(&absent, both[1] + 2 * size, bytes, 2 * size), 0);
	for (int i = 0; i < 3; i++)
		ck_assert(!atomic_load(&s[i].awake));
	ck_assert_int_eq(os_absent_fill(&absent, both[0] + 3 * size, bytes, size), -1);
	ck_assert_int_eq(errno, EEXIST);
	os_absent_wake(&absent, both[0] + 3 * size, size);
	os_absent_wake(&absent, both[1] + 3 * size, size);
	for (int i = 0; i < 3; i++)
		pthread_join(s[i].thread, NULL);
	ck_assert_int_eq(read(ends[0], &in_pipe, 1), 1);
	ck_assert(s[0].seen == 'x' && s[1].seen == 'x' && in_pipe == 'x');
	ck_assert(both[0][2 * size] == 'x' && both[1][2 * size] == 'x');
	/* Nobody has filled the others: zeros, when nobody watches any more. */
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(os_uffd_unregister(&absent, both[i], n), 0);
	ck_assert_int_eq(both[0][5 * size], 0);
	os_file_close(&absent);
	os_file_close(&file);
	for (int i = 0; i < 2; i++) {
		os_unmap(both[i], n);
		close(ends[i]);
	}
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("assumptions");
	TCase *tc = tcase_create("assumptions");

	tcase_add_loop_test(tc, no_store_after_protecting, 0, 2);
	tcase_add_loop_test(tc, a_store_faults_before_it_is_done, 0, 2);
	tcase_add_test(tc, a_blocked_fault_kills);
	tcase_add_test(tc, a_signal_is_sent_again_as_it_was);
	tcase_add_test(tc, protection_of_holes);
	tcase_add_loop_test(tc, system_calls_fail, 0, 2);
	tcase_add_test(tc, private_mappings);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, collapsing_changes_no_byte);
	tcase_add_test(tc, mapped_anew);
	tcase_add_test(tc, children_do_not_have_it);
	tcase_add_test(tc, closing_lifts_the_protection);
	tcase_add_test(tc, no_wakeup_is_lost);
	tcase_add_test(tc, files_are_told_apart);
	tcase_add_test(tc, covered_at_one_instant);
	tcase_add_loop_test(tc, own_pages_are_told, 0, 2);
	tcase_add_test(tc, written_pages_are_told);
	tcase_add_test(tc, own_pages_stay);
	tcase_add_test(tc, writers_wait);
	tcase_add_test(tc, alone_or_not);
	tcase_add_test(tc, a_lock_belongs_to_an_opening);
	tcase_add_test(tc, names_are_given_and_taken);
	tcase_add_test(tc, absent_pages_come);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
