/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image-save.c - writes snapshots to images (image.h).
 *
 * Pages that have not changed since the snapshot are hashed and written where they are, and looked
 * at again afterwards; others are copied first.
 */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "helper.h"
#include "image-chain.h"
#include "lazy.h"
#include "objects.h"
#include "options.h"
#include "records.h"
#include "snapshot-read.h"
#include "track.h"
#include "verify.h"
#include "written.h"

#include <errno.h>
#include <string.h>

struct saver {
	struct cowarena_snapshot *snapshot;
	const struct cowarena_save_options *options;
	const char *path; /* NULL: the user's descriptor */
	int fd;
	const struct os_file *file; /* NULL: the user's descriptor */
	uint64_t offset;            /* bytes written so far */
	uint64_t reach;             /* where the file ends: some may have been written in vain */
	char *pages;                /* a group's */
	char *theirs;               /* the parent files' pages of a group */
	size_t pages_bytes;
	struct image_header header;
	struct image_group *index;
	size_t index_bytes, groups;
	/* What the image is an increment of, if it is one. */
	struct written written; /* since options->parent */
	struct image_chain parents;
	uint64_t parent;
};

static int write_failed(const struct saver *s)
{
	return error_system(
	    errno, "the image cannot be written%s%s (%s): %s", s->path ? " to " : "",
	    s->path ? s->path : "", error_name(errno),
	    errno == ENOSPC || errno == EDQUOT   ? "make room there, or choose another place"
	    : errno == EMFILE || errno == ENFILE ? "raise ulimit -n"
						 : "see that the place can be written to");
}

static int put(struct saver *s, const void *p, size_t n)
{
	if (s->file && !os_file_is_ours(s->file))
		return error_set(EBADF, "the program has closed the image's descriptor while it "
					"was being written: close only what is your own");
	if (s->file ? os_write_at(s->file, p, n, s->offset) : os_write(s->fd, p, n))
		return write_failed(s);
	s->offset += n;
	s->reach = s->reach > s->offset ? s->reach : s->offset;
	return 0;
}

static int put_words(struct saver *s, void *words, size_t n)
{
	image_swap(words, n);
	int result = put(s, words, n);
	image_swap(words, n);
	return result;
}

/* Up to this offset. */
static int put_zeros(struct saver *s, uint64_t end)
{
	size_t n = (size_t)(end - s->offset);

	memset(s->pages, 0, n);
	return put(s, s->pages, n);
}

static int put_header(struct saver *s)
{
	struct cowarena *arena = s->snapshot->arena;

	s->header = (struct image_header){
	    .magic = IMAGE_MAGIC,
	    .version = IMAGE_VERSION,
	    .page_size = arena_page_size(arena),
	    .layout = heap_layout(arena),
	    .base = (uintptr_t)arena->base,
	    .reserved = arena->reserved,
	    .pages = s->snapshot->pages,
	    .parent = s->parent,
	    .epoch = s->snapshot->epoch,
	    .snapshot = s->snapshot->id,
	};
	if (os_random(&s->header.number, sizeof s->header.number))
		return error_system(errno, "no random number for the image (%s)",
				    error_name(errno));
	s->header.number += !s->header.number;
	s->header.checksum = image_header_checksum(&s->header);
	return put_words(s, &s->header, sizeof s->header) || put_zeros(s, s->header.page_size) ? -1
											       : 0;
}

/* ---- groups ---- */

static uint64_t all_of(size_t n)
{
	return n < 64 ? ((uint64_t)1 << n) - 1 : UINT64_MAX;
}

/* Which of a group's n pages may have changed since the parent. */
static uint64_t may_have_changed(const struct saver *s, size_t first, size_t n)
{
	const struct bitmap *written = &s->written.pages;

	if (!s->written.memory)
		return all_of(n);
	if (first + n <= written->bits)
		return atomic_load(&written->words[first / 64]) & all_of(n);
	/* Those that the parent does not have are new. */
	uint64_t had = first < written->bits ? all_of(written->bits - first) : 0;
	uint64_t bits = had ? atomic_load(&written->words[first / 64]) & had : 0;
	return bits | (all_of(n) & ~had);
}

/* The page after a run of pages from this one on. */
static unsigned run_end(uint64_t bits, unsigned page)
{
	uint64_t others = ~(bits >> page);

	return others ? page + (unsigned)__builtin_ctzll(others) : 64;
}

/* Copy these pages of the group, one after the other. */
static int copy(struct saver *s, size_t first, uint64_t bits)
{
	struct cowarena *arena = s->snapshot->arena;
	size_t size = arena_page_size(arena);
	char *to = s->pages;

	for (unsigned i = 0, end; i < 64 && bits >> i; i = end) {
		i += (unsigned)__builtin_ctzll(bits >> i);
		end = run_end(bits, i);
		size_t offset = (first + i) << arena->page_shift, n = (end - i) * size;
		snapshot_copy(s->snapshot, to, offset, n);
		track_read(to, n);
		verify_read(s->snapshot, offset, n);
		to += n;
	}
	return snapshot_protected(s->snapshot);
}

/* Of these pages, which have been copied, move to the front those that are not zeros, nor what the
   parent files have; set *zeros for what has become zeros. Returns a bit for each that is left. */
static uint64_t pack(const struct saver *s, uint64_t bits, uint64_t theirs, uint64_t *zeros)
{
	size_t size = arena_page_size(s->snapshot->arena);
	char *from = s->pages, *to = s->pages;
	uint64_t present = 0;

	for (uint64_t left = bits, bit; left; left &= left - 1, from += size) {
		bit = left & -left;
		if (track_is_zeros(from, size)) {
			*zeros |= bit;
			continue;
		}
		size_t at = (unsigned)__builtin_ctzll(bit) * size; /* there may be no files */
		if (theirs & bit && track_same(from, s->theirs + at, size))
			continue;
		present |= bit;
		if (to != from)
			memcpy(to, from, size);
		to += size;
	}
	return present;
}

/* What the parent files have of the group. */
static int read_theirs(struct saver *s, size_t first, uint64_t *present)
{
	*present = 0;
	return s->theirs ? image_chain_fetch(&s->parents, first, s->theirs, present) : 0;
}

/* Which of the group's n pages the parent may have with bytes. */
static uint64_t may_have_bytes(const struct saver *s, size_t first, size_t n, uint64_t theirs)
{
	size_t had = s->written.memory ? s->written.pages.bits : 0;

	return s->theirs ? theirs : first < had ? all_of(had - first < n ? had - first : n) : 0;
}

static int enter(struct saver *s, size_t first, uint64_t present, uint64_t zeros, const char *bytes)
{
	size_t n = (size_t)__builtin_popcountll(present) * arena_page_size(s->snapshot->arena);
	uint64_t offset = s->offset;

	/* Hashed afterwards, from the cache, to which write(2) has brought them. */
	if (put(s, bytes, n))
		return -1;
	s->index[s->groups++] = (struct image_group){
	    .first = first,
	    .present = present,
	    .zeros = zeros,
	    .offset = offset,
	    .bytes = n,
	    .checksum = image_checksum(bytes, n, image_group_seed(&s->header, first)),
	};
	return 0;
}

static int put_copied(struct saver *s, size_t first, size_t n)
{
	uint64_t theirs, zeros = 0, bits = may_have_changed(s, first, n);

	if (!bits)
		return 0;
	if (copy(s, first, bits) || read_theirs(s, first, &theirs))
		return -1;
	uint64_t present = pack(s, bits, theirs, &zeros);
	zeros &= may_have_bytes(s, first, n, theirs);
	return present | zeros ? enter(s, first, present, zeros, s->pages) : 0;
}

/* Write a whole group, none of which is zeros, from where it is. 1: that cannot be done. Only to a
   file, where what was written can be written again. */
static int put_borrowed(struct saver *s, size_t first, size_t n)
{
	struct borrowed borrowed;
	size_t size = arena_page_size(s->snapshot->arena);
	uint64_t offset = s->offset;

	if (!s->file || s->theirs || may_have_changed(s, first, n) != all_of(n) ||
	    !snapshot_borrow(s->snapshot, first, n, &borrowed))
		return 1;
	for (size_t i = 0; i < n; i++)
		if (track_is_zeros(borrowed.at + i * size, size))
			return 1;
	if (enter(s, first, all_of(n), 0, borrowed.at))
		return -1;
	if (snapshot_was_borrowed(s->snapshot, &borrowed))
		return 0;
	s->groups--;
	s->offset = offset;
	return 1;
}

static int put_group(struct saver *s, size_t first)
{
	size_t left = s->snapshot->pages - first, n = left < IMAGE_GROUP ? left : IMAGE_GROUP;
	int result = put_borrowed(s, first, n);

	return result > 0 ? put_copied(s, first, n) : result;
}

static int put_groups(struct saver *s)
{
	const struct cowarena_save_options *o = s->options;
	size_t pages = s->snapshot->pages;

	for (size_t first = 0, done; first < pages; first = done) {
		done = first + IMAGE_GROUP < pages ? first + IMAGE_GROUP : pages;
		if (put_group(s, first))
			return -1;
		timeline_pass(s->snapshot, done);
		if (o->progress && o->progress(o->ctx, done, pages))
			return error_set(ECANCELED, "options.progress has ended the save");
	}
	return 0;
}

static int put_index(struct saver *s)
{
	struct image_trailer trailer = {
	    .index = s->offset, .groups = s->groups, .magic = IMAGE_END_MAGIC};
	size_t n = s->groups * sizeof *s->index;

	image_swap(s->index, n);
	trailer.index_checksum = image_checksum(s->index, n, s->header.checksum);
	trailer.bytes = s->offset + n + sizeof trailer;
	trailer.checksum = image_trailer_checksum(&trailer);
	return put(s, s->index, n) || put_words(s, &trailer, sizeof trailer) ? -1 : 0;
}

static int put_all(struct saver *s)
{
	return put_header(s) || put_groups(s) || put_index(s) || snapshot_protected(s->snapshot)
		   ? -1
		   : 0;
}

/* ---- to a file with a name ---- */

static int complete(struct saver *s, struct os_file *file, const char *name)
{
	bool sync = !(s->options->flags & COWARENA_SAVE_NO_SYNC);

	if ((s->reach > s->offset && os_file_cut(file, s->offset)) || (sync && os_file_sync(file)))
		return write_failed(s);
	os_file_close(file);
	if (os_rename(name, s->path))
		return write_failed(s);
	if (sync && os_sync_name(s->path))
		return error_system(errno,
				    "the image is complete, but a power cut may lose its name "
				    "%s (%s): sync the directory",
				    s->path, error_name(errno));
	return 0;
}

static int save_to_name(struct saver *s, const char *name)
{
	struct os_file file;

	if (os_file_create(&file, name))
		return write_failed(s);
	s->fd = file.fd;
	s->file = &file;
	int result = put_all(s) || complete(s, &file, name) ? -1 : 0;
	int e = errno;
	os_file_close(&file);
	if (result)
		os_remove(name);
	errno = e;
	return result;
}

static int save_to_path(struct saver *s)
{
	size_t bytes = strlen(s->path) + OS_NAME_BESIDE;
	char *name = records_take(bytes);

	if (!name || os_name_beside(name, s->path)) {
		int e = errno;
		records_give(name, bytes);
		return error_system(e, "no name for the image (%s): " ERROR_NO_ROOM, error_name(e));
	}
	int result = save_to_name(s, name);
	records_give(name, bytes);
	return result;
}

/* ---- increments ---- */

static int since_snapshot(struct saver *s)
{
	struct cowarena_snapshot *parent = s->options->parent;

	snapshot_in_use(parent, "cowarena_snapshot_save");
	if (parent->arena == s->snapshot->arena && parent->epoch > s->snapshot->epoch)
		return error_set(EINVAL,
				 "options.parent, snapshot %llu, is newer than %llu: give "
				 "an older one",
				 (unsigned long long)parent->id,
				 (unsigned long long)s->snapshot->id);
	if (snapshot_intact(parent) || written_between(parent, s->snapshot, &s->written))
		return -1;
	s->parent = atomic_load(&parent->image);
	return s->parent ? 0
			 : error_set(EINVAL,
				     "options.parent, snapshot %llu, was never saved: save "
				     "it first",
				     (unsigned long long)parent->id);
}

static int since_files(struct saver *s)
{
	const struct cowarena *arena = s->snapshot->arena;
	const char *const *files = s->options->parents;
	struct image_file newest;

	if (image_open(&newest, files[0]) || image_chain_open(&s->parents, &newest, files + 1))
		return -1;
	const struct image_header *h = &newest.header;
	s->parent = h->number;
	s->theirs = records_take(s->pages_bytes);
	if (!s->theirs)
		return error_set(ENOMEM, "no memory to save with: " ERROR_NO_ROOM);
	return h->page_size == arena_page_size(arena) && h->layout == heap_layout(arena) &&
		       h->base == (uintptr_t)arena->base && h->reserved == arena->reserved &&
		       h->pages <= s->snapshot->pages
		   ? 0
		   : error_set(EINVAL,
			       "%s, of options.parents, is the image of another heap, or of a "
			       "later time: save without a parent",
			       files[0]);
}

static int find_parent(struct saver *s)
{
	const struct cowarena_save_options *o = s->options;
	bool files = o->parents && o->parents[0];

	if (o->parent && files)
		return error_set(EINVAL, "both options.parent and options.parents: give one");
	return o->parent ? since_snapshot(s) : files ? since_files(s) : 0;
}

static int read_options(struct cowarena_save_options *out, const struct cowarena_save_options *in)
{
	*out = (struct cowarena_save_options)COWARENA_SAVE_OPTIONS_INIT;
	return options_copy(out, sizeof *out, in, "COWARENA_SAVE_OPTIONS_INIT")
		   ? -1
		   : options_check_flags(out->flags,
					 COWARENA_SAVE_NO_SYNC | COWARENA_SAVE_LAST_USE);
}

/* ---- the last use of a snapshot ---- */

static int begin_last_use(struct cowarena_snapshot *s)
{
	struct cowarena *arena = s->arena;
	sigset_t signals;

	if (s->hashes)
		verify_all(s);
	arena_lock_snapshots(arena, &signals);
	int failed = timeline_begin_last_use(s);
	arena_unlock_snapshots(arena, &signals);
	if (failed == EBUSY)
		return error_set(EBUSY,
				 "COWARENA_SAVE_LAST_USE, and snapshot %llu has open views: close "
				 "them first",
				 (unsigned long long)s->id);
	if (failed)
		return snapshot_usable(s);
	verify_forget(s); /* what it reads from now on is of no meaning */
	return 0;
}

static void end_last_use(struct cowarena_snapshot *s)
{
	struct cowarena *arena = s->arena;
	sigset_t signals;
	int e = errno;

	arena_lock_snapshots(arena, &signals);
	private_collect(arena); /* pages that the kernel has copied count too */
	timeline_end_last_use(arena, s);
	bool surplus = helper_can_give_back(arena);
	arena_unlock_snapshots(arena, &signals);
	helper_after_release(arena, surplus);
	errno = e;
}

static int save(struct saver *s)
{
	s->pages_bytes = IMAGE_GROUP * arena_page_size(s->snapshot->arena);
	s->index_bytes = (s->snapshot->pages / IMAGE_GROUP + 1) * sizeof *s->index;
	s->pages = records_take(s->pages_bytes);
	s->index = records_take(s->index_bytes);
	if (!s->pages || !s->index)
		return error_set(ENOMEM, "no memory to save with: " ERROR_NO_ROOM);
	if (find_parent(s))
		return -1;
	bool last = s->options->flags & COWARENA_SAVE_LAST_USE;
	if (last && begin_last_use(s->snapshot))
		return -1;
	int result = s->path ? save_to_path(s) : put_all(s);
	if (last)
		end_last_use(s->snapshot);
	return result;
}

int cowarena_snapshot_save(cowarena_snapshot *snapshot, const char *path,
			   const struct cowarena_save_options *options)
{
	struct cowarena_save_options o;
	int e = errno;

	snapshot_in_use(snapshot, __func__);
	if (snapshot_intact(snapshot) || read_options(&o, options))
		return -1;
	if (!path && o.fd < 0)
		return error_set(EINVAL, "neither a path nor options.fd: give one of them");
	if (lazy_finish(snapshot->arena))
		return -1;
	struct saver s = {.snapshot = snapshot,
			  .options = &o,
			  .path = path,
			  .fd = o.fd,
			  .parents.newest.file = OS_NO_FILE};
	int result = save(&s);
	if (result)
		e = errno;
	else
		atomic_store(&snapshot->image, s.header.number);
	records_give(s.pages, s.pages_bytes);
	records_give(s.theirs, s.pages_bytes);
	records_give(s.index, s.index_bytes);
	written_discard(&s.written);
	image_chain_close(&s.parents);
	errno = e;
	return result;
}
