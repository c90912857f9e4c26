/* SPDX-License-Identifier: BSD-2-Clause */
/* rdb-read-file.c - rdb_read_file() of rdb.h. */
#include "config.h"

#include "rdb/rdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t from_file(void *ctx, void *data, size_t n)
{
	return read(*(int *)ctx, data, n);
}

bool rdb_read_file(const char *path, const struct rdb_read_options *options,
		   struct rdb_read_result *result)
{
	struct rdb_read_options with_size = *options;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct rdb_source source = {from_file, &fd};

	if (fd < 0) {
		int e = errno;
		*result = (struct rdb_read_result){0};
		snprintf(result->error, sizeof result->error, "cannot open it: %s", strerror(e));
		errno = e;
		return false;
	}
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		with_size.size = (uint64_t)st.st_size;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	bool fine = rdb_read(&source, &with_size, result);
	close(fd);
	errno = 0;
	return fine;
}
