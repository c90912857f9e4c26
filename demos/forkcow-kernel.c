/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forkcow-kernel.c - the kernel's side: a snapshot is a child of fork(), and the kernel tells
 * what it cost.
 *
 * getrusage(2) counts the faults. /proc/PID/smaps has the pages that a process shares with others:
 * a page no longer shared was copied. /proc/PID/pagemap says the same of each page.
 */
#include "config.h"

#include "forkcow.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#ifdef HAVE_SYS_RSEQ_H
#include <sys/rseq.h>
#endif
#include <sys/socket.h>
#include <sys/wait.h>

int exec_error;

static struct child {
	pid_t pid;
	int socket; /* commands, a byte each, and their answers */
} children[DEPTH_MAX];

enum command { HASH, WRITE, EXEC };

struct answer {
	uint64_t hash, write_ns;
	struct account counted;
	int error;
};

/* Counting ------------------------------------------------------------------------------------- */

static struct rusage usage[2];
static size_t shared_before;

/* Add up the fields of this name for the region's mapping in a process, in bytes. */
static size_t smaps(pid_t pid, const struct side *side, const char *field)
{
	char path[32], line[256], start[32];
	bool ours = false;
	size_t kb, sum = 0;

	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	snprintf(start, sizeof start, "%08" PRIxPTR "-", (uintptr_t)side->base);
	FILE *f = fopen(path, "r");
	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, f)) {
		if (strncmp(line, start, strlen(start)) == 0)
			ours = true;
		else if (ours && strncmp(line, "VmFlags", 7) == 0)
			break;
		else if (ours && strncmp(line, field, strlen(field)) == 0 &&
			 sscanf(line, "%*[^:]: %zu", &kb) == 1)
			sum += kb * 1024;
	}
	fclose(f);
	if (!ours)
		die("%s: the region is not there", path);
	return sum;
}

/* Touch any byte, even one beside the variables of a stack: hence without AddressSanitizer. */
__attribute__((no_sanitize_address)) static void touch(void *p)
{
	atomic_fetch_or((_Atomic unsigned char *)p, 0);
}

/* The other side also shares our own stack and data: touch now what the counted code touches. Page
   boundaries in the stack differ from run to run. */
static void fork_before(struct side *side)
{
	struct plan nothing = {.page_size = side->plan->page_size};

	shared_before = smaps(getpid(), side, "Shared_");
	run_trace(side->base, side->plan->trace, 0, 0);
	write_pages(&nothing, side->base, ALL, 0);
	now_ns();
	touch(side);
	/* The callers' frames end below the environment, and may share its page. */
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & -(uintptr_t)nothing.page_size;
	for (; here < (uintptr_t)environ; here += nothing.page_size)
		touch((char *)here);
#ifdef HAVE_SYS_RSEQ_H
	/* The kernel writes there each time it has preempted this thread (rseq(2)). */
	if (__rseq_size)
		touch((char *)__builtin_thread_pointer() + __rseq_offset);
#endif
	getrusage(RUSAGE_SELF, &usage[1]);
	getrusage(RUSAGE_SELF, &usage[0]);
	getrusage(RUSAGE_SELF, &usage[0]);
}

static struct account fork_after(struct side *side)
{
	getrusage(RUSAGE_SELF, &usage[1]);
	struct account a = {.faults = (uint64_t)(usage[1].ru_minflt - usage[0].ru_minflt)};
	size_t shared = smaps(getpid(), side, "Shared_");
	a.copied = (shared_before - shared) / side->plan->page_size;
	/* Wrong only if the kernel copied more than necessary, which the map would show. */
	a.reused = a.faults - a.copied;
	return a;
}

/* Bit 56 of a page's word in pagemap says that it is mapped only once. */
static void fork_separate(struct side *side, unsigned char *pages)
{
	size_t n = side->plan->pages, size = n * sizeof(uint64_t);
	off_t at = (off_t)((uintptr_t)side->base / side->plan->page_size * sizeof(uint64_t));
	uint64_t *map = allocate(size, 1);
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, map, size, at) != (ssize_t)size)
		die("/proc/self/pagemap: %s", strerror(errno));
	close(fd);
	for (size_t i = 0; i < n; i++)
		pages[i] = map[i] >> 56 & 1;
	free(map);
}

/* What the processes use together beyond one copy. The kernel rounds each figure down to kB. */
static uint64_t fork_held(struct side *side)
{
	size_t page = side->plan->page_size, sum = smaps(getpid(), side, "Pss:");

	for (size_t i = 0; i < DEPTH_MAX; i++)
		if (children[i].pid)
			sum += smaps(children[i].pid, side, "Pss:");
	return ((sum + page - 1) / page - side->plan->pages) * page;
}

/* The child ------------------------------------------------------------------------------------ */

/* Write pages, and add the cost for this process to the sums. */
static void write_counted(struct side *side, enum which which, uint64_t seed,
			  struct account *counted, uint64_t *ns)
{
	fork_before(side);
	uint64_t start = now_ns();
	write_pages(side->plan, side->base, which, seed);
	uint64_t end = now_ns();
	struct account a = fork_after(side);

	counted->faults += a.faults;
	counted->copied += a.copied;
	counted->reused += a.reused;
	*ns += end - start;
}

/* Follow commands until the socket is closed. */
__attribute__((noreturn)) static void child_main(struct side *side, int socket, uint64_t seed)
{
	size_t size = side->plan->pages * side->plan->page_size;
	unsigned char command;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(socket, "", 1) != 1) /* ready */
		_exit(1);
	while (read(socket, &command, 1) == 1) {
		struct answer answer = {0};
		if (command == WRITE)
			write_counted(side, ALL, seed, &answer.counted, &answer.write_ns);
		if (command == EXEC) {
			execlp("true", "true", (char *)NULL);
			answer.error = errno;
		}
		answer.hash = hash_bytes(0, side->base, size);
		if (write(socket, &answer, sizeof answer) != sizeof answer)
			_exit(1);
	}
	_exit(0);
}

/* Start child i. Returns the time of the fork(). */
static uint64_t fork_child(struct side *side, size_t i, uint64_t seed)
{
	int sockets[2];
	char ready;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		die("socketpair: %s", strerror(errno));
	fflush(stdout); /* or the child would have it too */
	uint64_t start = now_ns();
	pid_t pid = fork();
	uint64_t end = now_ns();
	if (pid == 0) {
		close(sockets[0]);
		for (size_t k = 0; k < DEPTH_MAX; k++)
			if (children[k].pid)
				close(children[k].socket); /* or that child would never end */
		child_main(side, sockets[1], seed);
	}
	if (pid < 0)
		die("fork: %s", strerror(errno));
	close(sockets[1]);
	children[i] = (struct child){pid, sockets[0]};
	if (read(sockets[0], &ready, 1) != 1)
		die("a child has failed");
	return end - start;
}

/* Returns false if the child closes the socket instead of an answer. */
static bool ask(size_t i, enum command command, struct answer *answer)
{
	unsigned char byte = (unsigned char)command;
	ssize_t got = -1;

	if (write(children[i].socket, &byte, 1) == 1)
		got = recv(children[i].socket, answer, sizeof *answer, MSG_WAITALL);
	if (got && got != sizeof *answer)
		die("a child has failed");
	return got;
}

static void end_child(size_t i)
{
	int status;

	close(children[i].socket);
	if (waitpid(children[i].pid, &status, 0) != children[i].pid || status != 0)
		die("a child has failed");
	children[i].pid = 0;
}

/* What is asked of this side ------------------------------------------------------------------- */

static uint64_t fork_take(struct side *side, size_t i)
{
	return fork_child(side, i, 0);
}

static uint64_t fork_release(struct side *side, size_t i)
{
	struct answer answer;

	(void)side;
	if (!ask(i, HASH, &answer))
		die("a child has failed");
	end_child(i);
	return answer.hash;
}

/* The child replaces itself by another program at once, as most children do. */
static void fork_drop(struct side *side, size_t round)
{
	struct extreme *e = &side->best;
	struct answer answer;

	e->take_ns[round] = fork_take(side, 0);
	size_t shared = smaps(getpid(), side, "Shared_") / side->plan->page_size;
	e->counted.copied = side->plan->pages - shared;
	e->held = fork_held(side);

	uint64_t start = now_ns();
	if (ask(0, EXEC, &answer))
		exec_error = answer.error; /* then it ends, which drops the pages as well */
	e->drop_ns[round] = now_ns() - start;
	end_child(0);
}

/* Whoever writes a page first pays for the copy: the parent for half of the pages, the child for
   the others. */
static void fork_both(struct side *side, const struct round *r)
{
	struct extreme *e = &side->worst;
	size_t size = side->plan->pages * side->plan->page_size;
	struct answer answer = {0};
	uint64_t ns = fork_child(side, 0, r->child_seed);
	struct account *sum = &e->counted;

	*sum = (struct account){0};
	write_counted(side, EVEN, r->parent_seed, sum, &ns);
	if (!ask(0, WRITE, &answer))
		die("a child has failed");
	write_counted(side, ODD, r->parent_seed, sum, &ns);
	sum->faults += answer.counted.faults;
	sum->copied += answer.counted.copied;
	sum->reused += answer.counted.reused;
	e->cow_ns[r->number] = ns + answer.write_ns;
	e->held = fork_held(side);
	if (answer.hash != r->child || hash_bytes(0, side->base, size) != r->parent)
		die("after both sides of fork() wrote, one does not hold what it wrote");
	end_child(0);
}

const struct side_ops fork_ops = {
    .take = fork_take,
    .release = fork_release,
    .separate = fork_separate,
    .held = fork_held,
    .before = fork_before,
    .after = fork_after,
    .drop = fork_drop,
    .both = fork_both,
};
