/* SPDX-License-Identifier: BSD-2-Clause */
/* os-linux-uffd.c - userfaultfd(2) on Linux, 5.19 or later. */
#include "config.h"

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than some C libraries' headers. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define FEATURE_WP_SHMEM (1u << 12) /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM */

#define EVENTS 16 /* read at once */

int os_uffd_register(int fd, void *p, size_t n)
{
	struct uffdio_register r = {.range = {(uintptr_t)p, n}, .mode = UFFDIO_REGISTER_MODE_WP};

	return (int)syscall(SYS_ioctl, fd, UFFDIO_REGISTER, &r);
}

int os_uffd_unregister(int fd, void *p, size_t n)
{
	struct uffdio_range r = {(uintptr_t)p, n};

	return (int)syscall(SYS_ioctl, fd, UFFDIO_UNREGISTER, &r);
}

int os_uffd_protect(int fd, void *p, size_t n, bool protect)
{
	struct uffdio_writeprotect w = {.range = {(uintptr_t)p, n},
					.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

	/* EAGAIN: the address space is being changed by another thread at this moment. */
	while (syscall(SYS_ioctl, fd, UFFDIO_WRITEPROTECT, &w))
		if (errno != EAGAIN && errno != EINTR)
			return -1;
	return 0;
}

bool os_can_write(void *p, size_t n)
{
	/* Linux 5.14, older than this file. Interrupted, it has not found out. */
	while (syscall(SYS_madvise, p, n, MADV_POPULATE_WRITE))
		if (errno != EAGAIN && errno != EINTR)
			return false;
	return true;
}

/* Whether the kernel itself may write to p. It cannot take the signal, so this needs no handler. */
static bool kernel_can_write(void *p)
{
	return getrandom(p, 1, GRND_NONBLOCK) == 1;
}

/* What a version number would only promise. */
static bool protects_shared_memory(int fd)
{
	size_t n = os_page_size();
	bool works = false;
	int file = os_memory_file(n);
	int e = file < 0 ? errno : ENOTSUP; /* what is missing may be a descriptor */
	char *p =
	    file < 0 ? MAP_FAILED : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	if (p != MAP_FAILED) {
		/* untouched, and then touched by the first successful write */
		works = os_uffd_register(fd, p, n) == 0;
		for (int touched = 0; touched < 2 && works; touched++)
			works = os_uffd_protect(fd, p, n, true) == 0 && !kernel_can_write(p) &&
				os_uffd_protect(fd, p, n, false) == 0 && kernel_can_write(p);
		os_unmap(p, n);
	}
	os_close(file);
	errno = e;
	return works;
}

static int open_mode(enum uffd_mode mode)
{
	unsigned kind = mode == UFFD_SIGNALS ? UFFD_USER_MODE_ONLY : O_NONBLOCK;
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_SHMEM};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | kind);

	if (fd < 0) {
		if (errno == EINVAL) /* before 5.11 it knows no UFFD_USER_MODE_ONLY */
			errno = ENOTSUP;
		return -1;
	}
	if (mode == UFFD_SIGNALS)
		api.features |= UFFD_FEATURE_SIGBUS;
	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return fd;
	os_close(fd);
	errno = ENOTSUP;
	return -1;
}

int os_uffd_open(enum uffd_mode mode)
{
	/* Tried with signals in either mode: with events a write of ours would wait for us. */
	int probe = open_mode(UFFD_SIGNALS);
	bool works = probe >= 0 && protects_shared_memory(probe);

	if (probe < 0)
		return -1;
	if (works && mode == UFFD_SIGNALS)
		return probe;
	os_close(probe);
	return works ? open_mode(mode) : -1;
}

int os_uffd_next(int fd, int stop, void **addresses, int max)
{
	struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
	struct uffd_msg messages[EVENTS];

	for (;;) {
		if (poll(wait, 2, -1) < 0) {
			if (errno == ENOMEM || errno == EAGAIN)
				os_nap(); /* to give up would let writers wait for ever */
			else if (errno != EINTR)
				return -1;
		}
		if (wait[1].revents)
			return 0;
		size_t room = sizeof *messages * (size_t)(max < EVENTS ? max : EVENTS);
		ssize_t got = read(fd, messages, room);
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		int n = 0;
		for (ssize_t i = 0; i < got / (ssize_t)sizeof *messages; i++)
			if (messages[i].event == UFFD_EVENT_PAGEFAULT)
				addresses[n++] =
				    (void *)(uintptr_t)messages[i].arg.pagefault.address;
		if (n)
			return n;
	}
}

void os_uffd_wake(int fd, void *page)
{
	struct uffdio_range r = {(uintptr_t)page, os_page_size()};

	ioctl(fd, UFFDIO_WAKE, &r);
}

int os_notifier(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void os_notify(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}
