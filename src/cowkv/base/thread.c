/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.c - see thread.h. */
#include "config.h"

#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STACK ((size_t)4 << 20)
#define NICE 10 /* above the main thread's 0 */

struct beginning {
	void *(*run)(void *ctx);
	void *ctx;
};

static void *begin(void *p)
{
	struct beginning b = *(struct beginning *)p;

	free(p);
	/* Clients come first where processors are scarce. (In Linux each thread has its own nice
	   value.) */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	return b.run(b.ctx);
}

int thread_start(pthread_t *thread, void *(*run)(void *ctx), void *ctx)
{
	struct beginning *b = malloc(sizeof *b);
	sigset_t all, before;
	pthread_attr_t attr;

	if (!b)
		return ENOMEM;
	*b = (struct beginning){run, ctx};
	sigfillset(&all);
	sigdelset(&all, SIGSEGV); /* faults are never blocked */
	sigdelset(&all, SIGBUS);
	int e = pthread_attr_init(&attr);
	if (e) {
		free(b);
		return e;
	}
	pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	e = pthread_create(thread, &attr, begin, b);
	if (e)
		free(b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return e;
}
