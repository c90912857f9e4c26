/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux-absent.c - userfaultfd(2) on Linux, where memory comes in as it is touched. */
#include "config.h"

#include "os-linux.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 16 /* read at once */

static int create(int flags)
{
	return (int)syscall(SYS_userfaultfd, flags);
}

int os_absent_open(struct os_file *absent)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_MISSING_SHMEM};

	/* Without UFFD_USER_MODE_ONLY: the kernel's own accesses wait too. */
	os_file_set(absent, above_standard(create, O_CLOEXEC | O_NONBLOCK));
	if (absent->fd < 0)
		return failed_in("userfaultfd(2)");
	if (syscall(SYS_ioctl, absent->fd, UFFDIO_API, &api) == 0)
		return 0;
	int e = errno;
	os_file_close(absent);
	errno = e;
	return failed_in("ioctl(2)");
}

bool os_is_traced(void)
{
	static const char name[] = "TracerPid:\t";
	char status[2048];
	long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	long n = syscall(SYS_read, fd, status, sizeof status - 1);
	os_close((int)fd);
	status[n > 0 ? n : 0] = 0;
	const char *tracer = strstr(status, name);
	return tracer && tracer[sizeof name - 1] != '0';
}

int os_absent_begin(const struct os_file *absent, void *p, size_t n)
{
	struct uffdio_register r = {.range = {(uintptr_t)p, n},
				    .mode = UFFDIO_REGISTER_MODE_MISSING};

	return syscall(SYS_ioctl, absent->fd, UFFDIO_REGISTER, &r) ? failed_in("ioctl(2)") : 0;
}

/* -1 with errno; *done: how much was copied all the same. */
static int copy(const struct os_file *absent, char *p, const char *bytes, size_t n, size_t *done)
{
	struct uffdio_copy c = {.dst = (uintptr_t)p,
				.src = (uintptr_t)bytes,
				.len = n,
				.mode = UFFDIO_COPY_MODE_DONTWAKE};
	int result = (int)syscall(SYS_ioctl, absent->fd, UFFDIO_COPY, &c);

	*done = c.copy > 0 ? (size_t)c.copy : 0;
	return result;
}

int os_absent_fill(const struct os_file *absent, void *to, const void *from, size_t n)
{
	size_t most = n, done;
	const char *bytes = from;

	for (char *p = to; n; p += done, bytes += done, n -= done) {
		if (copy(absent, p, bytes, n < most ? n : most, &done) == 0)
			continue;
		if (errno == ENOENT && most > os_page_size())
			most = os_page_size(); /* several mappings lie there */
		else if (errno != EAGAIN && errno != EINTR)
			return failed_in("ioctl(2)");
	}
	return 0;
}

void os_absent_wake(const struct os_file *absent, void *p, size_t n)
{
	struct uffdio_range r = {(uintptr_t)p, n};

	syscall(SYS_ioctl, absent->fd, UFFDIO_WAKE, &r);
}

static bool is_ready(int fd, uint64_t ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct timespec most = {.tv_sec = (time_t)(ns / 1000000000u),
				.tv_nsec = (long)(ns % 1000000000u)};

	return syscall(SYS_ppoll, &p, 1, &most, NULL, 0) > 0;
}

int os_absent_next(const struct os_file *absent, void **pages, int max, uint64_t ns)
{
	struct uffd_msg messages[EVENTS];
	uintptr_t mask = ~(uintptr_t)(os_page_size() - 1);
	int n = 0;

	if (ns)
		is_ready(absent->fd, ns);
	if (!os_file_is_ours(absent)) {
		errno = EBADF;
		return -1;
	}
	ssize_t got = syscall(SYS_read, absent->fd, messages,
			      sizeof *messages * (size_t)(max < EVENTS ? max : EVENTS));
	if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENOMEM)
		return failed_in("read(2)");
	for (ssize_t i = 0; i < got / (ssize_t)sizeof *messages; i++)
		if (messages[i].event == UFFD_EVENT_PAGEFAULT)
			pages[n++] = (void *)(uintptr_t)(messages[i].arg.pagefault.address & mask);
	return n;
}
