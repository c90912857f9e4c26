/* SPDX-License-Identifier: BSD-2-Clause */
/* frames.c - see frames.h. */
#include "config.h"

#include "frames.h"
#include "os.h"

#include <errno.h>

#define SEGMENT_BYTES ((size_t)16 << 20)
#define SEGMENTS_MAX ((size_t)1 << 16) /* 1 TiB of frames; the table takes 1 MiB of address space */

static size_t segment_frames(const struct frames *f)
{
	return (size_t)1 << f->segment_shift;
}

static size_t segment_size(const struct frames *f)
{
	size_t records = segment_frames(f) * sizeof(struct version);

	return SEGMENT_BYTES + (records + f->page_size - 1) / f->page_size * f->page_size;
}

int frames_init(struct frames *f, size_t held_max)
{
	f->page_size = os_page_size();
	f->segment_shift = (unsigned)__builtin_ctzll(SEGMENT_BYTES / f->page_size);
	f->segments_max = SEGMENTS_MAX;
	f->segments = os_map_anonymous(SEGMENTS_MAX * sizeof *f->segments);
	if (!f->segments)
		return -1;
	atomic_store(&f->total, 1); /* 0 is FRAME_NONE; its place in segment 0 stays empty */
	atomic_store(&f->unused, 1);
	f->populated = 1;
	f->held_max = held_max;
	return 0;
}

void frames_destroy(struct frames *f)
{
	if (!f->segments)
		return;
	for (size_t i = 0; i < f->segments_max && f->segments[i].data; i++)
		os_unmap(f->segments[i].data, segment_size(f));
	os_unmap(f->segments, f->segments_max * sizeof *f->segments);
}

int frames_reserve(struct frames *f, size_t n)
{
	uint32_t total = atomic_load(&f->total);
	size_t have = total - 1 - atomic_load(&f->taken);

	if (have >= n)
		return 0;
	size_t next = (size_t)total >> f->segment_shift; /* only full segments exist, or none */
	size_t more = (n - have + segment_frames(f) - 1) >> f->segment_shift;
	if (next == 0)
		more += (n - have) % segment_frames(f) == 0; /* index 0 is not to be had */
	if (more > f->segments_max - next) {
		errno = ENOMEM;
		return -1;
	}
	char *p = os_map_anonymous(more * segment_size(f));
	if (!p)
		return -1;
	f->maps++;
	os_keep_from_children(p, more * segment_size(f));
	for (size_t i = next; i < next + more; i++, p += segment_size(f)) {
		f->segments[i].versions = (struct version *)(p + SEGMENT_BYTES);
		f->segments[i].data = p;
	}
	/* A handler that sees the new total sees the segments. */
	atomic_store(&f->total, (uint32_t)((next + more) << f->segment_shift));
	return 0;
}

void frames_prefault(struct frames *f, size_t n)
{
	uint32_t unused = atomic_load(&f->unused), total = atomic_load(&f->total);
	uint32_t from = f->populated > unused ? f->populated : unused;
	uint32_t to = total - unused > n ? unused + (uint32_t)n : total;

	while (from < to) {
		/* piece by piece, as segments need not be neighbours */
		uint32_t end = ((from >> f->segment_shift) + 1) << f->segment_shift;
		if (end > to)
			end = to;
		os_populate(frames_data(f, from), (size_t)(end - from) * f->page_size);
		from = f->populated = end;
	}
}

bool frames_charge(struct frames *f, size_t n)
{
	size_t held = atomic_load_explicit(&f->held, memory_order_relaxed);

	/* Never more than the limit, not for a moment: it would make others fail that fit. */
	do
		if (n > f->held_max - held)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&f->held, &held, held + n,
						      memory_order_relaxed, memory_order_relaxed));
	held += n;
	size_t peak = atomic_load_explicit(&f->held_peak, memory_order_relaxed);
	while (held > peak &&
	       !atomic_compare_exchange_weak_explicit(&f->held_peak, &peak, held,
						      memory_order_relaxed, memory_order_relaxed))
		;
	return true;
}

void frames_uncharge(struct frames *f, size_t n)
{
	atomic_fetch_sub_explicit(&f->held, n, memory_order_relaxed);
}

uint32_t frames_take(struct frames *f)
{
	/* Treiber's stack. The record of a frame that another thread pops first is still
	   readable (segments are never unmapped before the arena is), and the tag makes our
	   exchange fail. Acquire: pairs with frames_give(), whose owner's last reads come before
	   our writes. */
	uint64_t top = atomic_load_explicit(&f->free, memory_order_acquire);
	uint32_t frame;

	while ((frame = (uint32_t)top) != FRAME_NONE) {
		uint32_t next =
		    atomic_load_explicit(&frames_version(f, frame)->link, memory_order_relaxed);
		uint64_t tag = (top >> 32) + 1;
		if (atomic_compare_exchange_weak_explicit(&f->free, &top, tag << 32 | next,
							  memory_order_acquire,
							  memory_order_acquire))
			goto taken;
	}
	frame = atomic_load(&f->unused);
	do {
		if (frame >= atomic_load(&f->total))
			return FRAME_NONE;
	} while (!atomic_compare_exchange_weak(&f->unused, &frame, frame + 1));
taken:
	atomic_fetch_add_explicit(&f->taken, 1, memory_order_relaxed);
	return frame;
}

void frames_give(struct frames *f, uint32_t frame)
{
	uint64_t top = atomic_load_explicit(&f->free, memory_order_relaxed);

	atomic_fetch_sub_explicit(&f->taken, 1, memory_order_relaxed);
	do
		atomic_store_explicit(&frames_version(f, frame)->link, (uint32_t)top,
				      memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&f->free, &top,
						      ((top >> 32) + 1) << 32 | frame,
						      memory_order_release, memory_order_relaxed));
}

size_t frames_mappings(const struct frames *f)
{
	return 1 + f->maps;
}
