/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-output.c - output files that are complete or absent.
 *
 * A file is written under a temporary name and renamed at the end. So a run that fails or is
 * interrupted leaves no partial file, and keeps the previous one.
 */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* A device, a pipe or a link is written directly: a file must not replace it. */
static bool is_replaced(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode);
}

void output_begin(struct output *output, const char *path)
{
	output->path = path;
	/* If the name is cut here, it is too long for the kernel, which refuses it. */
	if (is_replaced(path))
		snprintf(output->written, sizeof output->written, "%s.%ld.tmp", path,
			 (long)getpid());
	else
		snprintf(output->written, sizeof output->written, "%s", path);
}

bool output_possible(const char *path)
{
	struct output output;
	struct stat st;

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode)) {
			errno = EISDIR;
			return false;
		}
		if (access(path, W_OK))
			return false;
	}
	if (!is_replaced(path))
		return true;
	output_begin(&output, path);
	FILE *file = fopen(output.written, "wxe");
	if (!file)
		return false;
	fclose(file);
	return unlink(output.written) == 0;
}

int output_end(struct output *output, bool whole)
{
	if (!is_replaced(output->path))
		return whole ? 0 : -1;
	if (whole && rename(output->written, output->path) == 0)
		return 0;
	int error = errno;
	unlink(output->written);
	errno = error;
	return -1;
}

FILE *output_open(struct output *output, const char *path)
{
	output_begin(output, path);
	output->file = fopen(output->written, "we");
	return output->file;
}

int output_close(struct output *output)
{
	bool whole = !ferror(output->file);

	if (fclose(output->file))
		whole = false;
	return output_end(output, whole);
}
