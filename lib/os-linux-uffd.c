/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux-uffd.c - userfaultfd(2) on Linux, 5.19 or later. */
#include "config.h"

#include "os-linux.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some C libraries' headers. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURE_WP_SHMEM (1u << 12) /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM */

#define EVENTS 16 /* read at once */

int os_uffd_register(const struct os_file *file, void *p, size_t n)
{
	struct uffdio_register r = {.range = {(uintptr_t)p, n}, .mode = UFFDIO_REGISTER_MODE_WP};

	/* Another file's userfaultfd would take our range and get our faults. */
	if (!os_file_is_ours(file)) {
		errno = EBADF;
		return -1;
	}
	return syscall(SYS_ioctl, file->fd, UFFDIO_REGISTER, &r) ? failed_in("ioctl(2)") : 0;
}

int os_uffd_unregister(const struct os_file *file, void *p, size_t n)
{
	struct uffdio_range r = {(uintptr_t)p, n};

	return (int)syscall(SYS_ioctl, file->fd, UFFDIO_UNREGISTER, &r);
}

/* (If the number is another file's by now, nothing happens: the range is not registered there.) */
int os_uffd_protect(const struct os_file *file, void *p, size_t n, bool protect)
{
	struct uffdio_writeprotect w = {.range = {(uintptr_t)p, n},
					.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

	before_protection();
	/* EAGAIN: another thread is changing the address space at this moment. */
	while (syscall(SYS_ioctl, file->fd, UFFDIO_WRITEPROTECT, &w))
		if (errno != EAGAIN && errno != EINTR)
			return failed_in("ioctl(2)");
	return 0;
}

/* Whether the kernel itself can write to p, by an atomic or with 0. The kernel gets an error
   instead of a signal, so this needs no handler (K18). */
static bool kernel_can_write(void *p)
{
	uint32_t nobody = 0;

	return syscall(SYS_futex, &nobody, FUTEX_WAKE_OP_PRIVATE, 0, NULL, p,
		       FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)) >= 0;
}

bool os_can_write(void *p, size_t n)
{
	/* MADV_POPULATE_WRITE is in Linux 5.14, older than what this file needs. An interrupted
	   call has not found out. */
	while (syscall(SYS_madvise, p, n, MADV_POPULATE_WRITE))
		if (errno != EAGAIN &&
		    errno != EINTR) /* another sandbox may refuse the call itself */
			return errno != EFAULT && errno != ENOMEM && kernel_can_write(p);
	return true;
}

/* Try it: a version number would only promise it (K11). kind: MAP_SHARED or MAP_PRIVATE. */
static bool protects_memory(const struct os_file *uffd, int kind)
{
	size_t n = os_page_size();
	bool works = false;
	struct os_file file;
	int e =
	    os_memory_file(&file, n) ? errno : ENOTSUP; /* what is missing may be a descriptor */
	char *p =
	    file.fd < 0 ? MAP_FAILED : mmap(NULL, n, PROT_READ | PROT_WRITE, kind, file.fd, 0);

	if (p != MAP_FAILED) {
		/* untouched; then touched by the first successful write */
		works = os_uffd_register(uffd, p, n) == 0;
		for (int touched = 0; touched < 2 && works; touched++)
			works = os_uffd_protect(uffd, p, n, true) == 0 && !kernel_can_write(p) &&
				os_uffd_protect(uffd, p, n, false) == 0 && kernel_can_write(p);
		os_unmap(p, n);
	}
	os_file_close(&file);
	errno = e;
	return works;
}

static int create(int flags)
{
	return (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
}

static int any_request(int fd)
{
	return (int)syscall(SYS_ioctl, fd, FIOCLEX);
}

static int read_nothing(int fd)
{
	char byte;

	return (int)syscall(SYS_read, fd, &byte, 1);
}

/* Whether a sandbox refuses a call that has no other reason to fail so. */
static bool is_refused(int (*call)(int arg), int arg)
{
	int e = errno;
	int result = call(arg);
	bool refused = result < 0 && is_refusal(errno);

	if (call == create)
		os_close(result);
	errno = e;
	return refused;
}

int uffd_open(struct os_file *file, bool system_calls, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API,
				 .features =
				     UFFD_FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_SHMEM | features};

	os_file_set(file, above_standard(create, system_calls ? 0 : UFFD_USER_MODE_ONLY));
	if (file->fd < 0) {
		/* Before 5.11 the kernel has no UFFD_USER_MODE_ONLY; a sandbox refuses the call
		   without that flag too. */
		if (errno == EINVAL && !is_refused(create, 0))
			errno = ENOTSUP;
		return failed_in("userfaultfd(2)");
	}
	if (syscall(SYS_ioctl, file->fd, UFFDIO_API, &api) == 0)
		return 0;
	/* A kernel without these features says EINVAL; so may a sandbox, but a sandbox refuses
	   every request. */
	int e = errno;
	if (!is_refusal(e) || !is_refused(any_request, file->fd))
		e = ENOTSUP;
	os_file_close(file);
	errno = e;
	return failed_in("ioctl(2)");
}

int os_uffd_open(struct os_file *file, enum uffd_mode mode)
{
	/* Tried with signals in either mode: with events our own write would wait for this
	   thread. */
	if (uffd_open(file, false, UFFD_FEATURE_SIGBUS))
		return -1;
	bool works = protects_memory(file, MAP_SHARED);
	if (works && mode == UFFD_SIGNALS)
		return 0;
	os_file_close(file);
	if (!works)
		return -1;
	if (is_refused(read_nothing, -1)) { /* the call by which the thread reads faults */
		errno = EPERM;
		return failed_in("read(2)");
	}
	return uffd_open(file, true, UFFD_FEATURE_THREAD_ID);
}

int os_uffd_next(const struct os_file *file, struct os_fault *faults, int max)
{
	struct uffd_msg messages[EVENTS];

	for (;;) {
		size_t room = sizeof *messages * (size_t)(max < EVENTS ? max : EVENTS);
		if (!os_file_is_ours(file)) {
			errno = EBADF;
			return -1;
		}
		ssize_t got = syscall(SYS_read, file->fd, messages, room);
		if (got < 0 && errno == ENOMEM)
			os_nap(); /* giving up would make writers wait for ever */
		else if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		int n = 0;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof *messages; i++)
			if (messages[i].event == UFFD_EVENT_PAGEFAULT)
				faults[n++] = (struct os_fault){
				    (void *)(uintptr_t)messages[i].arg.pagefault.address,
				    messages[i].arg.pagefault.feat.ptid};
		if (n)
			return n;
	}
}

int os_hold_open(struct os_file *hold, bool *system_calls)
{
	struct os_file all;

	/* Tried where the kernel's own writes fail, instead of waiting for this thread. */
	if (uffd_open(hold, false, 0))
		return -1;
	if (!protects_memory(hold, MAP_PRIVATE)) {
		os_file_close(hold);
		return -1;
	}
	int e = errno;
	*system_calls = uffd_open(&all, true, 0) == 0;
	if (*system_calls) {
		os_file_close(hold);
		*hold = all;
	}
	errno = e;
	return 0;
}

int os_hold(const struct os_file *hold, void *p, size_t n)
{
	return os_uffd_register(hold, p, n) || os_uffd_protect(hold, p, n, true) ? -1 : 0;
}

void os_let_go(const struct os_file *hold, void *p, size_t n)
{
	struct uffdio_range r = {(uintptr_t)p, n};

	/* It lifts the protection and wakes, but not who waits for memory that has been mapped anew
	   meanwhile. */
	os_uffd_unregister(hold, p, n);
	syscall(SYS_ioctl, hold->fd, UFFDIO_WAKE, &r);
}

void os_uffd_wake(const struct os_file *file, void *page)
{
	struct uffdio_range r = {(uintptr_t)page, os_page_size()};

	syscall(SYS_ioctl, file->fd, UFFDIO_WAKE, &r);
}
