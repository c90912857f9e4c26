/* SPDX-License-Identifier: BSD-2-Clause */
/* store-disk.c - see store-disk.h. */
#include "config.h"

#include "common.h"
#include "store-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SECTOR 512 /* what disks write whole */
#define CRUMB 32   /* what not even those do that break their promise */
#define BYTES_MAX ((size_t)16 << 20)
#define CALLS_MAX 20000

struct call {
	enum os_store_kind kind;
	bool failed;
	unsigned char *data;
	uint64_t n, offset;
};

static struct call log_of[CALLS_MAX];
static size_t calls;

static struct {
	size_t at;
	int errnum;
	uint64_t rng;
	bool failed;
} fault;

void disk_forget(void)
{
	while (calls)
		free(log_of[--calls].data);
}

size_t disk_calls(void)
{
	return calls;
}

bool disk_fail_at(size_t n, int errnum, uint64_t seed)
{
	bool failed = fault.failed;

	fault.at = n;
	fault.errnum = errnum;
	fault.rng = seed | 1;
	fault.failed = false;
	return failed;
}

/* A part of a write is done, and then the call fails. */
static void write_a_part(const struct os_store_call *call)
{
	uint64_t n = rng(&fault.rng) % (call->n + 1);

	ck_assert_int_eq(pwrite(call->fd, call->p, n, (off_t)call->offset), (ssize_t)n);
	log_of[calls - 1].n = n;
}

int disk_record(const struct os_store_call *call)
{
	if (call->kind == OS_STORE_READ || call->kind == OS_STORE_OPEN)
		return 0;
	ck_assert_uint_lt(calls, CALLS_MAX);
	struct call *c = &log_of[calls++];
	*c = (struct call){.kind = call->kind, .n = call->n, .offset = call->offset};
	if (call->kind == OS_STORE_WRITE) {
		c->data = malloc(call->n);
		memcpy(c->data, call->p, call->n);
	}
	if (!fault.at || --fault.at)
		return 0;
	fault.failed = true;
	c->failed = true;
	if (call->kind == OS_STORE_WRITE)
		write_a_part(call);
	return fault.errnum;
}

/* ---- a disk ---- */

static struct {
	unsigned char bytes[BYTES_MAX];
	uint64_t size;
	bool exists, named; /* surely */
	bool may_be_named;
	const struct call *pending[CALLS_MAX];
	size_t n;
} disk;

static void set_size(uint64_t size)
{
	ck_assert_uint_le(size, BYTES_MAX);
	if (size < disk.size)
		memset(disk.bytes + size, 0, disk.size - size);
	disk.size = size;
}

/* Those of its sectors that chance takes; what lies beyond the file's end is not there. */
static void put_sectors(const struct call *c, uint64_t *state, unsigned share)
{
	uint64_t sector = share == 2 && rng(state) % 2 ? CRUMB : SECTOR;

	for (uint64_t at = 0; at < c->n; at += sector) {
		uint64_t n = c->n - at < sector ? c->n - at : sector;
		if (c->offset + at + n > disk.size)
			break;
		if (rng(state) % 4 < share) {
			if (c->data)
				memcpy(disk.bytes + c->offset + at, c->data + at, n);
			else
				memset(disk.bytes + c->offset + at, 0, n);
		}
	}
}

static bool changes_size(const struct call *c, uint64_t size)
{
	return c->kind == OS_STORE_CUT || (c->kind == OS_STORE_WRITE && c->offset + c->n > size);
}

/* All that is pending, whole; what a call that failed has done is not sure either. */
static void settle_all(void)
{
	for (size_t i = 0; i < disk.n; i++) {
		const struct call *c = disk.pending[i];
		if (c->kind == OS_STORE_CUT)
			set_size(c->offset);
		else if (changes_size(c, disk.size))
			set_size(c->offset + c->n);
		put_sectors(c, &(uint64_t){1}, 4);
	}
	disk.n = 0;
}

/* What is pending reaches the disk in part. Changes of the size come in their order, up to one. */
static void settle_some(uint64_t *state)
{
	size_t sizes = rng(state) % (disk.n + 1);
	unsigned mood = (unsigned)(rng(state) % 6); /* nothing, all, or something between */

	for (size_t i = 0; i < disk.n; i++) {
		const struct call *c = disk.pending[i];
		if (i < sizes && c->kind == OS_STORE_CUT)
			set_size(c->offset);
		else if (i < sizes && changes_size(c, disk.size))
			set_size(c->offset + c->n);
		/* Whole calls go or stay, or are torn. */
		unsigned share = mood == 4 ? 4 : mood == 5 ? 0 : (unsigned)(rng(state) % 5);
		put_sectors(c, state, share == 3 ? 4 : share == 1 ? 0 : share);
	}
	disk.n = 0;
}

static void apply(const struct call *c, bool ended, uint64_t *state)
{
	switch (c->kind) {
	case OS_STORE_CREATE:
		disk.exists = true;
		return;
	case OS_STORE_NAME:
		disk.may_be_named = !c->failed;
		return;
	case OS_STORE_SYNC_NAME:
		disk.named |= disk.may_be_named && ended && !c->failed;
		return;
	case OS_STORE_SYNC:
		if (c->failed)
			settle_some(state);
		else if (ended)
			settle_all();
		return;
	default:
		if (!c->failed || c->kind == OS_STORE_WRITE)
			disk.pending[disk.n++] = c;
	}
}

bool disk_make(const char *path, size_t n, uint64_t *state)
{
	set_size(0);
	disk.exists = disk.named = disk.may_be_named = false;
	disk.n = 0;
	for (size_t i = 0; i < n; i++)
		apply(&log_of[i], i + 1 < n || n == calls, state);
	settle_some(state);
	if (!disk.named && (!disk.may_be_named || rng(state) % 2))
		return false;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert(fd >= 0 && write(fd, disk.bytes, disk.size) == (ssize_t)disk.size);
	close(fd);
	return true;
}
