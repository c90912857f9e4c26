/* SPDX-License-Identifier: BSD-2-Clause */
/* image-open.c - what the subcommands of `cowarena image` have in common. */
#include "config.h"

#include "command.h"
#include "cowarena.h"
#include "image-command.h"

#include <errno.h>

int image_failed(void)
{
	bool damaged = errno == EBADMSG;

	progress("", 1, 1); /* nothing more to wait for */
	fail("%s", cowarena_errmsg());
	return damaged ? EXIT_BAD : EXIT_ERROR;
}

int image_open_whole(struct image_file *f, const char *path)
{
	if (image_open(f, path))
		return image_failed();
	if (image_read_index(f) == 0)
		return EXIT_OK;
	int status = image_failed();
	image_close(f);
	return status;
}

int image_open_chain(struct image_chain *c, const char *path, char *const *files)
{
	struct image_file newest;

	*c = (struct image_chain){.newest.file = OS_NO_FILE};
	if (image_open(&newest, path) || image_chain_open(c, &newest, (const char *const *)files))
		return image_failed();
	return EXIT_OK;
}

uint64_t image_address(const struct image_header *h, uint64_t page)
{
	return h->base + page * h->page_size;
}

void image_json_hex(const char *key, uint64_t number)
{
	printf("\"%s\": \"0x%llx\"", key, (unsigned long long)number);
}
