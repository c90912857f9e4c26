/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-fork.c - the side that forks: a process that has the same memory, and only that.
 */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* absent from older headers */
#endif

#define WRITE_PART ((size_t)1 << 20)

struct answer {
	double value;
	int status;
	char error[400];
};

static int thaw(struct side *s)
{
	if (s->child > 0) {
		kill(s->child, SIGKILL);
		while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	s->child = 0;
	return 0;
}

/* Writes after a fork split huge pages. MADV_COLLAPSE joins them again, as a fork is cheap only
   with whole ones. */
static int collapse(struct side *s, char *p)
{
	if (s->huge && madvise(p, s->pages->count * s->pages->page, MADV_COLLAPSE))
		return side_fail(s, "--rival-huge needs MADV_COLLAPSE and free huge pages");
	return 0;
}

static int freeze(struct side *s, unsigned flags, double *seconds)
{
	(void)flags;
	thaw(s);
	if (collapse(s, s->block))
		return -1;
	double start = seconds_now();
	s->child = fork();
	if (s->child == 0) {
		/* If our side is killed, do not stay behind with all that memory. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!s->past)
			pause();
		for (;;)
			read_lines(s->block, s->past);
	}
	*seconds = seconds_now() - start;
	return s->child > 0 ? 0 : side_fail(s, "fork, see ulimit -u and --size");
}

/* The child has the memory; there is nothing to open. */
static int view(struct side *s, unsigned flags)
{
	(void)s, (void)flags;
	return 0;
}

static int settle(struct side *s)
{
	return collapse(s, s->block);
}

static char *map(struct side *s)
{
	size_t size = s->pages->count * s->pages->page;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		side_fail(s, "no memory to fork, choose a smaller --size");
		return NULL;
	}
	madvise(p, size, s->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(p, 1, size);
	return collapse(s, p) ? NULL : p;
}

/* No child here: it would only slow the restore down. */
static int save(struct side *s)
{
	if (!s->copy)
		s->copy = map(s);
	return s->copy ? 0 : -1;
}

static int restore(struct side *s, double *seconds)
{
	double start = seconds_now();

	memcpy(s->block, s->copy, s->pages->count * s->pages->page);
	*seconds = seconds_now() - start;
	return 0;
}

/* The kernel duplicates the pages that were written, and no others. */
static int held(struct side *s, size_t dirty, double *bytes)
{
	*bytes = (double)dirty * (double)s->pages->page;
	return 0;
}

/* The kernel copies for itself. */
static int ready(struct side *s, char *p, size_t n)
{
	(void)s, (void)p, (void)n;
	return 0;
}

/* The child does. */
static int read_past(struct side *s, bool begin)
{
	(void)s, (void)begin;
	return 0;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n < WRITE_PART ? n : WRITE_PART);
		if (done <= 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

static int write_out(struct side *s, bool increment, double *seconds)
{
	double start = seconds_now();
	int fd = open(side_file(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)increment;
	if (fd < 0)
		return side_fail(s, "no file in $TMPDIR");
	if (write_all(fd, s->block, s->pages->count * s->pages->page)) {
		side_fail(s, "no room in $TMPDIR, choose a smaller --size");
		close(fd);
		side_file_remove();
		return -1;
	}
	close(fd);
	*seconds = seconds_now() - start;
	side_file_remove();
	return 0;
}

/* The child saves; each page that the parent writes to until then is one page more. */
static int write_out_busy(struct side *s, size_t n, double *bytes)
{
	volatile char *block = s->block;
	double seconds;
	size_t i = 0;
	int status;

	pid_t child = fork();
	if (child == 0)
		_exit(write_out(s, false, &seconds) ? 1 : 0);
	if (child < 0)
		return side_fail(s, "fork, see ulimit -u and --size");
	for (; i < n && (i % 64 || waitpid(child, &status, WNOHANG) == 0); i++)
		block[s->list[i] * s->pages->page]++;
	if (i == n)
		waitpid(child, &status, 0);
	*bytes = (double)i * (double)s->pages->page;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	errno = ENOSPC;
	return side_fail(s, "the child could not write to $TMPDIR, choose a smaller --size");
}

static const struct side_ops ops = {freeze, view,  thaw,      settle,    save,          restore,
				    held,   ready, read_past, write_out, write_out_busy};

static void serve(int fd, const struct scenario *scenario, const struct pages *pages, bool huge)
{
	struct side side = {.ops = &ops, .pages = pages, .huge = huge};
	unsigned round;

	side.list = pages_list(pages);
	side.block = map(&side);
	if (!side.list)
		side_fail(&side, "no memory to fork, choose a smaller --size");
	while (recv(fd, &round, sizeof round, 0) == sizeof round) {
		struct answer answer = {0, -1, ""};
		if (side.list && side.block)
			answer.status = scenario_run(scenario, &side, round, &answer.value);
		memcpy(answer.error, side.error, sizeof answer.error);
		if (send(fd, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
			break;
	}
	thaw(&side);
}

int rival_start(struct rival *rival, const struct scenario *scenario, const struct pages *pages,
		bool huge)
{
	int fds[2];

	/* Packets keep messages whole. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -1;
	fflush(NULL);
	rival->pid = fork();
	if (rival->pid == 0) {
		close(fds[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fds[1], scenario, pages, huge);
		_exit(0);
	}
	close(fds[1]);
	rival->fd = fds[0];
	if (rival->pid > 0)
		return 0;
	close(fds[0]);
	return -1;
}

int rival_run(struct rival *rival, unsigned round, double *value, char *error)
{
	struct answer answer;

	if (send(rival->fd, &round, sizeof round, MSG_NOSIGNAL) != sizeof round ||
	    recv(rival->fd, &answer, sizeof answer, 0) != sizeof answer) {
		strcpy(error, "the forking process died, perhaps for want of memory: choose a "
			      "smaller --size");
		return -1;
	}
	*value = answer.value;
	strcpy(error, answer.error);
	return answer.status;
}

void rival_stop(struct rival *rival)
{
	if (rival->pid <= 0)
		return;
	/* The rival ends when its input ends. (A rival that was forked later has a copy of this
	   descriptor, so close() alone would not end the input.) */
	shutdown(rival->fd, SHUT_RDWR);
	close(rival->fd);
	while (waitpid(rival->pid, NULL, 0) < 0 && errno == EINTR)
		;
	rival->pid = 0;
}
