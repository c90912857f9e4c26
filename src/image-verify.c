/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-verify.c - `cowarena image verify`: reads all of the images, and looks whether increments
 * fit to their parents.
 */
#include "config.h"

#include "command.h"
#include "cowarena.h"
#include "image-command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct check {
	const struct image_options *o;
	const char **good; /* files, NULL ends them */
	size_t goods;
	int status; /* the worst */
};

static void worse(struct check *c, int status)
{
	c->status = status > c->status ? status : c->status;
}

/* ---- one image ---- */

static void print_bad(const struct image_file *f, const struct image_group *g, bool json,
		      bool first)
{
	uint64_t all = g->present | g->zeros; /* a forged one may have no bytes */
	unsigned long long page = g->first + (unsigned)__builtin_ctzll(all),
			   end = g->first + 64 - (unsigned)__builtin_clzll(all),
			   address = image_address(&f->header, page), offset = g->offset,
			   bytes = g->bytes;

	if (json)
		printf("%s{\"page\": %llu, \"pages\": %llu, \"address\": \"0x%llx\", "
		       "\"offset\": %llu, \"bytes\": %llu}",
		       first ? "" : ", ", page, end - page, address, offset, bytes);
	else
		printf("%s: damaged: page %llu at 0x%llx, or one up to page %llu: the checksum of "
		       "bytes %llu to %llu of the file is wrong\n",
		       f->path, page, address, end - 1, offset, offset + bytes);
}

/* What follows the numbers in the header's page, which no checksum covers. */
static int check_rest(const struct image_file *f, char *pages)
{
	size_t from = sizeof f->header, n = f->header.page_size - from;

	if (os_read_at(&f->file, pages, n, from))
		return image_damaged(f, from, "the header cannot be read");
	for (size_t i = 0; i < n; i++)
		if (pages[i])
			return image_damaged(f, from + i, "is a byte that must be 0");
	return 0;
}

/* Prints the groups that are damaged. Returns: how many, or -1 with errno and message. */
static long check_groups(const struct image_file *f, char *pages, bool json)
{
	long bad = 0;

	for (size_t i = 0; i < f->trailer.groups; i++) {
		const struct image_group *g = &f->index[i];
		if (image_read_group(f, g, pages) == 0)
			progress(f->path, g->offset, f->bytes);
		else if (errno != EBADMSG)
			return -1;
		else
			print_bad(f, g, json, !bad++);
	}
	progress(f->path, f->bytes, f->bytes);
	return bad;
}

static uint64_t pages_of(const struct image_file *f)
{
	uint64_t n = 0;

	for (size_t i = 0; i < f->trailer.groups; i++)
		n += (uint64_t)__builtin_popcountll(f->index[i].present);
	return n;
}

/* *bad: the groups that are damaged. Returns: -1 with errno and message, if there is anything else
   wrong. */
static int check_open(const struct image_file *f, bool json, long *bad)
{
	char *pages = malloc(IMAGE_GROUP * f->header.page_size);

	if (!pages) {
		fail("no memory for %d pages", IMAGE_GROUP);
		exit(EXIT_ERROR);
	}
	*bad = check_groups(f, pages, json);
	int result = *bad < 0 || check_rest(f, pages) ? -1 : 0;
	free(pages);
	return result;
}

static void conclude(const char *path, const struct image_file *f, long bad, const char *error,
		     bool json)
{
	if (json) {
		printf("], \"groups\": %llu, \"pages\": %llu, \"good\": %s, \"error\": ",
		       (unsigned long long)f->trailer.groups,
		       (unsigned long long)(f->index ? pages_of(f) : 0),
		       bad || *error ? "false" : "true");
		json_text(stdout, error);
		putchar('}');
	} else if (*error) {
		puts(error); /* names the file */
	} else if (bad) {
		printf("%s: %ld of %llu groups of pages damaged; use another copy of it\n", path,
		       bad, (unsigned long long)f->trailer.groups);
	} else {
		unsigned long long n = pages_of(f);
		printf("%s: good, %llu page%s\n", path, n, n == 1 ? "" : "s");
	}
}

static void check_file(struct check *c, const char *path)
{
	struct image_file f;
	long bad = 0;
	bool json = c->o->json;

	if (json) {
		fputs("{\"file\": ", stdout);
		json_text(stdout, path);
		fputs(", \"bad\": [", stdout);
	}
	int result = image_open(&f, path), e = errno;
	bool open = !result;
	if (open && (image_read_index(&f) || check_open(&f, json, &bad))) {
		result = -1;
		e = errno;
	}
	conclude(path, &f, bad, result ? cowarena_errmsg() : "", json);
	if (result || bad)
		worse(c, result && e != EBADMSG ? EXIT_ERROR : EXIT_BAD);
	else
		c->good[c->goods++] = path;
	if (open)
		image_close(&f);
}

/* ---- increments ---- */

static void print_chain(const struct check *c, const char *path, const struct image_chain *chain,
			int result, bool missing, bool first)
{
	if (c->o->json) {
		printf("%s{\"file\": ", first ? "" : ", ");
		json_text(stdout, path);
		printf(", \"good\": %s, \"builds_on\": %zu, \"error\": ",
		       !result   ? "true"
		       : missing ? "null"
				 : "false",
		       chain->n);
		json_text(stdout, result ? cowarena_errmsg() : "");
		putchar('}');
	} else if (result) {
		printf("%s: not looked at with its parents: %s\n", path, cowarena_errmsg());
	} else {
		printf("%s: fits to the %zu image%s that it builds on\n", path, chain->n,
		       chain->n == 1 ? "" : "s");
	}
}

/* Returns: whether it is an increment. */
static bool check_chain(struct check *c, const char *path, bool first)
{
	struct image_file newest;
	struct image_chain chain;

	if (image_open(&newest, path)) {
		worse(c, image_failed()); /* just now it could be read */
		return false;
	}
	if (!newest.header.parent) {
		image_close(&newest);
		return false;
	}
	int result = image_chain_open(&chain, &newest, c->good), e = errno;
	print_chain(c, path, &chain, result, e == EINVAL, first);
	/* Alone it was not meant to be looked at with others. */
	if (result && e != EINVAL)
		worse(c, e == EBADMSG ? EXIT_BAD : EXIT_ERROR);
	else if (result && c->o->n > 1 && !c->status) /* it may be one of the damaged ones */
		worse(c, EXIT_ERROR);
	image_chain_close(&chain);
	return true;
}

int image_verify(const struct image_options *o)
{
	struct check c = {.o = o, .good = calloc(o->n + 1, sizeof *c.good)};
	bool first = true;

	if (!c.good)
		return fail("no memory for %zu names", o->n);
	if (o->json)
		fputs("{\"images\": [", stdout);
	for (size_t i = 0; i < o->n; i++) {
		if (o->json && i)
			fputs(", ", stdout);
		check_file(&c, o->files[i]);
	}
	if (o->json)
		fputs("], \"increments\": [", stdout);
	for (size_t i = 0; i < c.goods; i++)
		first &= !check_chain(&c, c.good[i], first);
	if (o->json)
		puts("]}");
	free(c.good);
	return c.status;
}
