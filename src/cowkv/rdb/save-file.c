/* SPDX-License-Identifier: BSD-2-Clause */
/* save-file.c - see save-file.h. */
#include "config.h"

#include "base/settings.h"
#include "data/stream.h"
#include "rdb/save-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SYNC_EACH ((off_t)8 << 20) /* give the disk work after this many bytes */

struct file {
	int fd;
	off_t written, synced;
};

__attribute__((format(printf, 2, 3))) static bool failed(struct save_file *f, const char *format,
							 ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->error, sizeof f->error, format, args);
	va_end(args);
	return false;
}

bool save_file_begin(struct save_file *f)
{
	*f = (struct save_file){.options.compress = config.compress};
	if ((size_t)snprintf(f->name, sizeof f->name, "%s", config.dbfilename) >= sizeof f->name)
		return failed(f, "dbfilename is too long");
	if (stream_position(f->repl_id, &f->options.repl_offset))
		f->options.repl_id = f->repl_id;
	f->dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->dir >= 0 || failed(f, "cannot open the working directory: %s", strerror(errno));
}

void save_file_end(struct save_file *f)
{
	if (f->dir >= 0)
		close(f->dir);
	f->dir = -1;
}

static bool write_some(void *ctx, const void *data, size_t n)
{
	struct file *file = ctx;

	for (const char *p = data; n;) {
		ssize_t done = write(file->fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		p += done;
		n -= (size_t)done;
		file->written += done;
	}
	/* Start writing now, to leave less for the fsync() at the end. This is a hint, and may
	   fail. */
	if (file->written - file->synced >= SYNC_EACH) {
		sync_file_range(file->fd, file->synced, file->written - file->synced,
				SYNC_FILE_RANGE_WRITE);
		file->synced = file->written;
	}
	return true;
}

static bool write_data(struct save_file *f, int fd, const struct rdb_data *data,
		       const struct rdb_cut *cut)
{
	struct file file = {.fd = fd};
	const struct rdb_sink sink = {write_some, &file};

	switch (rdb_write(&sink, data, &f->options, &f->keys)) {
	case RDB_WRITTEN:
		break;
	case RDB_NOT_TAKEN:
		return failed(f, "cannot write the file: %s", strerror(errno));
	case RDB_SPOILED:
		if (cut && rdb_cut_spoiled(cut))
			return failed(f,
				      "what was written during the save took more memory than "
				      "--cow-limit allows, %" PRIu64
				      " bytes: raise it, or write less",
				      config.cow_limit);
		if (cut && cowarena_view_check(data->view))
			return failed(f, "the snapshot is lost: %s", cowarena_errmsg());
		return failed(f, "the data in memory are damaged");
	}
	return !fsync(fd) || failed(f, "cannot write the file: %s", strerror(errno));
}

bool save_file_write(struct save_file *f, const struct rdb_data *data, const struct rdb_cut *cut)
{
	char temp[32];

	snprintf(temp, sizeof temp, "temp-%d.rdb", (int)getpid());
	/* A file of this name was left by a dead process of the same number. */
	unlinkat(f->dir, temp, 0);
	int fd = openat(f->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return failed(f, "cannot make the file %s: %s", temp, strerror(errno));
	bool fine = write_data(f, fd, data, cut);
	if (close(fd) && fine)
		fine = failed(f, "cannot write the file: %s", strerror(errno));
	if (fine && renameat(f->dir, temp, f->dir, f->name))
		fine = failed(f, "cannot rename %s to %.128s: %s", temp, f->name, strerror(errno));
	if (!fine)
		unlinkat(f->dir, temp, 0);
	else if (fsync(f->dir) && errno != EINVAL) /* EINVAL: the file system cannot */
		fine = failed(f, "cannot sync the directory: %s", strerror(errno));
	return fine;
}
