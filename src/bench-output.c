/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-output.c - files that are whole or not there.
 *
 * They are written under another name and renamed, so that a run that fails, or is interrupted,
 * neither leaves half a file nor destroys the one of the last time.
 */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* A device, a pipe or a link is written as it is: it must not be replaced by a file. */
static bool is_replaced(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? errno == ENOENT : S_ISREG(st.st_mode);
}

void output_begin(struct output *output, const char *path)
{
	output->path = path;
	/* A name that was cut is one that the kernel refuses for its length. */
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
