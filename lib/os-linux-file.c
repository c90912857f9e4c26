/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os-linux-file.c - files that the user names.
 *
 * By syscall(2), since the C library's functions are cancellation points.
 */
#include "config.h"

#include "os-linux.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PART ((size_t)1 << 30) /* of one call: Linux moves 2 GiB at most */

/* Never the number of a standard stream. (above_standard() opens several times, which O_EXCL does
   not allow.) */
static int raised(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int above = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), e = errno;
	os_close(fd);
	errno = e;
	return above;
}

int open_named(struct os_file *file, const char *path, int flags)
{
	int fd;

	*file = OS_NO_FILE;
	do
		fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0666);
	while (fd < 0 && errno == EINTR);
	bool opened = fd >= 0;
	fd = raised(fd);
	if (opened && fd < 0 && flags & O_CREAT)
		os_remove(path);
	if (fd < 0)
		return failed_in("openat(2)");
	os_file_set(file, fd);
	return 0;
}

int os_file_create(struct os_file *file, const char *path)
{
	return open_named(file, path, O_WRONLY | O_CREAT | O_EXCL);
}

int os_file_open(struct os_file *file, const char *path)
{
	/* Not waiting for the other end of a pipe. */
	return open_named(file, path, O_RDONLY | O_NONBLOCK);
}

int os_file_bytes(const struct os_file *file, uint64_t *bytes)
{
	struct stat status;

	int failed = status_of(file->fd, &status);
	if (failed) {
		errno = failed;
		return failed_in("fstat(2)");
	}
	if (!S_ISREG(status.st_mode)) {
		errno = S_ISDIR(status.st_mode) ? EISDIR : ESPIPE;
		return -1;
	}
	*bytes = (uint64_t)status.st_size;
	return 0;
}

int os_write(int fd, const void *p, size_t n)
{
	for (const char *from = p; n;) {
		long done = syscall(SYS_write, fd, from, n < PART ? n : PART);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			errno = done ? errno : ENOSPC;
			return failed_in("write(2)");
		}
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

int os_write_at(const struct os_file *file, const void *p, size_t n, uint64_t offset)
{
	for (const char *from = p; n;) {
		long done =
		    syscall(SYS_pwrite64, file->fd, from, n < PART ? n : PART, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			errno = done ? errno : ENOSPC;
			return failed_in("pwrite(2)");
		}
		from += done;
		n -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

int os_read_at(const struct os_file *file, void *p, size_t n, uint64_t offset)
{
	for (char *to = p; n;) {
		long done = syscall(SYS_pread64, file->fd, to, n < PART ? n : PART, (off_t)offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			errno = done ? errno : ENODATA;
			return failed_in("pread(2)");
		}
		to += done;
		n -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

int os_file_cut(const struct os_file *file, uint64_t bytes)
{
	long failed;

	do
		failed = syscall(SYS_ftruncate, file->fd, (off_t)bytes);
	while (failed && errno == EINTR);
	return failed ? failed_in("ftruncate(2)") : 0;
}

int os_file_sync(const struct os_file *file)
{
	long failed;

	do
		failed = syscall(SYS_fsync, file->fd);
	while (failed && errno == EINTR);
	return failed ? failed_in("fsync(2)") : 0;
}

/* The directory that the path names a file in. -1 with errno. */
static int open_directory(struct os_file *file, const char *path)
{
	char name[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= sizeof name) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, path, n);
	name[n] = 0;
	return open_named(file, !slash ? "." : n ? name : "/", O_RDONLY | O_DIRECTORY);
}

int os_rename(const char *from, const char *to)
{
	return syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to) ? failed_in("renameat(2)") : 0;
}

int os_sync_name(const char *path)
{
	struct os_file directory;

	if (open_directory(&directory, path))
		return -1;
	int result = os_file_sync(&directory), e = errno;
	if (result && e == EINVAL) /* a file system that syncs no directories */
		result = 0;
	os_file_close(&directory);
	errno = e;
	return result;
}

void os_remove(const char *path)
{
	int e = errno;

	syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	errno = e;
}

int os_random(void *p, size_t n)
{
	long done;

	do
		done = syscall(SYS_getrandom, p, n, 0);
	while (done < 0 && errno == EINTR);
	return done == (long)n ? 0 : failed_in("getrandom(2)");
}

int os_name_beside(char *name, const char *path)
{
	static const char mark[] = ".tmp-";
	unsigned char number[8];
	size_t n = strlen(path);

	_Static_assert(sizeof mark + 2 * sizeof number == OS_NAME_BESIDE, "with the last byte");
	if (os_random(number, sizeof number))
		return -1;
	memcpy(name, path, n);
	memcpy(name + n, mark, sizeof mark - 1);
	n += sizeof mark - 1;
	for (size_t i = 0; i < sizeof number; i++) {
		name[n++] = "0123456789abcdef"[number[i] / 16];
		name[n++] = "0123456789abcdef"[number[i] % 16];
	}
	name[n] = 0;
	return 0;
}
