/* SPDX-License-Identifier: BSD-2-Clause */
/* common.h - what the demos share: messages, numbers for people, a progress bar. */
#ifndef COWARENA_DEMOS_COMMON_H
#define COWARENA_DEMOS_COMMON_H

#include "cowarena.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2

/* libtool runs a program of the build tree under the name lt-PROGRAM. */
static inline const char *demo_name(void)
{
	const char *name = program_invocation_short_name;

	return strncmp(name, "lt-", 3) == 0 ? name + 3 : name;
}

__attribute__((format(printf, 2, 0), noreturn)) static inline void
vfail(int status, const char *format, va_list args)
{
	fflush(stdout);
	fprintf(stderr, "%s: ", demo_name());
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	if (status == EXIT_USAGE)
		fprintf(stderr, "Try '%s --help'.\n", demo_name());
	exit(status);
}

__attribute__((format(printf, 1, 2), noreturn)) static inline void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfail(EXIT_FAILURE, format, args);
}

__attribute__((format(printf, 1, 2), noreturn)) static inline void usage_error(const char *format,
									       ...)
{
	va_list args;

	va_start(args, format);
	vfail(EXIT_USAGE, format, args);
}

/* Called after getopt_long() has said what is wrong with an option. */
__attribute__((noreturn)) static inline void usage_hint(void)
{
	fprintf(stderr, "Try '%s --help'.\n", demo_name());
	exit(EXIT_USAGE);
}

/* A full disk or a closed pipe is a failure too. */
static inline void finish_output(void)
{
	if (fflush(stdout) || ferror(stdout))
		die("standard output: %s", strerror(errno));
}

__attribute__((noreturn)) static inline void print_version(void)
{
	printf("%s (cowarena) %s\n", demo_name(), PACKAGE_VERSION);
	finish_output();
	exit(EXIT_SUCCESS);
}

static inline void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p && n)
		die("out of memory");
	return p;
}

static inline uint64_t parse_number(const char *option, const char *arg, uint64_t min, uint64_t max)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno || value < min || value > max)
		usage_error("%s wants a number from %" PRIu64 " to %" PRIu64 ", not '%s'", option,
			    min, max, arg);
	return value;
}

static inline unsigned parse_engine(const char *arg)
{
	static const char *const names[] = {
	    [COWARENA_ENGINE_AUTO] = "auto",     [COWARENA_ENGINE_SIGSEGV] = "sigsegv",
	    [COWARENA_ENGINE_UFFD] = "uffd",     [COWARENA_ENGINE_EAGER] = "eager",
	    [COWARENA_ENGINE_HYBRID] = "hybrid",
	};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(arg, names[i]) == 0)
			return i;
	usage_error("unknown engine '%s': auto, hybrid, sigsegv, uffd or eager", arg);
}

static inline cowarena *create_arena(unsigned engine, unsigned flags)
{
	struct cowarena_options options = COWARENA_OPTIONS_INIT;

	options.engine = engine;
	options.flags = flags | COWARENA_STRICT_ENGINE;
	cowarena *arena = cowarena_create(&options);
	if (!arena)
		die("no arena: %s", cowarena_errmsg());
	return arena;
}

static inline struct cowarena_stats stats_of(cowarena *arena)
{
	struct cowarena_stats stats = {.sz = sizeof stats};

	if (cowarena_stats_get(arena, &stats))
		die("no statistics: %s", cowarena_errmsg());
	return stats;
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The last step of splitmix64: every bit of the input affects every bit of the output. */
static inline uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* ---------------------------------------------------------------------------------------------- */

/* A short text passed by value: human_time(ns).text lives until the end of the call that it is
   in. */
struct human {
	char text[32];
};

static inline struct human human_scaled(double value, double step, const char *const *units)
{
	struct human h;

	while (value >= step && units[1]) {
		value /= step;
		units++;
	}
	snprintf(h.text, sizeof h.text, "%.*f %s", value == (double)(uint64_t)value ? 0 : 1, value,
		 *units);
	return h;
}

static inline struct human human_time(uint64_t ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s", NULL};

	return human_scaled((double)ns, 1000, units);
}

static inline struct human human_bytes(uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};

	return human_scaled((double)bytes, 1024, units);
}

static inline struct human human_hex(uint64_t n)
{
	struct human h;

	snprintf(h.text, sizeof h.text, "%016" PRIx64, n);
	return h;
}

/* 1234567 -> 1,234,567 */
static inline struct human human_count(uint64_t n)
{
	struct human h;
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, n), out = 0;

	for (size_t i = 0; i < length; i++) {
		h.text[out++] = digits[i];
		if ((length - i) % 3 == 1 && i + 1 < length)
			h.text[out++] = ',';
	}
	h.text[out] = 0;
	return h;
}

/* ---------------------------------------------------------------------------------------------- */

static inline int terminal_width(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* A bar in the terminal's last line. Threads that print hold flockfile(stdout). */
struct progress {
	bool on;
	uint64_t due; /* when to draw it again */
};

static inline void progress_clear(const struct progress *p)
{
	if (p->on)
		fputs("\r\033[K", stdout);
}

static inline void progress_show(struct progress *p, const char *what, size_t done, size_t total)
{
	uint64_t now;

	if (!p->on || ((now = now_ns()) < p->due && done < total))
		return;
	p->due = now + 50000000; /* quick enough for the eye */
	int width = terminal_width() - 24;
	width = width < 10 ? 10 : width > 60 ? 60 : width;
	int filled = total ? (int)((double)done / (double)total * width) : width;
	printf("\r%-10s [", what);
	for (int i = 0; i < width; i++)
		putchar(i < filled ? '#' : '.');
	printf("] %3d %%\033[K", total ? (int)((double)done / (double)total * 100) : 100);
	fflush(stdout);
}

#endif
