/* SPDX-License-Identifier: BSD-2-Clause */
/* error.c - failures as sentences, and the log. */
#include "config.h"

#include "cowarena.h"
#include "error.h"
#include "os.h"
#include "records.h"
#include "threads.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 320
#define POOL 16

/*
 * Where a thread's message is: in the pool, so that it needs no memory when there is none; or in
 * memory of its own when more threads than that have failed. A pointer, and not the text, since
 * thread-local storage is scarce for a library that is loaded later (heap-locals.c has most of the
 * rest). Never touched by the fault handler.
 */
static _Thread_local char *message __attribute__((tls_model("initial-exec")));

static struct {
	_Atomic bool taken;
	char text[MESSAGE_MAX];
} pool[POOL];

static char last_resort[MESSAGE_MAX]; /* for threads that have no other: their messages may mix */

/* Changed only in cowarena_set_log(). A reader that is between its two loads may call the old
   function with the new context, for one message; the function is cleared first, so that no later
   reader does. */
static void (*_Atomic log_fn)(void *, const char *);
static void *_Atomic log_ctx;

/* Called at the end of the thread. */
static void give_back(uint64_t number)
{
	char *text = message;

	(void)number;
	message = NULL;
	if (text == last_resort)
		return;
	for (size_t i = 0; i < POOL; i++)
		if (text == pool[i].text) {
			atomic_store(&pool[i].taken, false);
			return;
		}
	records_give(text, MESSAGE_MAX);
}

static char *new_buffer(void)
{
	for (size_t i = 0; i < POOL; i++)
		if (!atomic_exchange(&pool[i].taken, true))
			return pool[i].text;
	return records_take(MESSAGE_MAX);
}

/* The thread's buffer, from the first failure to the thread's end. */
static char *buffer(void)
{
	if (message && message != last_resort)
		return message;
	threads_hear(give_back);
	threads_introduce(); /* a thread that holds an arena's lock has been introduced before */
	char *text = threads_me() ? new_buffer() : NULL;
	return text ? text : last_resort;
}

static void format_message(int errnum, const char *format, va_list ap)
{
	char *text = buffer();

	vsnprintf(text, MESSAGE_MAX, format, ap);
	message = text;
	errno = errnum;
}

int error_set(int errnum, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_message(errnum, format, ap);
	va_end(ap);
	return -1;
}

void *error_null(int errnum, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	format_message(errnum, format, ap);
	va_end(ap);
	return NULL;
}

const char *error_name(int errnum)
{
	static const struct {
		int errnum;
		const char *name;
	} names[] = {
	    {EPERM, "EPERM"},     {ENOENT, "ENOENT"},         {EINTR, "EINTR"},
	    {EIO, "EIO"},         {EBADF, "EBADF"},           {EAGAIN, "EAGAIN"},
	    {ENOMEM, "ENOMEM"},   {EACCES, "EACCES"},         {EFAULT, "EFAULT"},
	    {EBUSY, "EBUSY"},     {EEXIST, "EEXIST"},         {ENODEV, "ENODEV"},
	    {EINVAL, "EINVAL"},   {ENFILE, "ENFILE"},         {EMFILE, "EMFILE"},
	    {ETXTBSY, "ETXTBSY"}, {EFBIG, "EFBIG"},           {ENOSPC, "ENOSPC"},
	    {ENOSYS, "ENOSYS"},   {ENOTSUP, "ENOTSUP"},       {EPIPE, "EPIPE"},
	    {ESRCH, "ESRCH"},     {ECONNRESET, "ECONNRESET"},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].errnum == errnum)
			return names[i].name;
	return "an error that is not known";
}

/* How to do without the call, if that is possible. */
static const char *way_out(const char *call)
{
	static const struct {
		const char *call, *way;
	} ways[] = {
	    {"userfaultfd(2)", ", or use engine sigsegv, which works without it"},
	    {"ioctl(2)", ", or use engine sigsegv, which works without it"},
	    {"read(2)", ", or leave COWARENA_SYSCALL_SAFE out"},
	    {"clone(2)", ", or leave COWARENA_SYSCALL_SAFE out"},
	    {"mmap(2)", ", or lower options.capacity"},
	};

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (strcmp(call, ways[i].call) == 0)
			return ways[i].way;
	return "";
}

bool error_refused(void)
{
	int e = errno;
	const char *call = os_failed_call();

	if (!call || (e != EPERM && e != EACCES && e != ENOSYS && e != EINVAL))
		return false;
	error_set(e,
		  "%s was refused (%s), as a sandbox does (seccomp, the profile of a container): "
		  "allow it there%s",
		  call, error_name(e), way_out(call));
	return true;
}

int error_system(int errnum, const char *format, ...)
{
	va_list ap;

	if (error_refused())
		return -1;
	va_start(ap, format);
	format_message(errnum, format, ap);
	va_end(ap);
	return -1;
}

const char *cowarena_errmsg(void)
{
	return message ? message : "";
}

void cowarena_set_log(void (*fn)(void *ctx, const char *message), void *ctx)
{
	atomic_store(&log_fn, NULL);
	atomic_store(&log_ctx, ctx);
	atomic_store(&log_fn, fn);
}

void error_log(const char *text)
{
	void (*fn)(void *, const char *) = atomic_load(&log_fn);

	if (fn) {
		fn(atomic_load(&log_ctx), text);
		return;
	}
	char line[MESSAGE_MAX + 16] = "cowarena: ";
	size_t n = strlen(line);
	size_t len = strlen(text);
	if (len > sizeof line - n - 1)
		len = sizeof line - n - 1;
	memcpy(line + n, text, len);
	line[n + len] = '\n';
	os_write_stderr(line, n + len + 1); /* one call, so that lines of threads do not mix */
}

void error_fatal(const char *text, const void *address)
{
	char line[MESSAGE_MAX];

	snprintf(line, sizeof line, "%s (address %p)", text, address);
	error_log(line);
	abort();
}

void error_misuse(const char *function, const char *text, const void *address)
{
	char line[MESSAGE_MAX];

	snprintf(line, sizeof line, "%s: %s", function, text);
	error_fatal(line, address);
}

const char *cowarena_version(void)
{
	return PACKAGE_VERSION;
}
