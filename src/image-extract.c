/* SPDX-License-Identifier: BSD-2-Clause */
/* image-extract.c - `cowarena image extract`: the bytes of the heap. */
#include "config.h"

#include "bench.h"
#include "command.h"
#include "image-command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct extract {
	struct image_chain chain;
	uint64_t from, end; /* bytes of the heap */
	uint64_t written;   /* up to there */
	bool sparse;        /* zeros are holes */
	const char *path;
	int fd;
	char *group, *zeros; /* memory for a group's pages */
};

static const struct image_header *header(const struct extract *x)
{
	return &x->chain.newest.header;
}

static int write_failed(const struct extract *x)
{
	return fail("%s cannot be written (%s): make room there, or choose another place with -o",
		    x->path, strerror(errno));
}

/* ---- the range ---- */

static bool number(const char *s, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(s, &end, 0);
	return !errno && *s != '-' && end != s && !*end;
}

static int find_range(struct extract *x, const struct image_options *o)
{
	uint64_t bytes = header(x)->pages * header(x)->page_size, base = header(x)->base, start, n;

	x->from = 0;
	if (o->start && (!number(o->start, &start) || start < base || start - base > bytes))
		return fail("--start: '%s' is no address of the heap, which has %llu bytes at "
			    "0x%llx",
			    o->start, (unsigned long long)bytes, (unsigned long long)base);
	if (o->start)
		x->from = start - base;
	x->end = bytes;
	if (o->bytes && (!number(o->bytes, &n) || n > bytes - x->from))
		return fail("--bytes: '%s' is no number of bytes, or more than the %llu that "
			    "follow",
			    o->bytes, (unsigned long long)(bytes - x->from));
	if (o->bytes)
		x->end = x->from + n;
	x->written = x->from;
	return EXIT_OK;
}

/* ---- writing ---- */

static int put(struct extract *x, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(x->fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return write_failed(x);
		p += done;
		n -= (size_t)done;
		x->written += (size_t)done;
	}
	return EXIT_OK;
}

/* Zeros up to this byte of the heap. */
static int skip(struct extract *x, uint64_t to)
{
	size_t most = IMAGE_GROUP * header(x)->page_size;
	int status = EXIT_OK;

	if (x->sparse && to > x->written) {
		if (lseek(x->fd, (off_t)(to - x->written), SEEK_CUR) < 0)
			return write_failed(x);
		x->written = to;
	}
	while (!status && x->written < to)
		status = put(x, x->zeros, to - x->written < most ? to - x->written : most);
	return status;
}

/* What the range has of a page. */
static int put_page(struct extract *x, uint64_t page, const char *p)
{
	uint64_t size = header(x)->page_size, at = page * size;
	uint64_t from = at > x->from ? at : x->from, end = at + size < x->end ? at + size : x->end;

	if (from >= end)
		return EXIT_OK;
	int status = skip(x, from);
	return status ? status : put(x, p + (from - at), end - from);
}

static int put_heap(struct extract *x)
{
	uint64_t first = 0, present, size = header(x)->page_size, pages = header(x)->pages;

	for (; image_chain_next(&x->chain, first, &first) && first * size < x->end;
	     first += IMAGE_GROUP) {
		progress("extracting", first, pages);
		if (image_chain_fetch(&x->chain, first, x->group, &present))
			return image_failed();
		for (uint64_t left = present; left; left &= left - 1) {
			unsigned i = (unsigned)__builtin_ctzll(left);
			int status = put_page(x, first + i, x->group + i * size);
			if (status)
				return status;
		}
	}
	progress("extracting", pages, pages);
	int status = skip(x, x->end);
	if (!status && x->sparse && ftruncate(x->fd, (off_t)(x->end - x->from)))
		return write_failed(x);
	return status;
}

/* ---- where to ---- */

static int to_file(struct extract *x, const struct image_options *o)
{
	struct output output;
	struct stat st;
	bool is_there = lstat(o->output, &st) == 0;

	x->path = o->output;
	if (is_there && S_ISREG(st.st_mode) && !o->force)
		return fail("%s exists: say --force to replace it, or name another file",
			    o->output);
	output_begin(&output, o->output);
	x->fd = open(output.written, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (x->fd < 0)
		return write_failed(x);
	x->sparse = fstat(x->fd, &st) == 0 && S_ISREG(st.st_mode);
	int status = put_heap(x);
	if (close(x->fd) && !status)
		status = write_failed(x);
	if (output_end(&output, !status) && !status)
		status = write_failed(x);
	return status;
}

static int to_stdout(struct extract *x)
{
	x->path = "standard output";
	x->fd = STDOUT_FILENO;
	return put_heap(x);
}

int image_extract(const struct image_options *o)
{
	struct extract x;

	if (!o->output)
		return fail("image extract: say where to, with -o FILE, or -o - for standard "
			    "output");
	memset(&x, 0, sizeof x);
	int status = image_open_chain(&x.chain, o->files[0], o->files);
	if (!status)
		status = find_range(&x, o);
	if (!status) {
		size_t n = IMAGE_GROUP * header(&x)->page_size;
		x.group = malloc(n);
		x.zeros = calloc(1, n);
		if (!x.group || !x.zeros)
			status = fail("no memory for %d pages", IMAGE_GROUP);
	}
	if (!status)
		status = strcmp(o->output, "-") == 0 ? to_stdout(&x) : to_file(&x, o);
	image_chain_close(&x.chain);
	free(x.group);
	free(x.zeros);
	return status;
}
