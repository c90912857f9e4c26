/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os-linux-store.c - the file of a store.
 *
 * By syscall(2), since the C library's functions are cancellation points.
 */
#include "config.h"

#include "os-linux.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

os_store_fn *os_store_hook;

/* Whether a test has the call fail. */
static bool refused(const struct os_store_call *call)
{
	os_store_fn *hook = os_store_hook;
	int e = errno, errnum = hook ? hook(call) : 0;

	errno = errnum ? errnum : e;
	return errnum != 0;
}

int os_store_create(struct os_file *file, const char *path)
{
	*file = OS_NO_FILE;
	if (refused(&(struct os_store_call){.kind = OS_STORE_CREATE, .path = path}))
		return failed_in("openat(2)");
	return open_named(file, path, O_RDWR | O_CREAT | O_EXCL);
}

int os_store_open(struct os_file *file, const char *path, bool writes)
{
	*file = OS_NO_FILE;
	if (refused(&(struct os_store_call){.kind = OS_STORE_OPEN, .path = path}))
		return failed_in("openat(2)");
	/* Not waiting for the other end of a pipe. */
	return open_named(file, path, (writes ? O_RDWR : O_RDONLY) | O_NONBLOCK);
}

static long set_lock(const struct os_file *file, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	return syscall(SYS_fcntl, file->fd, F_OFD_SETLK, &lock);
}

int os_store_lock(const struct os_file *file)
{
	if (set_lock(file, F_WRLCK) == 0)
		return 0;
	if (errno == EACCES)
		errno = EAGAIN;
	return failed_in("fcntl(2)");
}

void os_store_unlock(const struct os_file *file)
{
	int e = errno;

	set_lock(file, F_UNLCK);
	errno = e;
}

int os_store_read(const struct os_file *file, void *p, size_t n, uint64_t offset)
{
	if (refused(&(struct os_store_call){
		.kind = OS_STORE_READ, .fd = file->fd, .p = p, .n = n, .offset = offset}))
		return failed_in("pread(2)");
	return os_read_at(file, p, n, offset);
}

int os_store_write(const struct os_file *file, const void *p, size_t n, uint64_t offset)
{
	if (refused(&(struct os_store_call){
		.kind = OS_STORE_WRITE, .fd = file->fd, .p = p, .n = n, .offset = offset}))
		return failed_in("pwrite(2)");
	return os_write_at(file, p, n, offset);
}

int os_store_sync(const struct os_file *file)
{
	long failed;

	if (refused(&(struct os_store_call){.kind = OS_STORE_SYNC, .fd = file->fd}))
		return failed_in("fdatasync(2)");
	/* Not again after EINTR: what was lost by then would not be told twice. */
	failed = syscall(SYS_fdatasync, file->fd);
	return failed ? failed_in("fdatasync(2)") : 0;
}

int os_store_cut(const struct os_file *file, uint64_t bytes)
{
	if (refused(&(struct os_store_call){.kind = OS_STORE_CUT, .fd = file->fd, .offset = bytes}))
		return failed_in("ftruncate(2)");
	return os_file_cut(file, bytes);
}

int os_store_punch(const struct os_file *file, uint64_t offset, uint64_t n)
{
	if (refused(&(struct os_store_call){
		.kind = OS_STORE_PUNCH, .fd = file->fd, .n = n, .offset = offset}))
		return failed_in("fallocate(2)");
	return syscall(SYS_fallocate, file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)offset, (off_t)n)
		   ? failed_in("fallocate(2)")
		   : 0;
}

int os_store_name(const char *from, const char *to)
{
	if (refused(&(struct os_store_call){.kind = OS_STORE_NAME, .path = to}))
		return failed_in("renameat2(2)");
	if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return failed_in("renameat2(2)");
	/* A file system without that flag. */
	if (syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0))
		return failed_in("linkat(2)");
	os_remove(from);
	return 0;
}

int os_store_sync_name(const char *path)
{
	if (refused(&(struct os_store_call){.kind = OS_STORE_SYNC_NAME, .path = path}))
		return failed_in("fsync(2)");
	return os_sync_name(path);
}

/* The kernel puts mappings right below the stack or right above the program, programs lie at the
   bottom or at two thirds; sanitizers leave this part alone, or refuse it. */
#define PLACE_FROM (UINT64_C(32) << 40)
#define PLACE_BYTES (UINT64_C(32) << 40)

void *os_store_place(uint64_t random, size_t align)
{
	uint64_t place = PLACE_FROM + random % PLACE_BYTES;

	return (void *)(uintptr_t)(place - place % align);
}
