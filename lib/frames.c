/* SPDX-License-Identifier: BSD-2-Clause */
/* frames.c - see frames.h. */
#include "config.h"

#include "frames.h"
#include "os.h"
#include "point.h"

#include <errno.h>
#include <string.h>

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

int frames_init(struct frames *f, size_t held_max, bool zeros)
{
	f->held_max = held_max; /* first: kept for frames_renew() after a failure */
	f->most = zeros ? SIZE_MAX : held_max;
	f->page_size = os_page_size();
	f->segment_shift = (unsigned)__builtin_ctzll(SEGMENT_BYTES / f->page_size);
	f->segments_max = SEGMENTS_MAX;
	f->segments = os_map_anonymous(SEGMENTS_MAX * sizeof *f->segments);
	if (!f->segments)
		return -1;
	atomic_store(&f->total, 1); /* 0 is FRAME_NONE; its place in segment 0 stays empty */
	atomic_store(&f->unused, 1);
	atomic_store(&f->populated, 1);
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

int frames_renew(struct frames *f)
{
	size_t held_max = f->held_max;
	bool zeros = f->most != held_max;

	/* Only the table was inherited. */
	if (f->segments)
		os_unmap(f->segments, f->segments_max * sizeof *f->segments);
	memset(f, 0, sizeof *f);
	return frames_init(f, held_max, zeros);
}

/* Make room for `frames` frames in all. */
static int extend(struct frames *f, size_t frames)
{
	size_t total = atomic_load(&f->total);

	if (frames <= total - 1)
		return 0;
	size_t missing = frames - (total - 1);
	size_t next = total >> f->segment_shift; /* all segments that exist are full */
	size_t more = (missing + segment_frames(f) - 1) >> f->segment_shift;
	if (next == 0)
		more += missing % segment_frames(f) == 0; /* index 0 is never taken */
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

int frames_reserve(struct frames *f, size_t n)
{
	/* Frames given back meanwhile come on top. */
	size_t promised = atomic_load(&f->taken) + n;

	if (promised > f->most) /* the limit lets no more be charged */
		promised = f->most;
	if (extend(f, promised))
		return -1;
	f->promised = promised;
	return 0;
}

static size_t step_frames(const struct frames *f)
{
	size_t n = FRAMES_STEP_BYTES / f->page_size;

	return n < 1 ? 1 : n < FRAMES_STEP_MAX ? n : FRAMES_STEP_MAX;
}

/* Treiber's stack. If another thread pops the frame first, its record is still readable (segments
   are never unmapped before the arena is), and the tag makes our exchange fail. Acquire: pairs with
   push(), so that the giver's last reads come before our writes. */
static uint32_t pop(struct frames *f, _Atomic uint64_t *stack)
{
	uint64_t top = atomic_load_explicit(stack, memory_order_acquire);
	uint32_t frame;

	while ((frame = (uint32_t)top) != FRAME_NONE) {
		uint32_t next =
		    atomic_load_explicit(&frames_version(f, frame)->link, memory_order_relaxed);
		uint64_t tag = (top >> 32) + 1;
		TEST_POINT();
		if (atomic_compare_exchange_weak_explicit(
			stack, &top, tag << 32 | next, memory_order_acquire, memory_order_acquire))
			break;
	}
	return frame;
}

static void push(struct frames *f, _Atomic uint64_t *stack, uint32_t frame)
{
	uint64_t top = atomic_load_explicit(stack, memory_order_relaxed);

	do
		atomic_store_explicit(&frames_version(f, frame)->link, (uint32_t)top,
				      memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(stack, &top, ((top >> 32) + 1) << 32 | frame,
						      memory_order_release, memory_order_relaxed));
}

/* Take the next frame that was never taken. */
static uint32_t take_unused(struct frames *f, uint32_t below)
{
	uint32_t frame = atomic_load(&f->unused);

	do {
		TEST_POINT();
		if (frame >= below)
			return FRAME_NONE;
	} while (!atomic_compare_exchange_weak(&f->unused, &frame, frame + 1));
	return frame;
}

static size_t load(const _Atomic size_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

size_t frames_warm(const struct frames *f)
{
	/* A guess, never below 0: the counters are read one after the other while threads take and
	   give. */
	size_t populated = atomic_load(&f->populated), unused = atomic_load(&f->unused);
	size_t used = load(&f->taken) + load(&f->in_cold);
	size_t recycled = unused - 1 > used ? unused - 1 - used : 0;

	return recycled + (populated > unused ? populated - unused : 0);
}

/* Frames in the caller's hands are neither free nor taken for a moment. What was promised holds
   nevertheless. */
static bool may_hold_back(struct frames *f, size_t n)
{
	return extend(f, f->promised + n) == 0;
}

/* Give memory to n more never-taken frames. Returns how many got some. */
static size_t populate(struct frames *f, size_t n)
{
	uint32_t unused = atomic_load(&f->unused), total = atomic_load(&f->total);
	uint32_t from = atomic_load(&f->populated), done = 0;

	from = from > unused ? from : unused;
	while (done < n && from < total) {
		/* one segment at a time, as segments need not be neighbours */
		uint32_t end = ((from >> f->segment_shift) + 1) << f->segment_shift;
		if (end > total)
			end = total;
		if (end - from > n - done)
			end = from + (uint32_t)(n - done);
		os_populate(frames_data(f, from), (size_t)(end - from) * f->page_size);
		done += end - from;
		from = end;
		atomic_store(&f->populated, end);
	}
	return done;
}

bool frames_prefault(struct frames *f, size_t n)
{
	size_t warm = frames_warm(f), taken = load(&f->taken), done = 0;

	atomic_store(&f->low, false);
	/* No more than may be in use at once. */
	size_t left = f->most > taken ? f->most - taken : 0;
	if (n > left)
		n = left;
	if (warm >= n)
		return true;
	size_t step = n - warm < step_frames(f) ? n - warm : step_frames(f);
	uint32_t frame;
	while (done < step && may_hold_back(f, 1) && (frame = pop(f, &f->cold)) != FRAME_NONE) {
		os_populate(frames_data(f, frame), f->page_size);
		atomic_fetch_sub(&f->in_cold, 1);
		push(f, &f->free, frame);
		done++;
	}
	done += populate(f, step - done);
	return done == 0 || warm + done >= n; /* 0: no address space is left to populate */
}

/* Insertion sort, of FRAMES_STEP_MAX frames at most. (qsort(3) may call malloc(3).) */
static void sort(uint32_t *frames, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint32_t frame = frames[i];
		size_t at = i;
		for (; at > 0 && frames[at - 1] > frame; at--)
			frames[at] = frames[at - 1];
		frames[at] = frame;
	}
}

bool frames_trim(struct frames *f, size_t n)
{
	uint32_t frames[FRAMES_STEP_MAX];
	size_t warm = frames_warm(f), got = 0;
	size_t step = warm > n ? warm - n : 0, most = step_frames(f);

	if (step > most)
		step = most;
	if (!step || !may_hold_back(f, step))
		return true;
	while (got < step &&
	       ((frames[got] = pop(f, &f->free)) != FRAME_NONE ||
		(frames[got] = take_unused(f, atomic_load(&f->populated))) != FRAME_NONE))
		got++;
	TEST_POINT();
	/* Neighbours by one call. */
	sort(frames, got);
	for (size_t i = 0, run; i < got; i += run) {
		for (run = 1; i + run < got && frames[i + run] == frames[i] + run &&
			      frames[i + run] >> f->segment_shift == frames[i] >> f->segment_shift;)
			run++;
		os_discard(frames_data(f, frames[i]), run * f->page_size);
	}
	atomic_fetch_add(&f->in_cold, got);
	for (size_t i = got; i-- > 0;)
		push(f, &f->cold, frames[i]);
	return got < most;
}

bool frames_charge(struct frames *f, size_t n)
{
	size_t held = atomic_load_explicit(&f->held, memory_order_relaxed);

	/* Never exceed the limit, not even for a moment: charges of other threads that fit would
	   fail. */
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

static uint32_t take_any(struct frames *f)
{
	uint32_t frame = pop(f, &f->free);
	uint32_t populated = atomic_load(&f->populated);

	if (frame == FRAME_NONE) {
		frame = take_unused(f, populated);
		if (frame == FRAME_NONE || populated - frame <= FRAMES_LOW)
			atomic_store(&f->low, true);
	}
	if (frame == FRAME_NONE && (frame = pop(f, &f->cold)) != FRAME_NONE)
		atomic_fetch_sub(&f->in_cold, 1);
	if (frame == FRAME_NONE)
		frame = take_unused(f, atomic_load(&f->total));
	return frame;
}

uint32_t frames_take(struct frames *f)
{
	uint32_t frame;

	/* A free frame may have been moving from one stack to the other, or be in the hands of
	   frames_trim() for a moment; the thread that has it waits for nothing of ours. */
	while ((frame = take_any(f)) == FRAME_NONE && load(&f->taken) + 1 < atomic_load(&f->total))
		os_nap();
	if (frame != FRAME_NONE)
		atomic_fetch_add_explicit(&f->taken, 1, memory_order_relaxed);
	return frame;
}

uint32_t frames_take_bare(struct frames *f)
{
	uint32_t frame = pop(f, &f->cold);

	if (frame == FRAME_NONE)
		return frames_take(f);
	atomic_fetch_sub(&f->in_cold, 1);
	atomic_fetch_add_explicit(&f->taken, 1, memory_order_relaxed);
	return frame;
}

void frames_give(struct frames *f, uint32_t frame)
{
	atomic_fetch_sub_explicit(&f->taken, 1, memory_order_relaxed);
	push(f, &f->free, frame);
}

size_t frames_mappings(const struct frames *f)
{
	return 1 + f->maps;
}
